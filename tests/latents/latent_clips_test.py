import json

import h5py
import keras
import numpy as np
import pytest

from keras_regen import Latents
from keras_regen.latents import LatentClips, LatentDataset

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
    dataset = object.__new__(LatentDataset)
    dataset.directory, dataset.skipped = tmp_path, {}
    dataset.write_index()
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


def test_repeats_by_seed_epoch_and_batch(directory):
    first, again, other = (LatentClips(directory, 4, (2, 2), seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first[0][0], again[0][0])
    assert np.any(first[0][0] != other[0][0])
    again.on_epoch_end()
    assert np.any(first[0][0] != again[0][0])


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


@pytest.mark.parametrize("kwargs", [{"num_chunks": 4}, {"size": (5, 2)}])
def test_nothing_is_large_enough(directory, kwargs):
    with pytest.raises(ValueError, match="No video has .*Received: num_chunks="):
        LatentClips(directory, **{"batch_size": 1, "size": (2, 2), **kwargs})


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
