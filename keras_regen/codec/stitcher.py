"""Frames out of decoded chunks."""

import collections
import contextlib
import itertools

import numpy as np

from keras_regen.codec.chunk_decoder import Group
from keras_regen.pixels import to_uint8


class Stitcher:
    """Takes decoded chunks in their order and fades each into the next.

    Args:
        layout: a `ChunkLayout`.
    """

    def __init__(self, layout):
        self._layout = layout
        self._previous = None
        # Frames that the next chunk has a part in, by their number.
        self._fading = {}

    def add(self, chunk, frames, is_last):
        """Adds a chunk.

        Args:
            chunk: int. Its number.
            frames: iterable of `(number, time, frame)`, ascending, the frames float32
                of shape `(H, W, 3)`.
            is_last: bool. Whether no chunk follows.

        Returns:
            Iterator of the frames that are done, in the order of their numbers.
        """
        before = chunk - 1
        alone = self._previous != before
        self._previous = chunk
        for number, time, frame in frames:
            weight_before = self._layout.weight(before, time)
            if number in self._fading:
                frame = crossfade(
                    self._fading.pop(number),
                    frame,
                    weight_before,
                    self._layout.cut(before, time),
                )
            elif not alone and weight_before == 1:
                # The chunk before has shown it.
                continue
            weight = self._layout.weight(chunk, time)
            if is_last or weight == 1:
                yield frame
            elif weight > 0:
                self._fading[number] = frame.copy()


# On values in [-1, 1]: where the two differ by much more, one of them is wrong, and a
# mixture would show both. Two frames extrapolated, five validation clips, mean PSNR in
# dB and seam ratio: cut 27.08, 2.15; 0.2, 27.10, 1.14; 0.3, 27.06, 1.02; 0.4, 27.02,
# 0.96; always fade 26.84, 0.83.
TOLERANCE = 0.4
# Side of the square of pixels in which the difference is taken: a patch.
WINDOW = 8


def crossfade(before, after, weight, cut):
    """Mixes two decodings of one frame.

    Where they agree they are mixed by `weight`. Where they do not, something moves that
    extrapolation lost; there it cuts from one to the other, which motion hides, instead
    of showing both. The change from one to the other is smooth in space.

    Args:
        before: float32 array of shape `(H, W, 3)`, in [-1, 1].
        after: likewise.
        weight: float. Share of `before` where both agree.
        cut: float. Share of `before` where they do not.

    Returns:
        float32 array of shape `(H, W, 3)`.
    """
    difference = after - before
    agreement = np.exp(-np.square(_local_mean(np.abs(difference)) / TOLERANCE))
    share = cut + (weight - cut) * agreement
    return after - share[..., None].astype("float32") * difference


def _local_mean(difference):
    """Mean over channels and a window around every pixel, edges replicated."""
    before, after = WINDOW // 2, WINDOW - 1 - WINDOW // 2
    padded = np.pad(difference.mean(axis=-1), (before, after), mode="edge")
    for axis in (0, 1):
        total = np.cumsum(padded, axis=axis, dtype="float64")
        total = np.insert(total, 0, 0.0, axis=axis)
        size = total.shape[axis]
        upper = np.take(total, range(WINDOW, size), axis=axis)
        lower = np.take(total, range(size - WINDOW), axis=axis)
        padded = (upper - lower) / WINDOW
    return padded


def decoded_frames(timeline, layout, decoder, lag):
    """Decodes the chunks of a timeline and stitches them.

    Args:
        timeline: a `Timeline`.
        layout: a `ChunkLayout`.
        decoder: a `ChunkDecoder`.
        lag: int. See `ChunkDecoder`.

    Yields:
        Frames, arrays of shape `(H, W, 3)` and the dtype of the video.
    """
    stitcher, dtype = Stitcher(layout), timeline.header.dtype

    def finish(chunks, video):
        done = []
        for chunk, decoded in zip(chunks, video, strict=True):
            first = timeline.decoded(layout, chunk.number).start
            frames = (
                (number, timeline.times[number], decoded[number - first])
                for number in timeline.shown(layout, chunk.number)
            )
            for frame in stitcher.add(chunk.number, frames, chunk.is_last):
                done.append(
                    to_uint8(frame) if dtype == "uint8" else frame.astype(dtype)
                )
        # Taken from here they are kept no longer than they are used.
        return collections.deque(done)

    groups = _groups(timeline, layout, decoder)
    with contextlib.closing(decoder(groups, finish, lag)) as finished:
        for frames in finished:
            while frames:
                yield frames.popleft()


def _groups(timeline, layout, decoder):
    """Yields the chunks to decode, as many at once as the decoder takes."""
    # Where a slice begins and ends there may be chunks that show nothing of it.
    chunks = (c for c in timeline.chunks() if timeline.shown(layout, c.number))
    while group := [*itertools.islice(chunks, decoder.chunks_at_once)]:
        starts = np.array([layout.start(c.number) for c in group])
        windows = np.array([layout.window(c.number) for c in group])[..., None]
        first = [timeline.decoded(layout, c.number).start for c in group]
        numbers = np.add.outer(first, np.arange(decoder.num_frames))
        # To come to the same number for each chunk there may be times beyond it.
        times = np.clip(timeline.times[numbers], windows[:, 0], windows[:, 1])
        latents = np.stack([c.latents for c in group])
        yield Group(latents, times - starts[:, None], starts, group)
