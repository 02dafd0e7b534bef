import keras
import numpy as np
import pytest

from keras_regen.training import GradientGuard, SkippedSteps
from tests.models.conftest import make_regen
from tests.models.regen_test import moving_squares


def weights_of(model):
    return [v.numpy().copy() for v in model.trainable_variables]


class Batches(keras.utils.PyDataset):
    """Batches of 4 clips in order, whose values `fit` does not check."""

    def __init__(self, clips):
        super().__init__()
        self.clips = clips

    def __len__(self):
        return len(self.clips) // 4

    def __getitem__(self, index):
        return (self.clips[4 * index :][:4],)


def fit(clips, optimizer, **kwargs):
    keras.utils.set_random_seed(0)
    regen = make_regen()
    regen.compile(optimizer=optimizer)
    before = weights_of(regen)
    regen.fit(Batches(clips), shuffle=False, verbose=0, **kwargs)
    return regen, before


def test_a_step_with_nan_gradients_is_skipped():
    clips = moving_squares(16)
    clips[4:8] = np.nan
    optimizer = GradientGuard(keras.optimizers.AdamW(1e-2, use_ema=True))
    regen, before = fit(clips, optimizer, epochs=2)
    assert int(optimizer.skipped) == 2 and int(optimizer.skipped_in_a_row) == 0
    # The skipped steps do not count in the schedule.
    assert int(optimizer.iterations) == 6
    after = weights_of(regen)
    assert all(np.all(np.isfinite(w)) for w in after)
    assert any(np.any(a != b) for a, b in zip(after, before, strict=True))


def test_finite_steps_are_unchanged():
    clips = moving_squares(12)
    guarded, _ = fit(clips, GradientGuard(keras.optimizers.SGD(0.1)))
    plain, _ = fit(clips, keras.optimizers.SGD(0.1))
    for ours, theirs in zip(weights_of(guarded), weights_of(plain), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="counts its operations")
@pytest.mark.parametrize("bad", [None, np.nan, np.inf, -np.inf])
def test_gradients_are_checked_by_one_operation(bad):
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Count(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.calls += 1
            return function(*args, **(kwargs or {}))

    grads = [torch.full((3, i), float(i)) for i in range(1, 30)]
    if bad is not None:
        grads[17][1, 4] = bad
    before = [grad.clone() for grad in grads]
    guard = GradientGuard(keras.optimizers.SGD(0.1))
    with Count() as count:
        finite = guard.check_finite([None, *grads])
    assert bool(finite) == (bad is None)
    assert count.calls < 10
    for old, new in zip(before, grads, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="only it replaces them")
@pytest.mark.parametrize("accumulation", [None, 2])
def test_clipping_and_averages_are_those_of_keras(accumulation):
    grads = [np.full((4, 3), 2.0, "float32"), np.array([-3.0, 0.5], "float32")]
    results = []
    for wrap in (GradientGuard, lambda optimizer: optimizer):
        variables = [keras.Variable(np.ones_like(grad)) for grad in grads]
        inner = keras.optimizers.AdamW(
            0.1,
            global_clipnorm=1.0,
            use_ema=True,
            ema_momentum=0.9,
            gradient_accumulation_steps=accumulation,
        )
        optimizer = wrap(inner)
        optimizer.build(variables)
        for step in range(3):
            scaled = [keras.ops.convert_to_tensor(0.5**step * g) for g in grads]
            optimizer.apply(scaled, variables)
        results.append([*variables, *inner._model_variables_moving_average])
    for ours, theirs in zip(*results, strict=True):
        ours, theirs = (keras.ops.convert_to_numpy(x) for x in (ours, theirs))
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_many_skipped_steps_in_a_row_stop_the_training():
    clips = moving_squares(16)
    clips[4:] = np.nan
    optimizer = GradientGuard(keras.optimizers.SGD(0.1))
    with pytest.raises(FloatingPointError, match="Lower the learning rate.*limit=3"):
        fit(clips, optimizer, epochs=3, callbacks=[SkippedSteps(3)])


def test_only_a_guard_skips():
    with pytest.raises(TypeError, match="needs an optimiser that skips"):
        fit(moving_squares(4), keras.optimizers.SGD(), callbacks=[SkippedSteps()])


def test_the_count_is_logged():
    clips = moving_squares(8)
    clips[:4] = np.nan
    optimizer = GradientGuard(keras.optimizers.SGD(0.1))
    counts = []
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: counts.append(logs["skipped"])
    )
    fit(clips, optimizer, epochs=3, callbacks=[SkippedSteps(5), record])
    assert counts == [1, 2, 3]


def apply(optimizer, grads, variables):
    """Takes a step as the backend's trainer does."""
    if keras.backend.backend() != "jax":
        return optimizer.apply(grads, variables)
    own = optimizer.variables
    values = ([v.value for v in own], grads, [v.value for v in variables])
    variables_after, own_after = optimizer.stateless_apply(*values)
    for variable, value in zip(
        [*variables, *own], [*variables_after, *own_after], strict=True
    ):
        variable.assign(value)


@pytest.mark.parametrize(
    "arguments, scales",
    [((), [1.0, 1.0]), ((2.0, 2000), [1.0, 1.0]), ((8.0, 9), [4, 2])],
)
def test_skipped_steps_halve_a_scale_that_grows_and_never_below_1(arguments, scales):
    weight = keras.Variable([1.0])
    optimizer = GradientGuard(keras.optimizers.SGD(0.1), *arguments)
    optimizer.build([weight])
    for number, scale in enumerate(scales, 1):
        apply(optimizer, [keras.ops.convert_to_tensor([np.nan])], [weight])
        assert float(optimizer.dynamic_scale) == scale
        assert int(optimizer.skipped) == number
    assert float(weight.numpy()[0]) == 1.0


def test_config():
    optimizer = GradientGuard(keras.optimizers.AdamW(1e-3, use_ema=True))
    config = keras.optimizers.serialize(optimizer)
    copy = keras.optimizers.deserialize(config)
    assert isinstance(copy, GradientGuard)
    assert copy.inner_optimizer.use_ema
    assert copy.dynamic_growth_steps == optimizer.dynamic_growth_steps
