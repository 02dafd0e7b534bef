import fractions

import av
import numpy as np
import pytest

from keras_regen.data.crop import Crop, Cropper
from keras_regen.video import UnreadableError, open_access
from tests.video.videos import moving_ramp, read, rotate, write

X264 = {"x264-params": "keyint=10:bframes=3:scenecut=0"}
OPEN_GOP = {"x264-params": "keyint=10:bframes=3:scenecut=0:open-gop=1"}


def noisy(num_frames=45, height=32, width=48):
    """Returns frames that no codec can skip."""
    noise = np.random.default_rng(0).integers(-20, 20, (num_frames, height, width, 3))
    return np.clip(moving_ramp(num_frames, height, width) + noise, 0, 255).astype(
        "uint8"
    )


def encode(path, codec, options=None, timestamps=None):
    """Writes a file with several keyframes."""
    video = noisy()
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, 25, options=options or {})
        stream.height, stream.width = video.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = 10
        for i, array in enumerate(video):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame.pts = timestamps[i] if timestamps is not None else i
            frame.time_base = fractions.Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def upright(frame):
    height, width = (
        frame.shape[:2]
        if isinstance(frame, np.ndarray)
        else (frame.height, frame.width)
        if round(frame.rotation / 90) % 2 == 0
        else (frame.width, frame.height)
    )
    return Cropper()(frame, Crop(height, width))


MAKERS = {
    "closed.mp4": lambda path: encode(path, "libx264", X264),
    "open.mov": lambda path: encode(path, "libx264", OPEN_GOP),
    "open.mkv": lambda path: encode(path, "libx264", OPEN_GOP),
    "transport.ts": lambda path: encode(path, "libx264", X264),
    "counted.avi": lambda path: encode(path, "libx264", X264),
    "altref.webm": lambda path: encode(path, "libvpx", {"auto-alt-ref": "1"}),
    "vp9.webm": lambda path: encode(path, "libvpx-vp9", {"deadline": "realtime"}),
    "mpeg4.mkv": lambda path: encode(path, "mpeg4"),
    "variable.mkv": lambda path: encode(
        path, "libx264", X264, timestamps=np.cumsum(np.arange(45) % 5 + 1)
    ),
    "raw_48x32_25.yuv": lambda path: encode(path, "rawvideo"),
    "stream_48x32_25.264": lambda path: encode(path, "libx264", X264),
    "one_keyframe.mp4": lambda path: write(path, noisy()),
    "rotated.mp4": lambda path: rotate(write(path, noisy())),
    "palette.gif": lambda path: write(path, noisy()),
    "images": lambda path: write(path, noisy()),
    "array.npy": lambda path: write(path, noisy()),
}


@pytest.mark.parametrize("name", MAKERS)
def test_any_order_gives_the_same_frames(tmp_path, name):
    path = MAKERS[name](tmp_path / name)
    expected = read(path)
    access = open_access(path)
    index = access.index()
    assert (index.num_frames, index.damage) == (len(expected), None)
    rng = np.random.default_rng(0)
    # Scattered and consecutive frames, across keyframes and up to the last frame.
    clips = [np.sort(rng.choice(45, 4, replace=False)) for _ in range(12)]
    clips += [np.arange(start, start + 6) for start in (39, 8, 17, 0, 25)]
    for positions in clips:
        frames = access.frames(positions, index)
        for position, frame in zip(positions, frames, strict=True):
            np.testing.assert_array_equal(
                upright(frame), expected[position], err_msg=f"{position}"
            )
    access.close()


@pytest.mark.parametrize("name", ["closed.mp4", "open.mkv", "vp9.webm", "mpeg4.mkv"])
def test_seeks_instead_of_decoding_from_the_start(tmp_path, name):
    access = open_access(MAKERS[name](tmp_path / name))
    index = access.index()
    assert len(index.keyframes) >= 4
    assert access.num_decoded == 0
    key = index.keyframes[-1]
    list(access.frames([key + 2], index))
    # An open group of pictures may yield leading frames with the keyframe.
    assert access.num_decoded <= 6
    before = access.num_decoded
    list(access.frames([key + 3, key + 4], index))
    assert access.num_decoded == before + 2
    # A frame further back.
    list(access.frames([1], index))
    assert access.num_decoded <= before + 2 + 2
    access.close()


