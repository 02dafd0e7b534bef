"""Files that hang, read other files or claim sizes that they do not have."""

import contextlib
import os
import socket
import struct
import sys

import av
import imageio.v3 as iio
import numpy as np
import pytest

from keras_regen.video import VideoReader, find_videos, open_access
from tests.video.videos import moving_ramp, read, write

PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:0.2,\n{}\n#EXT-X-ENDLIST\n"


def refused(path, message, **kwargs):
    with pytest.raises(ValueError, match=message) as caught:
        VideoReader(path, **kwargs)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def transport(tmp_path):
    """A video that FFmpeg reads through a playlist."""
    path = tmp_path / "inner.ts"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", 25)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
        for array in moving_ramp(5, 32, 32):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert len(read(path)) == 5
    return path


class TestOtherFiles:
    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("list.mp4", "ffconcat version 1.0\nfile inner.ts\n", "playlist .ffconcat"),
            ("list.ffconcat", "ffconcat version 1.0\nfile inner.ts\n", "ffconcat"),
            ("list.m3u8", PLAYLIST.format("inner.ts"), "playlist .M3U"),
            ("list.m3u8", PLAYLIST.format("file://{}"), "playlist .M3U"),
            ("list.sdp", "v=0\nm=video 5004 RTP/AVP 96\nc=IN IP4 127.0.0.1\n", "SDP"),
        ],
    )
    def test_playlists_are_refused(self, tmp_path, transport, name, text, message):
        path = tmp_path / name
        path.write_text(text.replace("{}", str(transport)))
        refused(path, message)
        with pytest.raises(Exception, match=message):
            open_access(path)

    def test_formats_that_are_not_supported(self, tmp_path):
        path = tmp_path / "notes.srt"
        path.write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n\n" * 3)
        refused(path, "its format is not supported")

    def test_what_stays_supported(self, tmp_path, transport):
        video = moving_ramp(3, 32, 32)
        for suffix in (".png", ".jpg", ".bmp", ".tiff", ".webp"):
            path = tmp_path / f"image{suffix}"
            iio.imwrite(path, video[0])
            assert read(path).shape == (1, 32, 32, 3)
        iio.imwrite(tmp_path / "animation.png", video, plugin="pillow")
        np.testing.assert_array_equal(read(tmp_path / "animation.png"), video)
        codecs = {
            **{".avi": "mpeg4", ".flv": "flv", ".mov": "mjpeg", ".mpg": "mpeg2video"},
            **{".mxf": "mpeg2video", ".ogv": "libtheora", ".wmv": "wmv2"},
            **{".nut": "ffv1", ".y4m": "wrapped_avframe", ".ivf": "libvpx"},
            **{".mjpeg": "mjpeg", ".m4v": "mpeg4", ".3gp": "mpeg4", ".265": "libx265"},
        }
        for suffix, codec in codecs.items():
            path = tmp_path / f"video{suffix}"
            with contextlib.suppress(av.codec.codec.UnknownCodecError):
                with av.open(str(path), "w") as container:
                    stream = container.add_stream(codec, 25)
                    stream.height, stream.width = 32, 32
                    stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
                    for array in video:
                        frame = av.VideoFrame.from_ndarray(array, format="rgb24")
                        container.mux(
                            stream.encode(frame.reformat(format=stream.pix_fmt))
                        )
                    container.mux(stream.encode(None))
                assert read(path).shape == video.shape, suffix


class TestNotFiles:
    """Opening them would wait for another process."""

    def test_named_pipes(self, tmp_path):
        for name in ("video.mp4", "a_16x16_25.yuv", "a.264", "a.npy", "list.csv"):
            os.mkfifo(tmp_path / name)
        for name in ("video.mp4", "a_16x16_25.yuv", "a.264", "a.npy"):
            refused(tmp_path / name, "it is a named pipe, not a file")
        with pytest.raises(ValueError, match=r"it is a named pipe.*list\.csv"):
            find_videos(tmp_path / "list.csv")
        (tmp_path / "images").mkdir()
        os.mkfifo(tmp_path / "images" / "0.png")
        refused(tmp_path / "images", r"0\.png: it is a named pipe")

    def test_sockets_devices_and_links_to_them(self, tmp_path, monkeypatch):
        # The name of a socket may have 107 characters.
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("video.mp4")
            refused("video.mp4", "it is a socket, not a file")
        (tmp_path / "link.mp4").symlink_to("/dev/zero")
        refused(tmp_path / "link.mp4", "it is a device, not a file")
        refused("/dev/null", "it is a device, not a file")

    def test_impossible_names(self):
        for path in ("a\0b.mp4", "/dev/null/a.mp4", "x" * 300 + ".mp4"):
            with pytest.raises(ValueError, match="no such file|name too long"):
                VideoReader(path)


