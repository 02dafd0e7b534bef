import keras
import numpy as np
import pytest
from keras import ops

from keras_regen import diffusion
from keras_regen.metrics import PSNR
from keras_regen.models import (
    ARCHITECTURES,
    ConvAutoencoder,
    DiTDecoder,
    Regen,
    VideoEncoder,
    architecture,
    count_parameters,
)
from tests.models.conftest import awaken, make_regen
from tests.test_case import random


def moving_squares(count, frames=5, size=16, seed=0):
    """Makes clips of moving squares, which are easy to learn."""
    rng = np.random.default_rng(seed)
    video = np.zeros((count, frames, size, size, 3), "float32")
    for clip in video:
        clip[...] = rng.uniform(-0.8, 0.0, 3)
        y, x, colour = *rng.integers(0, size - 6, 2), rng.uniform(0, 1, 3)
        for i, frame in enumerate(clip):
            frame[y : y + 5, x + i // 4 : x + 5 + i // 4] = colour
    return video


def number(loss):
    return float(ops.convert_to_numpy(loss))


class TestTraining:
    @pytest.mark.parametrize(
        ("prediction", "dtype"),
        [
            ("sample", "float32"),
            ("sample", "mixed_bfloat16"),
            ("sample", "mixed_float16"),
            ("epsilon", "float32"),
            ("v", "float32"),
            ("velocity", "float32"),
        ],
    )
    def test_the_loss_falls(self, prediction, dtype):
        keras.utils.set_random_seed(0)
        path = "cosine" if prediction in ("epsilon", "v") else "linear"
        regen = make_regen(
            dtype=dtype,
            diffusion_path=path,
            prediction=prediction,
            weighting="prediction",
        )
        regen.compile(optimizer=keras.optimizers.Adam(3e-3))
        clips = moving_squares(16)
        before = regen.evaluate(clips, verbose=0)
        regen.fit(clips, batch_size=8, epochs=15, verbose=0)
        after = regen.evaluate(clips, verbose=0)
        assert np.isfinite(after) and after < 0.97 * before

    def test_encoder_and_decoder_both_learn(self, regen):
        weights = {v.path: v.numpy().copy() for v in regen.trainable_variables}
        regen.compile(optimizer=keras.optimizers.Adam(1e-2))
        # Zero-initialised gates open one step at a time.
        regen.fit(moving_squares(24), batch_size=4, epochs=1, verbose=0)
        still = [
            v.path
            for v in regen.trainable_variables
            if np.array_equal(weights[v.path], v.numpy())
        ]
        assert not still

    def test_what_keras_offers(self, regen):
        optimizer = keras.optimizers.AdamW(
            1e-3,
            use_ema=True,
            ema_momentum=0.5,
            gradient_accumulation_steps=2,
            global_clipnorm=1.0,
        )
        regen.compile(optimizer=optimizer)
        clips = moving_squares(16)
        # The state after one fit must not break the next.
        for _ in range(2):
            history = regen.fit(
                clips,
                batch_size=4,
                epochs=2,
                validation_data=(clips[:8], None),
                sample_weight=np.linspace(0.5, 1, 16, dtype="float32"),
                verbose=0,
            )
        assert np.all(np.isfinite(history.history["loss"]))
        assert np.all(np.isfinite(history.history["val_loss"]))

    def test_averages_become_the_weights(self, regen):
        regen.compile(
            optimizer=keras.optimizers.SGD(1e-2, use_ema=True, ema_momentum=0.9)
        )
        regen.fit(moving_squares(8), batch_size=4, verbose=0)
        averages = regen.optimizer._model_variables_moving_average
        for variable, average in zip(regen.trainable_variables, averages, strict=True):
            np.testing.assert_array_equal(variable.numpy(), average.numpy())

    def test_weights_that_a_callback_restores_stay(self, regen):
        regen.compile(
            optimizer=keras.optimizers.SGD(1e-2, use_ema=True, ema_momentum=0.9)
        )
        before = regen.get_weights()
        restore = keras.callbacks.LambdaCallback(
            on_train_end=lambda logs: regen.set_weights(before)
        )
        regen.fit(moving_squares(8), batch_size=4, verbose=0, callbacks=[restore])
        for weight, kept in zip(regen.get_weights(), before, strict=True):
            np.testing.assert_array_equal(weight, kept)

    def test_evaluation_repeats(self, regen):
        regen = awaken(regen)
        regen.compile()
        clips = np.repeat(moving_squares(1), 8, axis=0)
        first = regen.evaluate(clips, batch_size=4, verbose=0)
        assert first == regen.evaluate(clips, batch_size=4, verbose=0)
        # A small batch is repeated, and so its times are those of 8 samples.
        whole = regen.evaluate(clips, batch_size=8, verbose=0)
        assert first == pytest.approx(whole, rel=1e-4)

    def test_another_loss_is_refused(self, regen):
        regen.compile(keras.optimizers.SGD(0.0), loss="mse")
        with pytest.raises(ValueError, match="its own loss: .*`compute_loss`"):
            regen.fit(moving_squares(4), verbose=0)

    def test_metrics_of_latents_are_refused(self, regen):
        regen.compile(keras.optimizers.SGD(0.0), metrics=[PSNR()])
        with pytest.raises(ValueError, match="score videos in a callback"):
            regen.fit(moving_squares(4), verbose=0)

    @pytest.mark.parametrize(
        "clips", [255 * moving_squares(2), np.nan * moving_squares(2)]
    )
    def test_values_are_checked_before_training(self, regen, clips):
        regen.compile(optimizer="sgd")
        for arrays in ([clips], [moving_squares(2), clips]):
            with pytest.raises(ValueError, match="float video must be"):
                regen.fit(*arrays, verbose=0)

    @pytest.mark.parametrize(
        ("targets", "message"),
        [
            (moving_squares(2, size=32), r"the size of the chunks.*y.shape=\(2, 5, 32"),
            (moving_squares(2).astype("int32"), "video.dtype=int32"),
        ],
    )
    def test_targets_are_checked_before_training(self, regen, targets, message):
        regen.compile(optimizer="sgd")
        with pytest.raises(ValueError, match=message):
            regen.fit(moving_squares(2), targets, verbose=0)

    def test_training_draws_anew_each_step(self, regen):
        awaken(regen)
        x = ops.convert_to_tensor(moving_squares(4))
        y = regen(x)
        losses = {number(regen.compute_loss(x=x, y_pred=y)) for _ in range(3)}
        assert len(losses) == 3

    def test_sample_weight_scales_each_sample(self, regen):
        awaken(regen)
        x = ops.convert_to_tensor(random(2, 5, 16, 16, 3))

        def loss(weight):
            weight = np.array(weight, "float32")
            return number(
                regen.compute_loss(
                    x=x, y_pred=regen(x), sample_weight=weight, training=False
                )
            )

        np.testing.assert_allclose(loss([1, 0]) + loss([0, 1]), loss([1, 1]), rtol=1e-5)
        assert loss([0, 0]) == 0
        np.testing.assert_allclose(loss([2, 2]), 2 * loss([1, 1]), rtol=1e-5)
        assert loss([[1], [0]]) == loss([1, 0])
        assert loss([1, 0]) != loss([0, 1])

    def test_targets_beyond_the_chunk(self, regen):
        clips = moving_squares(8, frames=9)
        regen.compile(optimizer="adam")
        history = regen.fit(clips[:, 2:-2], clips, batch_size=4, verbose=0)
        assert np.isfinite(history.history["loss"][0])
        times = regen._target_times(clips[:, 2:-2], clips)
        np.testing.assert_array_equal(ops.convert_to_numpy(times), np.arange(-2, 7))
        with pytest.raises(ValueError, match="equally many frames before and after"):
            regen._target_times(clips[:, 2:-2], clips[:, 1:])

    def test_images_and_uint8(self, regen):
        regen.compile(optimizer="adam")
        images = np.rint((moving_squares(8)[:, :1] + 1) * 127.5).astype("uint8")
        history = regen.fit(images, batch_size=4, verbose=0)
        assert np.isfinite(history.history["loss"][0])

    def test_other_floats(self, regen):
        """Keras makes float32 of arrays, but not of what a data set gives."""
        clips = moving_squares(2)
        latents = regen(clips)
        losses = [
            number(regen.compute_loss(x=x, y_pred=latents, training=False))
            for x in (
                ops.convert_to_tensor(clips.astype(f"float{n}")) for n in (16, 32, 64)
            )
        ]
        assert losses == pytest.approx(3 * losses[:1], rel=1e-3)

    def test_a_constant_prediction_has_the_loss_that_the_maths_says(self):
        # The last layer starts at zero, so x0 = 0 is predicted and the loss is E[x0^2].
        regen = make_regen(weighting="sample")
        x = random(2, 5, 16, 16, 3)
        tensor = ops.convert_to_tensor(x)
        loss = regen.compute_loss(x=tensor, y_pred=regen(tensor), training=False)
        np.testing.assert_allclose(number(loss), np.mean(x**2), rtol=1e-5)


class TestInference:
    def test_shapes_and_dtypes(self, regen):
        video = random(2, 5, 16, 24, 3)
        latents = regen.encode(video)
        assert latents.shape == (2, 2, 2, 3, 8) and latents.dtype == "float32"
        np.testing.assert_allclose(
            latents,
            ops.convert_to_numpy(regen(ops.convert_to_tensor(video))),
            atol=1e-5,
        )
        assert regen.decode(latents).shape == video.shape
        assert regen.decode(latents, num_frames=3).shape == (2, 3, 16, 24, 3)
        assert regen.decode(latents[:, :1]).shape == (2, 1, 16, 24, 3)
        assert regen.reconstruct(video).dtype == "float32"

    def test_uint8_in_is_uint8_out(self, regen):
        awaken(regen)
        video = np.rint((random(1, 5, 16, 24, 3) + 1) * 127.5).astype("uint8")
        output = regen.reconstruct(video)
        assert output.dtype == "uint8" and output.shape == video.shape
        scaled = video.astype("float32") / 127.5 - 1
        np.testing.assert_allclose(
            output / 127.5 - 1, regen.reconstruct(scaled), atol=1.01 / 255
        )

    def test_the_seed_makes_it_a_function(self, regen):
        awaken(regen)
        latents = random(1, 2, 2, 3, 8)
        for num_steps in (1, 3):
            first = regen.decode(latents, num_steps=num_steps, seed=1)
            again = regen.decode(latents, num_steps=num_steps, seed=1)
            other = regen.decode(latents, num_steps=num_steps, seed=2)
            np.testing.assert_array_equal(first, again)
            assert np.abs(first - other).max() > 1e-3

    def test_output_is_in_range(self, regen):
        awaken(regen)
        regen.decoder.get_layer("patch_output").projection.bias.assign(
            np.full(192, 5.0, "float32")
        )
        video = regen.decode(random(1, 2, 1, 1, 8))
        assert video.max() <= 1 and video.min() >= -1

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_tensors_of_the_backend_are_arrays(self, regen, dtype):
        video = np.zeros((1, 5, 16, 16, 3), "float32")
        tensor = ops.convert_to_tensor(video, dtype)
        if keras.backend.backend() == "torch":
            tensor.requires_grad_()
        np.testing.assert_array_equal(regen.encode(tensor), regen.encode(video))
        latents = ops.convert_to_tensor(np.zeros((1, 2, 2, 2, 8)), dtype)
        assert np.all(np.isfinite(regen.decode(latents)))

    def test_times_between_and_beyond(self, regen):
        awaken(regen)
        latents = random(1, 2, 2, 3, 8)
        video = regen.decode(latents, times=[-1.0, 0.0, 0.5, 4.0, 6.0])
        assert video.shape == (1, 5, 16, 24, 3)
        assert np.abs(np.diff(video, axis=1)).max(axis=(0, 2, 3, 4)).min() > 1e-4
        np.testing.assert_array_equal(
            regen.decode(latents, num_frames=3),
            regen.decode(latents, times=[0.0, 2.0, 4.0]),
        )

    def test_origin_moves_over_the_canvas(self, regen):
        awaken(regen)
        latents = random(1, 2, 2, 3, 8)
        expected = regen.decode(latents, times=[2.0])
        # The same pixels of the canvas, reached as frame 2 of a chunk from 3.
        moved = regen.decode(latents, times=[2.0], origin=(3, 0, 0))
        assert np.abs(moved - expected).max() > 1e-4
        noise = [diffusion.noise_canvas(0, [t], (0, 16), (0, 24)) for t in (2.0, 5.0)]
        assert np.abs(noise[0] - noise[1]).max() > 0.1

    def test_batches_do_not_mix(self, regen):
        awaken(regen)
        latents = random(3, 2, 2, 3, 8)
        together = regen.decode(latents)
        for i in range(3):
            np.testing.assert_allclose(
                regen.decode(latents[i : i + 1])[0], together[i], atol=1e-5
            )


class TestConfig:
    def test_keras_file(self, regen, tmp_path):
        awaken(regen)
        regen.compile(optimizer=keras.optimizers.AdamW(1e-3, use_ema=True))
        regen.fit(moving_squares(4), batch_size=4, verbose=0)
        regen.save(tmp_path / "regen.keras")
        loaded = keras.saving.load_model(tmp_path / "regen.keras")
        assert loaded.get_config() == regen.get_config()
        video = random(1, 5, 16, 16, 3)
        np.testing.assert_array_equal(
            loaded.reconstruct(video), regen.reconstruct(video)
        )
        # It goes on training, with the optimiser where it was.
        assert int(loaded.optimizer.iterations) == 1
        loaded.fit(moving_squares(4), batch_size=4, verbose=0)

    def test_a_quantized_model_is_not_saved(self, regen, tmp_path):
        regen.decoder.get_layer("block_0").mlp_output.quantize("int8")
        with pytest.raises(ValueError, match="quantized.*mlp_output in int8"):
            regen.save(tmp_path / "regen.keras")
        with pytest.raises(ValueError, match='dtype="int8"'):
            regen.save_to_preset(tmp_path / "preset")

    def test_weights_file(self, regen, tmp_path):
        awaken(regen)
        regen.save_weights(tmp_path / "regen.weights.h5")
        other = make_regen()
        other.load_weights(tmp_path / "regen.weights.h5")
        video = random(1, 5, 16, 16, 3)
        np.testing.assert_array_equal(other.encode(video), regen.encode(video))

    def test_objects_and_names(self):
        regen = make_regen(
            prediction=diffusion.V(), time_distribution=diffusion.UniformTimes(0.7)
        )
        copy = Regen.from_config(regen.get_config())
        assert isinstance(copy.prediction, diffusion.V)
        assert copy.time_distribution.terminal_share == 0.7

    @pytest.mark.parametrize(("name", "k"), [("tiny", 32), ("small", 4)])
    def test_architectures(self, name, k):
        regen = Regen.from_architecture(name, k)
        assert regen.temporal_compression == k
        assert regen.encode(np.zeros((1, k + 1, 8, 8, 3))).shape == (1, 2, 1, 1, 8)
        counts = regen.encoder.count_params(), regen.decoder.count_params()
        assert count_parameters(name, k) == counts

    @pytest.mark.parametrize("k", [4, 8, 16, 32])
    def test_the_larger_architectures_are_as_the_paper_says(self, k):
        # 12 width**2 for attention and MLP, 6 width**2 for modulation, 24 blocks.
        encoder, decoder = count_parameters("paper", k)
        assert abs(decoder / (24 * 18 * 2048**2) - 1) < 0.02
        small, base = (sum(count_parameters(name, k)) for name in ("small", "base"))
        assert small < base < encoder + decoder

    def test_counting_leaves_nothing_to_initialise(self):
        count_parameters("small", 8)
        pending = keras.src.backend.common.global_state.get_global_attribute(
            "uninitialized_variables", []
        )
        assert not pending


class TestBadInput:
    @pytest.mark.parametrize(
        ("video", "message"),
        [
            (np.zeros((5, 16, 16, 3)), r"shape \(B, T, H, W, 3\).*\(5, 16, 16, 3\)"),
            (np.zeros((1, 5, 16, 16, 4)), r"\(1, 5, 16, 16, 4\)"),
            (np.zeros((0, 5, 16, 16, 3)), r"at least one video.*\(0, 5, 16, 16, 3\)"),
            (np.zeros((1, 6, 16, 16, 3)), r"k \+ 1 = 5 frames.*Received: 6 frames"),
            (np.zeros((1, 5, 20, 16, 3)), "height must be a multiple of 8.*height=20"),
            (np.zeros((1, 5, 16, 20, 3)), "width must be a multiple of 8.*width=20"),
            (np.zeros((1, 5, 16, 16, 3), "int32"), "Received: video.dtype=int32"),
            (np.full((1, 5, 16, 16, 3), 2.0), r"in \[-1, 1\].*from 2 to 2"),
            (np.full((1, 5, 16, 16, 3), np.nan), "finite.*3840 NaN"),
        ],
    )
    def test_video(self, regen, video, message):
        with pytest.raises(ValueError, match=message):
            regen.encode(video)

    @pytest.mark.parametrize(
        ("latents", "message"),
        [
            (np.zeros((1, 2, 2, 8)), r"latents.shape=\(1, 2, 2, 8\)"),
            (np.zeros((1, 3, 2, 2, 8)), r"latents.shape=\(1, 3, 2, 2, 8\)"),
            (np.zeros((1, 2, 2, 2, 4)), r"latents.shape=\(1, 2, 2, 2, 4\)"),
            (np.zeros((1, 2, 2, 2, 8), "int32"), "latents.dtype=int32"),
            (np.full((1, 2, 2, 2, 8), np.inf), "64 NaN or infinite"),
            (np.full((1, 2, 2, 2, 8), 1e38), r"at most 10000.*1e\+38"),
        ],
    )
    def test_latents(self, regen, latents, message):
        with pytest.raises(ValueError, match=message):
            regen.decode(latents)

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"num_steps": 0}, "num_steps=0"),
            ({"num_frames": 0}, "num_frames=0"),
            ({"num_frames": 3, "times": [0.0]}, "not both"),
            ({"times": []}, "non-empty"),
            ({"times": [np.nan]}, "finite"),
            ({"times": [1e300]}, "finite"),
            ({"times": [0.0], "origin": (2**40, 0, 0)}, "canvas must be finite"),
            ({"origin": (0, 0)}, r"three ints.*origin=\(0, 0\)"),
            ({"origin": (0.5, 0, 0)}, r"three ints.*origin=\(0.5, 0, 0\)"),
            ({"noise": np.zeros((1, 5, 8, 8, 3)), "noise_scale": 0.5}, "must be 1"),
            ({"noise_scale": 1e39}, r"noise_scale=1e\+39"),
            ({"num_steps": 1.5}, "num_steps=1.5"),
            ({"seed": -1}, "seed=-1"),
            ({"dtype": "int8"}, "dtype=int8"),
        ],
    )
    def test_decoding(self, regen, kwargs, message):
        with pytest.raises(ValueError, match=message):
            regen.decode(np.zeros((1, 2, 1, 1, 8), "float32"), **kwargs)

    @pytest.mark.parametrize(
        ("value", "message"), [(np.nan, "1 NaN"), (7.0, "from .* to 7")]
    )
    @pytest.mark.parametrize("convert", [np.asarray, ops.convert_to_tensor])
    def test_calls_check_values(self, regen, value, message, convert):
        video = np.zeros((1, 5, 16, 16, 3), "float32")
        video[0, 2, 3, 4, 1] = value
        with pytest.raises(ValueError, match=message):
            regen(convert(video))

    def test_overflow_is_an_error(self):
        half = awaken(make_regen(dtype="mixed_float16"))
        video, latents = np.ones((1, 5, 16, 16, 3)), random(1, 2, 2, 2, 8)
        assert np.all(np.isfinite(half.decode(latents)))
        with pytest.raises(ValueError, match="magnitude of 1e"):
            half.decode(1e6 * latents / np.abs(latents).max())
        # In the encoder, and within one function with the decoder.
        for weight in half.encoder.trainable_variables[:1]:
            weight.assign(ops.full(weight.shape, 6e4))
        with pytest.raises(ValueError, match="Latents must be finite"):
            half.encode(video)
        for dtype in ("float32", "uint8"):
            with pytest.raises(ValueError, match="Decoded frames must be finite"):
                half.reconstruct(video if dtype == "float32" else video.astype(dtype))

    @pytest.mark.parametrize("num_steps", [1, 2])
    def test_too_much_noise_is_an_error(self, regen, num_steps):
        awaken(regen)
        latents = random(1, 2, 1, 1, 8)
        with pytest.raises(ValueError, match="Decoded frames must be finite"):
            regen.decode(latents, num_steps=num_steps, noise_scale=3e38)

    def test_mismatched_parts(self):
        encoder = VideoEncoder(4, widths=(8,), num_blocks=(1,))
        decoder = DiTDecoder(8, units=16, depth=1, num_heads=2)
        with pytest.raises(ValueError, match="encoder.temporal_compression=4"):
            Regen(encoder, decoder)
        with pytest.raises(ValueError, match="decoder of noise.*decoder=<ConvDecoder"):
            Regen(encoder, ConvAutoencoder.from_architecture("tiny", 4).decoder)

    def test_seeds_that_no_generator_of_keras_holds(self, regen):
        Regen(regen.encoder, regen.decoder, seed=2**31 - 1)
        with pytest.raises(ValueError, match="seed=2147483648"):
            Regen(regen.encoder, regen.decoder, seed=2**31)

    def test_an_architecture_is_the_callers_own(self):
        architecture("tiny")["decoder"]["depth"] = 1
        assert architecture("tiny") == ARCHITECTURES["tiny"]

    def test_unknown_architecture(self):
        with pytest.raises(ValueError, match="tiny, small, base, paper.*'huge'"):
            Regen.from_architecture("huge")
