import struct

import numpy as np
import pytest

from keras_regen.data import VideoReader, VideoWriter, bundled_clip


def moving_ramp(num_frames, height, width):
    """Smooth colours that differ from frame to frame, which codecs keep well."""
    t, y, x, c = np.meshgrid(
        np.arange(num_frames),
        np.arange(height),
        np.arange(width),
        np.arange(3),
        indexing="ij",
    )
    waves = np.sin(0.07 * x + 0.3 * t + c) + np.cos(0.05 * y - 0.2 * t + 2 * c)
    return np.rint(127.5 + 60 * waves).astype("uint8")


def write(path, video, fps=25):
    with VideoWriter(path, fps) as writer:
        for frame in video:
            writer.write(frame)
    return path


def read(path):
    with VideoReader(path) as reader:
        return np.stack(list(reader))


class TestRoundTrip:
    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".gif"])
    @pytest.mark.parametrize("size", [(1, 1), (17, 31), (32, 48), (32, 47)])
    def test_every_frame_comes_back_in_its_size(self, tmp_path, suffix, size):
        video = moving_ramp(7, *size)
        path = write(tmp_path / f"video{suffix}", video)
        with VideoReader(path) as reader:
            assert (reader.height, reader.width) == size
            # A GIF's delays are whole hundredths of a second: 4 at this rate.
            assert reader.fps == pytest.approx(25)
            assert reader.num_frames == 7
            result = np.stack(list(reader))
        assert result.shape == video.shape
        error = np.abs(result.astype(int) - video).mean()
        assert error < (8 if suffix == ".gif" else 3)

    def test_colours_are_exact(self, tmp_path):
        patches = np.zeros((3, 32, 64, 3), "uint8")
        patches[:, :, :32], patches[:, :, 32:] = (200, 30, 90), (10, 220, 240)
        result = read(write(tmp_path / "video.mp4", patches))
        interior = np.abs(result.astype(int) - patches)[:, 4:-4, [4, 16, 48, 60]]
        assert interior.max() <= 3

    def test_fractional_frame_rate(self, tmp_path):
        path = write(tmp_path / "v.mp4", moving_ramp(4, 16, 16), fps=30000 / 1001)
        with VideoReader(path) as reader:
            assert reader.fps == pytest.approx(30000 / 1001, abs=1e-9)

    def test_gif_plays_as_long_as_it_should(self, tmp_path):
        path = write(tmp_path / "v.gif", moving_ramp(30, 16, 16), fps=30)
        data = path.read_bytes()
        delays = [
            int.from_bytes(part[2:4], "little") for part in data.split(b"\x21\xf9")[1:]
        ]
        assert len(delays) == 30
        assert sum(delays) == pytest.approx(100, abs=3)

    def test_rotated_video_comes_upright(self, tmp_path):
        path = write(tmp_path / "video.mp4", moving_ramp(2, 16, 32))
        upright = read(path)
        data = bytearray(path.read_bytes())
        # The track's display matrix: a quarter turn clockwise, as phones record.
        matrix = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
        start = data.index(b"tkhd") + 44
        data[start : start + 36] = matrix
        path.write_bytes(data)
        with VideoReader(path) as reader:
            assert (reader.height, reader.width) == (32, 16)
            np.testing.assert_array_equal(
                np.stack(list(reader)), np.rot90(upright, -1, axes=(1, 2))
            )


