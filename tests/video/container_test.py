import av
import numpy as np
import pytest

from keras_regen.data.crop import Crop, Cropper
from keras_regen.video import VideoReader, open_access
from tests.video.videos import read

# Colour bars in (R, G, B), and in (Y, Cb, Cr) of BT.709 and BT.601 in limited range.
COLOURS = [(255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]
BT709 = [(235, 128, 128), (63, 102, 240), (173, 42, 26), (32, 240, 118), (219, 16, 138)]
BT601 = [(235, 128, 128), (81, 90, 240), (145, 54, 34), (41, 240, 110), (210, 16, 146)]


def bars(codes, height, width):
    """Returns a frame of vertical bars: planes Y, Cb and Cr."""
    planes = []
    for plane, (rows, columns) in enumerate(
        [(height, width), *[(height // 2, width // 2)] * 2]
    ):
        bar = np.arange(columns) * len(codes) // columns
        row = np.array(codes, "uint8")[bar, plane]
        planes.append(np.broadcast_to(row, (rows, columns)))
    return planes


def write_raw(path, frames):
    path.write_bytes(b"".join(plane.tobytes() for planes in frames for plane in planes))
    return path


def write_h264(path, frames):
    height, width = frames[0][0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for planes in frames:
            array = np.concatenate([plane.ravel() for plane in planes])
            array = array.reshape(height * 3 // 2, width)
            frame = av.VideoFrame.from_ndarray(array, format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def assert_is_bars(frame):
    width = frame.shape[1]
    for i, colour in enumerate(COLOURS):
        middle = (2 * i + 1) * width // (2 * len(COLOURS))
        pixels = frame[:, middle - 1 : middle + 1].reshape(-1, 3).astype(int)
        assert np.abs(pixels - colour).max() <= 4, colour


def grey_frames(num_frames, height, width):
    """Returns grey frames, each of another brightness."""
    half = (-(-height // 2), -(-width // 2))
    return [
        [
            np.full((height, width), 30 + 10 * i % 200, "uint8"),
            *[np.full(half, 128, "uint8")] * 2,
        ]
        for i in range(num_frames)
    ]


@pytest.mark.parametrize("size", [(32, 48), (31, 47)])
def test_size_and_frame_rate_come_from_the_name(tmp_path, size):
    height, width = size
    name = f"videoSRC01_{width}x{height}_30.yuv"
    path = write_raw(tmp_path / name, grey_frames(3, height, width))
    with VideoReader(path) as reader:
        assert (reader.fps, reader.num_frames) == (30.0, 3)
        assert (reader.height, reader.width) == (height, width)
        frames = np.stack(list(reader)).astype(int)
    expected = (np.array([30, 40, 50]) - 16) * 255 / 219
    np.testing.assert_allclose(frames[:, 5, 7, 0], expected, atol=1.5)
    assert np.ptp(frames, axis=(1, 2)).max() == 0


@pytest.mark.parametrize(
    ("name", "fps"),
    [
        ("clip_16x16_23.976.yuv", 23.976),
        ("Beauty_16x16_120fps_420_8bit_YUV.yuv", 120.0),
        ("clip_400x16_24.yuv", 24.0),
        # Neither name nor file has a frame rate, so it is that of images.
        ("clip_16x16.YUV", 25.0),
    ],
)
def test_names(tmp_path, name, fps):
    width = 400 if "400" in name else 16
    path = write_raw(tmp_path / name, grey_frames(2, 16, width))
    with VideoReader(path) as reader:
        assert reader.fps == pytest.approx(fps)
        assert len(list(reader)) == 2


@pytest.mark.parametrize("suffix", [".264", ".h264"])
def test_elementary_stream(tmp_path, suffix):
    frames = grey_frames(4, 32, 48)
    path = write_h264(tmp_path / f"videoSRC01_48x32_30_qp_00{suffix}", frames)
    with VideoReader(path) as reader:
        assert reader.fps == 30.0
        levels = np.stack(list(reader))[:, 0, 0, 0].astype(int)
    np.testing.assert_allclose(np.diff(levels), 10 * 255 / 219, atol=1.5)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("video.yuv", 384, "must tell its size, as in NAME_1920x1080_30.yuv"),
        ("video_0x16_30.yuv", 384, "must tell its size"),
        ("video_16x16_30.yuv", 384 + 5, "a frame of 16x16 is 384 bytes.*and 5 bytes"),
        ("video_16x16_30.yuv", 0, "0 are 0 frames"),
        ("video_16x16_30_10bit.yuv", 768, "4:2:0 of 8 bits"),
        ("video_16x16_30_yuv444p.yuv", 768, "4:2:0 of 8 bits"),
        ("video_16x16_30.264", 300, "not a video|no frames|no picture"),
    ],
)
def test_errors(tmp_path, name, size, message):
    path = tmp_path / name
    path.write_bytes(bytes([7]) * size)
    with pytest.raises(ValueError, match=f"(?:{message}).* Received: path=.*{name}"):
        VideoReader(path)


@pytest.mark.parametrize("write", [write_raw, write_h264])
@pytest.mark.parametrize(
    ("codes", "height", "width"), [(BT709, 720, 1280), (BT601, 240, 320)]
)
def test_untagged_colours_are_guessed_by_size(tmp_path, write, codes, height, width):
    suffix = ".yuv" if write is write_raw else ".264"
    frames = [bars(codes, height, width)] * 2
    path = write(tmp_path / f"bars_{width}x{height}_25{suffix}", frames)
    assert_is_bars(read(path)[1])
    access = open_access(path)
    [frame] = access.frames([1], access.index())
    assert_is_bars(Cropper()(frame, Crop(height, width)))
    # Converted and scaled in one step.
    assert_is_bars(Cropper()(frame, Crop(height // 2, width // 2)))
    access.close()
