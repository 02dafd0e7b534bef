import dataclasses
import fractions
import json

import keras
import numpy as np
import pytest

from keras_regen.codec import VideoCodec
from keras_regen.generation import GenerationDefaults, VideoGenerator
from keras_regen.latents import Latents
from keras_regen.text import TextEmbeddings
from keras_regen.video import VideoReader
from tests.generation.conftest import make_generator
from tests.models.conftest import awaken, make_regen
from tests.video.media import make

CHUNK = 5
HEIGHT, WIDTH = 12, 20
DEFAULTS = GenerationDefaults(
    HEIGHT, WIDTH, 7, 12.5, window_chunks=2, num_steps=2, guidance=3.0
)
CHANNELS = 6


@pytest.fixture(scope="module")
def codec():
    return VideoCodec(awaken(make_regen(CHUNK - 1)))


@pytest.fixture(scope="module")
def texts():
    tokens = np.random.default_rng(0).normal(size=(7, CHANNELS))
    return TextEmbeddings(["a two", "a three"], tokens, [3, 4], "an encoder")


@pytest.fixture(scope="module")
def generator(codec, texts):
    transformer = {"num_labels": None, "text_channels": CHANNELS}
    model = make_generator(transformer=transformer, encoder_id=codec.encoder_id)
    return VideoGenerator(model, codec, texts, DEFAULTS)


@pytest.fixture(scope="module")
def of_labels(codec):
    defaults = dataclasses.replace(DEFAULTS, labels=("two", "three"))
    return VideoGenerator(make_generator(), codec, defaults=defaults)


def noise(*shape):
    return np.random.default_rng(1).integers(0, 256, (*shape, 3), "uint8")


def join(pieces):
    return Latents.join(pieces)


class TestText:
    def test_generates_what_its_parts_do(self, generator, codec, texts):
        video = generator.generate("A  two", seed=3)
        assert video.shape == (7, HEIGHT, WIDTH, 3) and video.dtype == np.uint8
        text, mask = texts.encode(["a two"])
        array = generator.diffusion.generate(
            *(2, (2, 3), [3]),
            text=text,
            text_mask=mask,
            guidance=3.0,
            num_steps=2,
        )
        latents = Latents(array[0], 7, HEIGHT, WIDTH, 12.5, CHUNK - 1)
        expected = codec.decode(latents, seed=3)
        # Attention to a text of another length rounds otherwise.
        np.testing.assert_allclose(video, expected, atol=1)

    def test_everything_matters(self, generator):
        call = dict(num_frames=5)
        base = generator.generate("a two", **call)
        others = [
            generator.generate("a three", **call),
            generator.generate("a two", seed=1, **call),
            generator.generate("a two", guidance=1.0, **call),
            generator.generate("a two", num_steps=3, **call),
            generator.generate("a two", time_shift=3.0, **call),
            generator.generate(None, **call),
        ]
        assert not any(np.array_equal(base, other) for other in others)

    def test_files_and_progress(self, generator, tmp_path):
        frames, steps = [], []
        path = generator.generate(
            "a two",
            tmp_path / "out.mp4",
            num_frames=12,
            fps=30.0,
            height=16,
            progress=lambda *done: frames.append(done),
            callback=lambda *done: steps.append(done),
        )
        with VideoReader(path) as reader:
            assert (reader.fps, reader.height, reader.width) == (30, 16, WIDTH)
            assert len(list(reader)) == 12
        assert frames == [(done, 12) for done in range(1, 13)]
        # Three chunks are two windows of two.
        assert steps == [(1, 2), (2, 2)] * 2

    def test_a_longer_video_starts_as_a_shorter_one(self, generator):
        short, long = (
            join(generator.generate_latents("a two", num_frames=n)).array
            for n in (10, 24)
        )
        assert len(long) == 10
        np.testing.assert_array_equal(long[: len(short)], short)


