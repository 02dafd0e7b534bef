"""How a video's frames are shared out among chunks."""

import dataclasses

import numpy as np

CHUNKINGS = ("disjoint", "shared")


@dataclasses.dataclass(frozen=True)
class ChunkLayout:
    """Where the chunks of k + 1 frames lie in a video, and which of them shows a frame.

    Chunk `c` begins at frame `c * stride`. Around the boundary to the next chunk both
    are decoded, extrapolating up to `blend_frames` frames beyond themselves, and one
    fades into the other.

    Args:
        temporal_compression: int. k.
        kind: `"disjoint"`: the next chunk begins with the frame after the last;
            `"shared"`: with the last frame itself, so that k frames go to a chunk.
        blend_frames: int. Frames that a chunk extrapolates on either side, m.

    Raises:
        ValueError: if an argument is not as above, or three chunks would overlap.

    Example:

    >>> chunking = ChunkLayout(8, "disjoint", blend_frames=2)
    >>> chunking.count(10), chunking.start(1)
    (2, 9)
    >>> chunking.weight(0, np.array([5, 6, 7, 8, 9, 10, 11, 12])).round(1).tolist()
    [1.0, 1.0, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0]
    """

    temporal_compression: int
    kind: str = "disjoint"
    blend_frames: int = 0

    def __post_init__(self):
        if self.kind not in CHUNKINGS:
            raise ValueError(
                f'`chunking` must be "disjoint" or "shared". Received: {self.kind!r}'
            )
        most = self.max_blend_frames(self.temporal_compression, self.kind)
        if not 0 <= self.blend_frames <= most:
            raise ValueError(
                f"`blend_frames` must be from 0 to {most}, at k = "
                f"{self.temporal_compression} and chunking={self.kind!r}. "
                f"Received: blend_frames={self.blend_frames}"
            )

    @staticmethod
    def max_blend_frames(temporal_compression, kind):
        """The most frames to extrapolate without a third chunk in reach."""
        return (temporal_compression - (kind == "shared")) // 2

    @property
    def stride(self):
        """Frames from the first of a chunk to the first of the next."""
        return self.temporal_compression + (self.kind == "disjoint")

    def count(self, num_frames):
        """Chunks of a video of so many frames."""
        return -(-max(1, num_frames - (self.kind == "shared")) // self.stride)

    def start(self, chunk):
        """The first frame of a chunk."""
        return chunk * self.stride

    def chunks_for(self, start, stop):
        """First and last chunk that frames `start` to `stop - 1` are made from.

        One chunk on either side is there to fade from and into.
        """
        return max(0, start // self.stride - 1), (stop - 1) // self.stride + 1

    def window(self, chunk):
        """Open interval of the times that a chunk is decoded at."""
        start, beyond = self.start(chunk), self.blend_frames + 1
        return start - beyond, start + self.temporal_compression + beyond

    def boundary(self, chunk):
        """The time at which a chunk and the next have equal weight."""
        disjoint = self.kind == "disjoint"
        return self.start(chunk) + self.temporal_compression + 0.5 * disjoint

    def weight(self, chunk, times):
        """How much of `times` the next chunk leaves to this: 1, falling to 0."""
        ramp = 2 * self.blend_frames + 1
        return np.clip((self.boundary(chunk) - times) / ramp + 0.5, 0.0, 1.0)

    def cut(self, chunk, times):
        """The same without fading: 1 before the boundary, a half on it, 0 after it."""
        return 0.5 - 0.5 * np.sign(times - self.boundary(chunk))
