"""SavedModels in TensorFlow against the model itself, on every backend."""

import keras
import numpy as np
import pytest

from keras_regen import diffusion
from keras_regen.models import Regen
from keras_regen.pixels import to_uint8
from tests.export.conftest import K, random_video, read_warmup
from tests.models.conftest import awaken, make_regen
from tests.serving.toy_requests import needs_tensorflow_serving

tf = pytest.importorskip("tensorflow")


class Served:
    """A loaded SavedModel whose signatures are methods that take NumPy arrays."""

    def __init__(self, path):
        self.loaded = tf.saved_model.load(str(path))

    def __getattr__(self, name):
        function = self.loaded.signatures[name]
        _, specs = function.structured_input_signature

        def call(**inputs):
            tensors = {k: tf.constant(v, specs[k].dtype) for k, v in inputs.items()}
            return {k: v.numpy() for k, v in function(**tensors).items()}

        return call


@pytest.fixture(scope="module")
def served(saved_model):
    return Served(saved_model)


# On PyTorch another process exports; two tests of what it makes are enough.
not_in_a_process = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="a process with TensorFlow exports"
)

SHAPES = [(1, K + 1, 16, 24, 3), (3, 1, 8, 8, 3), (2, K + 1, 40, 16, 3)]


class TestAnswers:
    def test_names(self, served):
        names = {
            f"{name}{suffix}"
            for name in ("encode", "decode", "reconstruct")
            for suffix in ("", "_uint8", "_bytes")
        }
        assert set(served.loaded.signatures) == names | {"serving_default"}

    @pytest.mark.parametrize("shape", SHAPES)
    def test_encode(self, served, regen, shape):
        video = random_video(*shape)
        expected = regen.encode(video)
        for name in ("encode", "serving_default"):
            latents = getattr(served, name)(video=video)["latents"]
            np.testing.assert_allclose(latents, expected, atol=1e-5)

    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("num_steps", [1, 3])
    def test_decode(self, served, regen, shape, num_steps):
        latents = regen.encode(random_video(*shape))
        video = served.decode(
            latents=latents, seed=2**40, num_steps=num_steps, num_frames=shape[1]
        )["video"]
        expected = regen.decode(latents, seed=2**40, num_steps=num_steps)
        np.testing.assert_allclose(video, expected, atol=1e-4)

    def test_more_tokens_than_one_block_of_attention(self, served, regen):
        latents = regen.encode(random_video(1, K + 1, 8, 8, 3))
        latents = np.tile(latents, (1, 1, 16, 31, 1))
        video = served.decode(latents=latents, seed=0, num_steps=1, num_frames=K + 1)
        expected = regen.decode(latents)
        np.testing.assert_allclose(video["video"], expected, atol=1e-4)

    @not_in_a_process
    def test_windows(self, tmp_path):
        regen = awaken(make_regen(K, decoder={"window": (None, 2, 2)}))
        regen.export(tmp_path / "1", warmup=())
        assert not (tmp_path / "1" / "assets.extra").exists()
        served = Served(tmp_path / "1")
        for sides in ((3, 5), (1, 1), (2, 4)):
            latents = np.random.default_rng(0).normal(size=(1, 2, *sides, 8))
            video = served.decode(
                latents=latents, seed=0, num_steps=1, num_frames=K + 1
            )["video"]
            np.testing.assert_allclose(video, regen.decode(latents), atol=1e-4)

    def test_frames_in_between(self, served, regen):
        latents = regen.encode(random_video(1, K + 1, 16, 16, 3))
        for num_frames in (1, 2, 9):
            video = served.decode(
                latents=latents, seed=3, num_steps=1, num_frames=num_frames
            )["video"]
            expected = regen.decode(latents, num_frames=num_frames, seed=3)
            np.testing.assert_allclose(video, expected, atol=1e-4)

    def test_each_sample_may_have_its_own_seed_and_steps(self, served, regen):
        latents = regen.encode(random_video(3, K + 1, 16, 16, 3))
        seeds, steps = [4, 0, 9], [2, 5, 1]
        video = served.decode(
            latents=latents, seed=seeds, num_steps=steps, num_frames=[K + 1] * 3
        )["video"]
        for i in range(3):
            expected = regen.decode(
                latents[i : i + 1], seed=seeds[i], num_steps=steps[i]
            )
            np.testing.assert_allclose(video[i : i + 1], expected, atol=1e-4)

    def test_reconstruct(self, served, regen):
        video = random_video(2, K + 1, 16, 24, 3)
        answer = served.reconstruct(video=video, seed=1, num_steps=2)["video"]
        expected = regen.reconstruct(video, seed=1, num_steps=2)
        np.testing.assert_allclose(answer, expected, atol=1e-4)

    def test_uint8(self, served, regen):
        video = to_uint8(random_video(2, K + 1, 16, 24, 3))
        latents = served.encode_uint8(video=video)["latents"]
        np.testing.assert_allclose(latents, regen.encode(video), atol=1e-5)
        common = {"seed": 0, "num_steps": 1}
        decoded = served.decode_uint8(latents=latents, num_frames=3, **common)["video"]
        assert decoded.dtype == "uint8"
        expected = regen.decode(latents, num_frames=3, dtype="uint8")
        # The last digit of a value halfway between two levels decides.
        assert levels_apart(decoded, expected) <= 1
        answer = served.reconstruct_uint8(video=video, **common)["video"]
        assert levels_apart(answer, regen.reconstruct(video)) <= 1

    @pytest.mark.parametrize("one_shape", [True, False])
    def test_bytes_are_the_same_as_uint8(self, served, one_shape):
        video = to_uint8(random_video(2, K + 1, 16, 24, 3))
        shape = video.shape[1:] if one_shape else [video.shape[1:]] * 2
        sent = {"video_bytes": [chunk.tobytes() for chunk in video], "shape": shape}
        common = {"seed": 5, "num_steps": 2}
        latents = served.encode_bytes(**sent)["latents"]
        assert (latents == served.encode_uint8(video=video)["latents"]).all()
        for answer, expected in (
            (
                served.decode_bytes(latents=latents, num_frames=2, **common),
                served.decode_uint8(latents=latents, num_frames=2, **common),
            ),
            (
                served.reconstruct_bytes(**sent, **common),
                served.reconstruct_uint8(video=video, **common),
            ),
        ):
            received = [
                np.frombuffer(text, "uint8").reshape(shape)
                for text, shape in zip(
                    answer["video_bytes"], answer["shape"], strict=True
                )
            ]
            assert (np.stack(received) == expected["video"]).all()

    @not_in_a_process
    @pytest.mark.parametrize(
        ("prediction", "path"), [("epsilon", "cosine"), ("velocity", "linear")]
    )
    def test_other_diffusions(self, tmp_path, prediction, path):
        regen = awaken(make_regen(K, prediction=prediction, diffusion_path=path))
        regen.export(tmp_path / "1", warmup=())
        latents = regen.encode(random_video(1, K + 1, 8, 8, 3))
        video = Served(tmp_path / "1").decode(
            latents=latents, seed=0, num_steps=3, num_frames=K + 1
        )["video"]
        np.testing.assert_allclose(video, regen.decode(latents, num_steps=3), atol=1e-3)

    def test_the_words_of_the_canvas(self):
        from keras_regen.export.saved_model import canvas_words

        seeds, times = [0, 2**63 - 1], [0.0, 0.25, -3.0, 1e6]
        words = canvas_words(
            tf.constant(seeds, tf.int64), tf.constant(times, tf.float64), 2
        )
        for seed, answer in zip(seeds, words.numpy(), strict=True):
            area = diffusion.Sampling(seed=seed).area([times], [[0, 0]])
            np.testing.assert_array_equal(answer, area.words[0])


