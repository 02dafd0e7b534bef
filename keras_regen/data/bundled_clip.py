"""The clip that comes with the package."""

import pathlib

ASSETS = pathlib.Path(__file__).parents[1] / "assets"


def bundled_clip():
    """Path of the clip that comes with the package: a scene of Big Buck Bunny.

    60 frames of 128x228 pixels at 25 frames/s.
    """
    return ASSETS / "bunny.mp4"
