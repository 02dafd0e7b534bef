"""How the frames of a video are divided into chunks."""

import dataclasses

import numpy as np

from keras_regen.checks import check_whole

_CHUNKINGS = ("disjoint", "shared")
_MAX_WHOLE = 2**31


@dataclasses.dataclass(frozen=True)
class ChunkLayout:
    """Where the chunks of k + 1 frames lie in a video, and which chunk shows a frame.

    Chunk `c` starts at frame `c * stride`. Around the boundary of two chunks both are
    decoded, extrapolating up to `blend_frames` frames, and one fades into the other.

    Args:
        temporal_compression: int. k.
        chunking: `"disjoint"`: a chunk starts with the frame after the last frame of
            the chunk before; `"shared"`: it starts with that last frame itself, so each
            chunk adds k frames. Defaults to `"disjoint"`.
        blend_frames: int. Frames that a chunk extrapolates on either side. Defaults to
            `0`.

    Raises:
        ValueError: if an argument is not as above, or three chunks would overlap.

    Example:

    >>> layout = ChunkLayout(8, "disjoint", blend_frames=2)
    >>> layout.count(10), layout.start(1)
    (2, 9)
    >>> layout.weight(0, np.array([5, 6, 7, 8, 9, 10, 11, 12])).round(1).tolist()
    [1.0, 1.0, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0]
    """

    temporal_compression: int
    chunking: str = "disjoint"
    blend_frames: int = 0

    def __post_init__(self) -> None:
        if self.chunking not in _CHUNKINGS:
            raise ValueError(
                '`chunking` must be "disjoint" or "shared". '
                f"Received: chunking={self.chunking!r}"
            )
        limit = self.max_blend_frames(self.temporal_compression, self.chunking)
        check_whole(0, _MAX_WHOLE, blend_frames=self.blend_frames)
        if self.blend_frames > limit:
            raise ValueError(
                f"`blend_frames` must be from 0 to {limit}, with k = "
                f"{self.temporal_compression} and chunking={self.chunking!r}. "
                f"Received: blend_frames={self.blend_frames}"
            )

    @staticmethod
    def max_blend_frames(temporal_compression: int, chunking: str) -> int:
        """Returns the most frames to extrapolate without reaching a third chunk."""
        return (temporal_compression - (chunking == "shared")) // 2

    @property
    def stride(self) -> int:
        """Frames from the start of a chunk to the start of the next."""
        return self.temporal_compression + (self.chunking == "disjoint")

    @property
    def decoded_frames(self) -> int:
        """Frames that a chunk is decoded at: its own and the extrapolated ones."""
        return self.temporal_compression + 1 + 2 * self.blend_frames

    @property
    def decoded_times(self) -> np.ndarray:
        """The times of these frames, from the chunk's first."""
        return np.arange(self.decoded_frames, dtype="float64") - self.blend_frames

    def count(self, num_frames: int) -> int:
        """Returns the number of chunks of a video of `num_frames` frames."""
        return -(-max(1, num_frames - (self.chunking == "shared")) // self.stride)

    def count_full(self, num_chunks: int, num_frames: int) -> int:
        """Returns how many of the chunks of a video are no padding.

        All but the last, where it holds more frames than the video has. A video of one
        chunk keeps it.
        """
        held = self.start(num_chunks - 1) + self.temporal_compression + 1
        return num_chunks - (num_chunks > 1 and num_frames < held)

    def start(self, chunk: int) -> int:
        """Returns the first frame of a chunk."""
        return chunk * self.stride

    def chunks_for(self, start: int, stop: int) -> tuple[int, int]:
        """Returns the first and the last chunk that frames `start` to `stop - 1` need.

        They include a chunk on either side, to fade from and into.
        """
        return max(0, start // self.stride - 1), (stop - 1) // self.stride + 1

    def window(self, chunk: int) -> tuple[float, float]:
        """Returns the open interval of the times that a chunk is decoded at."""
        start, beyond = self.start(chunk), self.blend_frames + 1
        return start - beyond, start + self.temporal_compression + beyond

    def boundary(self, chunk: int) -> float:
        """Returns the time at which a chunk and the next have equal weight."""
        disjoint = self.chunking == "disjoint"
        return self.start(chunk) + self.temporal_compression + 0.5 * disjoint

    def weight(self, chunk: int, times: np.ndarray) -> np.ndarray:
        """Returns the share of a chunk at `times`, against the next: 1 down to 0."""
        ramp = 2 * self.blend_frames + 1
        return np.clip((self.boundary(chunk) - times) / ramp + 0.5, 0.0, 1.0)

    def cut(self, chunk: int, times: np.ndarray) -> np.ndarray:
        """Returns the share without fading: 1, then 0.5 on the boundary, then 0."""
        return 0.5 - 0.5 * np.sign(times - self.boundary(chunk))
