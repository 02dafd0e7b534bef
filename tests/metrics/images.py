"""A frame and a distorted frame, whose scores are in the tests."""

import numpy as np

_Y, _X, _C = np.meshgrid(np.arange(24), np.arange(33), np.arange(3), indexing="ij")
REFERENCE = ((_X * 7 + _Y * 3 + _C * 40) % 256).astype("uint8")
VIDEO = ((_X * 6 + _Y * 4 + _C * 43 + (_X * _Y) % 9) % 256).astype("uint8")