def levels_apart(a, b):
    return np.abs(a.astype(int) - b.astype(int)).max()


GOOD = {
    "video": np.zeros((1, K + 1, 16, 16, 3)),
    "latents": np.zeros((1, 2, 2, 2, 8)),
    "seed": 0,
    "num_steps": 1,
    "num_frames": K + 1,
}
INPUTS = {
    "encode": ("video",),
    "decode": ("latents", "seed", "num_steps", "num_frames"),
    "reconstruct": ("video", "seed", "num_steps"),
}


class TestRefusals:
    @pytest.mark.parametrize(
        ("signature", "bad", "message"),
        [
            ("encode", {"video": np.full((1, K + 1, 8, 8, 3), np.nan)}, "finite"),
            ("encode", {"video": np.full((1, 1, 8, 8, 3), np.inf)}, "finite"),
            ("encode", {"video": np.full((1, 1, 8, 8, 3), 1.1)}, "-1, 1"),
            ("encode", {"video": np.zeros((1, 0, 8, 8, 3))}, "must not be empty"),
            ("encode", {"video": np.zeros((0, 1, 8, 8, 3))}, "must not be empty"),
            ("encode", {"video": np.zeros((1, 1, 0, 8, 3))}, "must not be empty"),
            ("encode", {"video": np.zeros((1, K, 8, 8, 3))}, "k \\+ 1 = 5 frames"),
            ("encode", {"video": np.zeros((1, 1, 8, 12, 3))}, "multiples of 8"),
            ("encode", {"video": np.zeros((1, 1, 4, 8, 3))}, "multiples of 8"),
            ("encode", {"video": np.zeros((1, 5, 224, 240, 3))}, "262144 pixels"),
            ("reconstruct", {"num_steps": 6}, "1 to 5"),
            ("reconstruct", {"num_steps": 2**31 - 1}, "1 to 5"),
            ("reconstruct", {"num_steps": 0}, "1 to 5"),
            ("reconstruct", {"num_steps": -1}, "1 to 5"),
            ("reconstruct", {"num_steps": [1, 1]}, "one for each sample"),
            ("reconstruct", {"num_steps": [[1]]}, "one for each sample"),
            ("reconstruct", {"seed": -1}, "at least 0"),
            ("reconstruct", {"seed": []}, "one for each sample"),
            ("decode", {"num_frames": 0}, "at least 1"),
            ("decode", {"num_frames": -5}, "at least 1"),
            ("decode", {"num_frames": 2**31 - 1}, "262144 pixels"),
            ("decode", {"num_frames": 1100}, "262144 pixels"),
            ("decode", {"latents": np.full((1, 2, 1, 1, 8), np.nan)}, "finite"),
            ("decode", {"latents": np.full((1, 2, 1, 1, 8), 1e38)}, "in magnitude"),
            ("decode", {"latents": np.zeros((1, 3, 1, 1, 8))}, "shape"),
            ("decode", {"latents": np.zeros((1, 2, 0, 1, 8))}, "must not be empty"),
            ("decode", {"latents": np.zeros((0, 2, 1, 1, 8))}, "must not be empty"),
        ],
    )
    def test_bad_input_is_a_clear_error(self, served, signature, bad, message):
        inputs = {name: GOOD[name] for name in INPUTS[signature]} | bad
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            getattr(served, signature)(**inputs)

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            ({"video_bytes": [b"abc"]}, "as many bytes"),
            ({"video_bytes": [b""]}, "as many bytes"),
            ({"video_bytes": []}, "must not be empty"),
            (
                {
                    "video_bytes": [bytes(192)] * 2,
                    "shape": [[1, 8, 8, 3], [1, 8, 9, 3]],
                },
                "one shape",
            ),
            ({"shape": [1, 8, 8]}, "4"),
            ({"shape": [1, 8, -8, 3]}, "must not be empty"),
            ({"shape": [1, 2**30, 2**30, 3]}, "262144 pixels"),
            ({"shape": [1, 8, 24, 1]}, "RGB"),
        ],
    )
    def test_bad_bytes(self, served, bad, message):
        inputs = {"video_bytes": [bytes(192)], "shape": [1, 8, 8, 3]} | bad
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            served.encode_bytes(**inputs)

    def test_bad_uint8(self, served):
        with pytest.raises(tf.errors.InvalidArgumentError, match="multiples of 8"):
            served.encode_uint8(video=np.zeros((1, 1, 12, 8, 3)))


