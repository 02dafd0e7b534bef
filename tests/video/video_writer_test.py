import gc
import resource

import numpy as np
import pytest

from keras_regen.data.crop import Crop, Cropper
from keras_regen.video import VideoReader, VideoWriter, open_access
from tests.video.videos import moving_ramp, read, rotate, write


class TestRoundTrip:
    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".gif"])
    @pytest.mark.parametrize("size", [(1, 1), (17, 31), (32, 48), (32, 47)])
    def test_frames_keep_their_number_and_size(self, tmp_path, suffix, size):
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

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
    def test_fractional_frame_rate(self, tmp_path, suffix):
        path = tmp_path / f"v{suffix}"
        write(path, moving_ramp(4, 16, 16), fps=30000 / 1001)
        with VideoReader(path) as reader:
            assert reader.fps == pytest.approx(30000 / 1001, abs=1e-9)

    @pytest.mark.parametrize("name", ["frames", "video.npy"])
    def test_lossless_formats(self, tmp_path, name):
        video = moving_ramp(12, 17, 31)
        path = write(tmp_path / name, video)
        np.testing.assert_array_equal(read(path), video)
        with VideoReader(path, fps=12.5) as reader:
            assert (reader.fps, reader.num_frames) == (12.5, 12)

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_floats(self, tmp_path, dtype):
        video = (moving_ramp(5, 17, 31) / 127.5 - 1).astype(dtype)
        path = write(tmp_path / "video.npy", video)
        with VideoReader(path) as reader:
            assert reader.dtype == dtype
        result = read(path)
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, video)
        # NumPy reads the file, and a file of NumPy, even in big-endian, is read.
        np.testing.assert_array_equal(np.load(path), video)
        np.save(path, video.astype(video.dtype.newbyteorder(">")))
        np.testing.assert_array_equal(read(path), video)
        # Other formats have 256 levels.
        frames = read(write(tmp_path / "frames", video))
        np.testing.assert_array_equal(frames, moving_ramp(5, 17, 31))

    def test_duration_of_gif(self, tmp_path):
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
        with VideoReader(rotate(path)) as reader:
            assert (reader.height, reader.width) == (32, 16)
            np.testing.assert_array_equal(
                np.stack(list(reader)), np.rot90(upright, -1, axes=(1, 2))
            )

    @pytest.mark.parametrize(
        ("turn", "expected"),
        [
            ((-1, 0, 0, -1), lambda frames: frames[:, ::-1, ::-1]),
            ((-1, 0, 0, 1), lambda frames: frames[:, :, ::-1]),
            ((1, 0, 0, -1), lambda frames: frames[:, ::-1]),
            ((0, 1, 1, 0), lambda frames: frames.transpose(0, 2, 1, 3)),
            ((0, -1, 1, 0), lambda frames: np.rot90(frames, 1, axes=(1, 2))),
        ],
    )
    def test_turned_and_mirrored_video(self, tmp_path, turn, expected):
        path = write(tmp_path / "video.mp4", moving_ramp(2, 16, 32))
        frames = expected(read(path))
        np.testing.assert_array_equal(read(rotate(path, turn)), frames)
        access = open_access(path)
        [frame] = access.frames([1], access.index())
        crop = Crop(*frames.shape[1:3])
        np.testing.assert_array_equal(Cropper()(frame, crop), frames[1])
        access.close()


