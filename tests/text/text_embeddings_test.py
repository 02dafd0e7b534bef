import h5py
import numpy as np
import pytest

from keras_regen.text import TextEmbeddings
from tests.text.encoders import LettersEncoder

# Nothing here depends on the backend.
TEXTS = ["a red seven moves left", "a blue two", "US"]


def test_texts_are_looked_up():
    known = TextEmbeddings.create(LettersEncoder(), [*TEXTS, "us"])
    assert (known.channels, known.max_length, len(known)) == (4, 5, 4)
    embeddings, mask = known.encode(["A  Blue\ttwo ", "US", "us"])
    assert embeddings.dtype == "float32" and mask.tolist() == [
        [True, True, True],
        [True, False, False],
        [True, False, False],
    ]
    assert not np.any(embeddings[~mask])
    expected, _ = LettersEncoder().encode(["a blue two"])
    np.testing.assert_array_equal(embeddings[0], expected[0])
    # Case counts where it tells texts apart.
    assert np.any(embeddings[1] != embeddings[2])
    assert known.encode(["US"], length=9)[0].shape == (1, 9, 4)
    assert "us" in known and "blue" not in known


def test_each_text_is_embedded_once(tmp_path):
    path, encoder = tmp_path / "text.h5", LettersEncoder()
    first = TextEmbeddings.create(encoder, [TEXTS[0], *TEXTS[:2], " ".join(TEXTS[:1])])
    assert encoder.embedded == TEXTS[:2]
    first.save(path)
    done = []
    TextEmbeddings.create(encoder, TEXTS, path, lambda *count: done.append(count))
    assert encoder.embedded == TEXTS and done == [(1, 1)]
    TextEmbeddings.create(encoder, TEXTS[::-1], path)
    assert encoder.embedded == TEXTS
    loaded = TextEmbeddings.load(path)
    assert loaded.texts == TEXTS and loaded.encoder_id == "letters"
    for one, other in zip(
        loaded.encode(TEXTS),
        TextEmbeddings.create(LettersEncoder(), TEXTS).encode(TEXTS),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    encoder.encoder_id = "other"
    with pytest.raises(ValueError, match="Another text encoder.*encoder_id=other, not"):
        TextEmbeddings.create(encoder, TEXTS, path)


class OtherEncoder(LettersEncoder):
    """One whose arrays `change` turns into what a user's encoder returns."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def encode(self, texts):
        return self.change(*super().encode(texts))


def torch_tensors(embeddings, mask):
    torch = pytest.importorskip("torch")
    embeddings = torch.tensor(embeddings, dtype=torch.bfloat16, requires_grad=True)
    return embeddings, torch.tensor(mask)


@pytest.mark.parametrize(
    "change", [lambda tokens, mask: [tokens, mask.astype("int64")], torch_tensors]
)
def test_encoders_of_other_types(change):
    for made, expected in zip(
        TextEmbeddings.create(OtherEncoder(change), TEXTS).encode(TEXTS),
        TextEmbeddings.create(LettersEncoder(), TEXTS).encode(TEXTS),
        strict=True,
    ):
        # As bfloat16 has them.
        np.testing.assert_allclose(made, expected, rtol=1e-2)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("a name", "from_preset.*Received: 'a name'"),
        (OtherEncoder(lambda tokens, mask: tokens), "a pair of .*Received: ndarray"),
        (OtherEncoder(lambda tokens, mask: (tokens, None)), r"mask.shape=\(\)"),
        (OtherEncoder(lambda tokens, mask: (tokens, mask[0])), r"mask.shape=\(5,\)"),
        (OtherEncoder(lambda tokens, mask: (tokens[:1], mask[:1])), "for B = 3"),
    ],
)
def test_what_is_no_encoder(encoder, message):
    with pytest.raises(ValueError, match=message):
        TextEmbeddings.create(encoder, TEXTS)


def test_an_unknown_text_names_the_closest():
    known = TextEmbeddings.create(LettersEncoder(), TEXTS)
    message = r"among them: 'a blue two'; .*KerasHubTextEncoder.*Received: 'a blue ten'"
    with pytest.raises(ValueError, match=message):
        known.encode(["US", "a blue ten"])
    with pytest.raises(ValueError, match="length=3"):
        known.encode(["US"], length=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"texts": ["a", " a "]}, "must all be different"),
        ({"texts": "ab"}, "must be a list of str"),
        ({"lengths": [1, 1]}, r"must have shape \(2, E\). .*shape=\(3, 4\)"),
        ({"lengths": [3, 0]}, "at least 1"),
        ({"lengths": [1.0, 2.0]}, "whole number"),
        ({"tokens": np.full((3, 4), 1e6)}, "finite as float16"),
        ({"encoder_id": None}, "encoder_id=None"),
    ],
)
def test_bad_arguments(changes, message):
    good = {"texts": ["a", "b c"], "tokens": np.ones((3, 4)), "lengths": [1, 2]}
    with pytest.raises(ValueError, match=message):
        TextEmbeddings(**{**good, "encoder_id": "x", **changes})


def replace(name, array):
    def change(file):
        del file[name]
        file[name] = array

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.attrs.update(format="latents"), "does not hold embeddings"),
        (lambda file: file.attrs.update(version=2), "of version 2"),
        (lambda file: file.attrs.update(encoder_id="x"), "have the hash"),
        (lambda file: file["tokens"].write_direct(np.ones((9, 4), "f2")), "the hash"),
        (replace("tokens", np.ones((9, 4))), "no array `tokens` of float16"),
        (replace("texts", np.frombuffer(b"[]", "uint8")), "have the hash"),
        (replace("lengths", h5py.ExternalLink("x.h5", "/y")), "is a link"),
        (lambda file: file.__delitem__("lengths"), "no array `lengths`"),
    ],
)
def test_other_files_are_refused(tmp_path, change, message):
    path = tmp_path / "text.h5"
    TextEmbeddings.create(LettersEncoder(), TEXTS, path)
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(ValueError, match=f"(?s)Cannot read.*{message}.*path="):
        TextEmbeddings.load(path)


def test_files_that_are_none_and_too_large(tmp_path):
    path = tmp_path / "text.h5"
    with pytest.raises(ValueError, match="no such file"):
        TextEmbeddings.load(path)
    TextEmbeddings.create(LettersEncoder(), TEXTS, path)
    with pytest.raises(ValueError, match="more memory than `max_memory`"):
        TextEmbeddings.load(path, max_memory=60)
    data = path.read_bytes()
    for damaged in (data[:1000], b"text"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged, or not HDF5"):
            TextEmbeddings.load(path)
    with pytest.raises(ValueError, match="Cannot write the embeddings"):
        TextEmbeddings.create(LettersEncoder(), TEXTS, tmp_path)
