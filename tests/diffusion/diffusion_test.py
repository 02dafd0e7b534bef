"""The maths of paths, predictions, weights, times and sampling."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_regen import diffusion
from tests.test_case import random

PATHS = [diffusion.LinearPath(), diffusion.CosinePath()]
PREDICTIONS = [
    diffusion.Epsilon(),
    diffusion.Sample(),
    diffusion.V(),
    diffusion.Velocity(),
]
WEIGHTINGS = [
    diffusion.PredictionWeighting(),
    diffusion.SampleWeighting(),
    diffusion.VelocityWeighting(),
]
TIMES = [diffusion.UniformTimes(), diffusion.LogitNormalTimes(0.3, 0.5, 0.8)]


def name(value):
    return type(value).__name__


def tensor(x):
    return ops.convert_to_tensor(x, "float32")


@pytest.mark.parametrize("path", PATHS, ids=name)
class TestPath:
    def test_from_data_to_noise(self, path):
        ends = tensor([0.0, 1.0])
        np.testing.assert_allclose(
            ops.convert_to_numpy(path.alpha(ends)), [1, 0], atol=1e-6
        )
        np.testing.assert_allclose(
            ops.convert_to_numpy(path.sigma(ends)), [0, 1], atol=1e-6
        )

    def test_derivatives(self, path):
        t, step = np.linspace(0.1, 0.9, 9), 1e-3
        for function, derivative in (
            (path.alpha, path.alpha_derivative),
            (path.sigma, path.sigma_derivative),
        ):
            high, low = (
                ops.convert_to_numpy(function(tensor(t + s))) for s in (step, -step)
            )
            np.testing.assert_allclose(
                ops.convert_to_numpy(derivative(tensor(t))),
                (high - low) / (2 * step),
                atol=1e-3,
            )


def test_cosine_path_preserves_variance():
    t = tensor(np.linspace(0, 1, 11))
    path = diffusion.CosinePath()
    total = path.alpha(t) ** 2 + path.sigma(t) ** 2
    np.testing.assert_allclose(ops.convert_to_numpy(total), 1, atol=1e-6)


@pytest.mark.parametrize("path", PATHS, ids=name)
@pytest.mark.parametrize("prediction", PREDICTIONS, ids=name)
class TestPrediction:
    def test_a_perfect_prediction_gives_back_sample_and_noise(self, path, prediction):
        sample, noise = tensor(random(4, 5)), tensor(random(4, 5, seed=1))
        for t in (0.05, 0.5, 0.95):
            t = tensor(t)
            x_t = path.interpolate(sample, noise, t)
            target = prediction.target(path, sample, noise, t)
            found = prediction.solve(path, target, x_t, t)
            for got, expected in zip(found, (sample, noise), strict=True):
                np.testing.assert_allclose(
                    ops.convert_to_numpy(got), ops.convert_to_numpy(expected), atol=1e-4
                )

    def test_a_perfect_predictor_samples_the_data(self, path, prediction):
        sample = tensor(random(4, 5))
        noise = random(4, 5, seed=1)

        def predict(x_t, t):
            residual = (x_t - path.alpha(t) * sample) / path.sigma(t)
            return prediction.target(path, sample, residual, t)

        for num_steps in (1, 2, 7):
            video = diffusion.sample(predict, noise, path, prediction, num_steps)
            np.testing.assert_allclose(
                ops.convert_to_numpy(video), ops.convert_to_numpy(sample), atol=2e-3
            )

    @pytest.mark.parametrize(
        "options", [{"schedule": "uniform"}, {"invertible": True}], ids=str
    )
    def test_the_loop_takes_the_same_steps(self, path, prediction, options):
        noise = tensor(random(3, 5))
        num_steps = [4, 1, 2]

        def predict(x_t, t):
            # t is one time for all samples or one for each. The error accumulates.
            return 0.5 * x_t + ops.sin(3.0 * ops.reshape(t, (-1, 1)))

        loop = diffusion.sample(
            predict,
            noise,
            path,
            prediction,
            ops.convert_to_tensor(num_steps, "int32"),
            **options,
        )
        for i, steps in enumerate(num_steps):
            expected = diffusion.sample(
                predict, noise[i : i + 1], path, prediction, steps, **options
            )
            np.testing.assert_allclose(
                ops.convert_to_numpy(loop)[i : i + 1],
                ops.convert_to_numpy(expected),
                rtol=1e-4,
                atol=1e-4,
            )

    def test_weights_measure_the_error_in_their_space(self, path, prediction):
        # One error, in the space of the prediction and in that of the weighting.
        t = tensor(0.6)
        sample, noise = tensor(random(6)), tensor(random(6, seed=1))
        x_t = path.interpolate(sample, noise, t)
        output = prediction.target(path, sample, noise, t) + tensor(random(6, seed=2))
        implied = prediction.solve(path, output, x_t, t)
        error = output - prediction.target(path, sample, noise, t)
        for weighting in WEIGHTINGS:
            space = weighting.space(prediction)
            expected = space.target(path, *implied, t) - space.target(
                path, sample, noise, t
            )
            weighted = weighting.weight(path, prediction, t) * error**2
            np.testing.assert_allclose(
                ops.convert_to_numpy(weighted),
                ops.convert_to_numpy(expected**2),
                rtol=1e-3,
            )


def test_velocity_is_the_derivative_of_the_path():
    path, sample, noise = (
        diffusion.CosinePath(),
        tensor(random(5)),
        tensor(random(5, seed=1)),
    )
    high, low = (path.interpolate(sample, noise, tensor(t)) for t in (0.401, 0.399))
    velocity = diffusion.Velocity().target(path, sample, noise, tensor(0.4))
    np.testing.assert_allclose(
        ops.convert_to_numpy(velocity),
        ops.convert_to_numpy(high - low) / 0.002,
        atol=1e-3,
    )


@pytest.mark.parametrize("path", PATHS, ids=name)
@pytest.mark.parametrize("prediction", PREDICTIONS, ids=name)
@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=name)
def test_weights_are_finite_everywhere(path, prediction, weighting):
    weights = weighting.weight(path, prediction, tensor([0.0, 1e-6, 0.5, 1.0]))
    weights = ops.convert_to_numpy(weights)
    assert np.all(np.isfinite(weights)) and np.all(weights >= 0)
    assert weights.max() <= weighting.max_weight
    if isinstance(weighting, diffusion.PredictionWeighting):
        assert np.all(weights == 1)


@pytest.mark.parametrize("times", TIMES, ids=name)
class TestTimeDistribution:
    def test_the_share_is_exactly_one(self, times):
        u = (np.arange(1000) + 0.5) / 1000
        t = ops.convert_to_numpy(times(tensor(u)))
        assert np.count_nonzero(t == 1.0) == round(1000 * times.terminal_share)
        assert t.min() > 0 and t.max() == 1

    def test_quantiles(self, times):
        inner = ops.convert_to_numpy(times.quantile(tensor([0.25, 0.5, 0.75])))
        assert np.all(np.diff(inner) > 0)
        expected = {"UniformTimes": 0.5, "LogitNormalTimes": 1 / (1 + np.exp(-0.5))}
        assert abs(inner[1] - expected[name(times)]) < 1e-5


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_no_share_and_nothing_else(share):
    t = ops.convert_to_numpy(diffusion.UniformTimes(share)(tensor([0.0, 0.5, 0.999])))
    np.testing.assert_allclose(t, np.maximum([0.0, 0.5, 0.999], share), atol=1e-6)


@pytest.mark.parametrize(
    "instance", [*PATHS, *PREDICTIONS, *WEIGHTINGS, *TIMES], ids=name
)
def test_serialisation(instance):
    config = keras.saving.serialize_keras_object(instance)
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy) is type(instance)
    assert copy.get_config() == instance.get_config()


def test_unknown_names():
    with pytest.raises(ValueError, match="'cosine', 'linear'.*Received: 'sine'"):
        diffusion.get(diffusion.Path, "sine")
    with pytest.raises(ValueError, match="Expected a `Prediction`"):
        diffusion.get(diffusion.Prediction, diffusion.LinearPath())
    with pytest.raises(ValueError, match="max_weight=nan"):
        diffusion.SampleWeighting(max_weight=float("nan"))
    with pytest.raises(ValueError, match="terminal_share=1.5"):
        diffusion.UniformTimes(1.5)
    for std in (-1.0, float("nan")):
        with pytest.raises(ValueError, match=f"std={std}"):
            diffusion.LogitNormalTimes(std=std)
    with pytest.raises(ValueError, match="num_steps=0"):
        diffusion.sample(None, np.zeros(1), PATHS[0], PREDICTIONS[0], num_steps=0)


def steps(num_steps, path=PATHS[1], prediction=PREDICTIONS[1], **options):
    done = tensor(np.arange(num_steps + 1) / num_steps)
    times = diffusion.sampling_time(done, path, prediction, **options)
    return ops.convert_to_numpy(times)


def test_uniform_times_run_from_noise_to_data():
    uniform = functools.partial(steps, schedule="uniform")
    np.testing.assert_allclose(uniform(4), [1, 0.75, 0.5, 0.25, 0], atol=1e-6)
    epsilon = uniform(2, prediction=diffusion.Epsilon())
    np.testing.assert_allclose(epsilon, [0.96, 0.48, 0], atol=1e-6)


@pytest.mark.parametrize("path", PATHS, ids=name)
@pytest.mark.parametrize("prediction", PREDICTIONS[:2], ids=name)
def test_the_log_snr_changes_evenly(path, prediction):
    times = steps(6, path, prediction)
    assert (times[0], times[-1]) == (np.float32(prediction.max_time), 0)
    log_snr = ops.convert_to_numpy(path.log_snr(tensor(times[1:-1])))
    start = max(-5.0, float(path.log_snr(tensor(prediction.max_time))))
    expected = np.linspace(start, 5, 7)[1:-1]
    np.testing.assert_allclose(log_snr, expected, atol=1e-3)


@pytest.mark.parametrize("path", PATHS, ids=name)
def test_the_time_of_a_log_snr_is_its_inverse(path):
    log_snr = tensor([-6.0, -1.0, 0.0, 0.5, 6.0])
    times = path.time_at_log_snr(log_snr)
    np.testing.assert_allclose(
        ops.convert_to_numpy(path.log_snr(times)),
        ops.convert_to_numpy(log_snr),
        atol=1e-3,
    )
    # A path of one's own needs no closed form.
    np.testing.assert_allclose(
        ops.convert_to_numpy(diffusion.Path.time_at_log_snr(path, log_snr)),
        ops.convert_to_numpy(times),
        atol=1e-5,
    )


@pytest.mark.parametrize("path", PATHS, ids=name)
@pytest.mark.parametrize("prediction", PREDICTIONS, ids=name)
@pytest.mark.parametrize("schedule", diffusion.SCHEDULES)
def test_one_step_is_the_same_with_every_schedule(path, prediction, schedule):
    noise = tensor(random(3, 5))
    one, other = (
        diffusion.sample(lambda x, t: ops.sin(x) + t, noise, path, prediction, 1, s)
        for s in ("uniform", schedule)
    )
    assert np.all(ops.convert_to_numpy(one) == ops.convert_to_numpy(other))


@pytest.mark.parametrize("path", PATHS, ids=name)
@pytest.mark.parametrize("prediction", PREDICTIONS, ids=name)
@pytest.mark.parametrize("schedule", diffusion.SCHEDULES)
class TestInversion:
    def error(self, path, prediction, schedule, num_steps, refinements):
        def predict(x_t, t):
            clean = 0.3 * ops.tanh(x_t)
            residual = (x_t - path.alpha(t) * clean) / path.sigma(t)
            return prediction.target(path, clean, residual, t)

        sample = random(2, 5)
        noise = diffusion.invert(
            predict, sample, path, prediction, num_steps, refinements, schedule
        )
        again = diffusion.sample(
            predict, noise, path, prediction, 6, schedule, invertible=True
        )
        return np.abs(ops.convert_to_numpy(again) - sample).max()

    def test_refinements_make_it_exact(self, path, prediction, schedule):
        rough, exact = (
            self.error(path, prediction, schedule, 6, refinements)
            for refinements in (0, 8)
        )
        assert exact < 1e-3
        assert exact < rough

    def test_the_loops_do_the_same(self, path, prediction, schedule):
        counts = (ops.convert_to_tensor(n, "int32") for n in (6, 8))
        assert self.error(path, prediction, schedule, *counts) < 1e-3
