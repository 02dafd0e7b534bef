import collections
import concurrent.futures
import importlib.util
import logging
import multiprocessing
import os
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_regen.data import Bucket, VideoClips
from keras_regen.data.video_library import VideoLibrary
from keras_regen.video import bundled_clip
from tests.models.conftest import make_regen
from tests.video.videos import moving_ramp, read, write


def numbered(num_frames, first=0, height=16, width=16):
    """Frames that tell their number, as their value."""
    numbers = np.arange(first, first + num_frames, dtype="uint8")
    return np.broadcast_to(
        numbers[:, None, None, None], (num_frames, height, width, 3)
    ).copy()


@pytest.fixture
def folder(tmp_path):
    """30 frames numbered from 0, and 12 numbered from 100."""
    (tmp_path / "videos").mkdir()
    write(tmp_path / "videos" / "a.npy", numbered(30))
    write(tmp_path / "videos" / "b.npy", numbered(12, 100))
    return tmp_path / "videos"


def make(source, **kwargs):
    arguments = {"num_frames": 5, "size": 16, "workers": 1}
    if not isinstance(kwargs.get("size"), (list, Bucket)):
        arguments["batch_size"] = 2
    return VideoClips(source, **{**arguments, **kwargs})


def frame_numbers(array):
    """(B, T) from (B, T, H, W, 3)."""
    assert np.all(array == array[:, :, :1, :1, :1])
    return array[:, :, 0, 0, 0].astype(int)


def digest(batch):
    return [(array.shape, array.tobytes()) for array in batch]


def digests(clips):
    return [digest(clips[i]) for i in range(len(clips))]


