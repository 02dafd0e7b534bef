"""Exported generators in TensorFlow against the generator itself."""

import dataclasses
import importlib.util

import keras
import numpy as np
import pytest

from keras_regen.codec import VideoCodec
from keras_regen.codec.stitcher import _Stitcher
from keras_regen.generation import GenerationDefaults, VideoGenerator
from keras_regen.generation.generator_export import GeneratorOptions
from keras_regen.generation.generator_functions import GeneratorFunctions
from keras_regen.text import TextEmbeddings
from tests.export.conftest import read_warmup
from tests.generation.conftest import make_generator
from tests.models.conftest import awaken, make_regen
from tests.serving.calls import make_calls
from tests.serving.toy_requests import needs_tensorflow_serving

K, CHANNELS = 4, 6
# Three chunks, of which the last is cut, of a window of four.
SHAPE = (12, 12, 20)
DEFAULTS = GenerationDefaults(12, 20, 12, 12.5, 4, num_steps=2, guidance=3.0)


def make(of_labels=False):
    codec = VideoCodec(awaken(make_regen(K)))
    tokens = np.random.default_rng(0).normal(size=(7, CHANNELS))
    texts = TextEmbeddings(["a two", "Ünder three"], tokens, [3, 4], "an encoder")
    # Patches of two latents: rows and columns are padded, and cropped.
    transformer = {"num_labels": None, "text_channels": CHANNELS, "patch_size": 2}
    if of_labels:
        defaults = dataclasses.replace(DEFAULTS, labels=("two", "three"))
        return VideoGenerator(make_generator(), codec, defaults=defaults)
    model = make_generator(transformer=transformer, encoder_id=codec.encoder_id)
    return VideoGenerator(model, codec, texts, DEFAULTS)


@pytest.fixture(scope="module")
def generator():
    return make()


@pytest.fixture(scope="module")
def exported(generator, tmp_path_factory):
    """The directory of the SavedModel."""
    pytest.importorskip("tensorflow")
    path = tmp_path_factory.mktemp("serving") / "generator" / "1"
    warmup = importlib.util.find_spec("tensorflow_serving") is not None
    generator.export(path, max_pixels=3 * 12 * 12 * 20, max_tokens=9, warmup=warmup)
    return path


