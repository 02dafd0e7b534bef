"""`torch.export` programs, which PyTorch runs without Keras."""

import keras
import torch

from keras_regen.export.programs import Programs
from keras_regen.pixels import SPATIAL_COMPRESSION

HEIGHT, WIDTH = 2, 3


def export_torch(regen, directory, num_steps=1):
    """Writes `encode.pt2` and `decode.pt2`, for `torch.export.load`.

    Their modules take inputs by name, and any batch, sides and number of frames to
    decode. `encode` takes chunks of at least 16x16 pixels, not images: those are
    encoded as a chunk that repeats them, the first of whose latents is the image's.

    Args:
        regen: a `Regen`, under the PyTorch backend.
        directory: path of an empty directory.
        num_steps: int. Sampling steps of `decode`, written out. Defaults to `1`.

    Raises:
        ValueError: if `num_steps` is not an int of at least 1.
    """
    for name, program in trace(regen, num_steps).items():
        torch.export.save(program, directory / f"{name}.pt2")


def trace(regen, num_steps):
    """The two halves as graphs of PyTorch's operations.

    Args:
        regen: a `Regen`, under the PyTorch backend.
        num_steps: int. See `export_torch`.

    Returns:
        Dict of `torch.export.ExportedProgram`, `"encode"` and `"decode"`, on the CPU.
    """
    if not isinstance(num_steps, int) or num_steps < 1:
        raise ValueError(
            f"`num_steps` must be an int of at least 1. Received: num_steps={num_steps}"
        )
    programs, k = Programs(regen), regen.temporal_compression
    channels, side = regen.encoder.latent_channels, SPATIAL_COMPRESSION
    batch, frames = (torch.export.Dim(name, min=1) for name in ("batch", "frames"))
    rows, columns = (torch.export.Dim(name, min=1) for name in ("rows", "columns"))
    # Where PyTorch finds out by itself what it needs: chunks, not images.
    chunk = torch.export.Dim.DYNAMIC
    # Of one row or column what lies next to what in memory cannot be told.
    far_rows, far_columns = (torch.export.Dim(name, min=2) for name in ("h", "w"))
    # No two axes of a size: those PyTorch would take for one.
    encode = _trace(
        EncodeProgram(programs),
        {"video": torch.zeros(2, k + 1, 3 * side, 5 * side, 3)},
        {"video": {0: batch, 1: chunk, 2: side * far_rows, 3: side * far_columns}},
    )
    decode = _trace(
        DecodeProgram(programs, num_steps),
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
    """Holds copies of variables on the CPU, by the names that Keras gives them.

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
    """`Programs.encode` as a module."""

    def __init__(self, programs):
        super().__init__(programs.encoder_variables)
        self.programs = programs

    def forward(self, video):
        for axis in (HEIGHT, WIDTH):
            torch._check(video.shape[axis] % SPATIAL_COMPRESSION == 0)
        return self.programs.encode(self.weights, video)


class DecodeProgram(ProgramWithWeights):
    """`Programs.decode` as a module, for one number of steps."""

    def __init__(self, programs, num_steps):
        super().__init__(programs.decoder_variables)
        self.programs = programs
        self.num_steps = num_steps

    def forward(self, latents, times, noise):
        # Said first, so that no size is a rounded quotient, which would bring limits
        # with it.
        for axis in (HEIGHT, WIDTH):
            expected = SPATIAL_COMPRESSION * latents.shape[axis]
            torch._check(noise.shape[axis] == expected)
        return self.programs.decode(self.weights, latents, times, noise, self.num_steps)


def _trace(module, inputs, dynamic_shapes):
    with torch.no_grad(), keras.device("cpu"):
        program = torch.export.export(
            module, (), inputs, dynamic_shapes=dynamic_shapes, strict=False
        )
    for node in program.graph.nodes:
        # Paths of the machine that it was made on.
        node.meta.pop("stack_trace", None)
    return program
