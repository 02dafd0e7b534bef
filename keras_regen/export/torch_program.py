"""`torch.export` programs, which PyTorch runs without Keras."""

import contextlib
import io
from collections.abc import Iterator

import keras
import torch

from keras_regen.diffusion import DEFAULT_SCHEDULE
from keras_regen.export.model_functions import ModelFunctions
from keras_regen.pixels import SPATIAL_COMPRESSION

HEIGHT, WIDTH = 2, 3


def export_torch(regen, directory, num_steps=1, schedule=DEFAULT_SCHEDULE):
    """Writes `encode.pt2` and `decode.pt2`, for `torch.export.load`.

    Their modules take inputs by name, in any batch size, height, width and number of
    frames to decode. `encode` takes chunks of at least 16x16 pixels and no images. To
    encode an image, repeat it k + 1 times and keep the first latent frame.

    Args:
        regen: a `Regen`, under the PyTorch backend.
        directory: path of an empty directory.
        num_steps: int. Sampling steps of `decode`, fixed in the file. Defaults to `1`.
        schedule: as for `Regen.decode`, fixed in the file.
    """
    for name, program in trace(regen, num_steps, schedule).items():
        # PyTorch's own writer of files ends the process where the disk is full.
        archive = io.BytesIO()
        torch.export.save(program, archive)
        (directory / f"{name}.pt2").write_bytes(archive.getbuffer())


def trace(regen, num_steps, schedule):
    """Traces the encoder and the decoder to graphs of PyTorch operations.

    Args:
        regen: a `Regen`, under the PyTorch backend.
        num_steps: int. See `export_torch`.
        schedule: str. See `export_torch`.

    Returns:
        Dict of `torch.export.ExportedProgram`, `"encode"` and `"decode"`, on the CPU.
    """
    functions, k = ModelFunctions(regen, schedule), regen.temporal_compression
    channels, side = regen.encoder.latent_channels, SPATIAL_COMPRESSION
    batch, frames = (torch.export.Dim(name, min=1) for name in ("batch", "frames"))
    rows, columns = (torch.export.Dim(name, min=1) for name in ("rows", "columns"))
    # PyTorch infers which numbers of frames are possible: chunks, no images.
    chunk = torch.export.Dim.DYNAMIC
    # PyTorch cannot tell the memory layout of a single row or column.
    far_rows, far_columns = (torch.export.Dim(name, min=2) for name in ("h", "w"))
    # All sizes differ, because PyTorch would identify axes of equal size.
    encode = _trace(
        EncodeProgram(functions),
        {"video": torch.zeros(2, k + 1, 3 * side, 5 * side, 3)},
        {"video": {0: batch, 1: chunk, 2: side * far_rows, 3: side * far_columns}},
    )
    decode = _trace(
        DecodeProgram(functions, num_steps),
        {
            "latents": torch.zeros(3, 2, 5, 7, channels),
            "times": torch.zeros(3, 4),
            "noise": torch.zeros(3, 4, 5 * side, 7 * side, 3),
        },
        {
            "latents": {0: batch, 1: torch.export.Dim.DYNAMIC, 2: rows, 3: columns},
            "times": {0: batch, 1: frames},
            "noise": {0: batch, 1: frames, 2: side * rows, 3: side * columns},
        },
    )
    return {"encode": encode, "decode": decode}


class ProgramWithWeights(torch.nn.Module):
    """Holds copies of Keras variables on the CPU, under their paths.

    Args:
        variables: sequence of Keras variables.
    """

    def __init__(self, variables):
        super().__init__()
        for variable in variables:
            self.register_buffer(variable.path, variable.value.detach().cpu())

    @property
    def weights(self):
        return list(self.buffers())


class EncodeProgram(ProgramWithWeights):
    """`ModelFunctions.encode` as a module."""

    def __init__(self, functions):
        super().__init__(functions.encoder_variables)
        self.functions = functions

    def forward(self, video):
        for axis in (HEIGHT, WIDTH):
            torch._check(video.shape[axis] % SPATIAL_COMPRESSION == 0)
        return self.functions.encode(self.weights, video)


class DecodeProgram(ProgramWithWeights):
    """`ModelFunctions.decode` as a module, with a fixed number of steps."""

    def __init__(self, functions, num_steps):
        super().__init__(functions.decoder_variables)
        self.functions = functions
        self.num_steps = num_steps

    def forward(self, latents, times, noise):
        # Without these checks PyTorch derives sizes by integer division, which limits
        # them.
        for axis in (HEIGHT, WIDTH):
            expected = SPATIAL_COMPRESSION * latents.shape[axis]
            torch._check(noise.shape[axis] == expected)
        return self.functions.decode(
            self.weights, latents, times, noise, self.num_steps
        )


@contextlib.contextmanager
def without_stack_traces() -> Iterator[None]:
    """Lets PyTorch record no Python stack for a node of a graph.

    Recording them took a quarter of the time of an export to ONNX.
    """
    before = getattr(torch.fx.config, "do_not_emit_stack_traces", False)
    torch.fx.config.do_not_emit_stack_traces = True
    try:
        yield
    finally:
        torch.fx.config.do_not_emit_stack_traces = before


def _trace(module, inputs, dynamic_shapes):
    with torch.no_grad(), keras.device("cpu"), without_stack_traces():
        program = torch.export.export(
            module, (), inputs, dynamic_shapes=dynamic_shapes, strict=False
        )
    for node in program.graph.nodes:
        # It holds paths of this machine, and PyTorch 2.8 always records it.
        node.meta.pop("stack_trace", None)
    return program