@pytest.fixture(scope="module")
def signatures(exported):
    """A dict of functions of NumPy arrays."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(exported))

    def make_call(function):
        _, specs = function.structured_input_signature

        def call(**inputs):
            # The functions keep the model alive.
            assert loaded
            tensors = {k: tf.constant(v, specs[k].dtype) for k, v in inputs.items()}
            return {k: v.numpy() for k, v in function(**tensors).items()}

        return call

    return {name: make_call(f) for name, f in loaded.signatures.items()}


def request(generator, **changes):
    text, mask = generator.text_encoder.encode(["a two", "Ünder three"])
    inputs = {"text": text, "text_mask": mask, "seed": [3, 2**40], "guidance": 3.0}
    return inputs | changes


def assert_same(video, expected):
    assert video.dtype == np.uint8 and video.shape == expected.shape
    # Half a level, rounded up or down.
    difference = np.abs(video.astype(int) - expected)
    assert difference.max() <= 1 and difference.mean() < 0.02


# PyTorch shows that it arrives from another process, in one test.
in_process = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow exports"
)


class TestAnswers:
    @pytest.mark.skipif(
        keras.backend.backend() == "jax", reason="as PyTorch, in another process"
    )
    def test_from_another_backend(self, generator, signatures):
        names = {"generate", "generate_from_prompt"}
        names |= {f"{name}_bytes" for name in names}
        assert set(signatures) == names | {"serving_default"}
        video = signatures["generate"](**request(generator))["video"]
        for i, (prompt, seed) in enumerate((("a two", 3), ("Ünder three", 2**40))):
            assert_same(video[i], generator.generate(prompt, seed=seed))

    @in_process
    def test_guidance_of_each_and_none(self, generator, signatures):
        inputs = request(generator, seed=5)
        both = signatures["generate"](**inputs | {"guidance": [1.0, 3.0]})["video"]
        one = signatures["generate"](**inputs | {"guidance": 1.0})["video"]
        expected = generator.generate("a two", seed=5, guidance=1.0)
        assert_same(both[0], expected)
        assert_same(one[0], expected)
        assert_same(both[1], generator.generate("Ünder three", seed=5))
        mask = np.zeros_like(inputs["text_mask"])
        none = signatures["generate"](**inputs | {"text_mask": mask})["video"]
        assert_same(none[0], generator.generate(None, seed=5))

    @in_process
    def test_prompts(self, generator, signatures):
        call = {"seed": 1, "guidance": 3.0}
        prompts = [" a  two\n", "üNDER THREE"]
        video = signatures["generate_from_prompt"](prompt=prompts, **call)["video"]
        for i, prompt in enumerate(prompts):
            assert_same(video[i], generator.generate(prompt, seed=1))
        answer = signatures["generate_from_prompt_bytes"](prompt=prompts, **call)
        np.testing.assert_array_equal(answer["shape"], [[*SHAPE, 3]] * 2)
        assert answer["video_bytes"][1] == video[1].tobytes()

    @in_process
    def test_labels(self):
        import tensorflow as tf

        from keras_regen.export.saved_generator import ServedGenerator

        generator = make(of_labels=True)
        options = GeneratorOptions(5, 8, 20, 3, 2.0, 1, "float32", 2**20, 9)
        served = ServedGenerator(GeneratorFunctions(generator, options))
        signatures = served.signatures()
        assert set(signatures) == {"generate", "generate_bytes", "serving_default"}
        drawn = tf.constant(7, tf.int64), tf.constant(3.0)
        generate = signatures["serving_default"]
        video = generate(tf.constant([1, 2]), *drawn)["video"].numpy()
        call = dict(seed=7, num_frames=5, height=8, num_steps=3, time_shift=2.0)
        assert_same(video[0], generator.generate(label="three", **call))
        assert_same(video[1], generator.generate(**call))
        for label in (-1, 3):
            with pytest.raises(
                tf.errors.InvalidArgumentError, match="0 to 2, which is none. Received"
            ):
                generate(tf.constant([0, label]), *drawn)


@in_process
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"guidance": np.nan}, "`guidance` must be 0 to 1e.06.*nan"),
        ({"guidance": [1.0, -1.0]}, "`guidance` must be 0 to"),
        ({"guidance": [1.0] * 3}, "`guidance` must be a number, or one for each"),
        ({"seed": -1}, "`seed` must be at least 0"),
        ({"seed": [1, 2, 3]}, "`seed` must be a number, or one for each"),
        ({"text": np.full((2, 4, CHANNELS), np.inf)}, "`text` must be finite"),
        ({"text_mask": np.ones((2, 3), bool)}, "`text_mask` .B, L.*2 4 6.*2 3"),
        (
            {
                "text": np.zeros((1, 10, CHANNELS)),
                "text_mask": np.ones((1, 10), bool),
                "seed": 0,
            },
            "1 to 9 tokens.*10",
        ),
        (
            {"text": np.zeros((4, 2, CHANNELS)), "text_mask": np.ones((4, 2), bool)},
            "at most 8640 pixels.*11520",
        ),
        (
            {"text": np.zeros((0, 2, CHANNELS)), "text_mask": np.ones((0, 2), bool)},
            "at least one video",
        ),
        ({"prompt": ["a two", "a five"]}, "embeddings of 2 texts.*a five"),
    ],
)
def test_bad_requests(generator, signatures, changes, message):
    import tensorflow as tf

    inputs, name = request(generator), "generate"
    if "prompt" in changes:
        inputs, name = {"seed": 0, "guidance": 1.0}, "generate_from_prompt"
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"(?s){message}"):
        signatures[name](**inputs | changes)


@in_process
@needs_tensorflow_serving
def test_warmup_is_a_video_of_each_signature(exported, signatures):
    seen = []
    for name, inputs in read_warmup(exported):
        assert all(len(value) == 1 for value in signatures[name](**inputs).values())
        seen.append(name)
    assert sorted(seen) == sorted(signatures)


@in_process
@needs_tensorflow_serving
def test_bad_shapes_to_a_server(generator, exported):
    """Servers do not compare inputs with the signature."""
    good = request(generator)
    good["seed"] = np.array(good["seed"], "int64")
    good["guidance"] = np.float32(1)
    floats, bits = np.float32, good["text_mask"]
    bad = [
        {"text": np.zeros((2, 4, CHANNELS - 1), floats)},
        {"text": np.zeros((2, CHANNELS), floats)},
        {"text_mask": bits[0]},
        {"text": good["text"][:, :0], "text_mask": bits[:, :0]},
    ]
    calls = [("generate", good | changes) for changes in (*bad, {})]
    *refused, answered = make_calls(exported, calls)
    assert [answer[0] for answer in refused] == ["INVALID_ARGUMENT"] * len(bad)
    assert f"shape (B, L, {CHANNELS})" in refused[0][1]
    assert_same(answered["video"][0], generator.generate("a two", seed=3, guidance=1.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_frames": 21}, "4 chunks of 5 frames, 20.*num_frames=21, 5 chunks"),
        ({"num_steps": 0}, "num_steps=0"),
        ({"time_shift": 0.0}, "time_shift=0"),
        ({"weights": "int4"}, "weights='int4'"),
        ({"max_pixels": 100}, "has 2880 pixels.*max_pixels=100"),
        ({"max_tokens": 0}, "max_tokens=0"),
    ],
)
def test_bad_options(generator, tmp_path, options, message):
    pytest.importorskip("tensorflow")
    with pytest.raises(ValueError, match=message):
        generator.export(tmp_path / "1", **options)
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="two backends are enough")
@pytest.mark.parametrize("blend_frames", [0, 1, 2])
@pytest.mark.parametrize("num_frames", [3, 11, 20])
def test_chunks_fade_as_in_the_codec(generator, blend_frames, num_frames):
    pytest.importorskip("tensorflow")
    codec = VideoCodec(generator.codec.model, blend_frames=blend_frames)
    layout = codec.layout
    options = GeneratorOptions(num_frames, *SHAPE[1:], 1, 1.0, 1, "float32", 2**20, 9)
    functions = GeneratorFunctions(
        VideoGenerator(generator.diffusion, codec, defaults=DEFAULTS), options
    )
    size = functions.num_chunks, layout.decoded_frames, 16, 24, 3
    # Smooth, so that chunks agree in some places more than in others.
    decoded = np.random.default_rng(0).uniform(-1, 1, size).astype("float32")
    decoded = np.cumsum(np.cumsum(decoded, axis=2), axis=3) / 40
    stitcher, expected = _Stitcher(layout), []
    for chunk, video in enumerate(decoded[:, :, :12, :20]):
        first = layout.start(chunk) - blend_frames
        frames = (
            (number, float(number), frame)
            for number, frame in enumerate(video, first)
            if 0 <= number < num_frames
        )
        expected += stitcher.add(chunk, frames, chunk == functions.num_chunks - 1)
    result = functions.stitch(keras.ops.convert_to_tensor(decoded[None]))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(result)[0], expected, atol=1e-5
    )