class TestGiven:
    @pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (9, 16)])
    def test_image(self, generator, codec, size, tmp_path):
        image = noise(*size)
        pieces = generator.generate_latents("a two", image=image)
        latents = join(pieces)
        assert (latents.height, latents.width) == size
        content = codec.encode(image[None]).array[0]
        np.testing.assert_array_equal(latents.array[0], content)
        if size == (9, 16):
            np.save(tmp_path / "image.npy", image[None])
            same = generator.generate_latents("a two", image=tmp_path / "image.npy")
            np.testing.assert_array_equal(join(same).array, latents.array)

    def test_video(self, generator, codec):
        # Of three chunks, and two frames that are not one.
        video = noise(3 * CHUNK + 2, HEIGHT, WIDTH)
        latents = join(generator.generate_latents(video=video))
        assert len(latents) == 3 * CHUNK + 7
        given = codec.encode(video).array[:6]
        np.testing.assert_array_equal(latents.array[:6], given)
        assert latents.fps == DEFAULTS.fps

    def test_pixels_that_are_not_square_stay_so(self, generator, tmp_path):
        aspect, times = fractions.Fraction(4, 3), np.arange(CHUNK) / 25
        video = make(tmp_path / "in.mp4", times, last=1 / 25, aspect=aspect)
        path = generator.generate(
            output=tmp_path / "out.mp4", video=video, num_frames=2 * CHUNK
        )
        with VideoReader(path) as reader:
            assert reader.pixel_aspect == aspect

    def test_keyframes(self, generator, codec):
        keyframes = noise(4, HEIGHT, WIDTH)
        latents = join(generator.generate_latents("a two", keyframes=keyframes))
        assert len(latents) == 4 * CHUNK
        for place, keyframe in enumerate(keyframes):
            content = codec.encode(keyframe[None]).array[0]
            np.testing.assert_array_equal(latents.array[2 * place], content)

    @pytest.mark.parametrize("kind", ["image", "video", "keyframes"])
    @pytest.mark.parametrize("dtype", ["uint8", "float32"])
    def test_it_is_resized_and_cropped(self, generator, codec, kind, dtype):
        """White bars at the left and the right of a black square are cropped."""
        source = np.full((CHUNK, 24, 40, 3), 255, "uint8")
        source[:, :, 5:35] = 0
        frames, content = source, codec.encode(np.zeros((1, 16, 16, 3), "uint8"))
        if dtype == "float32":
            frames = source / np.float32(127.5) - 1
        given = {kind: frames[0] if kind == "image" else frames}
        size = {"height": 16, "width": 16}
        pieces = generator.generate_latents(None, **given, **size, num_frames=30)
        latents = next(pieces)
        assert (latents.height, latents.width) == (16, 16)
        np.testing.assert_allclose(latents.array[0], content.array[0], atol=1e-5)

    def test_one_side_keeps_the_aspect_ratio(self, generator):
        latents = next(generator.generate_latents(image=noise(24, 40), width=20))
        assert (latents.height, latents.width) == (12, 20)

    def test_a_size_far_above_the_presets_is_told(self, generator, caplog):
        generator.generate_latents(height=2 * HEIGHT, width=2 * WIDTH)
        assert not caplog.messages
        generator.generate_latents(height=2 * HEIGHT, width=2 * WIDTH + 1)
        assert "41x24 pixels, and the model was trained on 20x12" in caplog.text

    @pytest.mark.parametrize(
        "arguments",
        [
            {"prompt": "a four"},
            {"label": 1},
            {"num_steps": 0},
            {"guidance": -1.0},
            {"time_shift": 0.0},
            {"num_frames": 0},
            {"num_frames": 1},
            {"width": 0},
            {"decoding_steps": 0},
        ],
    )
    def test_arguments_are_checked_first(self, generator, arguments, monkeypatch):
        monkeypatch.setattr(generator.codec, "encode", None)
        with pytest.raises(ValueError):
            generator.generate(**{"image": noise(8, 8), **arguments})


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"prompt": "a four"}, "'a two'.*'a three'.*Received: 'a four'"),
        ({"label": 1}, "not both. Received: prompt='a two', label=1"),
        ({"prompt": None, "label": 1}, "by text, text_mask. Received: label"),
        ({"image": noise(8, 8), "video": noise(9, 8, 8)}, "Received: image, video"),
        ({"guidance": float("nan")}, "`guidance` must be a finite number"),
        ({"video": noise(4, 8, 8)}, "at least 5 frames. Received: 4"),
        ({"video": noise(6, 8, 8), "num_frames": 5}, "longer than the 5 frames"),
        ({"keyframes": noise(3, 8, 8), "num_frames": 11}, "longer than the 11 frames"),
        ({"num_frames": 0}, "`num_frames` must be"),
        ({"fps": 0.0}, "`fps` must be"),
        ({"output": "out.avi", "label": 1}, "written as .*path=out.avi"),
        ({"steps": 3}, "did you mean `num_steps`"),
    ],
)
def test_bad_input(generator, arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        generator.generate(**{"prompt": "a two", **arguments})


class TestLabels:
    def test_names_and_numbers(self, of_labels):
        named, numbered, other = (
            of_labels.generate(label=label, num_frames=5) for label in ("three", 1, 0)
        )
        np.testing.assert_array_equal(named, numbered)
        assert not np.array_equal(named, other)

    def test_without_one(self, of_labels):
        """The number of labels stands for none, and there is no guidance."""
        latents = next(of_labels.generate_latents(num_frames=5)).array
        expected = of_labels.diffusion.generate(2, (2, 3), 0, label=[2], num_steps=2)
        np.testing.assert_array_equal(latents, expected[0, : len(latents)])

    @pytest.mark.parametrize(
        "names, label, number", [(("1", "0"), "1", 0), (None, "1", 1), (None, 1, 1)]
    )
    def test_a_number_as_text(self, of_labels, codec, names, label, number):
        defaults = dataclasses.replace(DEFAULTS, labels=names)
        other = VideoGenerator(of_labels.diffusion, codec, defaults=defaults)
        ours, expected = (
            next(g.generate_latents(label=label, num_frames=5)).array
            for g, label in ((other, label), (of_labels, number))
        )
        np.testing.assert_array_equal(ours, expected)

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"label": "four"}, "labels are two, three. Received: label='four'"),
            ({"label": "1"}, "labels are two, three. Received: label='1'"),
            ({"label": 2}, "labels are two, three. Received: label=2"),
            ({"label": -1}, "labels are two, three. Received: label=-1"),
            ({"label": 0.5}, "labels are two, three. Received: label=0.5"),
            ({"prompt": "a two"}, "not trained on texts, but on two, three"),
        ],
    )
    def test_bad_input(self, of_labels, arguments, message):
        with pytest.raises(ValueError, match=message):
            of_labels.generate(**arguments)


