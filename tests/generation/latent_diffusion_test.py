import keras
import numpy as np
import pytest
from keras import ops

from keras_regen import diffusion
from keras_regen.generation import GivenFrames, LatentDiffusion, LatentTransformer
from keras_regen.generation.sampling_step import shifted_times
from tests.generation.conftest import make_generator
from tests.models.conftest import awaken
from tests.test_case import random

SIZE = (2, 3)
# The latents of each label: nearly constant, far from normalised.
CENTRES = np.array([3.0, 7.0], "float32")


def make_model(**kwargs):
    keras.utils.set_random_seed(0)
    transformer = LatentTransformer(units=32, depth=2, num_heads=2, num_labels=2)
    statistics = {"mean": np.full((2, 8), 5.0), "std": np.full((2, 8), 2.0)}
    return LatentDiffusion(transformer, 8, **{**statistics, **kwargs})


@pytest.fixture
def model():
    model = make_model()
    awaken(model)
    return model


@pytest.fixture(scope="module")
def trained():
    """A model that has learned which latents a label has."""
    model = make_model(given_share=0.2)
    rng = np.random.default_rng(0)
    label = rng.integers(2, size=1024).astype("int32")
    noise = 0.2 * rng.normal(size=(1024, 4, *SIZE, 8))
    latents = (CENTRES[label][:, None, None, None, None] + noise).astype("float32")
    model.compile(optimizer=keras.optimizers.Adam(3e-3, use_ema=True, ema_momentum=0.9))
    history = model.fit(
        {"latents": latents, "label": label}, batch_size=32, epochs=4, verbose=0
    )
    return model, history.history["loss"]


class TestTraining:
    def test_it_learns_the_label(self, trained):
        model, losses = trained
        assert losses[-1] < 0.6 * losses[0]
        latents = model.generate(
            2, SIZE, seeds=np.arange(8), label=4 * [0, 1], num_steps=8
        )
        means = latents.reshape(8, -1).mean(axis=1)
        np.testing.assert_allclose(means, np.tile(CENTRES, 4), atol=0.7)

    def test_guidance_goes_further_from_no_label(self, trained):
        model, _ = trained
        low, high = (
            model.generate(
                1, SIZE, [0], label=[1], num_steps=4, guidance=guidance
            ).mean()
            for guidance in (0.0, 1.5)
        )
        assert low < model.generate(1, SIZE, [0], label=[1], num_steps=4).mean() < high

    def test_evaluation_repeats(self, model):
        model.compile(optimizer="sgd")
        latents = np.repeat(random(1, 4, *SIZE, 8), 8, axis=0)
        x = {"latents": latents, "label": np.zeros(8, "int32")}
        scores = [model.evaluate(x, batch_size=n, verbose=0) for n in (4, 4, 8)]
        assert scores[0] == scores[1]
        # A small batch is repeated, and so its times are those of 8 samples.
        assert scores[0] == pytest.approx(scores[2], rel=1e-4)

    def test_the_loss_leaves_out_what_is_given(self, model, monkeypatch):
        """With all but one frame given, the loss is the error of that frame."""
        from keras_regen.generation import latent_diffusion

        mask = np.array([[1.0, 1.0, 0.0, 1.0]], "float32")
        seen = {}
        monkeypatch.setattr(
            latent_diffusion, "draw_given", lambda *args: ops.convert_to_tensor(mask)
        )
        call = model.transformer.call

        def spied(inputs, *args, **kwargs):
            seen.update({k: ops.convert_to_numpy(v) for k, v in inputs.items()})
            return call(inputs, *args, **kwargs)

        monkeypatch.setattr(model.transformer, "call", spied)
        x = {"latents": random(1, 4, *SIZE, 8), "label": np.zeros(1, "int32")}
        latents = model(x)
        loss = ops.convert_to_numpy(model.compute_loss(x, None, latents))
        assert np.isfinite(loss) and loss > 0
        assert (seen["timestep"][0, [0, 1, 3]] == 0).all()
        assert seen["timestep"][0, 2] > 0
        given = seen["latents"][0, [0, 1, 3]]
        np.testing.assert_allclose(
            given, ops.convert_to_numpy(latents)[0, [0, 1, 3]], atol=1e-6
        )
        np.testing.assert_allclose(seen["times"][0], [0, 4.5, 9, 13.5])

    def test_sample_weight(self, model):
        x = {"latents": random(2, 2, *SIZE, 8), "label": np.zeros(2, "int32")}
        flat, column, second = (
            ops.convert_to_numpy(
                model.compute_loss(
                    x, None, model(x), np.array(weight, "float32"), training=False
                )
            )
            for weight in ([1, 0], [[1], [0]], [[0], [1]])
        )
        assert flat == column != second

    @pytest.mark.parametrize(
        "change, message",
        [
            ({"latents": random(2, 3, *SIZE, 8)}, "number must be even"),
            ({"label": np.array([0, 3])}, "whole numbers from 0 to 2"),
            ({"label": np.array([0.0, 1.0])}, "whole numbers from 0 to 2"),
        ],
    )
    def test_data_are_checked_before_training(self, model, change, message):
        x = {"latents": random(2, 2, *SIZE, 8), "label": np.zeros(2, "int32")}
        model.compile(optimizer="sgd")
        with pytest.raises(ValueError, match=message):
            model.fit({**x, **change}, verbose=0)

    def test_no_label_and_a_label_that_is_not_needed(self, model):
        x = {"latents": random(2, 2, *SIZE, 8), "label": np.array([1, 2], "int32")}
        model.compile(optimizer="sgd")
        model.fit(x, verbose=0)
        free = make_generator(transformer={"num_labels": None})
        free.compile(optimizer="sgd")
        free.fit(x, verbose=0)

    def test_a_condition_that_is_missing(self, model):
        x = {"latents": random(1, 4, *SIZE, 8)}
        with pytest.raises(ValueError, match="conditioned by label"):
            model.compute_loss(x, None, model(x))


