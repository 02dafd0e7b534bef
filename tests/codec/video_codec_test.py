import dataclasses
import io
import itertools
from unittest import mock

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from keras_regen.codec import VideoCodec
from keras_regen.codec.memory import frame_bytes
from keras_regen.latents import Latents
from keras_regen.models import decoder_bytes
from keras_regen.video import VideoReader, VideoWriter
from tests.codec.ramps import RampModel, ramp
from tests.models.conftest import awaken, make_regen

K = 4
CHUNKINGS = ("disjoint", "shared")


@pytest.fixture(scope="module")
def regen():
    return awaken(make_regen(K))


@pytest.fixture(scope="module")
def codec(regen):
    return VideoCodec(regen)


def noise(num_frames, height, width, dtype="uint8", seed=0):
    shape = (num_frames, height, width, 3)
    values = np.random.default_rng(seed).integers(0, 256, shape, "uint8")
    return values if dtype == "uint8" else (values / 127.5 - 1).astype(dtype)


def padded(video, num_frames, multiple=8):
    down, across = -video.shape[1] % multiple, -video.shape[2] % multiple
    missing = num_frames - len(video)
    return np.pad(video, [(0, missing), (0, down), (0, across), (0, 0)], mode="edge")


def test_repr(regen):
    codec = VideoCodec(regen, chunking="shared")
    assert repr(codec) == (
        "VideoCodec(Regen, k=4, latents (2n, H/8, W/8, 8), preset=None, "
        "chunking='shared')"
    )


def test_a_name_is_not_a_model():
    with pytest.raises(TypeError, match="from_preset.*Received: model='regen_small"):
        VideoCodec("regen_small_8x8x8")


# Options and sizes on which the result must not depend.
anything = dict(
    num_frames=st.integers(1, 40),
    height=st.integers(1, 80),
    width=st.integers(1, 80),
    k=st.sampled_from([2, 4, 8, 16]),
    chunking=st.sampled_from(CHUNKINGS),
    blend_frames=st.none() | st.just(0),
    tile_size=st.none() | st.sampled_from([32, 40, 64]),
    batch_size=st.none() | st.integers(1, 9),
)


class TestGeometry:
    """A ramp is decoded exactly if every frame, tile and time is in its place."""

    @hypothesis.given(**anything, data=st.data())
    @hypothesis.settings(max_examples=150, deadline=None, derandomize=True)
    def test_everything_in_its_place(
        self, num_frames, height, width, k, data, **options
    ):
        model = RampModel(k)
        codec = VideoCodec(model, **options)
        video = ramp(np.arange(num_frames), height, width)
        latents = codec.encode(video)
        assert latents.array.shape == codec.latent_shape(num_frames, height, width)
        np.testing.assert_allclose(codec.decode(latents), video, atol=1e-5)

        start = data.draw(st.integers(0, num_frames - 1))
        stop = data.draw(st.integers(start + 1, num_frames))
        part = latents[start:stop]
        np.testing.assert_allclose(codec.decode(part), video[start:stop], atol=1e-5)

        fps = data.draw(st.floats(5, 120))
        speed = data.draw(st.sampled_from([0.25, 0.7, 1.0, 3.0]))
        count = max(1, round(len(part) * fps / (speed * 25)))
        times = start + np.arange(count) * speed * 25 / fps
        frames = codec.decode(part, fps=fps, speed=speed)
        np.testing.assert_allclose(frames, ramp(times, height, width), atol=1e-5)

        times = st.floats(0, num_frames, exclude_max=True)
        times = np.sort(data.draw(st.lists(times, min_size=1, max_size=30)))
        frames = codec.decode(latents, times=times)
        np.testing.assert_allclose(frames, ramp(times, height, width), atol=1e-5)

        pieces = codec.encode_stream(iter(video))
        frames = np.stack([*codec.decode_stream(pieces, speed=0.5)])
        times = np.arange(2 * num_frames) / 2
        np.testing.assert_allclose(frames, ramp(times, height, width), atol=1e-5)

    @pytest.mark.parametrize("chunking", CHUNKINGS)
    def test_one_shape_is_decoded(self, chunking):
        """Compiled backends would compile every other shape."""
        for options in ({}, {"fps": 24}, {"fps": 60}, {"speed": 0.1}):
            model = RampModel(8)
            codec = VideoCodec(model, chunking, batch_size=1)
            latents = codec.encode(ramp(np.arange(100), 16, 24))
            codec.decode(latents, **options)
            codec.decode(latents[30:70], **options)
            assert len({shape for shape, _ in model.decoded}) == 1

    def test_slow_motion_is_decoded_in_passes(self):
        model = RampModel(8)
        codec = VideoCodec(model)
        codec.decode(codec.encode(ramp(np.arange(27), 16, 24)), speed=0.25)
        for _, times in model.decoded:
            assert times.shape[1] <= 16
            np.testing.assert_allclose(np.diff(times, axis=1), 1)

    def test_a_slice_does_not_decode_the_rest(self):
        model = RampModel(8)
        codec = VideoCodec(model, batch_size=1)
        latents = codec.encode(np.zeros((900, 16, 24, 3), "uint8"))
        # Chunk 50 begins at frame 450, and fades in up to frame 451.
        codec.decode(latents[452:456])
        assert len(model.decoded) == 1
        codec.decode(latents[451:456])
        assert len(model.decoded) == 3

    @pytest.mark.parametrize("chunking", CHUNKINGS)
    def test_holds_a_group_of_chunks_at_a_time(self, chunking):
        taken = 0

        def frames():
            nonlocal taken
            for frame in itertools.cycle(ramp(np.arange(9), 16, 24)):
                taken += 1
                yield frame

        codec = VideoCodec(RampModel(8), chunking)
        for given, _ in enumerate(
            itertools.islice(codec.reconstruct_stream(frames()), 200)
        ):
            assert taken <= given + 100


