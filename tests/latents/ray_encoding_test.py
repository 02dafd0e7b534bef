"""Ray starts in some seconds: with PyTorch alone, and with a codec without Keras."""

import contextlib
import json
import logging
import os
import sys

import keras
import numpy as np
import pytest

from keras_regen import Latents, VideoCodec
from keras_regen.atomic_output import OutputError
from keras_regen.latents import LatentDataset, LatentsWriter, encode_with_ray
from keras_regen.latents.ray_encoding import _Actor
from keras_regen.pixels import latent_size
from keras_regen.video import VideoReader
from tests.models.conftest import awaken, make_regen
from tests.video.videos import moving_ramp, write

if keras.backend.backend() != "torch":
    pytest.skip("Nothing depends on the backend.", allow_module_level=True)
ray = pytest.importorskip("ray")
# Ray warns of its own calls, and leaves files open.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class MeanCodec:
    """Encodes every chunk of two frames as their means, and needs no Keras."""

    encoder_id = "means"

    def fixed_weights(self):
        return contextlib.nullcontext()

    def encode(self, video, path, dtype):
        with VideoReader(video) as reader:
            means = np.array([frame.mean() for frame in reader], "float32")
            size = reader.height, reader.width
        pairs = np.resize(means, 2 * -(-len(means) // 2))[:, None, None, None]
        array = np.broadcast_to(pairs, (len(pairs), *latent_size(*size), 8))
        made = Latents(array, len(means), *size, 25.0, 1, encoder_id="means")
        with LatentsWriter(path, dtype) as writer:
            writer.write(made)
        return means


@pytest.fixture
def cluster():
    ray.init(
        num_cpus=3,
        object_store_memory=80 * 2**20,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
    yield
    ray.shutdown()


def test_two_actors_write_what_one_process_does(tmp_path, monkeypatch, cluster, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videos").mkdir()
    for i in range(4):
        write(tmp_path / "videos" / f"{i}.mp4", moving_ramp(4 + i, 16, 16))
    (tmp_path / "videos" / "broken.mp4").write_bytes(b"no video")
    plain = LatentDataset(MeanCodec(), "videos", "plain")
    expected = dict(plain.encode())
    dataset = LatentDataset(None, "videos", "z")
    # Actors get it by value.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    assert dict(encode_with_ray(dataset, MeanCodec, 2)) == expected
    assert len(expected) == 5
    assert dataset.skipped == plain.skipped and len(dataset.skipped) == 1
    assert "broken.mp4" in caplog.text
    index, whole = dataset.finish(), plain.finish()
    statistics, expected = (x.pop("latent_statistics") for x in (index, whole))
    assert index == whole and statistics["chunks"] == expected["chunks"]
    np.testing.assert_allclose(statistics["mean"], expected["mean"], rtol=1e-12)
    for path in sorted((tmp_path / "plain").glob("*.h5")):
        one, other = (Latents.load(p) for p in (path, tmp_path / "z" / path.name))
        np.testing.assert_array_equal(one.array, other.array)
        assert one.content_hash == other.content_hash
    assert [file["num_frames"] for file in index["files"]] == [4, 5, 6, 7]


def test_what_an_actor_does(tmp_path):
    """In this process, without Ray."""
    write(tmp_path / "a.mp4", moving_ramp(4, 16, 16))
    regen = awaken(make_regen(4))
    dataset = LatentDataset(None, tmp_path / "a.mp4", tmp_path / "z")
    arguments = dataset, lambda: VideoCodec(regen), "torch", os.getcwd()
    video = {"video": np.array([str(tmp_path / "a.mp4")])}
    row = _Actor(*arguments)(video)
    assert row["frames"] == [4] and row["skipped"] == row["error"] == [""]
    (file,) = json.loads(row["part"][0])["files"]
    assert file["latents"] == "a.mp4.h5" and file["num_frames"] == 4
    # What is there stays.
    assert _Actor(*arguments)(video)["frames"] == [0]
    regen.encoder.weights[0].assign(regen.encoder.weights[0] + 1)
    # As a value: of what raises, Ray would make an error of its own.
    (error,) = _Actor(*arguments)(video)["error"]
    assert "of another encoder" in error


def test_an_error_of_an_actor(monkeypatch):
    row = {"video": "a.mp4", "frames": 0, "skipped": "", "error": "No space is left."}
    calls = {}

    class Videos:
        def map_batches(self, actor, fn_constructor_args, **kwargs):
            calls.update(kwargs, arguments=fn_constructor_args)
            return self

        def iter_rows(self):
            return iter([row])

    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0, "GPU": 1.0})
    monkeypatch.setattr(ray.data, "from_items", lambda *args, **kwargs: Videos())
    # Keras may have been imported, and its backend chosen, otherwise.
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    dataset = LatentDataset(MeanCodec(), "a.mp4", "z")
    with pytest.raises(OutputError, match="No space is left"):
        list(encode_with_ray(dataset, None, 3))
    # Ray gives every actor a GPU, if it has one.
    assert calls["num_gpus"] == 1 and calls["compute"].max_size == 3
    shared, _, backend, _ = calls["arguments"]
    assert backend == "torch" and shared.codec is None and dataset.codec is not None
    empty = LatentDataset(None, "a.mp4", "z", shard=(1, 2))
    assert not [*encode_with_ray(empty, None, 3)] and empty.part.files == []
    with pytest.raises(ValueError, match="num_actors=0"):
        next(encode_with_ray(dataset, None, 0))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"keras-regen\[ray\]"):
        next(encode_with_ray(dataset, None, 1))
