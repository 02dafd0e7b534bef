import concurrent.futures
import os
import pickle
import threading

import numpy as np
import pytest

from keras_regen.data.reader_pool import FrameCache, ReaderPool
from keras_regen.video import open_access
from tests.video.videos import moving_ramp, write


@pytest.fixture
def paths(tmp_path):
    video = moving_ramp(3, 16, 16)
    return [str(write(tmp_path / f"{i}.npy", video)) for i in range(4)]


def test_least_recently_used_reader_is_closed(paths):
    pool = ReaderPool(2)
    readers = {}
    for i in (0, 1, 0, 2):
        with pool.reader(paths[i]) as readers[i]:
            pass
        assert pool.num_open <= 2
    with pool.reader(paths[0]) as reader:
        assert reader is readers[0]
    with pool.reader(paths[1]) as reader:
        assert reader is not readers[1]
    pool.close()
    assert pool.num_open == 0


def test_threads_wait_at_the_limit(paths):
    pool = ReaderPool(3)
    lock, lent, counts = threading.Lock(), [], []

    def work(i):
        with pool.reader(paths[i % 4]) as reader:
            with lock:
                # No other thread has it.
                assert reader not in lent
                lent.append(reader)
                counts.append(len(lent))
            list(reader.frames([0, 2], reader.index()))
            with lock:
                lent.remove(reader)

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(200)))
    assert max(counts) <= pool.num_open <= 3
    pool.close()


def test_reader_is_dropped_after_an_error(paths):
    pool = ReaderPool(1)
    with pytest.raises(ZeroDivisionError), pool.reader(paths[0]) as first:
        raise ZeroDivisionError
    assert pool.num_open == 0
    with pytest.raises(Exception, match="no such file"), pool.reader("nowhere.npy"):
        pass
    assert pool.num_open == 0
    with pool.reader(paths[0]) as reader:
        assert reader is not first
    pool.close()


def test_copies_are_empty(paths, monkeypatch):
    pool = ReaderPool(5)
    with pool.reader(paths[0]) as parents:
        pass
    copy = pickle.loads(pickle.dumps(pool))
    assert (copy.max_open, copy.num_open) == (5, 0)
    # As in a process that was forked while another thread held the lock.
    pool._changed.acquire()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pool.reader(paths[0]) as reader:
        assert reader is not parents
    assert pool.num_open == 1
    pool.close()


class TestCache:
    def test_limit_in_bytes(self, paths):
        size = 3 * 16 * 16 * 3
        cache = FrameCache(2 * size + 10)
        kept = []
        for path in paths:
            access = open_access(path)
            kept.append(cache.frames(path, access, access.index()))
            access.close()
        assert [frames is not None for frames in kept] == [True, True, False, False]
        assert cache.num_bytes == 2 * size
        np.testing.assert_array_equal(kept[0], moving_ramp(3, 16, 16))
        assert cache.frames(paths[0], None, None) is kept[0]
        assert cache.frames(paths[3], None, None) is None
        assert pickle.loads(pickle.dumps(cache)).num_bytes == 0

    def test_no_memory(self, paths):
        cache = pickle.loads(pickle.dumps(FrameCache(0)))
        assert cache.frames(paths[0], None, None) is None

    def test_broken_video_frees_its_bytes(self, paths):
        access = open_access(paths[0])
        index = access.index()
        with open(paths[0], "rb+") as file:
            file.truncate(os.path.getsize(paths[0]) - 8)
        cache = FrameCache(10**6)
        with pytest.raises(Exception, match="the file ends"):
            cache.frames(paths[0], access, index)
        assert cache.num_bytes == 0
        assert cache.frames(paths[0], access, index) is None
        access.close()
