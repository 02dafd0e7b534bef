import av
import imageio.v3 as iio
import numpy as np
import PIL.Image
import pytest

from keras_regen.video import VideoReader
from tests.video.videos import CLIP, moving_ramp, read, write


class TestReader:
    def test_iterating_continues(self):
        with VideoReader(CLIP) as reader:
            first = next(iter(reader))
            rest = list(reader)
        assert len(rest) == 59
        assert np.any(first != rest[0])

    @pytest.mark.parametrize("name", ["video.mp4", "video.gif", "video.npy", "images"])
    def test_closed(self, tmp_path, name):
        path = write(tmp_path / name, moving_ramp(20, 32, 48))
        unread = VideoReader(path)
        with VideoReader(path) as reader:
            frames = iter(reader)
            next(frames)
        unread.close()
        for rest in (frames, unread):
            with pytest.raises(ValueError, match="the reader is closed.*path="):
                next(iter(rest))

    def test_missing_file(self, tmp_path):
        with pytest.raises(ValueError, match=r"there is no such file.*nothing\.mp4"):
            VideoReader(tmp_path / "nothing.mp4")

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("empty.mp4", b""),
            ("noise.npy", b"no array" * 20),
            ("noise.mp4", bytes(range(256)) * 20),
            ("notes.txt", b"not a video\n" * 100),
        ],
    )
    def test_not_a_video(self, tmp_path, name, data):
        path = tmp_path / name
        path.write_bytes(data)
        reason = "it is not (a video|an .npy file)"
        message = rf"{reason}.* Received: path=.*{name}"
        with pytest.raises(ValueError, match=message):
            VideoReader(path)

    def test_sound_alone(self, tmp_path):
        path = tmp_path / "sound.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("pcm_s16le", 8000, layout="mono")
            sound = np.zeros((1, 800), "int16")
            frame = av.AudioFrame.from_ndarray(sound, "s16", "mono")
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        with pytest.raises(ValueError, match="it has no video stream"):
            VideoReader(path)

    def test_truncated_video_says_where(self, tmp_path):
        path = tmp_path / "half.mp4"
        data = CLIP.read_bytes()
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

    def test_damaged_frame_is_not_returned(self, tmp_path):
        path = tmp_path / "damaged.mp4"
        data = bytearray(CLIP.read_bytes())
        for i in range(len(data) // 2, len(data), 500):
            data[i] ^= 0xFF
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"damaged at frame \d+"):
            read(path)


class TestDamage:
    """Files that are damaged in the middle."""

    SUFFIXES = (".mp4", ".mkv", ".webm", ".gif", ".npy")

    @pytest.mark.parametrize("suffix", SUFFIXES)
    @pytest.mark.parametrize("share", [0.5, 0.9])
    def test_truncated(self, tmp_path, suffix, share):
        video = moving_ramp(60, 32, 48)
        path = write(tmp_path / f"video{suffix}", video)
        whole = read(path)
        data = path.read_bytes()
        path.write_bytes(data[: int(share * len(data))])
        with VideoReader(path, partial=True) as reader:
            part = np.stack(list(reader))
        assert 0 < len(part) < 60
        # B-frames near the cut may be lost, but not the first frames.
        first = len(part) // 2
        np.testing.assert_array_equal(part[:first], whole[:first])
        message = f"it is damaged at frame {len(part)}: "
        assert reader.damage.startswith(message)
        with pytest.raises(ValueError, match=message):
            read(path)

    def test_truncated_image(self, tmp_path):
        path = write(tmp_path / "frames", moving_ramp(5, 32, 48))
        image = path / "000003.png"
        image.write_bytes(image.read_bytes()[:100])
        with pytest.raises(ValueError, match=r"damaged at frame 3: 000003\.png: "):
            read(path)
        with VideoReader(path, partial=True) as reader:
            assert len(list(reader)) == 3
        assert "000003.png" in reader.damage

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_whole(self, tmp_path, suffix):
        path = write(tmp_path / f"video{suffix}", moving_ramp(20, 32, 48))
        with VideoReader(path, partial=True) as reader:
            assert len(list(reader)) == 20
        assert reader.damage is None

    def test_damage_at_the_first_frame(self, tmp_path):
        path = write(tmp_path / "frames", moving_ramp(2, 32, 48))
        (path / "000000.png").write_bytes(b"nothing")
        with pytest.raises(ValueError, match="damaged at frame 0"):
            VideoReader(path, partial=True)


class TestImages:
    def test_images_are_ordered_by_their_last_number(self, tmp_path):
        video = moving_ramp(12, 16, 16)
        for number, frame in enumerate(video):
            iio.imwrite(tmp_path / f"shot2_{number}_left.png", frame)
        (tmp_path / "notes.txt").write_text("not an image")
        # macOS writes such a file next to each one, on disks of other systems.
        (tmp_path / "._shot2_0_left.png").write_bytes(b"no image")
        np.testing.assert_array_equal(read(tmp_path), video)

    def test_grey_palette_and_alpha(self, tmp_path):
        frame = np.full((16, 16, 3), 204, "uint8")
        alpha = np.full((16, 16, 1), 255, "uint8")
        iio.imwrite(tmp_path / "0.png", frame[..., 0])
        iio.imwrite(tmp_path / "1.png", np.concatenate([frame, alpha], axis=-1))
        PIL.Image.fromarray(frame).convert("P").save(tmp_path / "2.png")
        result = read(tmp_path)
        assert result.shape == (3, 16, 16, 3)
        assert np.all(result == 204)

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            ([], "the directory has no images"),
            (["cover.png"], r"its image cover\.png has no number"),
            (["a1.png", "b1.png"], r"a1\.png and b1\.png have one number"),
        ],
    )
    def test_directories_that_are_not_videos(self, tmp_path, names, message):
        for name in names:
            iio.imwrite(tmp_path / name, np.zeros((8, 8, 3), "uint8"))
        with pytest.raises(ValueError, match=message):
            VideoReader(tmp_path)

    def test_images_of_different_sizes(self, tmp_path):
        iio.imwrite(tmp_path / "0.png", np.zeros((8, 8, 3), "uint8"))
        iio.imwrite(tmp_path / "1.png", np.zeros((8, 9, 3), "uint8"))
        with pytest.raises(ValueError, match="frame 1: it is 8x9 pixels after"):
            read(tmp_path)

    def test_sixteen_bits(self, tmp_path):
        iio.imwrite(tmp_path / "0.png", np.zeros((8, 8), "uint16"))
        with pytest.raises(ValueError, match="8 bits a channel, it is uint16"):
            VideoReader(tmp_path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 8, 8)), r"its shape is \(4, 8, 8\)"),
        (np.zeros((4, 8, 8, 1)), r"its shape is \(4, 8, 8, 1\)"),
        (np.zeros((0, 8, 8, 3)), "it has no frames"),
        (np.zeros((4, 8, 8, 3), "int64"), "its dtype is int64"),
        (np.zeros((3, 8, 8, 4)).T, "Fortran"),
    ],
)
def test_arrays_that_are_not_videos(tmp_path, array, message):
    np.save(tmp_path / "video.npy", array)
    with pytest.raises(ValueError, match=message):
        VideoReader(tmp_path / "video.npy")


@pytest.mark.parametrize("fps", [0, -1.0, float("nan")])
def test_frame_rate(fps):
    with pytest.raises(ValueError, match=f"Received: fps={fps}"):
        VideoReader(CLIP, fps)
