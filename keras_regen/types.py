"""Types in the signatures of public functions that more than one package uses."""

import os
from typing import Any, Literal, TypeAlias

Backend: TypeAlias = Literal["jax", "torch", "tensorflow"]
# Sizes of codecs, and of generators.
Architecture: TypeAlias = Literal["tiny", "small", "base", "paper"]
TransformerSize: TypeAlias = Literal["nano", "tiny", "small", "base", "paper"]
DecoderKind: TypeAlias = Literal["dit", "in_context", "conv"]
ScheduleName: TypeAlias = Literal["uniform", "log_snr"]

# A path of a file or directory.
StrPath: TypeAlias = str | os.PathLike[str]

# A tensor of the backend that Keras runs on, or a symbolic one. The backends' tensors
# have no base class in common, so nothing is checked.
Tensor: TypeAlias = Any

# The shape of a tensor: ints, and None for a size that is not known. Not
# `int | None`, since the number of channels always is.
Shape: TypeAlias = tuple[Any, ...]
