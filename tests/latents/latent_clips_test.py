import dataclasses
import json

import h5py
import keras
import numpy as np
import pytest

from keras_regen import Latents
from keras_regen.generation import LatentDiffusion, LatentTransformer
from keras_regen.latents import LatentClips, LatentDataset
from tests.text.encoders import LettersEncoder

SHAPES = {"a": (3, 4, 6), "b": (1, 4, 4), "c": (2, 2, 2)}


@pytest.fixture
def directory(tmp_path):
    """Latents in which every value encodes its own place."""
    for i, (name, (chunks, rows, columns)) in enumerate(SHAPES.items()):
        n, y, x, c = np.meshgrid(
            *(np.arange(size) for size in (2 * chunks, rows, columns, 8)),
            indexing="ij",
        )
        values = 100 * i + 10 * n + y + x / 8 + c / 64
        shape = (5 * chunks, 8 * rows, 8 * columns)
        Latents(values.astype("float32"), *shape, 25.0, 4).save(
            tmp_path / f"{name}.h5", dtype="float32"
        )
    LatentDataset(None, [f"{name}" for name in SHAPES], tmp_path).write_index()
    return tmp_path


def test_windows_hold_the_stored_values(directory):
    clips = LatentClips(
        directory, 64, (2, 3), num_chunks=2, steps_per_epoch=2, normalize=False
    )
    (batch,) = clips[0]
    assert batch.shape == (64, 4, 2, 3, 8) and batch.dtype == "float32"
    # Only `a` is long and large enough.
    starts = batch[:, 0, 0, 0, 0]
    firsts = starts // 10
    assert set(firsts) == {0, 2}
    n, y, x, c = np.meshgrid(*map(np.arange, (4, 2, 3, 8)), indexing="ij")
    expected = starts[:, None, None, None, None] + 10 * n + y + x / 8 + c / 64
    np.testing.assert_allclose(batch, expected, rtol=1e-6)
    assert len(np.unique(starts)) > 8


def test_the_largest_size_that_every_video_has(directory):
    assert LatentClips(directory, 1).size == LatentClips(directory, 1, 2).size == (2, 2)
    # Of those that are long enough.
    clips = LatentClips(directory, 2, num_chunks=3, normalize=False)
    assert clips[0][0].shape == (2, 6, 4, 6, 8) and clips.fps == 25.0


