import concurrent.futures
import os
import pickle

import keras
import numpy as np
import pytest
from keras import layers

from keras_regen.data.augmentation import HorizontalFlip, LayerAugmentation
from tests.video.videos import moving_ramp

LAYERS = {
    "flip": lambda: layers.RandomFlip("horizontal_and_vertical"),
    "rotation": lambda: layers.RandomRotation(0.2),
    "brightness": lambda: layers.RandomBrightness(0.5),
    "color": lambda: layers.RandomColorJitter(
        brightness_factor=0.3,
        contrast_factor=0.3,
        saturation_factor=0.4,
        hue_factor=0.2,
    ),
}


def augment(augmentation, frames, seed):
    return augmentation(frames, np.random.default_rng(seed))


@pytest.mark.parametrize("name", LAYERS)
def test_same_in_all_frames_and_for_the_same_seed(name):
    augmentation = LayerAugmentation([LAYERS[name]()])
    still = moving_ramp(1, 16, 24).repeat(3, axis=0)
    results = [augment(augmentation, still, seed) for seed in range(8)]
    assert all(r.dtype == "uint8" and r.shape == still.shape for r in results)
    for result in results:
        np.testing.assert_array_equal(result, result[:1].repeat(3, axis=0))
    assert len({r.tobytes() for r in results}) > 1
    # The layer's own seed and earlier calls make no difference.
    again = LayerAugmentation([LAYERS[name]()])
    for seed in (5, 2):
        np.testing.assert_array_equal(augment(again, still, seed), results[seed])


@pytest.mark.parametrize("name", ["RandomColorJitter", "RandAugment"])
def test_layers_of_keras_cv(name):
    keras_cv = pytest.importorskip("keras_cv")
    factors = {"RandomColorJitter": (0.3, 0.3, 0.4, 0.1), "RandAugment": ()}
    make = getattr(keras_cv.layers, name)
    augmentation = LayerAugmentation([make((0, 255), *factors[name])])
    still = moving_ramp(1, 16, 24).repeat(2, axis=0)
    results = [augment(augmentation, still, seed) for seed in range(3)]
    for result in results:
        np.testing.assert_array_equal(result, result[:1].repeat(2, axis=0))
    assert len({r.tobytes() for r in results}) > 1
    np.testing.assert_array_equal(augment(augmentation, still, 1), results[1])


def test_values_stay_in_the_range_of_uint8():
    white = np.full((1, 16, 16, 3), 250, "uint8")
    augmentation = LayerAugmentation([layers.RandomBrightness((0.4, 0.5))])
    assert np.all(augment(augmentation, white, 0) == 255)
    nothing = LayerAugmentation([layers.RandomBrightness((0.0, 0.0))])
    video = moving_ramp(3, 16, 24)
    np.testing.assert_array_equal(augment(nothing, video, 0), video)


def test_layers_are_applied_in_order():
    video = moving_ramp(2, 16, 24)
    both = LayerAugmentation(
        [layers.RandomBrightness((0.1, 0.1)), layers.RandomBrightness((0.1, 0.1))]
    )
    once = LayerAugmentation([layers.RandomBrightness((0.2, 0.2))])
    np.testing.assert_array_equal(augment(both, video, 0), augment(once, video, 0))


def test_threads_and_copies():
    augmentation = LayerAugmentation([LAYERS["color"](), LAYERS["flip"]()])
    video = moving_ramp(2, 16, 24)
    expected = [augment(augmentation, video, seed) for seed in range(6)]
    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        results = list(
            threads.map(lambda s: augment(augmentation, video, s), list(range(6)) * 2)
        )
    np.testing.assert_array_equal(results, expected * 2)
    copy = pickle.loads(pickle.dumps(augmentation))
    np.testing.assert_array_equal(augment(copy, video, 3), expected[3])


def test_in_float32_under_any_policy():
    video = moving_ramp(2, 16, 24)
    expected = augment(LayerAugmentation([LAYERS["color"]()]), video, 1)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        result = augment(LayerAugmentation([LAYERS["color"]()]), video, 1)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(policy)
    np.testing.assert_array_equal(result, expected)


def test_not_in_a_forked_process(monkeypatch):
    augmentation = LayerAugmentation([LAYERS["flip"]()])
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(RuntimeError, match="set_start_method"):
        augment(augmentation, moving_ramp(1, 16, 16), 0)


# Keras's AugMix causes a warning of PyTorch.
@pytest.mark.filterwarnings("ignore:Tensor.T is deprecated")
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            lambda: layers.CenterCrop(8, 8),
            r"keep the size of \(16, 16, 3\).*\(8, 8, 3\)",
        ),
        (lambda: layers.AugMix(), "seed generators"),
        (lambda: lambda image: image, "a sequence of Keras layers"),
    ],
)
def test_unsuitable_layers(layer, message):
    with pytest.raises(ValueError, match=message):
        LayerAugmentation([layer()])


def test_mirrors_half_of_the_clips():
    video = moving_ramp(2, 8, 16)
    flip = HorizontalFlip()
    results = [augment(flip, video, seed) for seed in range(200)]
    mirrored = [np.array_equal(r, video[:, :, ::-1]) for r in results]
    same = [np.array_equal(r, video) for r in results]
    assert 70 < sum(mirrored) < 130 and sum(mirrored) + sum(same) == 200
