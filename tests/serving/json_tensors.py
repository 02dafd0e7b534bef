"""Tensors as JSON, in the two formats of TF Serving's REST interface.

The row format, `instances` to `predictions`, has an object for each sample. The
columnar format, `inputs` to `outputs`, has an array for each tensor. A single tensor
has no name.
"""

import base64
import binascii
import json

import numpy as np

from tests.serving.c_api import StatusError


def read_request(body, signatures, default):
    """Reads a `:predict` request.

    Args:
        body: bytes, JSON.
        signatures: dict from name to `Signature`.
        default: str. The signature of requests that do not name one.

    Returns:
        The name of the signature, a dict of arrays, and whether the request is in row
        format.

    Raises:
        StatusError: if the request is malformed or does not fit the signature.
    """
    try:
        request = json.loads(body)
    except ValueError as error:
        raise _invalid(f"JSON Parse error: {error}") from error
    if not isinstance(request, dict):
        raise _invalid("JSON Value: Is not object")
    name = request.get("signature_name", default)
    if not isinstance(name, str):
        raise _invalid("'signature_name' key must be a string value.")
    if name not in signatures:
        raise _invalid(f'Serving signature name: "{name}" not found in signature def')
    infos = signatures[name].inputs
    keys = {"instances", "inputs"} & request.keys()
    if not keys:
        raise _invalid("Missing 'inputs' or 'instances' key")
    if len(keys) == 2:
        raise _invalid("expecting only one of 'inputs' or 'instances' keys to exist")
    if "instances" in request:
        return name, _read_rows(request["instances"], infos), True
    return name, _read_columns(request["inputs"], infos), False


def write_response(outputs, rows):
    """Writes a response as JSON.

    Args:
        outputs: dict of arrays.
        rows: bool. Whether to use the row format.

    Returns:
        bytes.

    Raises:
        StatusError: in row format, if the outputs differ in batch size.
    """
    columns = {name: _values(name, array) for name, array in outputs.items()}
    if not rows:
        value = columns if len(columns) > 1 else next(iter(columns.values()))
        # Indented like TF Serving's output: a line for every number.
        return json.dumps({"outputs": value}, indent=4).encode()
    sizes = {array.shape[:1] for array in outputs.values()}
    if len(sizes) > 1 or () in sizes:
        raise _invalid(f"Outputs have inconsistent batch sizes: {sorted(sizes)}")
    if len(columns) == 1:
        predictions = next(iter(columns.values()))
    else:
        predictions = [
            dict(zip(columns, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]
    return json.dumps({"predictions": predictions}).encode()


def _read_rows(instances, infos):
    if not isinstance(instances, list) or not instances:
        raise _invalid("Expecting 'instances' to be a list of at least one value")
    if not all(_is_object(row) for row in instances):
        if len(infos) > 1 or any(_is_object(row) for row in instances):
            raise _invalid(
                "instances is a plain list, but expecting list of objects as multiple "
                "input tensors required as per tensorinfo_map"
            )
        (name,) = infos
        instances = [{name: row} for row in instances]
    for number, row in enumerate(instances):
        if row.keys() != infos.keys():
            raise _invalid(
                f"Failed to process element: {number} of 'instances' list. Keys must "
                f"be equal to: {','.join(sorted(infos))}"
            )
    return {
        name: _array([row[name] for row in instances], name, info.dtype)
        for name, info in infos.items()
    }


def _read_columns(inputs, infos):
    if not _is_object(inputs):
        if len(infos) > 1:
            raise _invalid(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        (name,) = infos
        inputs = {name: inputs}
    missing = infos.keys() - inputs.keys()
    if missing:
        raise _invalid(f"Missing named input: {min(missing)} in 'inputs' object.")
    return {
        name: _array(inputs[name], name, info.dtype) for name, info in infos.items()
    }


def _is_object(value):
    """Returns whether a value is an object with names, not bytes in base64."""
    return isinstance(value, dict) and value.keys() != {"b64"}


def _array(value, name, dtype):
    """Makes an array from nested lists, whose numbers must match the dtype."""
    try:
        if dtype.kind == "O":
            return _strings(value)
        array = np.array(value)
    except ValueError as error:
        raise _invalid(f"Input {name}: {error}") from error
    if array.dtype.kind not in ("iu" if dtype.kind in "iu" else "fiu"):
        # An empty list has no numbers of any kind.
        if array.size or not isinstance(value, list):
            raise _invalid(f"Input {name}: JSON Value is not of expected type: {dtype}")
    return array.astype(dtype)


def _strings(value):
    if isinstance(value, list):
        items = [_strings(item) for item in value]
        shapes = {item.shape for item in items}
        if len(shapes) > 1:
            raise ValueError("lists of one level must have one size")
        array = np.empty((len(items), *shapes.pop()) if items else 0, object)
        for i, item in enumerate(items):
            array[i] = item if item.ndim else item.item()
        return array
    if isinstance(value, dict) and value.keys() == {"b64"}:
        try:
            value = base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, TypeError) as error:
            raise ValueError("Unable to base64 decode") from error
    elif isinstance(value, str):
        value = value.encode()
    else:
        raise ValueError("JSON Value is not of expected type: string")
    array = np.empty((), object)
    array[()] = value
    return array


def _values(name, array):
    """Makes nested lists for JSON from an array."""
    if array.dtype.kind == "O":
        encode = _base64 if name.endswith("_bytes") else bytes.decode
    elif array.dtype == np.float32:
        # The shortest digits that give the same 32-bit number.
        encode = _shortest
    else:
        return array.tolist()
    values = np.empty(array.size, object)
    values[:] = [encode(value) for value in array.flat]
    return values.reshape(array.shape).tolist()


def _base64(value):
    return {"b64": base64.b64encode(value).decode()}


def _shortest(value):
    return float(str(value))


def _invalid(message):
    return StatusError("INVALID_ARGUMENT", message)