def gif(path, height, width, num_frames):
    """Writes a GIF of which every frame changes one pixel."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0)
    image = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    frame = b"\x21\xf9\x04\x00\x04\x00\x00\x00" + image
    path.write_bytes(head + b"\0\0\0\xff\xff\xff" + frame * num_frames + b"\x3b")
    return path


class TestLimits:
    def test_frame_that_a_small_gif_claims(self, tmp_path):
        path = gif(tmp_path / "v.gif", 8000, 8000, 200)
        assert path.stat().st_size < 10_000
        refused(path, "the limit, max_pixels=35651584")
        assert read(gif(tmp_path / "v.gif", 8, 16, 3)).shape == (3, 8, 16, 3)

    @pytest.mark.parametrize(
        "name",
        ["v.mp4", "v.webm", "v.gif", "v.npy", "v", "v_18x16_25.yuv", "v.png", "v.264"],
    )
    def test_the_argument_sets_the_limit(self, tmp_path, name):
        path = tmp_path / name
        if name.endswith((".yuv", ".264")):
            with av.open(str(path), "w") as container:
                stream = container.add_stream(
                    "libx264" if name == "v.264" else "rawvideo", 25
                )
                stream.height, stream.width, stream.pix_fmt = 16, 18, "yuv420p"
                frame = av.VideoFrame(18, 16, "yuv420p")
                container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
        elif name == "v.png":
            iio.imwrite(path, moving_ramp(1, 16, 18)[0])
        else:
            write(path, moving_ramp(2, 16, 18))
        refused(path, "max_pixels=287", max_pixels=287)
        with VideoReader(path, max_pixels=288) as reader:
            assert next(iter(reader)).shape == (16, 18, 3)

    def test_raw_video_of_a_billion_frames(self, tmp_path):
        path = tmp_path / "v_2x2_25.yuv"
        with path.open("wb") as file:
            file.truncate(6 * 10**9)
            file.seek(6 * (10**9 - 1))
            file.write(bytes([235] * 4 + [128] * 2))
        with VideoReader(path) as reader:
            assert reader.num_frames == 10**9
        access = open_access(path)
        index = access.index()
        assert index.num_frames == 10**9
        first, last = access.frames([0, 10**9 - 1], index)
        assert (
            first.to_ndarray(format="gray").max() < last.to_ndarray(format="gray").min()
        )
        access.close()


class Payload:
    def __reduce__(self):
        return sys.exit, ("A pickle was loaded.",)


class TestArrays:
    def header(self, path, text, data=b""):
        text = text.encode("latin1")
        start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text))
        path.write_bytes(start + text + data)
        return path

    @pytest.mark.parametrize(
        "text",
        [
            "-" * 9000 + "1",
            "[" * 900,
            "-" * 900 + "1",
            "{1: 2, 'a': 3}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 8, 8, 3)}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': (2, -8, -8, 3)}",
            "{'descr': '(99999999,)u1', 'fortran_order': False, 'shape': (1, 8, 8, 3)}",
            "{'descr': '|u1', 'fortran_order': False, 'shape': ('a', 8, 8, 3)}",
            "",
        ],
    )
    def test_headers(self, tmp_path, text):
        path = self.header(tmp_path / "v.npy", text)
        refused(path, "not an .npy file|its shape is|its dtype is")

    def test_shape_is_compared_with_the_size_of_the_file(self, tmp_path):
        header = "{{'descr': '|u1', 'fortran_order': False, 'shape': {}}}\n"
        frames = moving_ramp(2, 8, 8)
        path = self.header(
            tmp_path / "v.npy", header.format((10**18, 8, 8, 3)), frames.tobytes()
        )
        access = open_access(path)
        index = access.index()
        assert (index.num_frames, index.damage) == (2, "the file ends")
        access.close()
        with VideoReader(path, partial=True) as reader:
            np.testing.assert_array_equal(list(reader), frames)
        assert reader.damage == "it is damaged at frame 2: the file ends"
        with pytest.raises(ValueError, match="damaged at frame 2: the file ends"):
            read(path)
        # More than any memory.
        self.header(path, header.format((1, 10**9, 10**9, 3)), bytes(100))
        refused(path, "the file ends", max_pixels=10**18)

    def test_pickles_are_not_loaded(self, tmp_path):
        array = np.empty((2, 8, 8, 3), object)
        array[:] = Payload()
        np.save(tmp_path / "v.npy", array, allow_pickle=True)
        refused(tmp_path / "v.npy", "its dtype is object")


def test_metadata_that_is_not_text(tmp_path):
    path = tmp_path / "video.avi"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Zebra"
        stream = container.add_stream("mpeg4", 25)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    assert b"Zebra" in data
    path.write_bytes(data.replace(b"Zebra", b"Z\xe9bra"))
    assert len(read(path)) == 1


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".gif", ".npy", ""])
@pytest.mark.parametrize("relative", [True, False])
def test_names_with_a_colon(tmp_path, monkeypatch, suffix, relative):
    monkeypatch.chdir(tmp_path)
    video = moving_ramp(3, 16, 16)
    name = f"2024-01-01T12:30:00{suffix}"
    path = write(name if relative else tmp_path / name, video)
    assert os.listdir(tmp_path) == [name]
    assert read(path).shape == video.shape
    access = open_access(path)
    assert access.index().num_frames == 3
    access.close()


@pytest.mark.parametrize("fps", [1e300, 1e-9, 1e308, float("nan"), "25"])
def test_frame_rates_that_no_container_holds(tmp_path, fps):
    with pytest.raises(ValueError, match="`fps` must be .*from 0.01 to 100000"):
        write(tmp_path / "v.gif", moving_ramp(2, 8, 8), fps)
    path = write(tmp_path / "v.npy", moving_ramp(2, 8, 8))
    refused_fps = pytest.raises(ValueError, match="`fps` must be a finite number")
    with refused_fps:
        VideoReader(path, fps)
