"""What the codec does at the same time, in which thread, and how it stops."""

import threading

import numpy as np
import pytest

from keras_regen.codec import VideoCodec
from keras_regen.codec.memory import DEFAULT_MEMORY, frame_bytes
from keras_regen.codec.timeline import Timeline
from keras_regen.video import VideoReader, VideoWriter
from tests.codec.conftest import PATIENCE, threads
from tests.codec.ramps import RampModel, ramp

pytestmark = pytest.mark.usefixtures("no_thread_is_left")

K = 4
# Frames that are encoded together, and decoded together.
GROUP = 4 * (K + 1)


class Reader(VideoReader):
    """Counts its frames, sets `told` at one of them, and may fail at another."""

    taken = 0
    tells_at = error_at = None

    def __iter__(self):
        for frame in super().__iter__():
            if self.taken == self.error_at:
                raise OSError("no disk")
            self.taken += 1
            if self.taken == self.tells_at:
                self.told.set()
            yield frame


@pytest.fixture
def make_reader(tmp_path):
    def make(num_frames):
        np.save(tmp_path / "in.npy", ramp(np.arange(num_frames) % 100, 16, 24))
        reader = Reader(tmp_path / "in.npy")
        reader.told = threading.Event()
        return reader

    return make


class TestOverlap:
    """The model waits for an event that only another thread can bring about."""

    def test_frames_are_read_while_others_are_encoded(self, make_reader):
        model = RampModel(K)
        encode = model.encode

        def slow(chunks):
            assert reader.told.wait(PATIENCE)
            return encode(chunks)

        model.encode = slow
        with make_reader(3 * GROUP) as reader:
            # The last frame of the next group.
            reader.tells_at = 2 * GROUP
            assert len(VideoCodec(model).encode(reader)) == 3 * GROUP

    def test_frames_are_decoded_while_others_are_written(self, monkeypatch, tmp_path):
        model, came = RampModel(K), threading.Event()
        decode_chunks, write = model.decode_chunks, VideoWriter.write

        def told(*args, **kwargs):
            if len(model.decoded) == 2:
                came.set()
            return decode_chunks(*args, **kwargs)

        def slow(writer, *frame_and_time):
            assert came.wait(PATIENCE)
            write(writer, *frame_and_time)

        monkeypatch.setattr(VideoWriter, "write", slow)
        model.decode_chunks = told
        codec = VideoCodec(model)
        latents = codec.encode(ramp(np.arange(3 * GROUP), 16, 24))
        codec.decode(latents, tmp_path / "out.npy")
        assert len(np.load(tmp_path / "out.npy")) == 3 * GROUP

    def test_latents_are_made_while_others_are_written(
        self, make_reader, monkeypatch, tmp_path
    ):
        """Two threads make the same latents as one."""
        codec = VideoCodec(RampModel(K))
        with make_reader(2 * GROUP + 3) as reader:
            stored = codec.encode(reader, tmp_path / "z.h5")
        direct = codec.encode(ramp(np.arange(2 * GROUP + 3), 16, 24))
        np.testing.assert_array_equal(stored.array, direct.array.astype("float16"))

    def test_chunks_are_encoded_while_others_are_decoded(self, make_reader):
        model, came, ran_in = RampModel(K), threading.Event(), {}
        encode, decode_chunks = model.encode, model.decode_chunks
        encoded = 0

        def told(chunks):
            nonlocal encoded
            encoded += 1
            ran_in.setdefault("encoder", set()).add(threading.current_thread())
            if encoded == 3:
                came.set()
            return encode(chunks)

        def slow(*args, **kwargs):
            # The first chunk of the second group follows the first group.
            assert came.wait(PATIENCE)
            ran_in.setdefault("decoder", set()).add(threading.current_thread())
            return decode_chunks(*args, **kwargs)

        model.encode, model.decode_chunks = told, slow
        video = ramp(np.arange(4 * GROUP) % 100, 16, 24)
        with make_reader(4 * GROUP) as reader:
            pairs = VideoCodec(model).reconstruct_stream(reader)
            decoded = np.stack([frame for _, frame in pairs])
        np.testing.assert_allclose(decoded, video, atol=1e-5)
        assert ran_in["decoder"] == {threading.current_thread()}
        assert ran_in["encoder"] - ran_in["decoder"]

    @pytest.mark.parametrize(("missing", "num_threads"), [(0, 2), (1, 1)])
    def test_models_take_turns_where_both_do_not_fit(
        self, make_reader, missing, num_threads
    ):
        model, ran_in = RampModel(K), set()
        encode = model.encode
        model.encode = lambda x: ran_in.add(threading.current_thread()) or encode(x)
        codec = VideoCodec(model)
        latents = codec.encode(ramp(np.arange(2 * GROUP), 16, 24))
        decoding = codec._plan_decoding(Timeline(latents))
        encoding = codec._plan_encoding(latents)
        frames = frame_bytes(decoding.num_frames, 16, 24, "float32")
        codec.max_memory = DEFAULT_MEMORY + frames - decoding.memory_left
        codec.max_memory += encoding.memory - missing
        codec.batch_size = decoding.batch_size
        ran_in.clear()
        with make_reader(3 * GROUP) as reader:
            assert len([*codec.reconstruct_stream(reader)]) == 3 * GROUP
        # The caller's thread always encodes the first chunks, which tell the size.
        assert threading.current_thread() in ran_in
        assert len(ran_in) == num_threads