def test_every_window_is_equally_likely(directory):
    clips = LatentClips(directory, 600, (2, 2), normalize=False, steps_per_epoch=1)
    (batch,) = clips[0]
    counts = np.bincount((batch[:, 0, 0, 0, 0] // 100).astype(int))
    np.testing.assert_allclose(counts / 100, [3, 1, 2], atol=0.5)


def test_normalized(directory):
    (raw,) = LatentClips(directory, 8, (2, 2), num_chunks=2, normalize=False)[0]
    (batch,) = LatentClips(directory, 8, (2, 2), num_chunks=2)[0]
    clips = LatentClips(directory, 8, (2, 2))
    mean, std = clips._mean[:, 0, 0], clips._std[:, 0, 0]
    for frame in range(4):
        expected = (raw[:, frame] - mean[frame % 2]) / std[frame % 2]
        np.testing.assert_allclose(batch[:, frame], expected, rtol=1e-5)


def test_padded_chunks_are_left_out(directory):
    (whole,) = LatentClips(directory, 64, (2, 2), steps_per_epoch=1, normalize=False)[0]
    for name in "abc":
        latents = Latents.load(directory / f"{name}.h5")
        padded = dataclasses.replace(latents, num_frames=latents.num_frames - 1)
        padded.save(directory / f"{name}.h5", dtype="float32")
    index = LatentDataset(None, [*SHAPES], directory).write_index()
    # A video of one chunk keeps it.
    assert index["latent_statistics"]["chunks"] == 2 + 1 + 1
    (batch,) = LatentClips(directory, 64, (2, 2), steps_per_epoch=1, normalize=False)[0]
    chunks = [
        {(int(x) // 100, int(x) % 100 // 20) for x in some[:, 0, 0, 0, 0]}
        for some in (whole, batch)
    ]
    assert chunks[0] - chunks[1] == {(0, 2), (2, 1)}
    with pytest.raises(ValueError, match="No video has 3 chunks"):
        LatentClips(directory, 1, num_chunks=3)


@pytest.fixture
def conditioned(directory):
    """Texts and labels: of `a` two texts, of `b` one, of `c` no text and no label."""
    (directory / "list.csv").write_text(
        "path,text,label\na,one two,3\na,one,3\nb,four five six,0\nc,,\n"
    )
    dataset = LatentDataset(None, directory / "list.csv", directory)
    dataset.write_index()
    dataset.embed_texts(LettersEncoder())
    return directory


def test_texts_of_the_videos(conditioned):
    # Texts come first.
    clips = LatentClips(conditioned, 60, (2, 2), normalize=False)
    (batch,) = clips[0]
    assert batch["text"].shape == (60, 3, 4) and batch["text_mask"].shape == (60, 3)
    lengths = {"a": {1, 2}, "b": {3}, "c": {0}}
    encoder = LettersEncoder()
    texts = ["", "one", "one two", "four five six"]
    for i, name in enumerate(lengths):
        of_file = batch["latents"][:, 0, 0, 0, 0] // 100 == i
        masks, embeddings = batch["text_mask"][of_file], batch["text"][of_file]
        assert set(masks.sum(axis=1)) == lengths[name]
        for mask, text in zip(masks, embeddings, strict=True):
            expected, _ = encoder.encode([texts[mask.sum()]])
            np.testing.assert_array_equal(text[mask], expected[0][: mask.sum()])
    # The choice among texts repeats.
    np.testing.assert_array_equal(
        LatentClips(conditioned, 60, (2, 2), normalize=False)[0][0]["text"],
        batch["text"],
    )


@pytest.mark.parametrize(
    ("rows", "texts", "labels"),
    [
        ("path\na\nb\n", [["one two", "one"], ["four five six"], None], [3, 0, None]),
        ("path,label\na,1\nb,\n", [["one two", "one"], ["four five six"], None],
         [1, None, None]),
        ("path,text,label\na,,3\nb,six,0\n", [None, ["six"], None], [3, 0, None]),
    ],
)  # fmt: skip
def test_an_index_says_what_the_last_csv_does(conditioned, rows, texts, labels):
    (conditioned / "list.csv").write_text(rows)
    index = LatentDataset(None, conditioned / "list.csv", conditioned).write_index()
    assert [file.get("texts") for file in index["files"]] == texts
    assert [file.get("label") for file in index["files"]] == labels


def test_labels_of_the_videos(conditioned):
    clips = LatentClips(conditioned, 60, (2, 2), condition="label", normalize=False)
    (batch,) = clips[0]
    assert clips.labels == ["0", "1", "2", "3"] and batch["label"].dtype == "int32"
    files = (batch["latents"][:, 0, 0, 0, 0] // 100).astype(int)
    # The number of labels stands for none.
    np.testing.assert_array_equal(batch["label"], np.array([3, 0, 4])[files])
    (conditioned / "text.h5").unlink()
    for condition in ("auto", "text"):
        with pytest.raises(ValueError, match="not embedded.*choose label or none"):
            LatentClips(conditioned, 1, (2, 2), condition=condition)
    index = json.loads((conditioned / "index.json").read_text())
    for file in index["files"]:
        file.pop("texts", None)
    (conditioned / "index.json").write_text(json.dumps(index))
    assert LatentClips(conditioned, 1, (2, 2)).condition == "label"


@pytest.mark.parametrize(
    ("chunking", "expected"),
    [("disjoint", [0, 2.5, 5, 7.5]), ("shared", [0, 2.5, 4, 6.5])],
)
def test_times_are_where_latent_frames_are(conditioned, chunking, expected):
    index = json.loads((conditioned / "index.json").read_text())
    (conditioned / "index.json").write_text(json.dumps({**index, "chunking": chunking}))
    (batch,) = LatentClips(conditioned, 2, (2, 2), num_chunks=2)[0]
    assert batch["times"].tolist() == [expected, expected]


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="Nothing depends on the backend."
)
def test_a_generator_is_fitted(conditioned):
    transformer = LatentTransformer(
        units=16, depth=1, num_heads=1, text_channels=4, mlp_ratio=1
    )
    clips = LatentClips(conditioned, 2, (2, 2), num_chunks=2, normalize=False)
    k = clips.codec["temporal_compression"]
    model = LatentDiffusion(transformer, k, clips.mean, clips.std)
    model.compile("sgd")
    history = model.fit(clips, shuffle=False, verbose=0)
    assert np.all(np.isfinite(history.history["loss"]))


@pytest.mark.parametrize(
    ("of_model", "of_clips", "message"),
    [
        ({}, {"normalize": True}, "LatentClips\\(normalize=False\\).*normalize=True"),
        ({"temporal_compression": 8}, {}, "temporal_compression=8.*_compression=4, in"),
        ({"encoder_id": "ours"}, {}, "encoder_id=ours. Received: encoder_id=theirs"),
        ({"num_labels": 3}, {"condition": "label"}, "num_labels=3.*num_labels=4"),
        ({"text_channels": 5}, {}, "text_channels=5.*text_channels=4"),
        (
            {"text_channels": 4, "text_encoder_id": "words"},
            {},
            "text_encoder_id=words.*text_encoder_id=letters",
        ),
        ({}, {"condition": "text"}, "so the texts of the latents are left out"),
    ],
)
def test_clips_that_do_not_fit_a_generator(conditioned, of_model, of_clips, message):
    index = json.loads((conditioned / "index.json").read_text())
    (conditioned / "index.json").write_text(
        json.dumps({**index, "encoder_id": "theirs"})
    )
    clips = LatentClips(conditioned, 2, (2, 2), **{"normalize": False, **of_clips})
    arguments = {"temporal_compression": 4, "mean": clips.mean, **of_model}
    condition = {
        name: arguments.pop(name)
        for name in ("num_labels", "text_channels")
        if name in arguments
    }
    transformer = LatentTransformer(units=16, depth=1, num_heads=1, **condition)
    model = LatentDiffusion(transformer, **arguments)
    # Warnings are errors.
    for data in ({"x": clips}, {"validation_data": clips}):
        with pytest.raises((ValueError, UserWarning), match=message):
            model.fit(**data)


def test_without_a_condition(conditioned, directory):
    (batch,) = LatentClips(conditioned, 2, (2, 2), condition=None)[0]
    assert batch.shape == (2, 2, 2, 2, 8)
    with pytest.raises(ValueError, match="condition='caption'"):
        LatentClips(conditioned, 2, (2, 2), condition="caption")
    index = json.loads((conditioned / "index.json").read_text())
    index["files"][0]["texts"] = ["seven"]
    (conditioned / "index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="not in text.h5.*Received: 'seven'"):
        LatentClips(conditioned, 2, (2, 2))
    del index["labels"]
    for file in index["files"]:
        file.pop("label", None)
    (conditioned / "index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="has no labels"):
        LatentClips(conditioned, 2, (2, 2), condition="label")


def test_latents_of_two_codecs(directory):
    Latents(np.zeros((2, 2, 2, 8)), 3, 16, 16, 25.0, 2).save(directory / "d.h5")
    with pytest.raises(ValueError, match=r"temporal_compression=2 in .*d\.h5"):
        LatentDataset(None, "a", directory).write_index()


def test_repeats_by_seed_epoch_and_batch(directory):
    first, again, other = (LatentClips(directory, 4, (2, 2), seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first[0][0], again[0][0])
    assert np.any(first[0][0] != other[0][0])
    again.on_epoch_end()
    assert np.any(first[0][0] != again[0][0])
    # As a loop of one's own does.
    first.epoch = 1
    np.testing.assert_array_equal(first[0][0], again[0][0])


def test_a_model_is_fitted(directory):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")

    class WithTargets(LatentClips):
        def __getitem__(self, index):
            (latents,) = super().__getitem__(index)
            return latents, latents[..., :1]

    clips = WithTargets(directory, 2, (2, 2), steps_per_epoch=2, workers=2)
    history = model.fit(clips, epochs=2, shuffle=False, verbose=0)
    assert np.all(np.isfinite(history.history["loss"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_chunks": 4}, "4 chunks: the longest has 3. Received: num_chunks=4"),
        ({"size": 5}, "No video has 1 chunks of 5x5 latents.*Received: num_chunks=1"),
        ({"size": (0, 4)}, "`rows` must be .* rows=0"),
        ({"size": (2, 2, 2)}, r"a pair \(rows, columns\).*size=\(2, 2, 2\)"),
        ({"size": "2x2"}, "`rows` must be"),
        ({"batch_size": 0}, "`batch_size` must be"),
        ({"batch_size": 1.5}, "`batch_size` must be"),
        ({"num_chunks": 0}, "`num_chunks` must be"),
        ({"steps_per_epoch": 0}, "`steps_per_epoch` must be"),
        ({"seed": -1}, "`seed` must be"),
        ({"normalize": "yes"}, "`normalize` must be"),
        ({"normalise": False}, "`LatentClips` has no .*did you mean `normalize`"),
    ],
)
def test_bad_arguments(directory, arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        LatentClips(directory, **{"batch_size": 1, "size": (2, 2), **arguments})


def test_no_index(tmp_path):
    with pytest.raises(ValueError, match=r"has an index\.json"):
        LatentClips(tmp_path, 1, (2, 2))


def test_a_channel_of_one_value_stays_finite(directory):
    index = json.loads((directory / "index.json").read_text())
    index["latent_statistics"]["std"] = np.zeros((2, 8)).tolist()
    (directory / "index.json").write_text(json.dumps(index))
    assert np.all(np.isfinite(LatentClips(directory, 2, (2, 2))[0][0]))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["files"], 5),
        (["files", 0], "a.h5"),
        (["files", 0, "latents"], "../a.h5"),
        (["files", 0, "latents"], "/etc/passwd"),
        (["files", 0, "latents"], None),
        (["files", 0, "num_chunks"], "3"),
        (["files", 0, "num_chunks"], -1),
        (["files", 0, "height"], 1.5),
        (["files", 0, "texts"], "a text"),
        (["files", 0, "label"], 0),
        (["labels"], [1]),
        (["chunking"], "x"),
        (["encoder_id"], 5),
        (["latent_statistics"], []),
        (["latent_statistics", "mean"], "x"),
        (["latent_statistics", "std"], [[1.0], [float("nan")]]),
    ],
)
def test_an_index_of_other_values(directory, path, value):
    index = json.loads((directory / "index.json").read_text())
    place = index
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (directory / "index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="not an index of latents.*index.json"):
        LatentClips(directory, 1, (2, 2))


def test_an_index_that_is_none(directory):
    for text in ("[" * 10**5, "", "null"):
        (directory / "index.json").write_text(text)
        with pytest.raises(ValueError, match="not an index of latents"):
            LatentClips(directory, 1, (2, 2))


def test_a_file_with_links(directory):
    for name in SHAPES:
        with h5py.File(directory / f"{name}.h5", "a") as file:
            del file["latents"]
            file["latents"] = h5py.ExternalLink("other.h5", "/latents")
    with pytest.raises(ValueError, match="is a link. Received: path="):
        LatentClips(directory, 1, (2, 2))[0]