class TestCodec:
    def test_another_encoder(self, codec):
        with pytest.raises(
            ValueError, match="latents of another codec.*'theirs'|theirs"
        ):
            VideoGenerator(make_generator(encoder_id="theirs"), codec)

    def test_another_text_encoder(self, codec, texts):
        transformer = {"num_labels": None, "text_channels": CHANNELS}
        model = make_generator(transformer=transformer, text_encoder_id="theirs")
        with pytest.raises(ValueError, match="another text.* theirs.*=an encoder,"):
            VideoGenerator(model, codec, texts)

    def test_a_text_encoder_of_other_types(self, generator, codec, texts):
        """One that counts its mask in whole numbers, and one that is a name."""

        class Whole:
            encoder_id = texts.encoder_id

            def encode(self, prompts):
                text, mask = texts.encode(prompts)
                return text, mask.astype("int64")

        model, calls = generator.diffusion, {"prompt": "a two", "num_frames": 5}
        ours = VideoGenerator(model, codec, Whole(), DEFAULTS).generate(**calls)
        np.testing.assert_array_equal(ours, generator.generate(**calls))
        with pytest.raises(ValueError, match="Received: 'minilm'"):
            VideoGenerator(model, codec, "minilm")

    def test_another_k(self, codec):
        model = make_generator(transformer={})
        other = VideoCodec(make_regen(8))
        with pytest.raises(ValueError, match="must have k = 4. Received: one of k = 8"):
            VideoGenerator(model, other)

    def test_shared_frames(self, codec):
        shared = VideoCodec(codec.model, chunking="shared")
        with pytest.raises(ValueError, match="disjoint chunks"):
            VideoGenerator(make_generator(), shared)


class TestPreset:
    def test_save_and_load(self, generator, tmp_path, monkeypatch):
        generator.codec.model.save_to_preset(tmp_path / "codec")
        monkeypatch.chdir(tmp_path)
        regen = type(generator.codec.model).from_preset("codec")
        saved = VideoGenerator(
            generator.diffusion, VideoCodec(regen), generator.text_encoder, DEFAULTS
        )
        saved.save_to_preset(tmp_path / "preset", {"licence": "Apache-2.0"})
        loaded = VideoGenerator.from_preset(tmp_path / "preset")
        assert loaded.defaults == DEFAULTS
        call = dict(prompt="a three", seed=2, num_frames=5)
        np.testing.assert_array_equal(loaded.generate(**call), saved.generate(**call))
        saved.text_encoder = None
        saved.save_to_preset(tmp_path / "preset")
        # The codec is found from another directory too.
        monkeypatch.chdir("/")
        assert VideoGenerator.from_preset(tmp_path / "preset").text_encoder is None

    @pytest.mark.parametrize(
        "metadata, message",
        [
            ({}, "names no codec"),
            ({"codec": 3}, "names no codec"),
            ({"codec": "missing"}, "names a codec that .* as `codec`.*'missing'"),
            ({"generation": {"hight": 3}}, "unknown defaults.*hight"),
            ({"generation": {"height": "3"}}, "`height` must be"),
            ({"generation": 3}, "unknown defaults"),
        ],
    )
    def test_bad_metadata(self, generator, codec, tmp_path, metadata, message):
        if "generation" in metadata:
            codec.model.save_to_preset(tmp_path / "codec")
            metadata = {"codec": str(tmp_path / "codec"), **metadata}
        generator.diffusion.save_to_preset(tmp_path / "preset", metadata)
        with pytest.raises(ValueError, match=message):
            VideoGenerator.from_preset(tmp_path / "preset")


def test_metadata_is_json(generator, tmp_path):
    generator.save_to_preset(tmp_path / "preset")
    metadata = json.loads((tmp_path / "preset" / "metadata.json").read_text())
    assert metadata["generation"]["height"] == HEIGHT
    assert keras.backend.backend()