class TestWriter:
    def test_nothing_appears_before_the_end(self, tmp_path):
        path = tmp_path / "video.mp4"
        with VideoWriter(path, 25) as writer:
            for frame in moving_ramp(3, 16, 16):
                writer.write(frame)
            assert not path.exists()
        assert [p.name for p in tmp_path.iterdir()] == ["video.mp4"]

    def test_without_a_with_block(self, tmp_path):
        frames = moving_ramp(3, 16, 16)
        writer = VideoWriter(tmp_path / "video.npy", 25)
        for frame in frames:
            writer.write(frame)
        for _ in range(2):
            writer.close()
            np.testing.assert_array_equal(read(writer.path), frames)
        with pytest.raises(ValueError, match="the writer is closed. Received: path="):
            writer.write(frames[0])
        writer = VideoWriter(tmp_path / "video.npy", 25)
        with pytest.warns(ResourceWarning, match="not closed: .*video.npy"):
            del writer
            gc.collect()

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".gif", ".npy"])
    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_an_error_leaves_the_destination_alone(self, tmp_path, suffix, error):
        path = tmp_path / f"video{suffix}"
        path.write_bytes(b"earlier content")
        with pytest.raises(error), VideoWriter(path, 25) as writer:
            writer.write(moving_ramp(1, 16, 16)[0])
            raise error
        assert path.read_bytes() == b"earlier content"
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_an_error_leaves_no_directory(self, tmp_path, error):
        with pytest.raises(error), VideoWriter(tmp_path / "frames", 25) as writer:
            writer.write(moving_ramp(1, 16, 16)[0])
            raise error
        assert list(tmp_path.iterdir()) == []

    def test_a_directory_is_never_overwritten(self, tmp_path):
        directory = tmp_path / "frames"
        directory.mkdir()
        write(directory, moving_ramp(2, 16, 16))
        names = [f"{i:06d}.png" for i in range(2)]
        assert sorted(p.name for p in directory.iterdir()) == names
        with pytest.raises(ValueError, match="the directory is not empty"):
            VideoWriter(directory, 25)

    def test_no_frames(self, tmp_path):
        with (
            pytest.raises(ValueError, match="no frame was written"),
            VideoWriter(tmp_path / "video.mp4", 25),
        ):
            pass
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["video.avi", "video.mp4.txt"])
    def test_unknown_suffix(self, tmp_path, name):
        with pytest.raises(ValueError, match=r"\.gif, \.mkv, \.mp4, \.webm, \.npy"):
            VideoWriter(tmp_path / name, 25)
        assert list(tmp_path.iterdir()) == []

    def test_missing_directory(self, tmp_path):
        path = tmp_path / "nowhere" / "video.mp4"
        with pytest.raises(ValueError, match=rf"Cannot write .*Received: path={path}"):
            VideoWriter(path, 25)

    def test_destination_is_a_directory(self, tmp_path):
        (tmp_path / "video.mp4").mkdir()
        with pytest.raises(ValueError, match="it is a directory"):
            VideoWriter(tmp_path / "video.mp4", 25)

    @pytest.mark.parametrize("fps", [np.float32(24), np.int64(24)])
    def test_frame_rates_of_numpy(self, tmp_path, fps):
        write(tmp_path / "video.mp4", moving_ramp(3, 16, 16), fps)
        with VideoReader(tmp_path / "video.mp4") as reader:
            assert reader.fps == 24

    @pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
    def test_frame_rate(self, tmp_path, fps):
        with pytest.raises(ValueError, match=f"Received: fps={fps}"):
            VideoWriter(tmp_path / "video.mp4", fps)

    @pytest.mark.parametrize(
        "frame",
        [
            np.zeros((16, 18, 3), "uint8"),
            np.zeros((16, 16, 3), "float32"),
            np.zeros((16, 16, 3), "int32"),
            np.zeros((16, 16), "uint8"),
            np.zeros((16, 16, 4), "uint8"),
            np.zeros((0, 16, 3), "uint8"),
        ],
    )
    def test_bad_frames(self, tmp_path, frame):
        with (
            pytest.raises(ValueError, match=r"Received: frame\."),
            VideoWriter(tmp_path / "video.mp4", 25) as writer,
        ):
            writer.write(np.zeros((16, 16, 3), "uint8"))
            writer.write(frame)
        assert list(tmp_path.iterdir()) == []


def test_a_full_disk_while_images_are_written(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))
    try:
        with pytest.raises(ValueError, match="Cannot write the video: File too large"):
            write(tmp_path / "images", moving_ramp(2, 16, 16))
        # Destructors, of which pytest reports the errors.
        gc.collect()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
