"""Calling models by programs that are compiled, or recorded, once for each shape."""

import gc
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_regen.backend import to_device
from keras_regen.hardware import device_type
from keras_regen.types import Tensor

# Graphs that a model keeps, each for other shapes. A graph holds the memory of its
# results.
MAX_GRAPHS = 4
# The most of the time of calls that goes into freeing tensors on PyTorch.
_FREEING_SHARE = 0.03


class CompiledModel:
    """Calls a model on NumPy arrays. Several threads may call at once.

    The call is compiled on JAX and TensorFlow, and again when layers replace their
    variables, as for LoRA and quantisation. On PyTorch with CUDA it is launched by
    `GraphedModel`, and on PyTorch with a CPU it is a plain call.

    Args:
        model: a `keras.Model` as for `GraphedModel`.
        constants: names of whole numbers in the model's inputs that are equal for all
            samples. Where the call is recorded they are part of the program, as Python
            ints. Defaults to none.
    """

    # Of all models: seconds of calls until tensors are freed.
    _until_freeing = 0.0

    def __init__(self, model: keras.Model, constants: Sequence[str] = ()) -> None:
        self._model = model
        self._constants = constants
        self._graphed = GraphedModel(model)
        # Those that the model had when TensorFlow compiled the call.
        self._variables: list[keras.Variable] = []
        if keras.backend.backend() == "jax":
            import jax

            self._compiled = jax.jit(self._call_with)

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> Any:
        """Calls the model.

        Args:
            inputs: dict of NumPy arrays, all with a batch axis.

        Returns:
            What the model returns, with NumPy arrays in place of tensors.
        """
        if device_type() == "cuda":
            constants = {x: int(inputs[x][0]) for x in self._constants if x in inputs}
            return self._graphed({**inputs, **constants})
        tensors = {name: to_device(array) for name, array in inputs.items()}
        backend = keras.backend.backend()
        if backend == "jax":
            # Keras's `predict_on_batch` donates the weights, which other threads use.
            values = [variable.value for variable in self._model.variables]
            return keras.tree.map_structure(np.array, self._compiled(values, tensors))
        if backend == "tensorflow":
            self._forget_old_variables()
        start = time.perf_counter()
        results = self._model.predict_on_batch(tensors)
        if backend == "torch":
            self._free_tensors(time.perf_counter() - start)
        return results

    def _call_with(self, values, inputs):
        """Calls the model with values in place of those of its variables."""
        with with_values(self._model.variables, values):
            return self._model.call(inputs)

    def _forget_old_variables(self):
        """Has the call compiled again if the model has other variables than before.

        A function of TensorFlow keeps those that it was traced with.
        """
        variables = self._model.variables
        if [*map(id, variables)] != [*map(id, self._variables)]:
            self._model.make_predict_function(force=True)
            self._variables = variables

    def _free_tensors(self, seconds):
        """Frees what `keras.tree` leaves on PyTorch: cycles that hold layers' inputs.

        Python itself looks for old ones after 100,000 objects more, and they may hold
        gigabytes by then.

        Args:
            seconds: float. The time of the call. Where many objects are alive, looking
                takes a tenth of a second: a share of this, and not of the clock's time,
                since calls may be rare.
        """
        CompiledModel._until_freeing -= seconds
        if CompiledModel._until_freeing <= 0:
            start = time.perf_counter()
            gc.collect()
            took = time.perf_counter() - start
            CompiledModel._until_freeing = took / _FREEING_SHARE


def with_values(
    variables: Sequence[keras.Variable], values: Sequence[Tensor]
) -> keras.StatelessScope:
    """Returns a scope in which variables have the given values."""
    pairs = zip(variables, values, strict=True)
    return keras.StatelessScope(state_mapping=list(pairs))