class TestModel:
    """The codec with a real model."""

    @hypothesis.given(
        num_frames=st.integers(1, 12),
        height=st.integers(1, 40),
        width=st.integers(1, 40),
        chunking=st.sampled_from(CHUNKINGS),
        tile_size=st.none() | st.just(32),
        dtype=st.sampled_from(["uint8", "float16", "float32", "float64"]),
    )
    @hypothesis.settings(
        max_examples=20,
        deadline=None,
        derandomize=True,
        suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
    )
    def test_nothing_is_lost(
        self, regen, num_frames, height, width, dtype, chunking, tile_size
    ):
        # One batch shape, because some backends compile every shape.
        codec = VideoCodec(regen, chunking, tile_size=tile_size, batch_size=1)
        video = noise(num_frames, height, width, dtype)
        latents = codec.encode(video, fps=12.5)
        assert (latents.num_frames, latents.fps) == (num_frames, 12.5)
        result = codec.decode(latents)
        assert (result.shape, result.dtype) == (video.shape, video.dtype)
        assert np.all(np.isfinite(result))
        middle = num_frames // 2
        np.testing.assert_array_equal(codec.decode(latents[middle:]), result[middle:])

    def test_encoding_equals_encoding_each_chunk(self, regen):
        video = noise(23, 21, 34)
        for chunking, stride in (("disjoint", 5), ("shared", 4)):
            latents = VideoCodec(regen, chunking).encode(video)
            for i in range(latents.num_chunks):
                chunk = padded(video[i * stride : i * stride + 5], 5)
                (direct,) = regen.encode(chunk[None])
                np.testing.assert_allclose(latents.chunks(i, i + 1), direct, atol=1e-5)

    def test_decoding_equals_decoding_each_chunk(self, regen):
        codec = VideoCodec(regen, blend_frames=0)
        latents = codec.encode(noise(12, 21, 34))
        video = codec.decode(latents, num_steps=2, seed=7, noise_scale=0.5)
        for i, start in enumerate((0, 5, 10)):
            (frames,) = regen.decode(
                latents.chunks(i, i + 1)[None],
                times=np.arange(5),
                num_steps=2,
                seed=7,
                noise_scale=0.5,
                origin=(start, 0, 0),
                dtype="uint8",
            )
            frames = frames[: 12 - start, :21, :34].astype(int)
            assert np.abs(frames - video[start : start + 5]).max() <= 1

    @pytest.mark.parametrize("tile_size", [None, 32])
    def test_batches_change_nothing(self, regen, tile_size):
        video = noise(27, 40, 56, "float32")
        results = []
        for batch_size in (1, 3, None):
            codec = VideoCodec(regen, tile_size=tile_size, batch_size=batch_size)
            latents = codec.encode(video)
            results.append(codec.decode(latents))
        for result in results[1:]:
            np.testing.assert_allclose(result, results[0], atol=1e-5)

    @pytest.mark.parametrize("dtype", ["uint8", "float32"])
    def test_a_slice_is_the_whole_bit_by_bit(self, regen, dtype):
        """Whatever the length, however many tiles, wherever it starts."""
        rng = np.random.default_rng(0)
        for tile_size, width in ((None, 24), (32, 40)):
            codec = VideoCodec(regen, tile_size=tile_size, batch_size=3)
            length = int(rng.integers(20, 50))
            latents = codec.encode(noise(length, 16, width, dtype))
            whole = codec.decode(latents)
            for _ in range(8):
                start, stop = sorted(rng.choice(length + 1, 2, replace=False))
                part = codec.decode(latents[start:stop])
                np.testing.assert_array_equal(part, whole[start:stop])

    def test_the_first_chunks_encode_to_the_same_bits(self, codec):
        video = noise(23, 16, 24)
        whole = codec.encode(video).array
        for stop in (5, 10, 15):
            part = codec.encode(video[:stop]).array
            np.testing.assert_array_equal(part, whole[: len(part)])

    def test_neighbours_change_nothing(self, regen):
        """Frames of a chunk do not depend on chunks further than the next."""
        codec = VideoCodec(regen, blend_frames=1)
        video = noise(25, 16, 16, "float32")
        other = video.copy()
        other[20:] = noise(5, 16, 16, "float32", seed=1)
        results = [codec.decode(codec.encode(v)) for v in (video, other)]
        np.testing.assert_allclose(results[0][:19], results[1][:19], atol=1e-5)
        assert np.abs(results[0][19:] - results[1][19:]).max() > 0.01

    def test_streams_are_the_same(self, codec):
        video = noise(13, 17, 9)
        whole = codec.decode(codec.encode(video), seed=3)
        stream = codec.decode_stream(codec.encode_stream(iter(video)), seed=3)
        np.testing.assert_array_equal(np.stack([*stream]), whole)
        originals, decoded = zip(*codec.reconstruct_stream(video, seed=3), strict=True)
        np.testing.assert_array_equal(np.stack(originals), video)
        np.testing.assert_array_equal(np.stack(decoded), whole)

    def test_seed_steps_and_scale_matter(self, codec):
        latents = codec.encode(noise(5, 16, 16, "float32"))
        results = [
            codec.decode(latents, **options)
            for options in ({}, {"seed": 1}, {"num_steps": 2}, {"noise_scale": 0.5})
        ]
        np.testing.assert_array_equal(codec.decode(latents), results[0])
        for result in results[1:]:
            assert np.abs(result - results[0]).max() > 1e-3
        still = [codec.decode(latents, noise_scale=0, seed=seed) for seed in (0, 1)]
        np.testing.assert_array_equal(*still)

    def test_noise_depends_on_the_place(self, regen):
        """A tile gets the noise at its own place: equal latents differ by it only."""
        codec = VideoCodec(regen, tile_size=32)
        latents = codec.encode(np.zeros((10, 8, 64, 3), "float32"))
        video = codec.decode(latents)
        assert np.abs(video[:5] - video[5:]).max() > 1e-3
        assert np.abs(video[:, :, :32] - video[:, :, 32:]).max() > 1e-3