class TestStorage:
    @not_in_a_process
    @pytest.mark.parametrize(
        ("weights", "dtype", "max_share"),
        [("bfloat16", "mixed_bfloat16", 0.53), ("int8", "float32", 0.29)],
    )
    def test_small_and_close(self, tmp_path, weights, dtype, max_share):
        exact_model = awaken(Regen.from_architecture("tiny", 8))
        model = Regen.from_architecture("tiny", 8, dtype=dtype)
        model.set_weights(exact_model.get_weights())
        model.export(tmp_path / "1", weights=weights, warmup=())
        files = tmp_path.glob("1/variables/*.data*")
        size = sum(file.stat().st_size for file in files)
        parts = exact_model.encoder, exact_model.decoder
        whole = 4 * sum(part.count_params() for part in parts)
        assert size < max_share * whole
        video = random_video(1, 9, 16, 24, 3)
        served = Served(tmp_path / "1")
        latents = served.encode(video=video)["latents"]
        exact = exact_model.encode(video)
        assert 1e-5 < np.abs(latents - exact).mean() / exact.std() < 0.03
        answer = served.decode(latents=exact, seed=0, num_steps=1, num_frames=9)
        error = np.abs(answer["video"] - exact_model.decode(exact)).mean()
        assert 1e-5 < error < 0.02

    def test_int8_weights_are_close(self):
        from keras_regen.export.saved_model import StoredWeights

        values = np.random.default_rng(0).normal(size=(3, 256, 256)).astype("float32")
        values[..., 7] = 0
        variables = [keras.Variable(values), keras.Variable(values[0, :8])]
        with keras.name_scope("siren"):
            variables.append(keras.Variable(values[0]))
        stored = StoredWeights(variables, "int8")
        assert [v.dtype.name for v in stored.values] == ["int8", "float32", "float32"]
        large, *same = (tensor.numpy() for tensor in stored.tensors())
        step = np.abs(values).max((0, 1)) / 127
        assert (np.abs(large - values) <= step / 2 + 1e-6).all()
        for tensor, variable in zip(same, variables[1:], strict=True):
            assert (tensor == variable.numpy()).all()


class TestWarmup:
    @needs_tensorflow_serving
    def test_requests_are_real_and_cover_every_signature(self, saved_model, served):
        seen = []
        for name, inputs in read_warmup(saved_model):
            # Servers that batch requests need every input to have a batch axis.
            assert all(len(value) == 1 for value in inputs.values())
            outputs = getattr(served, name)(**inputs)
            assert all(len(value) == 1 for value in outputs.values())
            seen.append(name)
        assert sorted(seen) == sorted([*served.loaded.signatures] * 2)