class TestRandom:
    def test_clips_are_consecutive_frames_of_one_video(self, folder):
        clips = make(folder, steps_per_epoch=40)
        numbers = np.concatenate([frame_numbers(chunk) for (chunk,) in clips])
        assert numbers.shape == (80, 5)
        assert np.all(np.diff(numbers, axis=1) == 1)
        first = numbers[:, 0]
        assert set(first) <= {*range(26), *range(100, 108)}
        assert {0, 25} < set(first) or len(set(first)) > 20

    def test_chances(self, folder):
        clips = make(folder, num_frames=1, batch_size=50, steps_per_epoch=20)
        numbers = np.concatenate([frame_numbers(chunk) for (chunk,) in clips])
        share = 12**0.5 / (12**0.5 + 30**0.5)
        assert np.mean(numbers >= 100) == pytest.approx(share, abs=0.05)

    def test_weights(self, folder):
        (folder / "list.csv").write_text("path,weight\na.npy,1\nb.npy,20\n")
        clips = make(folder / "list.csv", batch_size=50, steps_per_epoch=8)
        numbers = np.concatenate([frame_numbers(chunk) for (chunk,) in clips])
        share = 20 * 12**0.5 / (20 * 12**0.5 + 30**0.5)
        assert np.mean(numbers >= 100) == pytest.approx(share, abs=0.05)

    def test_strides(self, folder):
        clips = make(folder, strides=(1, 3, 10), steps_per_epoch=40)
        steps = np.concatenate(
            [np.diff(frame_numbers(chunk), axis=1) for (chunk,) in clips]
        )
        assert np.all(steps == steps[:, :1])
        # 10 is more than either video has.
        assert set(steps[:, 0]) == {1, 3}

    def test_margin(self, folder):
        clips = make(folder, margin=2, steps_per_epoch=20)
        for chunk, target in clips:
            assert (chunk.shape[1], target.shape[1]) == (5, 9)
            np.testing.assert_array_equal(chunk, target[:, 2:7])
            assert np.all(np.diff(frame_numbers(target), axis=1) == 1)

    def test_images(self, folder):
        clips = make(folder, margin=1, image_share=0.5, steps_per_epoch=30)
        shapes = collections.Counter()
        for chunk, target in clips:
            shapes[chunk.shape] += 1
            if chunk.shape[1] == 1:
                np.testing.assert_array_equal(chunk, target)
                assert len(set(frame_numbers(chunk)[:, 0])) >= 5
        assert set(shapes) == {(2, 5, 16, 16, 3), (10, 1, 16, 16, 3)}
        assert 7 < shapes[(10, 1, 16, 16, 3)] < 23

    def test_zoom_and_crop(self, tmp_path):
        gradient = np.zeros((5, 64, 128, 3), "uint8")
        gradient[..., 0] = np.arange(128)
        gradient[..., 1] = np.arange(64)[:, None]
        write(tmp_path / "video.npy", gradient)
        clips = make(
            tmp_path, size=16, zoom=(1, 4), batch_size=60, steps_per_epoch=1,
            augmentation=(),
        )  # fmt: skip
        chunk = clips[0][0].astype(int)
        # One crop for all frames of a clip.
        assert np.all(chunk == chunk[:, :1])
        # What one pixel of the crop spans in the frame: 4 down to 1.
        spans = (chunk[:, 0, 8, 14, 0] - chunk[:, 0, 8, 1, 0]) / 13
        assert 1 <= spans.min() < 1.2 and 3.3 < spans.max() <= 4.1
        # Evenly by the logarithm.
        assert np.mean(spans > 2) == pytest.approx(0.5, abs=0.2)
        # As much down as across: the aspect is kept.
        down = (chunk[:, 0, 14, 8, 1] - chunk[:, 0, 1, 8, 1]) / 13
        np.testing.assert_allclose(down, spans, atol=0.35)
        left = chunk[:, 0, 8, 0, 0]
        assert left.min() < 10 and left.max() > 80

    def test_default_augmentation_mirrors(self, tmp_path):
        write(tmp_path / "video.mp4", moving_ramp(5, 16, 16))
        plain = make(tmp_path, batch_size=30, augmentation=())[0][0]
        clips = make(tmp_path, batch_size=30)[0][0]
        mirrored = [np.array_equal(c, plain[0, :, :, ::-1]) for c in clips]
        same = [np.array_equal(c, plain[0]) for c in clips]
        assert sum(mirrored) + sum(same) == 30 and 5 < sum(mirrored) < 25

    def test_layers(self, folder):
        layer = keras.layers.RandomBrightness(0.5)
        plain = make(folder, steps_per_epoch=3, augmentation=())
        clips = make(folder, steps_per_epoch=3, augmentation=[layer])
        for i in range(3):
            before = plain[i][0].astype(int)
            after = clips[i][0].astype(int)
            # The same for all frames of a clip, another for the next.
            change = (after - before)[(after > 0) & (after < 255) & (before > 100)]
            assert change.size == 0 or np.ptp(change) <= 2 * 128
            steps = np.diff(frame_numbers(clips[i][0]), axis=1)
            assert np.all((steps == 1) | (frame_numbers(clips[i][0])[:, 1:] % 255 == 0))
        assert digests(clips) == digests(
            make(folder, steps_per_epoch=3, augmentation=[layer])
        )

    def test_steps_per_epoch(self, folder):
        # 42 frames, 10 in a batch.
        assert len(make(folder)) == 5
        assert len(make(folder, image_share=0.5, batch_size=9)) == 2
        with pytest.raises(IndexError, match="Received: index=5"):
            make(folder)[5]