class TestGeneration:
    def test_given_frames_stay(self, model):
        given = GivenFrames.contents(3 * random(2, 2, *SIZE, 8))
        made = model.generate(2, SIZE, [0, 1], label=[0, 1], given=given, num_steps=3)
        np.testing.assert_array_equal(made[:, ::2], given.latents[:, ::2])
        free = model.generate(2, SIZE, [0, 1], label=[0, 1], num_steps=3)
        assert np.abs(made - free)[:, 1::2].max() > 1e-3

    def test_given_frames_matter(self, model):
        made = [
            model.generate(
                1,
                SIZE,
                [0],
                label=[0],
                given=GivenFrames.first(5 + random(1, 1, *SIZE, 8, seed=seed), 1),
                num_steps=2,
            )
            for seed in (0, 1)
        ]
        assert np.abs(made[0] - made[1])[:, 1].max() > 1e-3

    def test_a_video_does_not_depend_on_its_batch(self, model):
        together = model.generate(1, SIZE, [3, 4], label=[0, 1], num_steps=3)
        alone = model.generate(1, SIZE, 4, label=[1], num_steps=3)
        np.testing.assert_allclose(together[1:], alone, atol=1e-4)
        again = model.generate(1, SIZE, [3, 4], label=[0, 1], num_steps=3)
        np.testing.assert_array_equal(again, together)

    def test_noise_has_a_place(self, model):
        noise = model._noise(7, np.arange(4), (3, 5))
        crop = model._noise(7, np.arange(2, 4), (2, 4))
        np.testing.assert_array_equal(noise[2:, :2, :4], crop)
        values = model._noise(0, np.arange(8), (32, 32)).reshape(-1, 8)
        np.testing.assert_allclose(np.corrcoef(values.T), np.eye(8), atol=0.05)

    def test_a_stream_continues(self, model):
        arguments = dict(label=[1], window_chunks=2, num_steps=2)
        pieces = list(model.generate_stream(4, SIZE, 0, **arguments))
        assert [piece.shape[1] for piece in pieces] == [4, 2, 2]
        window = model.generate(2, SIZE, 0, label=[1], num_steps=2)
        np.testing.assert_array_equal(pieces[0], window)
        longer = model.generate_stream(7, SIZE, 0, **arguments)
        for piece, other in zip(pieces, longer, strict=False):
            np.testing.assert_array_equal(piece, other)
        given = GivenFrames.first(pieces[0][:, -2:], 2)
        following = model.generate(
            2, SIZE, 0, label=[1], num_steps=2, given=given, first_chunk=1
        )
        np.testing.assert_array_equal(following[:, 2:], pieces[1])

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"seeds": [0, 1]}, r"shape \(2, 4, 2, 3, 8\)"),
            ({"size": (2, 4)}, r"shape \(1, 4, 2, 4, 8\)"),
            ({"size": (2, 0)}, "`columns` must be"),
            ({"window_chunks": 1}, "`window_chunks` must be"),
            ({"window_chunks": 2.5}, "`window_chunks` must be"),
            ({"context_chunks": 2}, "`context_chunks` must be"),
            ({"first_chunk": 1}, "chunk 0 .*Received: first_chunk=1"),
        ],
    )
    def test_a_stream_is_checked_where_all_is_given(self, model, arguments, message):
        given = GivenFrames.first(random(1, 4, *SIZE, 8), 2)
        defaults = {"num_chunks": 2, "size": SIZE, "label": [0], "window_chunks": 2}
        with pytest.raises(ValueError, match=message):
            next(model.generate_stream(**{**defaults, "given": given, **arguments}))

    def test_sizes_that_are_no_whole_patches(self):
        model = make_generator(transformer={"patch_size": 2})
        first = np.random.default_rng(0).normal(size=(1, 1, 3, 5, 8)).astype("float32")
        given = GivenFrames.first(first, 1)
        latents = model.generate(1, (3, 5), 0, label=[1], num_steps=2, given=given)
        assert latents.shape == (1, 2, 3, 5, 8)
        np.testing.assert_array_equal(latents[:, :1], first)
        with pytest.raises(ValueError, match="multiples of the patch size, 2"):
            model(np.zeros((1, 2, 3, 4, 8)))

    def test_time_shift(self, model, monkeypatch):
        seen = []
        step = model._step

        def spied(inputs):
            seen.append(float(inputs["t"][0]))
            return step(inputs)

        model._step = spied
        done = []
        model.generate(
            *(1, SIZE, 0),
            label=[0],
            num_steps=4,
            time_shift=3.0,
            callback=lambda *progress: done.append(progress),
        )
        np.testing.assert_allclose(seen, [1, 0.9, 0.75, 0.5], rtol=1e-6)
        assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]

    def test_shifted_times_stay_where_a_prediction_can_be_solved(self):
        prediction = diffusion.Epsilon()
        times = shifted_times(prediction, 8, 1000.0)
        assert times[0] == prediction.max_time and times[-1] == 0
        assert np.all(np.diff(times) < 0)

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"label": [3]}, r"from 0 to 2.*\[3\]"),
            ({"label": [0.5]}, "whole numbers"),
            ({"label": [0, 1]}, "each of 1 seeds"),
            ({"label": None}, "conditioned by label. Received: nothing"),
            ({"text": np.zeros((1, 2, 3))}, "Received: text, label"),
            ({"guidance": float("nan")}, "`guidance` must be a finite number"),
            ({"num_steps": 0}, "`num_steps` must be a whole number"),
            ({"time_shift": 0}, "`time_shift` must be"),
            ({"size": (0, 3)}, "`rows` must be"),
            ({"seeds": [1.5]}, "`seed` must be a whole number"),
            ({"seeds": "7"}, "`seed` must be a whole number"),
            ({"seeds": [], "label": np.zeros(0, "int32")}, "videos=0"),
            (
                {"given": GivenFrames.first(random(1, 1, 2, 2, 8), 1)},
                r"shape \(1, 2, 2, 3, 8\)",
            ),
        ],
    )
    def test_bad_arguments(self, model, arguments, message):
        defaults = {"num_chunks": 1, "size": SIZE, "label": [0]}
        with pytest.raises(ValueError, match=message):
            model.generate(**{**defaults, **arguments})


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_it_is_saved_whole(dtype, tmp_path):
    model = make_generator(dtype)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    assert loaded.transformer.compute_dtype == model.transformer.compute_dtype
    arguments = dict(label=[1], num_steps=2)
    np.testing.assert_array_equal(
        loaded.generate(1, SIZE, 0, **arguments),
        model.generate(1, SIZE, 0, **arguments),
    )