def test_no_seek_to_a_keyframe_close_ahead(tmp_path):
    access = open_access(MAKERS["closed.mp4"](tmp_path / "closed.mp4"))
    index = access.index()
    positions = np.arange(5, 30)
    assert len(list(access.frames(positions, index))) == 25
    assert access.num_decoded == 30
    frames = access.frames([0, 1], index)
    next(frames)
    access.close()
    with pytest.raises(ValueError, match="The reader is closed"):
        next(frames)


@pytest.mark.parametrize("name", ["closed.mp4", "counted.avi", "array.npy"])
def test_index_is_the_same_after_reading(tmp_path, name):
    access = open_access(MAKERS[name](tmp_path / name))
    index = access.index()
    for positions in ([20], [44]):
        list(access.frames(positions, index))
        again = access.index()
        assert again.num_frames == 45
        np.testing.assert_array_equal(again.pts, index.pts)
    access.close()


def test_seek_past_the_frame(tmp_path):
    """Containers indexed by decoding time can seek too far."""
    access = open_access(MAKERS["closed.mp4"](tmp_path / "closed.mp4"))
    index = access.index()
    expected = read(tmp_path / "closed.mp4")
    later = index.pts[index.keyframes[-1]]

    class Container:
        def __init__(self, container):
            self._container = container

        def seek(self, timestamp, **kwargs):
            self._container.seek(int(later), **kwargs)

        def __getattr__(self, name):
            return getattr(self._container, name)

    access._container = Container(access._container)
    [frame] = access.frames([23], index)
    np.testing.assert_array_equal(upright(frame), expected[23])
    access.close()


class TestDamage:
    def test_damage_is_the_same_after_reading(self, tmp_path):
        path = MAKERS["closed.mp4"](tmp_path / "closed.mp4")
        whole = read(path)
        with av.open(str(path)) as container:
            packets = [p for p in container.demux(video=0) if p.size]
            starts = [p.pos for p in packets if p.is_keyframe]
            start, size = starts[1], packets[10].size
        data = bytearray(path.read_bytes())
        data[start + 8 : start + size] = bytes(
            b ^ 0x5A for b in data[start + 8 : start + size]
        )
        path.write_bytes(data)

        def attempt(access, position):
            try:
                [frame] = access.frames([position], index)
            except UnreadableError:
                return None
            return upright(frame)

        access = open_access(path)
        index = access.index()
        assert index.num_frames == 45
        fresh = []
        for position in range(45):
            new_access = open_access(path)
            fresh.append(attempt(new_access, position))
            new_access.close()
        good = [frame is not None for frame in fresh]
        assert all(good[:8]) and all(good[20:]) and not all(good)
        for position in [*range(45), *range(44, -1, -1), 5, 12, 21, 9, 20, 19, 30]:
            frame = attempt(access, position)
            assert (frame is not None) == good[position], position
            if frame is not None:
                np.testing.assert_array_equal(frame, whole[position])
        access.close()

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".gif"])
    def test_truncated_file_keeps_the_frames_before_the_cut(self, tmp_path, suffix):
        path = write(tmp_path / f"video{suffix}", noisy())
        whole = read(path)
        path.write_bytes(path.read_bytes()[: int(0.6 * path.stat().st_size)])
        access = open_access(path)
        index = access.index()
        assert 15 < index.num_frames < 45
        assert "damaged" in index.damage
        [frame] = access.frames([7], index)
        np.testing.assert_array_equal(upright(frame), whole[7])
        access.close()

    def test_missing_and_invalid_files(self, tmp_path):
        with pytest.raises(UnreadableError, match="there is no such file"):
            open_access(tmp_path / "nothing.mp4")
        path = tmp_path / "noise.mp4"
        path.write_bytes(bytes(range(256)) * 20)
        with pytest.raises(UnreadableError, match="it is not a video"):
            open_access(path)


def test_floats_have_256_levels(tmp_path):
    video = moving_ramp(5, 16, 16)
    path = write(tmp_path / "video.npy", (video / 127.5 - 1).astype("float32"))
    access = open_access(path)
    frames = list(access.frames([4, 4, 0], access.index()))
    np.testing.assert_array_equal(frames, video[[4, 4, 0]])
    access.close()
