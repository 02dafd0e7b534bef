import numpy as np
import pytest

from keras_regen.data import MovingDigits
from keras_regen.data.moving_digits import is_held_out

pytest.importorskip("sklearn")


def test_clips_depend_on_their_number_alone():
    few, many = (MovingDigits("train", n, num_frames=3, seed=5) for n in (3, 100))
    np.testing.assert_array_equal(few[2][0], many[2][0])
    assert few[2][1:] == many[2][1:]
    other = MovingDigits("train", 3, num_frames=3, seed=6)
    assert not np.array_equal(few[2][0], other[2][0])
    with pytest.raises(IndexError):
        few[3]


def test_digits_move_as_their_captions_say():
    clips = MovingDigits("train", 40, num_frames=9)
    axes = {"left": (2, -1), "right": (2, 1), "up": (1, -1), "down": (1, 1)}
    seen = set()
    for i in range(40):
        video, text, shown = clips[i]
        assert shown.direction in text.replace("upwards", "up")
        assert shown.colour in text
        axis, sign = axes[shown.direction]
        # Whole pixels every second frame, around the edges.
        distance = int({"slow": 0.5, "quick": 1.5}[shown.speed] * 2)
        moved = np.roll(video[:-2], sign * distance, axis)
        np.testing.assert_array_equal(video[2:], moved)
        seen.add((shown.direction, shown.speed))
    assert len(seen) == 8


def test_splits():
    train, valid = (MovingDigits(split, 1).samples for split in ("train", "valid"))
    held = MovingDigits("held_out", 200, num_frames=1)
    assert len(train) + len(valid) == 1797
    assert not {x.tobytes() for x in train} & {x.tobytes() for x in valid}
    np.testing.assert_array_equal(held.samples, valid)
    pairs = {(held[i][2].digit, held[i][2].colour) for i in range(200)}
    assert len(pairs) == 6 and all(is_held_out(*pair) for pair in pairs)
    trained = MovingDigits("train", 200, num_frames=1)
    assert not any(
        is_held_out(trained[i][2].digit, trained[i][2].colour) for i in range(200)
    )


def test_bad_input():
    with pytest.raises(ValueError, match="train, valid, held_out. Received: split='x'"):
        MovingDigits("x", 1)
    with pytest.raises(ValueError, match="`num_frames` must be"):
        MovingDigits("train", 1, num_frames=0)
