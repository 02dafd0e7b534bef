import logging
import os
import sys

import numpy as np
import pytest

from keras_regen.data.video_library import VideoLibrary
from tests.data.clips import digest, digests, frame_numbers, make, numbered
from tests.video.videos import moving_ramp, read, write


def test_construction_only_reads_headers(tmp_path, monkeypatch):
    for i in range(3):
        write(tmp_path / f"{i}.mp4", moving_ramp(12, 16, 16))
    indexed = []
    monkeypatch.setattr(VideoLibrary, "index", lambda self, path: indexed.append(path))
    assert make(tmp_path).num_videos == 3
    assert indexed == []


@pytest.fixture
def source(folder):
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


def test_broken_files_are_skipped_and_logged_once(source, caplog):
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
    assert clips.skipped[str(source / "short.npy")] == "it has 3 frames, and a clip 5"
    messages = [r.getMessage() for r in caplog.records if r.name == "keras_regen"]
    assert len(messages) == 6
    assert {r.levelno for r in caplog.records} == {logging.WARNING}
    # The clips are the same without these files.
    for path in list(clips.skipped):
        os.rename(path, source.parent / os.path.basename(path))
    assert digests(make(source, steps_per_epoch=10)) == digests(clips)


@pytest.mark.parametrize("sampling", ["random", "dense"])
def test_damage_that_the_header_does_not_show(folder, sampling, caplog):
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
    # The clips are the same when the damage is already known.
    assert digests(clips) == expected
    again = make(folder, **options)
    assert [digest(again[i]) for i in reversed(range(len(again)))][::-1] == expected
    assert digests(make(folder, **options, cache_bytes=10**6)) == expected


def test_truncated_container(tmp_path, caplog):
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


def test_no_readable_video(tmp_path):
    for name in "abcd":
        (tmp_path / f"{name}.mp4").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"4 videos; .*a\.mp4: it is not a.*1 more"):
        make(tmp_path)
    with pytest.raises(ValueError, match="there is no such file"):
        make(tmp_path / "nowhere.mp4")


def test_no_readable_clip(folder):
    clips = make(folder)
    for name in ("a.npy", "b.npy"):
        os.truncate(folder / name, 200)
    with pytest.raises(ValueError, match=r"1000 clips.*a\.npy: the file ends"):
        clips[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_file_without_permission(folder):
    (folder / "a.npy").chmod(0)
    assert list(make(folder).skipped.values()) == ["Permission denied"]


def test_permission_error_of_the_system(folder, monkeypatch):
    def refuse(path):
        if path.endswith("a.npy"):
            raise PermissionError(13, "Permission denied")
        return opened(path)

    library = sys.modules[VideoLibrary.__module__]
    opened = library.open_access
    monkeypatch.setattr(library, "open_access", refuse)
    assert list(make(folder).skipped.values()) == ["Permission denied"]


def test_hostile_files_are_skipped_with_a_reason(folder):
    os.mkfifo(folder / "pipe.mp4")
    os.mkfifo(folder / "pipe.npy")
    (folder / "device.mp4").symlink_to("/dev/zero")
    (folder / "list.mp4").write_text("ffconcat version 1.0\nfile a.npy\n")
    (folder / "raw_9999x9999_25.yuv").touch()
    clips = make(folder, steps_per_epoch=4)
    reasons = {os.path.basename(path): why for path, why in clips.skipped.items()}
    assert reasons == {
        "pipe.mp4": "it is a named pipe, not a file",
        "pipe.npy": "it is a named pipe, not a file",
        "device.mp4": "it is a device, not a file",
        "list.mp4": "it is not a video: it is a playlist (ffconcat)",
        "raw_9999x9999_25.yuv": "its frames have 9999x9999 pixels, and the limit is "
        "max_pixels=35651584",
    }
    assert len(digests(clips)) == 4


def test_raw_video_of_a_billion_frames(tmp_path):
    with (tmp_path / "sparse_16x16_25.yuv").open("wb") as file:
        file.truncate(384 * 10**9)
    clips = make(tmp_path, sampling="dense")
    assert len(clips) == 10**8
    [(first,), (last,)] = clips[0], clips[len(clips) - 1]
    assert first.shape == last.shape == (2, 5, 16, 16, 3)