class GraphedModel:
    """Calls a model on CUDA, with one launch for all its kernels.

    Keras takes longer to launch the hundreds of kernels of a model than a GPU takes to
    run them. So the second call with the same shapes records them, and later calls
    replay the record, with the same results. The first call is a plain one: it lets
    libraries choose their kernels, and shapes that come once cost nothing more. Calls
    wait for each other.

    A model that cannot be recorded is called plainly from then on, with one warning.

    Args:
        model: a `keras.Model`. Its `call` takes a dict, must depend on it and on the
            model's variables alone, and must not wait for the GPU. If a variable moves
            in memory, the kernels are recorded again.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        # None for shapes that came once.
        self._graphs: OrderedDict[Any, Any] = OrderedDict()
        self._is_capturable = True
        self._lock = threading.Lock()

    def __call__(self, inputs: Mapping[str, Any]) -> Any:
        """Calls the model.

        Args:
            inputs: dict of NumPy arrays and of values that are part of the program,
                such as a number of steps.

        Returns:
            What the model returns, with NumPy arrays in place of tensors.
        """
        import torch

        with self._lock, torch.no_grad():
            return keras.tree.map_structure(_to_numpy, self._launch(inputs))

    def _launch(self, inputs):
        arrays, constants = _split(inputs)
        if self._is_capturable and (graph := self._graph(arrays, constants)):
            return graph(arrays)
        tensors = {name: to_device(array) for name, array in arrays.items()}
        return self._model.call(tensors | constants)

    def _graph(self, arrays, constants):
        """Returns the graph for these shapes, or None at their first call."""
        key = (
            tuple((name, x.shape, str(x.dtype)) for name, x in sorted(arrays.items())),
            tuple(sorted(constants.items())),
            tuple(x.value.data_ptr() for x in self._model.variables),
        )
        if key not in self._graphs:
            if len(self._graphs) >= MAX_GRAPHS:
                self._graphs.popitem(last=False)
            self._graphs[key] = None
            return None
        self._graphs.move_to_end(key)
        if self._graphs[key] is None:
            try:
                self._graphs[key] = capture(self._model.call, arrays, constants)
            except RuntimeError as error:
                self._is_capturable = False
                self._graphs.clear()
                warnings.warn(
                    f"{self._model.name} runs without CUDA graphs, and so more slowly: "
                    f"{error}",
                    stacklevel=5,
                )
                return None
        return self._graphs[key]


def capture(
    function: Callable[[dict[str, Any]], Any],
    arrays: Mapping[str, np.ndarray],
    constants: Mapping[str, Any],
) -> Callable[[Mapping[str, np.ndarray]], Any]:
    """Records a call.

    Args:
        function: callable of one dict.
        arrays: dict of NumPy arrays, examples of its tensors.
        constants: dict of the other values.

    Returns:
        Callable that takes a dict like `arrays` and returns what the function would, in
        tensors that its next call overwrites.

    Raises:
        RuntimeError: if the call cannot be recorded.

    Reference:
        PyTorch's documentation, *CUDA semantics*, section "CUDA Graphs".
    """
    inputs = {name: to_device(array) for name, array in arrays.items()}
    program = trace(function, inputs, constants)
    replay, outputs = record(program, inputs)

    def call(arrays):
        for name, array in arrays.items():
            inputs[name].copy_(to_device(array))
        replay()
        return outputs

    return call


def trace(
    function: Callable[[dict[str, Any]], Any],
    inputs: dict[str, Tensor],
    constants: Mapping[str, Any],
) -> Any:
    """Returns a call as a program of PyTorch's operations alone.

    Constants that Keras would copy to the GPU in each call are tensors of the program.

    Args:
        function: callable of one dict.
        inputs: dict of tensors.
        constants: dict of other values.

    Returns:
        `torch.fx.GraphModule` that takes `inputs`.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    program = make_fx(lambda tensors: function({**tensors, **constants}))(inputs)
    program.graph.eliminate_dead_code()
    program.recompile()
    return program


def record(
    program: Callable[[dict[str, Tensor]], Any], inputs: dict[str, Tensor]
) -> tuple[Callable[[], None], Any]:
    """Records the kernels of a program on CUDA.

    Args:
        program: callable of `inputs`.
        inputs: dict of CUDA tensors.

    Returns:
        Pair of a callable that runs the kernels on the values that `inputs` has then,
        and the nested structure of tensors that they write.
    """
    import torch

    # Outside the default stream, as the capture, so that libraries have their memory.
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        program(inputs)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # Other threads may copy to the device at the same time.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        outputs = program(inputs)
    return graph.replay, outputs


def _split(inputs):
    arrays = {name: x for name, x in inputs.items() if isinstance(x, np.ndarray)}
    return arrays, {name: x for name, x in inputs.items() if name not in arrays}


def _to_numpy(tensor):
    import torch

    if tensor.device.type != "cuda":
        return tensor.numpy(force=True).copy()
    # The GPU writes to pinned memory itself. PyTorch reuses it when the array is gone.
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    host.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream().synchronize()
    return host.numpy()
