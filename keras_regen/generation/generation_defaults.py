"""What a generator does unless it is told otherwise."""

import dataclasses
from collections.abc import Sequence

from keras_regen.checks import FPS_RANGE, check_real, check_whole


@dataclasses.dataclass(frozen=True)
class GenerationDefaults:
    """What a `VideoGenerator` does unless it is told otherwise.

    Args:
        height: int. Rows of a video, in pixels. Defaults to `64`.
        width: int. Columns of a video, in pixels. Defaults to `64`.
        num_frames: int. Defaults to `36`.
        fps: float. Frames per second. Defaults to `25`.
        window_chunks: int. Chunks generated at once, as many as the model was trained
            with. Defaults to `4`.
        context_chunks: int. Chunks given from a window to the next; see
            `LatentDiffusion.generate_stream`. Defaults to `1`.
        num_steps: int. Sampling steps. Defaults to `30`.
        guidance: float. See `LatentDiffusion.generate`. Defaults to `1`.
        labels: sequence of str, or None. Names of the labels, if the model has some.

    Raises:
        ValueError: if a value is not as above.
    """

    height: int = 64
    width: int = 64
    num_frames: int = 36
    fps: float = 25.0
    window_chunks: int = 4
    context_chunks: int = 1
    num_steps: int = 30
    guidance: float = 1.0
    labels: Sequence[str] | None = None

    def __post_init__(self) -> None:
        names = ("height", "width", "num_frames", "num_steps")
        check_whole(1, 2**30, **{name: getattr(self, name) for name in names})
        check_whole(2, 2**20, window_chunks=self.window_chunks)
        check_whole(1, self.window_chunks - 1, context_chunks=self.context_chunks)
        check_real(*FPS_RANGE, fps=self.fps)
        check_real(0, 1e6, guidance=self.guidance)
        labels = self.labels
        if labels is not None and not all(isinstance(x, str) for x in labels):
            raise ValueError(f"`labels` must be texts. Received: labels={labels!r}")
