import io

import keras
import numpy as np
import pytest

from keras_regen.codec.frames import open_frames
from keras_regen.video import VideoReader, VideoWriter


def video(dtype="uint8", shape=(5, 9, 7, 3)):
    values = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    return values if dtype == "uint8" else (values / 127.5 - 1).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
def test_arrays_and_iterators(dtype):
    for source, count in ((video(dtype), 5), (list(video(dtype)), None)):
        with open_frames(source) as frames:
            assert (frames.fps, frames.count) == (25, count)
            np.testing.assert_array_equal(list(frames), video(dtype))
    with open_frames(iter(video(dtype)), fps=12) as frames:
        assert frames.fps == 12


@pytest.mark.parametrize("dtype", ["uint8", "float32", "bfloat16"])
def test_tensors(dtype):
    tensor = keras.ops.convert_to_tensor(video("uint8") // 128, dtype)
    if keras.backend.backend() == "torch" and dtype != "uint8":
        tensor.requires_grad_()
    for source in (tensor, iter(tensor)):
        with open_frames(source) as frames:
            assert frames.dtype == ("uint8" if dtype == "uint8" else "float32")
            np.testing.assert_array_equal(list(frames), video("uint8") // 128)


def test_files(tmp_path):
    path = tmp_path / "frames"
    with VideoWriter(path, 10) as writer:
        for frame in video():
            writer.write(frame)
    for source in (path, str(path)):
        with open_frames(source, fps=50) as frames:
            assert (frames.fps, frames.count) == (50, 5)
            np.testing.assert_array_equal(list(frames), video())
    with VideoReader(path, fps=12.5) as reader, open_frames(reader) as frames:
        assert frames.fps == 12.5
        np.testing.assert_array_equal(list(frames), video())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((9, 7, 3)), r"video.shape=\(9, 7, 3\)"),
        (np.zeros((1, 5, 9, 7, 3)), r"video.shape=\(1, 5, 9, 7, 3\)"),
        (np.zeros((5, 9, 7, 4)), r"video.shape=\(5, 9, 7, 4\)"),
        (np.zeros((0, 9, 7, 3)), r"video.shape=\(0, 9, 7, 3\)"),
        (np.zeros((5, 9, 7, 3), "int32"), "frame 0 with dtype=int32"),
        (np.full((5, 9, 7, 3), np.nan), "frame 0 with values from nan"),
        (np.full((5, 9, 7, 3), 3.0), "frame 0 with values from 3 to 3"),
        ([], "no frames"),
        ([np.zeros((9, 7))], r"frame 0 with shape=\(9, 7\)"),
        ([*video(), np.zeros((8, 7, 3), "uint8")], r"frame 5, uint8 of shape \(8, 7"),
        ([*video(), np.zeros((9, 7, 3))], "frame 5, float64 of shape"),
        (7, "Received: int"),
        (b"video.mp4", "temporary one. Received: bytes"),
        (io.BytesIO(b"video"), "temporary one. Received: BytesIO"),
        ({"video": video()}, "temporary one. Received: dict"),
        (["0.png", "1.png"], "path of their directory. Received: frame 0, '0.png'"),
    ],
)
def test_errors(source, message):
    with pytest.raises(ValueError, match=message), open_frames(source) as frames:
        list(frames)


@pytest.mark.parametrize("fps", [0, -5, float("inf"), "25", True])
def test_frame_rate(fps):
    with pytest.raises(ValueError, match=f"fps={fps!r}"), open_frames(video(), fps):
        pass