class TestBounds:
    def test_a_file_is_read_one_group_ahead_and_no_further(self, make_reader):
        """Nothing is read while the caller, who may close the reader, has a piece."""
        with make_reader(5 * GROUP) as reader:
            for i, _ in enumerate(VideoCodec(RampModel(K)).encode_stream(reader)):
                assert reader.taken == min(5, i // 4 + 2) * GROUP

    def test_an_iterator_waits_for_nothing(self):
        taken, ran_in = 0, set()

        def frames():
            nonlocal taken
            for frame in ramp(np.arange(5 * GROUP), 16, 24):
                taken += 1
                ran_in.add(threading.current_thread())
                yield frame

        codec = VideoCodec(RampModel(K))
        for i, _ in enumerate(codec.encode_stream(frames())):
            assert taken == (i // 4 + 1) * GROUP
        assert ran_in == {threading.current_thread()}
        taken = 0
        for i, _ in enumerate(codec.reconstruct_stream(frames())):
            # Frames that fade need the next chunk, and the chunk after it is read.
            group = (i + 2) // GROUP
            assert taken <= min(5, group + 2) * GROUP

    def test_groups_in_flight(self, make_reader):
        """One each is shown, mixed, generated, encoded and read."""
        with make_reader(12 * GROUP) as reader:
            pairs = VideoCodec(RampModel(K)).reconstruct_stream(reader)
            most = max(reader.taken - i for i, _ in enumerate(pairs))
        assert most <= 5 * GROUP + 2


class TestStops:
    @pytest.fixture
    def codec(self):
        return VideoCodec(RampModel(K))

    def test_early(self, codec, make_reader):
        latents = codec.encode(ramp(np.arange(5 * GROUP), 16, 24))
        with make_reader(5 * GROUP) as reader, make_reader(5 * GROUP) as another:
            for stream in (
                codec.encode_stream(reader),
                codec.decode_stream(latents),
                codec.reconstruct_stream(another),
            ):
                next(stream)
                assert threads()
                stream.close()
                assert threads() == []

    @pytest.mark.parametrize("kind", ["file", "iterator"])
    def test_reading(self, codec, make_reader, tmp_path, kind):
        with make_reader(5 * GROUP) as reader:
            reader.error_at = 3 * GROUP + 2
            video = reader if kind == "file" else iter(reader)
            pieces, seen = codec.encode_stream(video), []
            with pytest.raises(OSError, match="no disk"):
                seen.extend(pieces)
            # The group with the missing frame is not yielded.
            assert len(seen) == 12
        with make_reader(5 * GROUP) as reader:
            reader.error_at = 3 * GROUP + 2
            with pytest.raises(OSError, match="no disk"):
                codec.encode(reader, tmp_path / "z.h5")
        assert [p.name for p in tmp_path.iterdir()] == ["in.npy"]

    def test_the_model(self, codec, tmp_path):
        latents = codec.encode(ramp(np.arange(5 * GROUP), 16, 24))
        decode_chunks = codec.model.decode_chunks

        def fail(*args, **kwargs):
            if len(codec.model.decoded) == 3:
                raise RuntimeError("no memory")
            return decode_chunks(*args, **kwargs)

        codec.model.decode_chunks = fail
        stream, seen = codec.decode_stream(latents), []
        with pytest.raises(RuntimeError, match="no memory"):
            seen.extend(stream)
        # The frames that three groups show without the fourth.
        assert len(seen) == 3 * GROUP - 2
        codec.model.decoded.clear()
        (tmp_path / "out.npy").write_bytes(b"what was there")
        with pytest.raises(RuntimeError, match="no memory"):
            codec.decode(latents, tmp_path / "out.npy")
        assert [p.name for p in tmp_path.iterdir()] == ["out.npy"]
        assert (tmp_path / "out.npy").read_bytes() == b"what was there"

    def test_writing(self, codec, tmp_path, monkeypatch):
        latents = codec.encode(ramp(np.arange(5 * GROUP), 16, 24))
        write, error, written = VideoWriter.write, ValueError("no space"), []

        def fail(writer, *frame_and_time):
            if len(written) == 7:
                raise error
            written.append(frame_and_time)
            write(writer, *frame_and_time)

        monkeypatch.setattr(VideoWriter, "write", fail)
        (tmp_path / "out.mp4").write_bytes(b"what was there")
        with pytest.raises(ValueError, match="no space") as caught:
            codec.decode(latents, tmp_path / "out.mp4")
        assert caught.value is error
        # No thread runs while the error is handled.
        assert threads() == []
        assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
        assert (tmp_path / "out.mp4").read_bytes() == b"what was there"
