import pytest

from keras_regen.models import decoder_bytes, encoder_bytes
from keras_regen.sizes import parse_memory
from tests.models.conftest import make_regen


@pytest.mark.parametrize(
    ("text", "size"),
    [(1000, 1000), (2e9, 2 * 10**9), ("512MB", 512 * 10**6), ("1.5 gb", 15 * 10**8)],
)
def test_parse(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1GB", 0, "2GiB", None])
def test_not_a_size(text):
    with pytest.raises(ValueError, match=r"Received: max_memory="):
        parse_memory(text)


def test_estimates_grow_with_what_is_computed():
    regen = make_regen(4)
    assert encoder_bytes(regen.encoder, 8, 8) == pytest.approx(
        encoder_bytes(regen.encoder, 4, 4) * 4
    )
    small, large = (decoder_bytes(regen.decoder, 9, n, n) for n in (4, 8))
    assert large >= 4 * small
