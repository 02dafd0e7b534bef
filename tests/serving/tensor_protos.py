"""Conversion between arrays and `TensorProto`s, by the rules of TensorFlow."""

import math

import numpy as np

from tests.serving.c_api import NUMPY_DTYPES, STRING, TF_DTYPES, StatusError

# isort: split
from tensorflow.core.framework import tensor_pb2, types_pb2

# The fields for single values. There, uint8 values above 127 take two bytes.
FIELDS = {
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_STRING: "string_val",
    types_pb2.DT_UINT8: "int_val",
}


def make_tensor_proto(value, content):
    """Makes a `TensorProto` from an array or bytes.

    Args:
        value: bytes, or an array; for strings, an object array of bytes.
        content: bool. Whether numbers are stored as raw memory, `tensor_content`,
            instead of one by one. Strings are always stored one by one.
    """
    array = np.asarray(value)
    if array.dtype.kind == "S":
        array = np.asarray(value, object)
    proto = tensor_pb2.TensorProto(dtype=TF_DTYPES[array.dtype])
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if content and array.dtype.kind != "O":
        proto.tensor_content = array.tobytes()
    else:
        getattr(proto, FIELDS[proto.dtype]).extend(array.ravel().tolist())
    return proto


def make_array(proto):
    """Makes an array from a `TensorProto`; for strings, an object array of bytes.

    If there are fewer values than the shape needs, the last one is repeated, as in
    TensorFlow.

    Raises:
        StatusError: if the proto is not a valid tensor.
    """
    if proto.dtype not in FIELDS or proto.tensor_shape.unknown_rank:
        raise _error(proto, "its type or shape is not supported")
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if any(size < 0 for size in shape):
        raise _error(proto, "a size is negative")
    dtype, count = NUMPY_DTYPES[proto.dtype], math.prod(shape)
    if proto.tensor_content:
        if proto.dtype == STRING or len(proto.tensor_content) != count * dtype.itemsize:
            raise _error(proto, f"it has {len(proto.tensor_content)} bytes of content")
        return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
    values = getattr(proto, FIELDS[proto.dtype])
    if len(values) > count:
        raise _error(proto, f"it has {len(values)} values")
    array = np.full(count, b"" if proto.dtype == STRING else 0, dtype)
    if values:
        # Integers outside the range of the dtype wrap around, as in TensorFlow.
        given = np.array(values, object if proto.dtype == STRING else None)
        array[: len(values)] = given.astype(dtype)
        array[len(values) :] = array[len(values) - 1]
    return array.reshape(shape)


def _error(proto, reason):
    dtype = types_pb2.DataType.Name(proto.dtype)
    shape = [dim.size for dim in proto.tensor_shape.dim]
    return StatusError(
        "INVALID_ARGUMENT",
        f"Cannot read a tensor: {reason}. Received: dtype={dtype}, shape={shape}",
    )
