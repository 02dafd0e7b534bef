"""Batches depend only on the files, the arguments, the epoch and their index."""

import concurrent.futures
import multiprocessing
import os
import pickle
import subprocess
import sys

import keras
import pytest

from keras_regen.data import Bucket
from tests.data.clips import digest, digests, make
from tests.video.videos import moving_ramp, write

OPTIONS = {
    "size": [Bucket(16, 16, 2), Bucket(24, 16, 1)],
    "image_share": 0.2,
    "zoom": (1, 2),
    "margin": 1,
    "num_frames": 3,
    "strides": (1, 2),
    "steps_per_epoch": 8,
}


@pytest.fixture
def source(tmp_path):
    for i, suffix in enumerate((".mp4", ".webm", ".npy")):
        write(tmp_path / f"{i}{suffix}", moving_ramp(20 + i, 24, 32))
    return tmp_path


def test_batches_depend_on_seed_epoch_and_index_only(source):
    clips = make(source, **OPTIONS)
    expected = digests(clips)
    # In another order, from threads, with few open files, and from the cache.
    backwards = [digest(clips[i]) for i in reversed(range(8))]
    assert backwards[::-1] == expected
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        few = make(source, **OPTIONS)
        few._library._pool.max_open = 1
        assert list(threads.map(lambda i: digest(few[i]), range(8))) == expected
        kept = make(source, **OPTIONS, cache_bytes=10**7)
        assert list(threads.map(lambda i: digest(kept[i]), range(8))) == expected
        assert kept._library._cache.num_bytes > 0
    assert digests(pickle.loads(pickle.dumps(clips))) == expected
    assert digests(make(source, **OPTIONS, seed=1)) != expected
    clips.epoch += 1
    second = digests(clips)
    assert not {d[0][1] for d in second} & {d[0][1] for d in expected}
    clips.epoch = 0
    assert digests(clips) == expected


# Reading needs no backend, and a new process takes seconds to import one.
once = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="is the same on every backend"
)


@once
def test_processes(source):
    clips = make(source, **OPTIONS)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        results = pool.map(clips.__getitem__, range(8))
    assert [digest(batch) for batch in results] == digests(clips)


@once
def test_forked_processes_and_no_import_of_another_backend(source):
    code = f"""
import sys
from keras_regen.data import Bucket, VideoClips
options = {OPTIONS!r}
plain = VideoClips({str(source)!r}, **options)
expected = [plain[i][0].tobytes() for i in range(8)]
assert "tensorflow" not in sys.modules
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter
for use_multiprocessing in (True, False):
    clips = VideoClips({str(source)!r}, **options, workers=2,
        use_multiprocessing=use_multiprocessing)
    # A file is open when the processes are forked.
    clips[0]
    adapter = PyDatasetAdapter(clips)
    for epoch in range(2):
        plain.epoch = epoch
        iterator = adapter.get_numpy_iterator()
        adapter.on_epoch_begin()
        got = [batch[0].tobytes() for batch, _ in zip(iterator, range(8))]
        adapter.on_epoch_end()
        assert got == [plain[i][0].tobytes() for i in range(8)], epoch
"""
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    subprocess.run(
        [sys.executable, "-c", code], check=True, env=environment, timeout=120
    )