class TestDense:
    @pytest.mark.parametrize("shuffle", [False, True])
    def test_every_frame_once(self, folder, shuffle):
        clips = make(folder, sampling="dense", batch_size=3, shuffle=shuffle)
        assert len(clips) == 3
        for _ in range(2):
            batches = [frame_numbers(clips[i][0]) for i in range(len(clips))]
            assert [len(batch) for batch in batches] == [3, 3, 2]
            numbers = np.concatenate(batches)
            assert np.all(np.diff(numbers, axis=1) == 1)
            # All but the last 2 of 12.
            assert sorted(numbers.ravel()) == [*range(30), *range(100, 110)]
            assert shuffle == (list(numbers[:, 0]) != sorted(numbers[:, 0]))
            clips.epoch += 1

    def test_shuffled_anew_every_epoch(self, folder):
        clips = make(folder, sampling="dense", shuffle=True)
        first = digests(clips)
        clips.epoch += 1
        second = digests(clips)
        clips.epoch = 0
        assert digests(clips) == first != second

    def test_stride_and_margin(self, folder):
        clips = make(folder, sampling="dense", strides=(2, 1), margin=1, num_frames=3)
        numbers = np.concatenate([frame_numbers(y) for _, y in clips])
        expected = [[0, 2, 4, 6, 8], [6, 8, 10, 12, 14], [12, 14, 16, 18, 20]]
        expected += [[18, 20, 22, 24, 26], [100, 102, 104, 106, 108]]
        np.testing.assert_array_equal(numbers, expected)

    def test_the_centre(self, tmp_path):
        video = moving_ramp(5, 48, 16)
        write(tmp_path / "video.npy", video)
        [(chunk,)] = make(tmp_path, sampling="dense")
        np.testing.assert_array_equal(chunk[0], video[:, 16:32])

    def test_variable_containers(self, tmp_path):
        for i, suffix in enumerate((".mp4", ".mkv", ".webm", ".gif")):
            write(tmp_path / f"{i}{suffix}", moving_ramp(11, 16, 16))
        clips = make(tmp_path, sampling="dense", batch_size=8)
        [(chunk,)] = clips
        expected = [
            read(path)[:10].reshape(2, 5, 16, 16, 3)
            for path in sorted(tmp_path.iterdir())
        ]
        np.testing.assert_array_equal(chunk, np.concatenate(expected))


