import fractions

import av
import keras
import numpy as np
import pytest

from keras_regen.video import Sound, VideoReader, VideoWriter
from tests.video.media import FLASH, UNEVEN, click_and_flash, make, shown
from tests.video.videos import moving_ramp, write

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="the same on every backend"
)


def copy(source, output, stop=None):
    """Reads a video and writes it, with sound."""
    with VideoReader(source) as reader:
        frames = list(reader)[:stop]
        sound = reader.sound()
        with VideoWriter(output, reader.fps, reader.pixel_aspect, sound) as writer:
            for number, frame in enumerate(frames):
                writer.write(frame, *reader.shown_at(number))
    return output


def packets(path):
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(audio=0) if p.size]


class TestCopies:
    @pytest.mark.parametrize(
        ("name", "codec", "rate"),
        [
            ("in.mov", "aac", 44_100),
            ("in.mov", "pcm_s16le", 44_100),
            ("in.mp4", "aac", 48_000),
            ("in.mp4", "mp3", 44_100),
            ("in.mkv", "libopus", 48_000),
            ("in.webm", "libopus", 48_000),
        ],
    )
    def test_in_step_without_encoding_again(self, tmp_path, name, codec, rate):
        video = "libvpx-vp9" if name.endswith("webm") else "libx264"
        # The sound starts before the first frame, which an edit list may tell.
        source = make(tmp_path / name, codec=video, sound=codec, rate=rate, offset=0.21)
        click, flash = click_and_flash(source)
        assert abs(click - flash) < 2e-3
        outputs = ["out.mp4", "out.mkv"] + ["out.webm"] * (codec == "libopus")
        for output in outputs:
            output = copy(source, tmp_path / output)
            click, flash = click_and_flash(output)
            assert abs(click - UNEVEN[FLASH]) < 2e-3, output
            assert abs(flash - UNEVEN[FLASH]) < 2e-3, output
            # The part that the video covers, byte by byte.
            copied, original = packets(output), packets(source)
            assert b"".join(copied) in b"".join(original)
            assert len(copied) < len(original)
            with av.open(str(output)) as container:
                assert (
                    float(container.duration / av.time_base) < shown(source)[-1] + 0.1
                )

    def test_it_is_interleaved(self, tmp_path):
        times = np.arange(150) / 25
        source = make(tmp_path / "in.mp4", times, 0.04, sound="aac")
        output = copy(source, tmp_path / "out.mp4")
        places = {"video": [], "audio": []}
        with av.open(str(output)) as container:
            for packet in container.demux():
                if packet.size and 1 < packet.pts * packet.time_base < 5:
                    kind = packet.stream.type
                    places[kind].append((packet.pos, packet.pts * packet.time_base))
        for place, time in places["audio"][::20]:
            near = min(places["video"], key=lambda other: abs(other[0] - place))
            assert abs(near[1] - time) < 1.1

    def test_all_streams_and_their_languages(self, tmp_path):
        path = tmp_path / "in.mkv"
        with av.open(str(path), "w") as container:
            video = container.add_stream("libx264", 25)
            video.height, video.width, video.pix_fmt = 32, 48, "yuv420p"
            sounds = [container.add_stream("libopus", 48_000) for _ in range(2)]
            for stream, language in zip(sounds, ("eng", "deu"), strict=True):
                stream.metadata["language"] = language
            for array in moving_ramp(5, 32, 48):
                frame = av.VideoFrame.from_ndarray(array, format="rgb24")
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
            for stream in sounds:
                frame = av.AudioFrame.from_ndarray(
                    np.zeros((1, 2 * 9600), "int16"), "s16", "stereo"
                )
                frame.sample_rate = 48_000
                container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
        copy(path, tmp_path / "out.webm")
        with av.open(str(tmp_path / "out.webm")) as container:
            assert [s.language for s in container.streams.audio] == ["eng", "deu"]

    def test_a_part(self, tmp_path):
        source = make(tmp_path / "in.mp4", sound="aac")
        frames = moving_ramp(5, 32, 48)
        output = tmp_path / "out.mp4"
        with VideoWriter(output, 25, sound=Sound(source, start=0.15)) as writer:
            for frame in frames:
                writer.write(frame)
        click, _ = click_and_flash(output)
        assert abs(click - (UNEVEN[FLASH] - 0.15)) < 2e-3
        assert 0.2 <= av.open(str(output)).duration / av.time_base < 0.25
        closed = Sound(source)
        assert list(closed.before(0.1))
        closed.close()
        assert not list(closed.before(9.0))

    def test_no_sound_is_no_matter(self, tmp_path, caplog):
        source = write(tmp_path / "in.mp4", moving_ramp(5, 32, 48))
        with VideoReader(source) as reader:
            assert reader.sound() is None
        output = copy(source, tmp_path / "out.mp4")
        assert not av.open(str(output)).streams.audio
        with VideoReader(write(tmp_path / "images", moving_ramp(2, 8, 8))) as reader:
            assert reader.sound() is None
        assert not caplog.records


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("out.webm", ".webm cannot hold aac"),
        ("out.gif", ".gif cannot hold it"),
        ("out.npy", ".npy cannot hold it"),
        ("out", "images cannot hold it"),
    ],
)
def test_where_there_is_no_room_for_it(tmp_path, caplog, output, message):
    source = make(tmp_path / "in.mp4", sound="aac")
    path = copy(source, tmp_path / output)
    [record] = caplog.records
    assert record.getMessage() == f"The video has no sound: {message}"
    with VideoReader(path) as reader:
        assert len(list(reader)) == len(UNEVEN)


def test_damaged_sound_ends(tmp_path):
    source = make(tmp_path / "in.mkv", sound="aac", times=np.arange(60) / 25)
    data = source.read_bytes()
    source.write_bytes(data[: int(0.6 * len(data))])
    with VideoReader(source, partial=True) as reader:
        frames = list(reader)
        with VideoWriter(tmp_path / "o.mp4", 25, sound=reader.sound()) as writer:
            for frame in frames:
                writer.write(frame)
    assert click_and_flash(tmp_path / "o.mp4")[1] == pytest.approx(FLASH / 25, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("nothing.mp4", None, "there is no such file"),
        ("notes.mp4", b"not a video\n" * 100, "it is not a video"),
        ("list.mp4", b"ffconcat version 1.0\nfile a.ts\n", "a playlist"),
    ],
)
def test_files_that_are_refused(tmp_path, name, data, message):
    if data:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=f"Cannot read the sound: .*{message}.*path="):
        Sound(tmp_path / name)


def test_an_error_leaves_nothing(tmp_path):
    source = make(tmp_path / "in.mp4", sound="aac")
    with pytest.raises(RuntimeError), VideoReader(source) as reader:
        with VideoWriter(tmp_path / "out.mp4", 25, sound=reader.sound()) as writer:
            writer.write(moving_ramp(1, 32, 48)[0])
            raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


class TestPixelAspect:
    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".gif"])
    def test_it_is_kept(self, tmp_path, suffix):
        path = tmp_path / f"video{suffix}"
        aspect = fractions.Fraction(4, 3)
        with VideoWriter(path, 25, aspect) as writer:
            for frame in moving_ramp(3, 32, 48):
                writer.write(frame)
        with VideoReader(path) as reader:
            assert float(reader.pixel_aspect) == pytest.approx(4 / 3, rel=0.01)
