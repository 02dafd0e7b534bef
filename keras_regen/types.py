"""Types in the signatures of public functions that more than one package uses."""

import os
from typing import Any, Literal, TypeAlias

Backend: TypeAlias = Literal["jax", "torch", "tensorflow"]
# Sizes of codecs, and of generators.
Architecture: TypeAlias = Literal["tiny", "small", "base", "paper"]
TransformerSize: TypeAlias = Literal["nano", "tiny", "small", "base", "paper"]
DecoderKind: TypeAlias = Literal["dit", "in_context", "conv"]

# How neighbouring chunks of a video meet: see `VideoCodec`.
Chunking: TypeAlias = Literal["disjoint", "shared"]
# What latents are stored as.
LatentsDtype: TypeAlias = Literal["float16", "float32"]
# Keras's dtype policies that models are made for.
Precision: TypeAlias = Literal["float32", "mixed_bfloat16", "mixed_float16"]
# The times of sampling steps: see `diffusion.sampling_time`.
ScheduleName: TypeAlias = Literal["log_snr", "uniform"]
# What `Regen.export` writes, and how a SavedModel stores weights.
ExportFormat: TypeAlias = Literal[
    "tf_saved_model", "onnx", "openvino", "torch", "stablehlo"
]
WeightsDtype: TypeAlias = Literal["float32", "bfloat16", "int8"]

# A path of a file or directory.
StrPath: TypeAlias = str | os.PathLike[str]

# A tensor of the backend that Keras runs on, or a symbolic one. The backends' tensors
# have no base class in common, so nothing is checked.
Tensor: TypeAlias = Any

# The shape of a tensor: ints, and None for a size that is not known. Not
# `int | None`, since the number of channels always is.
Shape: TypeAlias = tuple[Any, ...]