class TestFiles:
    def test_from_file_to_file(self, codec, tmp_path):
        video = noise(13, 17, 9)
        with VideoWriter(tmp_path / "in", 12.5) as writer:
            for frame in video:
                writer.write(frame)
        seen = []
        latents = codec.encode(
            str(tmp_path / "in"),
            tmp_path / "z.h5",
            fps=12.5,
            progress=lambda *numbers: seen.append(numbers),
        )
        assert seen == [(5, 13), (10, 13), (13, 13)]
        assert latents.fps == 12.5
        assert latents.array.dtype == "float16"
        seen.clear()
        output = codec.decode(
            tmp_path / "z.h5",
            tmp_path / "out.mkv",
            fps=25,
            progress=lambda *numbers: seen.append(numbers),
        )
        assert seen == [(i, 26) for i in range(1, 27)]
        with VideoReader(output) as reader:
            assert (reader.fps, reader.height, reader.width) == (25, 17, 9)
            assert len([*reader]) == 26
        codec.decode(latents, tmp_path / "out.npy")
        np.testing.assert_array_equal(
            np.load(tmp_path / "out.npy"), codec.decode(Latents.load(tmp_path / "z.h5"))
        )

    def test_an_error_half_way_leaves_nothing(self, codec, tmp_path):
        def frames():
            yield from noise(12, 16, 16)
            raise RuntimeError

        with pytest.raises(RuntimeError):
            codec.encode(frames(), tmp_path / "z.h5")
        latents = codec.encode(noise(12, 16, 16))

        def stop(done, total):
            if done == 7:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            codec.decode(latents, tmp_path / "out.mp4", progress=stop)
        assert list(tmp_path.iterdir()) == []


