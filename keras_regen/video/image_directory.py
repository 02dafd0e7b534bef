"""Videos as directories of numbered images."""

import pathlib
import re

import imageio.v3 as iio
import numpy as np

from keras_regen.types import StrPath
from keras_regen.video.colour import composite
from keras_regen.video.source import (
    StillSource,
    UnreadableError,
    check_is_file,
    check_size,
)

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def find_images(folder: StrPath) -> list[pathlib.Path]:
    """Returns the paths of the images in a folder, sorted; skips hidden names."""
    return sorted(
        path
        for path in pathlib.Path(folder).iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )


class ImageSource(StillSource):
    """The images of a directory, ordered by the last number in their names.

    Args:
        path: path of the directory.
        max_pixels: int. Largest number of pixels of an image.
    """

    def __init__(self, path: pathlib.Path, max_pixels: int) -> None:
        images = find_images(path)
        if not images:
            raise UnreadableError("the directory has no images")
        numbered: dict[int, pathlib.Path] = {}
        for image in images:
            match = re.search(r"(\d+)\D*$", image.stem)
            if not match:
                raise UnreadableError(f"its image {image.name} has no number")
            number = int(match[1])
            if number in numbered:
                raise UnreadableError(
                    f"its images {numbered[number].name} and {image.name} have one "
                    "number"
                )
            numbered[number] = image
        self._images = [numbered[number] for number in sorted(numbered)]
        self.num_frames = len(self._images)
        self._max_pixels = max_pixels

    def read(self, position: int) -> np.ndarray:
        image = self._images[position]
        try:
            return _read_image(image, self._max_pixels, self.note)
        # Pillow's plugins raise exceptions of any type.
        except Exception as error:
            raise UnreadableError(f"{image.name}: {error}") from error


def _read_image(path, max_pixels, note):
    check_is_file(path)
    properties = iio.improps(path, plugin="pillow", index=0)
    if properties.dtype not in ("uint8", "bool"):
        raise ValueError(
            f"an image must have 8 bits a channel, it is {properties.dtype}"
        )
    height, width, *_ = properties.shape
    check_size(height, width, max_pixels)
    # The first image of an animation; upright, by the orientation in its EXIF data.
    rgba = iio.imread(path, plugin="pillow", index=0, mode="RGBA", rotate=True)
    return composite(rgba, "white", note)


class ImageEncoder:
    """Writes frames to numbered PNG images, without loss.

    Args:
        path: path of an empty directory.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._count = 0

    def write(
        self, array: np.ndarray, time: float | None, duration: float | None
    ) -> None:
        """Writes a uint8 frame; images keep no times."""
        # imageio prints a traceback where it cannot write a file.
        data = iio.imwrite("<bytes>", array, extension=".png", plugin="pillow")
        (self._path / f"{self._count:06d}.png").write_bytes(data)
        self._count += 1

    def close(self, flush: bool) -> None:
        """Does nothing: every frame is already written."""