class TestReader:
    def test_frames_after_a_first_look(self):
        with VideoReader(bundled_clip()) as reader:
            first = next(iter(reader))
            rest = list(reader)
        assert len(rest) == 59
        assert np.any(first != rest[0])

    def test_bundled_clip(self):
        assert bundled_clip().stat().st_size < 600_000
        assert (bundled_clip().parent / "ATTRIBUTION.md").is_file()
        with VideoReader(bundled_clip()) as reader:
            assert (reader.fps, reader.num_frames) == (25.0, 60)
            frames = np.stack(list(reader)).astype(int)
        assert frames.shape == (60, 128, 228, 3)
        # Something moves, and nothing cuts. The film's 24 frames/s repeat one a second.
        change = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
        assert 1 < np.median(change) and change.max() < 20

    def test_missing_file(self, tmp_path):
        with pytest.raises(ValueError, match=r"there is no such file.*nothing\.mp4"):
            VideoReader(tmp_path / "nothing.mp4")

    def test_directory(self, tmp_path):
        with pytest.raises(ValueError, match="it is a directory"):
            VideoReader(tmp_path)

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("empty.mp4", b""),
            ("noise.mp4", bytes(range(256)) * 20),
            ("notes.txt", b"not a video\n" * 100),
        ],
    )
    def test_not_a_video(self, tmp_path, name, data):
        path = tmp_path / name
        path.write_bytes(data)
        message = rf"it is (not a video|a text file).* Received: path=.*{name}"
        with pytest.raises(ValueError, match=message):
            VideoReader(path)

    def test_sound_alone(self, tmp_path):
        path = tmp_path / "sound.wav"
        samples = np.zeros(800, "<i2").tobytes()
        path.write_bytes(
            b"RIFF"
            + struct.pack("<I", 36 + len(samples))
            + b"WAVEfmt "
            + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
            + b"data"
            + struct.pack("<I", len(samples))
            + samples
        )
        with pytest.raises(ValueError, match="it has no video stream"):
            VideoReader(path)

    def test_truncated_video_says_where(self, tmp_path):
        path = tmp_path / "half.mp4"
        data = bundled_clip().read_bytes()
        path.write_bytes(data[: len(data) // 2])
        seen = 0
        with (
            VideoReader(path) as reader,
            pytest.raises(ValueError, match=r"damaged at frame \d+") as caught,
        ):
            for _ in reader:
                seen += 1
        assert 0 < seen < 60
        assert f"frame {seen}" in str(caught.value)
        assert str(path) in str(caught.value)

    def test_damaged_picture_is_not_passed_on(self, tmp_path):
        path = tmp_path / "damaged.mp4"
        data = bytearray(bundled_clip().read_bytes())
        for i in range(len(data) // 2, len(data), 500):
            data[i] ^= 0xFF
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"damaged at frame \d+"):
            read(path)


class TestWriter:
    def test_nothing_appears_before_the_end(self, tmp_path):
        path = tmp_path / "video.mp4"
        with VideoWriter(path, 25) as writer:
            for frame in moving_ramp(3, 16, 16):
                writer.write(frame)
            assert not path.exists()
        assert [p.name for p in tmp_path.iterdir()] == ["video.mp4"]

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".gif"])
    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_an_error_leaves_the_destination_alone(self, tmp_path, suffix, error):
        path = tmp_path / f"video{suffix}"
        path.write_bytes(b"what was there")
        with pytest.raises(error), VideoWriter(path, 25) as writer:
            writer.write(moving_ramp(1, 16, 16)[0])
            raise error
        assert path.read_bytes() == b"what was there"
        assert list(tmp_path.iterdir()) == [path]

    def test_no_frames(self, tmp_path):
        with (
            pytest.raises(ValueError, match="no frame was written"),
            VideoWriter(tmp_path / "video.mp4", 25),
        ):
            pass
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["video.avi", "video", "video.mp4.txt"])
    def test_unknown_suffix(self, tmp_path, name):
        with pytest.raises(ValueError, match=r"\.gif, \.mkv, \.mp4"):
            VideoWriter(tmp_path / name, 25)
        assert list(tmp_path.iterdir()) == []

    def test_directory_that_is_not_there(self, tmp_path):
        path = tmp_path / "nowhere" / "video.mp4"
        with pytest.raises(ValueError, match=rf"Cannot write .*Received: path={path}"):
            VideoWriter(path, 25)

    def test_destination_is_a_directory(self, tmp_path):
        (tmp_path / "video.mp4").mkdir()
        with pytest.raises(ValueError, match="it is a directory"):
            VideoWriter(tmp_path / "video.mp4", 25)

    @pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
    def test_frame_rate(self, tmp_path, fps):
        with pytest.raises(ValueError, match=f"Received: fps={fps}"):
            VideoWriter(tmp_path / "video.mp4", fps)

    @pytest.mark.parametrize(
        "frame",
        [
            np.zeros((16, 18, 3), "uint8"),
            np.zeros((16, 16, 3), "float32"),
            np.zeros((16, 16), "uint8"),
            np.zeros((16, 16, 4), "uint8"),
            np.zeros((0, 16, 3), "uint8"),
        ],
    )
    def test_frames_that_do_not_fit(self, tmp_path, frame):
        with (
            pytest.raises(ValueError, match=r"Received: frame\."),
            VideoWriter(tmp_path / "video.mp4", 25) as writer,
        ):
            writer.write(np.zeros((16, 16, 3), "uint8"))
            writer.write(frame)
        assert list(tmp_path.iterdir()) == []
