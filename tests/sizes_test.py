import pytest

from keras_regen.sizes import parse_memory, parse_size


@pytest.mark.parametrize(
    "text, size", [("128x192", (128, 192)), ("128X192", (128, 192)), ("64", (64, 64))]
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["64x", "64x64x64", "large", "-8", "0x64", "64x0"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match=f"HEIGHTxWIDTH in .*size='{text}'"):
        parse_size(text, "HEIGHTxWIDTH")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (1000, 1000),
        (2e9, 2 * 10**9),
        ("512MB", 512 * 10**6),
        ("1.5 gb", 15 * 10**8),
        ("2e9", 2 * 10**9),
    ],
)
def test_memory(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    "text", ["", "much", "-1GB", 0, "2GiB", None, "nan", "9" * 40 + "T", "1e400"]
)
def test_what_is_no_memory(text):
    with pytest.raises(ValueError, match=r"Received: max_memory="):
        parse_memory(text)
