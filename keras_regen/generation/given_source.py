"""What a user gives a video to be generated from, as latents."""

import dataclasses
import itertools
import os
from typing import Any, Self

import numpy as np

from keras_regen.codec import VideoCodec
from keras_regen.generation.given_frames import GivenFrames
from keras_regen.video import VideoReader


@dataclasses.dataclass(frozen=True)
class GivenSource:
    """An image, a video or keyframes, encoded.

    Args:
        frames: `GivenFrames`.
        height: int. Rows of a frame, in pixels.
        width: int. Columns of a frame, in pixels.
        num_frames: int. Frames up to the last one that is given.
        whole_frames: int. Frames of the chunks that are known in part or whole; 0 for
            an image.
        fps: float or None. Frames per second of a video, if it is known.
        pixel_aspect: pair of int. Width and height of a pixel of a video.
    """

    frames: GivenFrames
    height: int
    width: int
    num_frames: int
    whole_frames: int
    fps: float | None = None
    pixel_aspect: tuple[int, int] = (1, 1)

    @classmethod
    def encode(
        cls, codec: VideoCodec, fps: float | None = None, **sources: Any
    ) -> Self | None:
        """Encodes what is given.

        Args:
            codec: a `VideoCodec`.
            fps: float or None. Frames per second of a video. Defaults to its own.
            **sources: `image`, `video` and `keyframes` as for
                `VideoGenerator.generate`, of which one at most is not None.

        Returns:
            `GivenSource`, or None if nothing is given.

        Raises:
            ValueError: if several are given, one cannot be read, or a video has no
                whole chunk.
        """
        given = {name: source for name, source in sources.items() if source is not None}
        if not given:
            return None
        if len(given) > 1:
            raise ValueError(
                "Give an image, a video or keyframes, not several. "
                f"Received: {', '.join(given)}"
            )
        ((name, source),) = given.items()
        if name == "video":
            given = cls._of_video(codec, codec.encode(source, fps=fps))
            # An array has no rate of its own.
            return given if _is_path(source) else dataclasses.replace(given, fps=fps)
        if name == "image":
            (image,) = _read_images(source, 1) if _is_path(source) else [source]
            return cls._of_images(codec, [image])
        images = _read_images(source) if _is_path(source) else source
        return cls._of_images(codec, images, are_keyframes=True)

    @classmethod
    def _of_video(cls, codec, latents):
        chunk = codec.model.temporal_compression + 1
        count = len(latents) // chunk
        if not count:
            raise ValueError(
                f"A video to go on from needs at least {chunk} frames. "
                f"Received: {len(latents)}"
            )
        frames = GivenFrames.first(latents.array[None, : 2 * count], count)
        return cls(
            frames,
            latents.height,
            latents.width,
            num_frames=count * chunk,
            whole_frames=count * chunk,
            fps=latents.fps,
            pixel_aspect=latents.pixel_aspect,
        )

    @classmethod
    def _of_images(cls, codec, images, are_keyframes=False):
        chunk = codec.model.temporal_compression + 1
        encoded = [codec.encode(np.asarray(image)[None]) for image in images]
        # Of a chunk of one frame, only the content is of the frame alone.
        contents = np.stack([latents.array[0] for latents in encoded])[None]
        size = encoded[0].height, encoded[0].width
        if not are_keyframes:
            return cls(GivenFrames.first(contents, 1), *size, 1, 0)
        count = len(encoded)
        frames = GivenFrames.contents(contents)
        return cls(frames, *size, (count - 1) * chunk + 1, count * chunk)


def _is_path(source):
    return isinstance(source, str | os.PathLike)


def _read_images(path, count=None):
    with VideoReader(path) as reader:
        yield from itertools.islice(reader, count)
