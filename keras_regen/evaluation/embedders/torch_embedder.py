"""The base class of embedders that run in PyTorch."""

import abc
import dataclasses
import functools
import importlib
import math
from types import ModuleType
from typing import Any

import numpy as np

from keras_regen.checks import check_whole
from keras_regen.evaluation.embedders.embedder import (
    BITS_PER_VALUE,
    Reconstruction,
    as_stored,
    check_frames,
)
from keras_regen.pixels import to_uint8, to_unit_range
from keras_regen.types import Tensor
from keras_regen.weights_digest import weights_digest


@dataclasses.dataclass(frozen=True)
class LatentGrid:
    """The video shapes that a model takes, and the grid of its latents.

    Args:
        channels: int. Latent values at one position; 1 if it is a token.
        temporal_compression: int. Frames for one position.
        spatial_compression: int. Pixels for one position, along height and width.
        causal: bool. Whether the first frame has its own latents, so that the model
            takes 1 + n * `temporal_compression` frames. Defaults to `True`.
        frame_step: int or None. The step between numbers of frames that the model
            takes. Defaults to `temporal_compression`.
        side_step: int or None. Height and width must be multiples of this. Defaults to
            `spatial_compression`.
        square: bool. Whether it only takes square frames. Defaults to `False`.
    """

    channels: int
    temporal_compression: int
    spatial_compression: int
    causal: bool = True
    frame_step: int | None = None
    side_step: int | None = None
    square: bool = False

    def padded_shape(
        self, num_frames: int, height: int, width: int
    ) -> tuple[int, int, int]:
        """Returns the smallest `(T, H, W)` for the model that contains the video."""
        step = self.frame_step or self.temporal_compression
        num_frames = -(-(num_frames - self.causal) // step) * step + self.causal
        if self.square:
            height = width = max(height, width)
        step = self.side_step or self.spatial_compression
        return num_frames, -(-height // step) * step, -(-width // step) * step

    def num_values(self, num_frames: int, height: int, width: int) -> int:
        """Returns the number of latent values or tokens of a video."""
        frames, height, width = self.padded_shape(num_frames, height, width)
        frames = (frames - self.causal) // self.temporal_compression + self.causal
        sides = height * width // self.spatial_compression**2
        return frames * sides * self.channels


class TorchEmbedder(abc.ABC):
    """A PyTorch module over `(B, C, T, H, W)` as an embedder.

    Pads videos to a shape that the module takes, by repeating the last frame and the
    edges, and crops the output. The latents of the padding count, since the module
    needs them. Latents are rounded to float16; tokens are not changed.

    Args:
        name: str.
        module: `torch.nn.Module`. It is moved to the device and set to evaluation mode.
        grid: `LatentGrid`.
        bits_per_value: float. Bits of a latent value or token. Defaults to `16`.
        chunk_frames: int or None. Frames of a chunk; chunks are coded independently.
            Defaults to all frames, for which memory grows with the video.
        torch_dtype: str or `torch.dtype` or None. The dtype of the computation.
            Defaults to the dtype of the weights.
        device: str or `torch.device` or None. Defaults to `"cuda"` if available.

    Raises:
        ImportError: if PyTorch is not installed.
        ValueError: if `chunk_frames` is not positive.
    """

    # The module's videos have values in [-value_limit, value_limit].
    value_limit = 1.0

    def __init__(
        self,
        name: str,
        module: Any,
        grid: LatentGrid,
        bits_per_value: float = BITS_PER_VALUE,
        chunk_frames: int | None = None,
        torch_dtype: Any = None,
        device: Any = None,
    ) -> None:
        torch = import_torch()
        if chunk_frames is not None:
            check_whole(1, math.inf, chunk_frames=chunk_frames)
        self.name = name
        self.grid = grid
        self.bits_per_value = bits_per_value
        self.chunk_frames = chunk_frames
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.module = module.to(self.device).eval()
        self._dtype = next(module.parameters()).dtype
        if torch_dtype is not None and self._dtype != as_torch_dtype(torch_dtype):
            self._dtype = as_torch_dtype(torch_dtype)
            module.to(dtype=self._dtype)

    @functools.cached_property
    def identity(self) -> list[Any]:
        """See `Embedder`."""
        tensors = self.module.state_dict().values()
        weights = weights_digest(tensor.float().cpu().numpy() for tensor in tensors)
        return [weights, self.chunk_frames, str(self._dtype)]

    @abc.abstractmethod
    def encode(self, video: Tensor) -> Tensor:
        """Returns the latents, or integer tokens, of a tensor `(1, 3, T, H, W)`."""

    @abc.abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Returns the decoded tensor `(1, 3, T, H, W)` of latents or tokens."""

    def reconstruct(self, video: np.ndarray) -> Reconstruction:
        """See `Embedder`."""
        check_frames(video)
        length = self.chunk_frames or len(video)
        chunks = [video[i : i + length] for i in range(0, len(video), length)]
        decoded, counts = zip(*map(self._reconstruct, chunks), strict=True)
        num_values = sum(counts)
        num_bits = math.ceil(num_values * self.bits_per_value)
        return Reconstruction(np.concatenate(decoded), num_values, num_bits)

    def num_values(self, num_frames: int, height: int, width: int) -> int:
        """See `Embedder`."""
        length = self.chunk_frames or num_frames
        return sum(
            self.grid.num_values(min(length, num_frames - i), height, width)
            for i in range(0, num_frames, length)
        )

    def _reconstruct(self, video):
        """Returns the decoded video and its number of latent values."""
        torch = import_torch()
        shape = video.shape[:3]
        padded = self.grid.padded_shape(*shape)
        pads = [(0, more - size) for size, more in zip(shape, padded, strict=True)]
        array = np.pad(video, [*pads, (0, 0)], mode="edge")
        array = to_unit_range(array) * self.value_limit
        tensor = torch.from_numpy(array.transpose(3, 0, 1, 2)[None])
        with torch.inference_mode():
            latents = self.encode(tensor.to(self.device, self._dtype))
            num_values = latents.numel()
            if latents.is_floating_point():
                stored = as_stored(latents.float().cpu().numpy())
                latents = torch.from_numpy(stored).to(latents)
            decoded = self.decode(latents)
        if tuple(decoded.shape) != (1, 3, *padded):
            raise ValueError(
                f"{self.name} must decode to the shape that it encoded, "
                f"{(1, 3, *padded)}. Received: {tuple(decoded.shape)}"
            )
        array = decoded[0].float().cpu().numpy() / self.value_limit
        frames, height, width = shape
        array = array.transpose(1, 2, 3, 0)[:frames, :height, :width]
        return to_uint8(array), num_values


def import_torch() -> ModuleType:
    """Imports PyTorch, or raises an ImportError that says what to install."""
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise ImportError(
            "PyTorch models need PyTorch: pip install keras-regen[peers]"
        ) from error


def as_torch_dtype(dtype: Any) -> Any:
    """Returns the `torch.dtype` of a name; keeps a `torch.dtype` or None."""
    torch = import_torch()
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not (dtype is None or isinstance(found, torch.dtype)):
        raise ValueError(
            '`torch_dtype` must be a dtype of PyTorch, such as "bfloat16". '
            f"Received: torch_dtype={dtype!r}"
        )
    return found
