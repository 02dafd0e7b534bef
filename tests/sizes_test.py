import pytest

from keras_regen.sizes import parse_size


@pytest.mark.parametrize(
    "text, size", [("128x192", (128, 192)), ("128X192", (128, 192)), ("64", (64, 64))]
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["64x", "64x64x64", "large", "-8", "0x64", "64x0"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match=f"HEIGHTxWIDTH in .*size='{text}'"):
        parse_size(text, "HEIGHTxWIDTH")
