"""The frames of a video from its chunks."""

import collections
import contextlib
import itertools

import numpy as np

from keras_regen.codec.chunk_decoder import Group
from keras_regen.codec.stitcher import Stitcher
from keras_regen.pixels import to_uint8


def decoded_frames(timeline, layout, decoder, lag):
    """Decodes the chunks of a timeline and stitches them.

    Args:
        timeline: a `Timeline`.
        layout: a `Chunking`.
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