class TestMemory:
    @pytest.mark.parametrize(("rows", "side"), [(16, 128), (8, 64)])
    def test_tiles_are_what_fits(self, rows, side):
        model = RampModel(K)
        frames = frame_bytes(K + 1 + 4, 256, 256)
        tile = decoder_bytes(model.decoder, K + 1 + 4, rows, rows)
        codec = VideoCodec(model, max_memory=frames + tile)
        codec.decode(codec.encode(np.zeros((5, 256, 256, 3), "uint8")))
        ((batch, _, height, width, _),) = {shape for shape, _ in model.decoded}
        assert side // 2 < max(height, width) <= side
        taken = decoder_bytes(model.decoder, K + 1 + 4, height // 8, width // 8)
        assert batch * taken <= tile

    def test_batches_are_what_fits(self):
        model = RampModel(K)
        codec = VideoCodec(model)
        codec.decode(codec.encode(np.zeros((50, 32, 32, 3), "uint8")))
        assert model.decoded[0][0][0] == 4

    def test_by_default_there_is_enough(self):
        """8K frames alone take more than the default budget."""
        codec = VideoCodec(RampModel(2))
        latents = Latents(np.zeros((2, 540, 960, 8), "float32"), 1, 4320, 7680, 25.0, 2)
        codec.decode_stream(latents)

    def test_more_frames_than_the_machine_holds(self, regen, tmp_path):
        latents = Latents(np.zeros((2, 90, 160, 8), "float32"), 2, 720, 1280, 25.0, K)
        latents = dataclasses.replace(latents, times=np.array([0, 20_000, 20_000.1]))
        codec = VideoCodec(regen)
        with pytest.raises(
            ValueError, match=r"needs 2.7e\+04 GB. Received: max_memory"
        ):
            codec.decode(latents, tmp_path / "o.mp4", fps=60)

    def test_too_little(self, regen):
        codec = VideoCodec(regen, max_memory="30MB")
        latents = Latents(np.zeros((2, 135, 240, 8), "float32"), 5, 1080, 1920, 25.0, K)
        with pytest.raises(ValueError, match=r"needs [\d.]+ GB. Received: max_memory"):
            codec.decode(latents)


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"chunking": "other"}, "'other'"),
            ({"blend_frames": 9}, "blend_frames=9"),
            ({"tile_size": 24}, "tile_size=24"),
            ({"tile_size": 100}, "tile_size=100"),
            ({"tile_size": "64"}, "tile_size='64'"),
            ({"tile_size": 32.0}, "tile_size=32.0"),
            ({"blend_frames": 1.5}, "blend_frames=1.5"),
            ({"blend_frames": True}, "blend_frames=True"),
            ({"batch_size": 0}, "batch_size=0"),
            ({"max_memory": "lots"}, "max_memory='lots'"),
        ],
    )
    def test_of_the_codec(self, regen, arguments, message):
        with pytest.raises(ValueError, match=message):
            VideoCodec(regen, **arguments)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"fps": 0}, "fps=0"),
            ({"speed": -1}, "speed=-1"),
            ({"times": [0], "fps": 5}, "times=.0., fps=5"),
            ({"times": []}, "Received: times="),
            ({"times": [-0.5]}, "Received: times="),
            ({"times": [3, 2]}, "Received: times="),
            ({"times": [0, 7]}, "less than 7"),
            ({"times": [np.nan]}, "Received: times="),
            ({"num_steps": 0}, "num_steps=0"),
            ({"num_steps": True}, "num_steps=True"),
            ({"noise_scale": -1}, "noise_scale=-1"),
            ({"noise_scale": "1"}, "noise_scale='1'"),
            ({"seed": -1}, "seed=-1"),
        ],
    )
    def test_of_decoding(self, codec, arguments, message):
        latents = codec.encode(noise(7, 8, 8))
        with pytest.raises(ValueError, match=message):
            codec.decode(latents, **arguments)

    @pytest.mark.parametrize("shape", [(0, 1, 1), (1.5, 3, 3), (9, True, 3)])
    def test_of_the_shape(self, codec, shape):
        with pytest.raises(ValueError, match="must be a whole number from 1"):
            codec.latent_shape(*shape)

    @pytest.mark.parametrize("last", [7, 30])
    def test_times_after_the_end_of_a_stream(self, codec, last):
        pieces = codec.encode_stream(noise(7, 8, 8))
        with pytest.raises(ValueError, match="less than 7. Received: times="):
            codec.decode(pieces, times=[0, 6.5, last])

    def test_what_is_not_finite(self, codec):
        latents = codec.encode(noise(7, 8, 8))
        latents.array[1, 0, 0, 3] = np.nan
        with pytest.raises(ValueError, match="Latents must be finite"):
            codec.decode(latents)
        latents.array[1, 0, 0, 3] = 1e6
        with pytest.raises(ValueError, match="at most 10000 in magnitude.* 1e"):
            codec.decode(latents)
        latents.array[1, 0, 0, 3] = 0
        with pytest.raises(ValueError, match="Decoded frames must be finite"):
            codec.decode(latents, noise_scale=3e38)

    def test_pieces_that_do_not_follow(self, codec):
        first, _, third = codec.encode_stream(noise(15, 8, 8))
        with pytest.raises(ValueError, match="chunk 1 is due. .*Received: chunk 2"):
            list(codec.decode_stream([first, third]))

    @pytest.mark.parametrize("latents", [7, None, [], [np.zeros((2, 1, 1, 8))]])
    def test_no_latents(self, codec, latents):
        with pytest.raises(ValueError, match="Received: "):
            codec.decode(latents)

    def test_files_that_are_no_paths(self, codec):
        file, latents = io.BytesIO(b"file"), codec.encode(noise(5, 8, 8))
        for call in (
            lambda: codec.encode(noise(5, 8, 8), file),
            lambda: codec.decode(latents, file),
            lambda: Latents.load(file),
            lambda: VideoReader(file),
        ):
            with pytest.raises(ValueError, match="temporary file. Received: BytesIO"):
                call()
        with pytest.raises(ValueError, match="path of their file.*Received: BytesIO"):
            codec.decode(file)

    def test_latents_of_another_model(self, codec):
        latents = codec.encode(noise(5, 8, 8))
        other = dataclasses.replace(latents, encoder_id="0" * 16, preset="other")
        with pytest.raises(ValueError, match="with the preset other.*encoder_id=0000"):
            codec.decode(other)
        # Latents from a generative model have no encoder.
        made = dataclasses.replace(latents, encoder_id=None)
        np.testing.assert_array_equal(codec.decode(made), codec.decode(latents))
        with pytest.raises(ValueError, match="temporal_compression=8"):
            codec.decode(dataclasses.replace(made, temporal_compression=8))
        thin = dataclasses.replace(made, array=made.array[..., :4])
        with pytest.raises(ValueError, match="latent_channels=4"):
            codec.decode(thin)

    def test_latents_name_the_weights_that_made_them(self):
        regen = awaken(make_regen(4))
        codec, latents = VideoCodec(regen), []
        for _ in range(2):
            latents.append(codec.encode(noise(5, 8, 8)))
            assert latents[-1].encoder_id == regen.encoder.fingerprint()
            # As `fit` and `load_weights` do.
            weights = regen.encoder.weights[0]
            weights.assign(weights + 1)
        with pytest.raises(ValueError, match="encoder_id"):
            codec.decode(latents[1])
        with (
            codec.fixed_weights(),
            mock.patch.object(type(regen.encoder), "fingerprint"),
        ):
            with codec.fixed_weights():
                pass
            assert codec.encode(noise(5, 8, 8)).encoder_id == codec.encoder_id
        assert codec.encoder_id == regen.encoder.fingerprint()
