"""SavedModels through TensorFlow's C API, as a program without Python runs them.

It imports no Python of TensorFlow or Keras, so only the file determines what runs.
"""

import contextlib
import ctypes
import dataclasses
import math

import numpy as np

from tests.serving.light_protos import wheel_folder

# isort: split
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import error_codes_pb2, meta_graph_pb2

TAG = b"serve"
DEFAULT_SIGNATURE = "serving_default"
TSTRING_BYTES = 24
STRING = types_pb2.DT_STRING
NUMPY_DTYPES = {
    types_pb2.DT_BOOL: np.dtype("bool"),
    types_pb2.DT_DOUBLE: np.dtype("float64"),
    types_pb2.DT_FLOAT: np.dtype("float32"),
    types_pb2.DT_INT32: np.dtype("int32"),
    types_pb2.DT_INT64: np.dtype("int64"),
    types_pb2.DT_STRING: np.dtype("object"),
    types_pb2.DT_UINT8: np.dtype("uint8"),
}
TF_DTYPES = {dtype: number for number, dtype in NUMPY_DTYPES.items()}


class StatusError(Exception):
    """A TensorFlow status that is not OK.

    Args:
        code: str. Name of the code, such as `"INVALID_ARGUMENT"`.
        message: str.
    """

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class _Buffer(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    )


class _Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


_P, _INT, _SIZE = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
_STRING, _DIMS = ctypes.c_char_p, ctypes.POINTER(ctypes.c_int64)
_BUFFER, _OUTPUTS = ctypes.POINTER(_Buffer), ctypes.POINTER(_Output)
_POINTERS = ctypes.POINTER(ctypes.c_void_p)
FUNCTIONS = {
    "TF_NewStatus": (_P,),
    "TF_DeleteStatus": (None, _P),
    "TF_GetCode": (_INT, _P),
    "TF_Message": (_STRING, _P),
    "TF_NewBuffer": (_BUFFER,),
    "TF_DeleteBuffer": (None, _BUFFER),
    "TF_NewGraph": (_P,),
    "TF_DeleteGraph": (None, _P),
    "TF_GraphOperationByName": (_P, _P, _STRING),
    "TF_NewSessionOptions": (_P,),
    "TF_DeleteSessionOptions": (None, _P),
    "TF_LoadSessionFromSavedModel": (
        _P, _P, _P, _STRING, ctypes.POINTER(_STRING), _INT, _P, _BUFFER, _P,
    ),
    "TF_CloseSession": (None, _P, _P),
    "TF_DeleteSession": (None, _P, _P),
    "TF_SessionRun": (
        None, _P, _P, _OUTPUTS, _POINTERS, _INT, _OUTPUTS, _POINTERS, _INT, _P, _INT,
        _P, _P,
    ),
    "TF_AllocateTensor": (_P, _INT, _DIMS, _INT, _SIZE),
    "TF_DeleteTensor": (None, _P),
    "TF_TensorType": (_INT, _P),
    "TF_NumDims": (_INT, _P),
    "TF_Dim": (ctypes.c_int64, _P, _INT),
    "TF_TensorByteSize": (_SIZE, _P),
    "TF_TensorData": (_P, _P),
    "TF_StringInit": (None, _P),
    "TF_StringCopy": (None, _P, _STRING, _SIZE),
    "TF_StringGetDataPointer": (_P, _P),
    "TF_StringGetSize": (_SIZE, _P),
}  # fmt: skip