class TestDeterminism:
    def options(self):
        return {
            "size": [Bucket(16, 16, 2), Bucket(24, 16, 1)],
            "image_share": 0.2,
            "zoom": (1, 2),
            "margin": 1,
            "num_frames": 3,
            "strides": (1, 2),
            "steps_per_epoch": 8,
        }

    @pytest.fixture
    def source(self, tmp_path):
        for i, suffix in enumerate((".mp4", ".webm", ".npy")):
            write(tmp_path / f"{i}{suffix}", moving_ramp(20 + i, 24, 32))
        return tmp_path

    def test_by_seed_epoch_and_index_alone(self, source):
        clips = make(source, **self.options())
        expected = digests(clips)
        # In any order, by threads, with few files open, and from memory.
        backwards = [digest(clips[i]) for i in reversed(range(8))]
        assert backwards[::-1] == expected
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            few = make(source, **self.options())
            few._library._pool.max_open = 1
            assert list(threads.map(lambda i: digest(few[i]), range(8))) == expected
            kept = make(source, **self.options(), cache_bytes=10**7)
            assert list(threads.map(lambda i: digest(kept[i]), range(8))) == expected
            assert kept._library._cache.num_bytes > 0
        assert digests(pickle.loads(pickle.dumps(clips))) == expected
        assert digests(make(source, **self.options(), seed=1)) != expected
        clips.epoch += 1
        second = digests(clips)
        assert not {d[0][1] for d in second} & {d[0][1] for d in expected}
        clips.epoch = 0
        assert digests(clips) == expected

    def test_processes(self, source):
        clips = make(source, **self.options())
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            results = pool.map(clips.__getitem__, range(8))
        assert [digest(batch) for batch in results] == digests(clips)

    @pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="needs PyTorch")
    def test_forked_processes_and_no_other_backend(self, source):
        code = f"""
import sys
from keras_regen.data import Bucket, VideoClips
options = {self.options()!r}
plain = VideoClips({str(source)!r}, **options)
expected = [plain[i][0].tobytes() for i in range(8)]
assert "tensorflow" not in sys.modules
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter
for use_multiprocessing in (True, False):
    clips = VideoClips({str(source)!r}, **options, workers=2,
        use_multiprocessing=use_multiprocessing)
    # A file is open, as the processes are forked off.
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


class TestBroken:
    @pytest.fixture
    def source(self, folder):
        video = moving_ramp(30, 16, 16)
        (folder / "garbage.mp4").write_bytes(bytes(range(256)) * 20)
        (folder / "empty.mkv").touch()
        np.save(folder / "nothing.npy", np.zeros((0, 16, 16, 3), "uint8"))
        np.save(folder / "short.npy", video[:3])
        data = write(folder / "headless.mp4", video).read_bytes()
        (folder / "headless.mp4").write_bytes(data[: data.index(b"moov")])
        (folder / "images").mkdir()
        (folder / "images" / "0.png").write_bytes(b"no image")
        return folder

    def test_skipped_and_said_once(self, source, caplog):
        clips = make(source, steps_per_epoch=10)
        numbers = np.concatenate([frame_numbers(chunk) for (chunk,) in clips])
        assert np.all(np.diff(numbers, axis=1) == 1)
        names = {os.path.relpath(path, source) for path in clips.skipped}
        assert names == {
            "garbage.mp4", "empty.mkv", "nothing.npy", "short.npy", "headless.mp4",
            "images",
        }  # fmt: skip
        assert clips.num_skipped == 6
        assert clips.num_videos == 2
        assert (
            clips.skipped[str(source / "short.npy")] == "it has 3 frames, and a clip 5"
        )
        messages = [r.getMessage() for r in caplog.records if r.name == "keras_regen"]
        assert len(messages) == 6
        assert {r.levelno for r in caplog.records} == {logging.WARNING}
        # As without them.
        for path in list(clips.skipped):
            os.rename(path, source.parent / os.path.basename(path))
        assert digests(make(source, steps_per_epoch=10)) == digests(clips)

    @pytest.mark.parametrize("sampling", ["random", "dense"])
    def test_broken_later(self, folder, sampling, caplog):
        """Whose header says nothing of it."""
        data = (folder / "a.npy").read_bytes()
        (folder / "a.npy").write_bytes(data[: len(data) // 2])
        options = {"sampling": sampling}
        if sampling == "random":
            options["steps_per_epoch"] = 12
        clips = make(folder, **options)
        expected = digests(clips)
        assert all(len(batch[0][1]) == 2 * 5 * 16 * 16 * 3 for batch in expected)
        assert list(clips.skipped.values()) == ["the file ends"]
        assert len(caplog.records) == 1
        # Not depending on what is known of it.
        assert digests(clips) == expected
        again = make(folder, **options)
        assert [digest(again[i]) for i in reversed(range(len(again)))][::-1] == expected
        assert digests(make(folder, **options, cache_bytes=10**6)) == expected

    def test_truncated_container(self, tmp_path, caplog):
        path = write(tmp_path / "half.mp4", moving_ramp(60, 32, 32))
        write(tmp_path / "whole.npy", numbered(20))
        whole = read(path)
        path.write_bytes(path.read_bytes()[: int(0.6 * path.stat().st_size)])
        clips = make(tmp_path, sampling="dense", size=32)
        assert "damaged after frame" in clips.skipped[str(path)]
        first = clips[0][0][0]
        np.testing.assert_array_equal(first, whole[:5])
        digests(clips)
        assert len(caplog.records) == 1

    def test_all_broken(self, tmp_path):
        for name in "abcd":
            (tmp_path / f"{name}.mp4").write_bytes(b"nothing")
        with pytest.raises(
            ValueError, match=r"4 videos; .*a\.mp4: it is not a.*1 more"
        ):
            make(tmp_path)
        with pytest.raises(ValueError, match="there is no such file"):
            make(tmp_path / "nowhere.mp4")

    def test_nothing_left_to_draw(self, folder):
        clips = make(folder)
        for name in ("a.npy", "b.npy"):
            os.truncate(folder / name, 200)
        with pytest.raises(ValueError, match=r"1000 clips.*a\.npy: the file ends"):
            clips[0]

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
    def test_forbidden(self, folder):
        (folder / "a.npy").chmod(0)
        assert list(make(folder).skipped.values()) == ["Permission denied"]

    def test_forbidden_by_the_system(self, folder, monkeypatch):
        def refuse(path):
            if path.endswith("a.npy"):
                raise PermissionError(13, "Permission denied")
            return opened(path)

        library = sys.modules[VideoLibrary.__module__]
        opened = library.open_access
        monkeypatch.setattr(library, "open_access", refuse)
        assert list(make(folder).skipped.values()) == ["Permission denied"]


def test_construction_reads_headers_alone(tmp_path, monkeypatch):
    for i in range(3):
        write(tmp_path / f"{i}.mp4", moving_ramp(12, 16, 16))
    indexed = []
    monkeypatch.setattr(VideoLibrary, "index", lambda self, path: indexed.append(path))
    assert make(tmp_path).num_videos == 3
    assert indexed == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sampling": "all"}, "sampling='all'"),
        ({"num_frames": 0}, "num_frames=0"),
        ({"margin": -1}, "margin=-1"),
        ({"seed": -1}, "seed=-1"),
        ({"steps_per_epoch": 0}, "steps_per_epoch=0"),
        ({"cache_bytes": -1}, "cache_bytes=-1"),
        ({"strides": ()}, r"strides=\(\)"),
        ({"strides": (0,)}, r"strides=\(0,\)"),
        ({"zoom": (0.5, 1)}, r"zoom=\(0.5, 1\)"),
        ({"zoom": (2, 1)}, r"zoom=\(2, 1\)"),
        ({"image_share": 1.5}, "image_share=1.5"),
        ({"shuffle": True}, "shuffle=True"),
        ({"size": 20}, "height=20"),
        ({"image_share": 0.5, "steps_per_epoch": 1}, "steps_per_epoch=1"),
        ({"sampling": "dense", "zoom": (1, 2)}, r"zoom=\(1, 2\)"),
        ({"sampling": "dense", "image_share": 0.5}, "image_share=0.5"),
        ({"sampling": "dense", "steps_per_epoch": 5}, "steps_per_epoch=5"),
        ({"sampling": "dense", "size": [Bucket(8, 8, 1)] * 2}, "size="),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=f"Received: {message}"):
        make(bundled_clip(), **arguments)


class TestFit:
    def test_mixed_shapes(self):
        clips = VideoClips(
            bundled_clip(),
            num_frames=5,
            size=[Bucket(16, 16, 2), Bucket(24, 32, 1)],
            margin=1,
            image_share=0.3,
            steps_per_epoch=5,
            workers=2,
        )
        shapes = {clips[i][0].shape[1:4] for i in range(5)}
        assert len(shapes) >= 3
        regen = make_regen()
        regen.compile(optimizer="adam")
        history = regen.fit(clips, epochs=2, verbose=0)
        # Keras takes, and counts, a batch before the first if a layer is not built.
        assert clips.epoch == 2
        assert np.all(np.isfinite(history.history["loss"]))

    def test_evaluate_and_validation(self):
        dense = VideoClips(bundled_clip(), 5, 16, batch_size=5, sampling="dense")
        assert [len(chunk) for (chunk,) in dense] == [5, 5, 2]
        regen = make_regen()
        regen.compile(optimizer="adam")
        assert regen.evaluate(dense, verbose=0) == regen.evaluate(dense, verbose=0)
        clips = VideoClips(
            bundled_clip(), 5, 16, batch_size=2, steps_per_epoch=2, workers=1
        )
        history = regen.fit(clips, validation_data=dense, verbose=0)
        assert np.isfinite(history.history["val_loss"][0])