def test_a_text():
    """In bfloat16, with guidance, trained and generated."""
    transformer = LatentTransformer(
        units=32, depth=1, num_heads=2, text_channels=6, dtype="mixed_bfloat16"
    )
    model = LatentDiffusion(
        transformer, 8, time_distribution=diffusion.UniformTimes(0.0)
    )
    model.compile(optimizer="sgd")
    text = {"text": random(4, 3, 6), "text_mask": np.ones((4, 3), bool)}
    x = {"latents": random(4, 2, *SIZE, 8), **text}
    assert np.isfinite(model.fit(x, batch_size=2, verbose=0).history["loss"]).all()
    made = model.generate(1, SIZE, range(4), **text, num_steps=2, guidance=3.0)
    assert made.shape == (4, 2, *SIZE, 8)
    assert made.dtype == "float32"
    with pytest.raises(ValueError, match=r"\(B, L, 6\)"):
        model.generate(1, SIZE, 0, text=np.zeros((1, 3, 5)), text_mask=np.ones((1, 3)))
    unknown = {"text": np.full((1, 3, 6), np.nan), "text_mask": np.ones((1, 3))}
    with pytest.raises(ValueError, match="`text` must be finite"):
        model.generate(1, SIZE, 0, **unknown)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"mean": np.zeros((2, 7))}, "`mean` must be finite numbers of shape"),
        ({"std": np.zeros((2, 8))}, "`std` must be positive"),
        ({"drop_condition": 2.0}, "`drop_condition` must be"),
        ({"drop_condition": 1.0}, "less than 1.*drop_condition=1.0"),
        ({"temporal_compression": 0}, "`temporal_compression` must be"),
    ],
)
def test_bad_configurations(arguments, message):
    transformer = LatentTransformer(units=32, depth=1, num_heads=2)
    with pytest.raises(ValueError, match=message):
        LatentDiffusion(transformer, **{"temporal_compression": 8, **arguments})
