"""What a user gives a video to be generated from."""

import contextlib
import itertools
import os
from collections.abc import Iterator
from typing import Any, Self, cast

import numpy as np

from keras_regen.codec import Frames, VideoCodec, open_frames
from keras_regen.data import Crop, Cropper
from keras_regen.generation.given_frames import GivenFrames
from keras_regen.pixels import to_uint8


class GivenSource:
    """An image, a video or keyframes, open to be encoded.

    Args:
        kind: `"image"`, `"video"` or `"keyframes"`.
        frames: `Frames`.
        is_file: bool. Whether the number of frames is certain only when all are read.

    Attributes:
        count: int or None. The number of frames that are given, or None if it is not
            certain before `encode`.
        pixel_aspect: pair of int. Width and height of a pixel of a video.
        fps: float or None. Frames per second of a video, if it has a rate of its own.
    """

    def __init__(self, kind: str, frames: Frames, is_file: bool) -> None:
        self.kind = kind
        self.count = 1 if kind == "image" else None if is_file else frames.count
        is_video = kind == "video"
        self.pixel_aspect = frames.pixel_aspect if is_video else (1, 1)
        self.fps = frames.fps if is_video and is_file else None
        self._frames = frames

    @classmethod
    @contextlib.contextmanager
    def open(cls, fps: float | None = None, **sources: Any) -> Iterator[Self | None]:
        """Opens what is given for the length of a `with` block.

        Args:
            fps: float or None. Frames per second of a video. Defaults to its own.
            **sources: `image`, `video` and `keyframes` as for
                `VideoGenerator.generate`, of which one at most is not None.

        Returns:
            `GivenSource`, or None if nothing is given.

        Raises:
            ValueError: if several are given, or one cannot be read.
        """
        given = {name: source for name, source in sources.items() if source is not None}
        if len(given) > 1:
            raise ValueError(
                "Give an image, a video or keyframes, not several. "
                f"Received: {', '.join(given)}"
            )
        if not given:
            yield None
            return
        ((kind, source),) = given.items()
        is_file = isinstance(source, str | os.PathLike)
        if kind == "image" and not is_file:
            source = np.asarray(source)[None]
        with open_frames(source, fps if kind == "video" else None) as frames:
            yield cls(kind, frames, is_file)

    def size(self, height: int | None, width: int | None) -> tuple[int, int]:
        """Returns the rows and columns of the video, in pixels.

        Args:
            height: int or None. Defaults to that of what is given, in its aspect ratio
                where there is a `width`.
            width: int or None. Defaults as `height`.
        """
        rows, columns = self._frames.height, self._frames.width
        if height is None:
            height = rows if width is None else max(1, round(rows * width / columns))
        if width is None:
            width = max(1, round(columns * height / rows))
        return height, width

    def length(self, num_frames: int | None, default: int, chunk: int) -> int:
        """Returns the frames of the video, once `count` is known.

        Args:
            num_frames: int or None. Defaults to n chunks for n keyframes, to `default`
                for an image, and to as many more for a video.
            default: int.
            chunk: int. Frames of a chunk.

        Raises:
            ValueError: if none is left to generate.
        """
        # Up to the last frame that is given.
        given = count = cast(int, self.count)
        if self.kind == "keyframes":
            given, default = (count - 1) * chunk + 1, count * chunk
        elif self.kind == "video":
            given = count // chunk * chunk
            default += given
        num_frames = default if num_frames is None else num_frames
        if num_frames <= given:
            raise ValueError(
                f"The video must be longer than the {given} frames up to the last one "
                f"given. Received: num_frames={num_frames}"
            )
        return num_frames

    def encode(self, codec: VideoCodec, height: int, width: int) -> GivenFrames:
        """Encodes what is given, and sets `count`.

        Args:
            codec: a `VideoCodec`.
            height: int. Rows to resize to. What has another aspect ratio is cropped,
                around its centre.
            width: int. Columns to resize to.

        Raises:
            ValueError: if a frame cannot be read, or a video has no whole chunk.
        """
        frames = self._resized(height, width)
        if self.kind == "video":
            latents = codec.encode(frames)
            self.count = len(latents)
            chunk = codec.model.temporal_compression + 1
            chunks = self.count // chunk
            if not chunks:
                raise ValueError(
                    f"A video to go on from needs at least {chunk} frames. "
                    f"Received: {self.count}"
                )
            return GivenFrames.first(latents.array[None, : 2 * chunks], chunks)
        # Of a chunk of one frame, only the content is of the frame alone.
        contents = np.stack(
            [
                codec.encode(frame[None]).array[0]
                for frame in itertools.islice(frames, self.count)
            ]
        )[None]
        if self.kind == "image":
            return GivenFrames.first(contents, 1)
        self.count = contents.shape[1]
        return GivenFrames.contents(contents)

    def _resized(self, height, width):
        """Yields the frames, as uint8 if they are resized or cropped."""
        cropper, crop = Cropper(), Crop(height, width)
        for frame in self._frames:
            if frame.shape[:2] != (height, width):
                frame = cropper(to_uint8(frame), crop)
            yield frame