def _load_library():
    # Half of the C API is in libtensorflow_framework. This library depends on it, so
    # this handle finds its functions too.
    library = ctypes.CDLL(str(wheel_folder() / "libtensorflow_cc.so.2"))
    for name, (result, *arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """An input or output of a signature.

    Args:
        name: str. The name of the tensor in the graph, `operation:index`.
        dtype: NumPy dtype; object for strings.
        shape: tuple of ints, with -1 for any size; None for any rank.
    """

    name: str
    dtype: np.dtype
    shape: tuple | None

    @classmethod
    def from_proto(cls, proto):
        """Makes one from a `tensorflow.TensorInfo`."""
        shape = proto.tensor_shape
        sizes = None if shape.unknown_rank else tuple(dim.size for dim in shape.dim)
        return cls(proto.name, NUMPY_DTYPES[proto.dtype], sizes)


@dataclasses.dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a signature, dicts from names to `TensorInfo`."""

    inputs: dict
    outputs: dict

    @classmethod
    def from_proto(cls, proto):
        """Makes one from a `tensorflow.SignatureDef`."""
        return cls(
            *(
                {key: TensorInfo.from_proto(infos[key]) for key in sorted(infos)}
                for infos in (proto.inputs, proto.outputs)
            )
        )


class Session:
    """A SavedModel, loaded by `TF_LoadSessionFromSavedModel`.

    Several threads may call `run` at once. Release it with `close`, or use it as a
    context manager.

    Args:
        directory: path of the SavedModel, with `saved_model.pb`.

    Attributes:
        meta_graph: `tensorflow.MetaGraphDef`, as the C API returns it.
        signatures: dict from name to `Signature`.

    Raises:
        StatusError: if it cannot be loaded.
    """

    def __init__(self, directory):
        self._c = _load_library()
        self._graph = self._c.TF_NewGraph()
        options = self._c.TF_NewSessionOptions()
        buffer = self._c.TF_NewBuffer()
        try:
            with self._status() as status:
                self._session = self._c.TF_LoadSessionFromSavedModel(
                    options, None, str(directory).encode(), (_STRING * 1)(TAG), 1,
                    self._graph, buffer, status,
                )  # fmt: skip
            proto = ctypes.string_at(buffer.contents.data, buffer.contents.length)
        except BaseException:
            self._c.TF_DeleteGraph(self._graph)
            raise
        finally:
            self._c.TF_DeleteBuffer(buffer)
            self._c.TF_DeleteSessionOptions(options)
        self.meta_graph = meta_graph_pb2.MetaGraphDef.FromString(proto)
        self.signatures = {
            name: Signature.from_proto(definition)
            for name, definition in self.meta_graph.signature_def.items()
            # The initialiser of the model is also a signature, without outputs.
            if not name.startswith("__saved_model")
        }

    def run(self, signature, inputs, output_names=()):
        """Runs a signature.

        Args:
            signature: str.
            inputs: dict from names to arrays of the declared dtypes; for strings, bytes
                or a list or object array of bytes.
            output_names: sequence of str. The outputs to compute. Defaults to all.

        Returns:
            Dict from names to arrays; for strings, object arrays of bytes.

        Raises:
            StatusError: an error of TensorFlow, or one of TF Serving about names.
        """
        if signature not in self.signatures:
            raise StatusError(
                "FAILED_PRECONDITION", f'Serving signature key "{signature}" not found.'
            )
        infos = self.signatures[signature]
        _check_names(infos, inputs, output_names)
        names = list(output_names) or list(infos.outputs)
        with contextlib.ExitStack() as stack:
            feeds = [
                stack.enter_context(self._tensor(value)) for value in inputs.values()
            ]
            fetched = (_P * len(names))()
            with self._status() as status:
                self._c.TF_SessionRun(
                    self._session,
                    None,
                    self._outputs(infos.inputs[name] for name in inputs),
                    (_P * len(feeds))(*feeds),
                    len(feeds),
                    self._outputs(infos.outputs[name] for name in names),
                    fetched,
                    len(names),
                    None,
                    0,
                    None,
                    status,
                )
            for tensor in fetched:
                stack.callback(self._c.TF_DeleteTensor, tensor)
            # Copied before the inputs are released: an output may share their memory.
            return {
                name: self._array(tensor)
                for name, tensor in zip(names, fetched, strict=True)
            }

    def close(self):
        """Releases the model's memory."""
        if self._session is not None:
            with self._status() as status:
                self._c.TF_CloseSession(self._session, status)
            with self._status() as status:
                self._c.TF_DeleteSession(self._session, status)
            self._c.TF_DeleteGraph(self._graph)
            self._session = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    @contextlib.contextmanager
    def _status(self):
        """Yields a `TF_Status`, and raises if it is not OK afterwards."""
        status = self._c.TF_NewStatus()
        try:
            yield status
            code = self._c.TF_GetCode(status)
            if code:
                raise StatusError(
                    error_codes_pb2.Code.Name(code),
                    self._c.TF_Message(status).decode(errors="replace"),
                )
        finally:
            self._c.TF_DeleteStatus(status)

    def _outputs(self, infos):
        """Returns the `TF_Output`s of tensors of the graph."""
        outputs = []
        for info in infos:
            operation, _, index = info.name.partition(":")
            pointer = self._c.TF_GraphOperationByName(self._graph, operation.encode())
            outputs.append(_Output(pointer, int(index or 0)))
        return (_Output * len(outputs))(*outputs)

    @contextlib.contextmanager
    def _tensor(self, value):
        """Yields a `TF_Tensor` with a copy of an array or bytes."""
        array = _as_array(value)
        dtype = TF_DTYPES[array.dtype]
        size = array.size * TSTRING_BYTES if dtype == STRING else array.nbytes
        dims = (ctypes.c_int64 * array.ndim)(*array.shape)
        tensor = self._c.TF_AllocateTensor(dtype, dims, array.ndim, size)
        data = self._c.TF_TensorData(tensor)
        try:
            if dtype == STRING:
                for i, text in enumerate(array.flat):
                    string = data + i * TSTRING_BYTES
                    self._c.TF_StringInit(string)
                    self._c.TF_StringCopy(string, text, len(text))
            elif size:
                ctypes.memmove(data, array.ctypes.data, size)
            yield tensor
        finally:
            # This deletes its strings too.
            self._c.TF_DeleteTensor(tensor)

    def _array(self, tensor):
        """Returns a copy of the values of a `TF_Tensor`."""
        dtype = NUMPY_DTYPES[self._c.TF_TensorType(tensor)]
        rank = self._c.TF_NumDims(tensor)
        shape = tuple(self._c.TF_Dim(tensor, axis) for axis in range(rank))
        data = self._c.TF_TensorData(tensor)
        if dtype.kind == "O":
            array = np.empty(math.prod(shape), object)
            for i in range(array.size):
                string = data + i * TSTRING_BYTES
                array[i] = ctypes.string_at(
                    self._c.TF_StringGetDataPointer(string),
                    self._c.TF_StringGetSize(string),
                )
            return array.reshape(shape)
        array = np.empty(shape, dtype)
        if array.nbytes:
            ctypes.memmove(array.ctypes.data, data, array.nbytes)
        return array


def _as_array(value):
    """Makes an array in C order; for strings, an object array of bytes."""
    array = np.asarray(value, order="C")
    # NumPy's own strings lose trailing zero bytes.
    return np.asarray(value, object) if array.dtype.kind == "S" else array


def _check_names(signature, inputs, output_names):
    sent, declared = set(inputs), set(signature.inputs)
    if sent != declared:
        raise StatusError(
            "INVALID_ARGUMENT",
            f"input size does not match signature: {len(sent)}!={len(declared)}. "
            f"Sent extra: {{{','.join(sorted(sent - declared))}}}. "
            f"Missing but required: {{{','.join(sorted(declared - sent))}}}.",
        )
    unknown = set(output_names) - set(signature.outputs)
    if unknown:
        raise StatusError(
            "INVALID_ARGUMENT",
            f"output tensor alias not found in signature: {min(unknown)}",
        )
