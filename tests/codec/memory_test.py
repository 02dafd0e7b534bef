import pytest

from keras_regen.sizes import parse_memory


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
def test_parse(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    "text", ["", "much", "-1GB", 0, "2GiB", None, "nan", "9" * 40 + "T", "1e400"]
)
def test_not_a_size(text):
    with pytest.raises(ValueError, match=r"Received: max_memory="):
        parse_memory(text)
