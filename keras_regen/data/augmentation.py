"""Random changes of clips, the same in all frames of a clip."""

import contextlib
import os
import threading
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

_tensorflow_seed = threading.Lock()


class HorizontalFlip:
    """Mirrors half of the clips.

    It does what `keras.layers.RandomFlip("horizontal")` does, in NumPy and without
    rounding.
    """

    def __call__(self, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return frames[:, :, ::-1] if rng.random() < 0.5 else frames


class LayerAugmentation:
    """Applies Keras's image preprocessing layers equally to all frames of a clip.

    The seed generators of a layer are reset before each frame, so that the layer draws
    the same random numbers for all frames. Every thread has its own copies of the
    layers, in float32, and computes on the CPU. Layers of KerasCV run in TensorFlow on
    every backend, one at a time, and before each frame TensorFlow's global seed is set.

    Args:
        layers: sequence of layers from images in [0, 255] to images of the same size.

    Call arguments:
        frames: uint8 array of shape `(T, H, W, 3)`.
        rng: NumPy generator.

    Returns:
        uint8 array of the same shape.

    Raises:
        ValueError: if a layer cannot be copied, changes the size, or draws other random
            numbers for the same seed, as `keras.layers.AugMix` does.
    """

    def __init__(self, layers: Sequence[keras.layers.Layer]) -> None:
        if not all(isinstance(layer, keras.layers.Layer) for layer in layers):
            raise ValueError(
                "`augmentation` must be a sequence of Keras layers. "
                f"Received: augmentation={layers}"
            )
        try:
            self._configs = [keras.saving.serialize_keras_object(x) for x in layers]
            self._start()
            self._copies()
        except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
            raise ValueError(
                "It must be possible to copy the layers of `augmentation` from their "
                f"configurations: {error}. Received: augmentation={layers}"
            ) from error
        frames = np.random.default_rng(0).integers(256, size=(2, 16, 16, 3))
        # Chance alone makes a layer that mirrors half of the images pass once in 64.
        same = self(frames[[0] * 7].astype("uint8"), np.random.default_rng(0))
        if np.any(same != same[0]):
            raise ValueError(
                "`augmentation` must draw all random numbers from Keras's seed "
                "generators, so that it is the same in all frames. "
                f"Received: augmentation={layers}"
            )

    def _start(self):
        self._process = os.getpid()
        self._local = threading.local()

    def __call__(self, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        seeds = rng.integers(2**31, size=len(self._configs))
        if os.getpid() != self._process:
            raise RuntimeError(
                "Keras layers can lock up in a process forked from one that uses "
                f"{keras.backend.backend()}. Use threads, or call "
                "`multiprocessing.set_start_method('spawn')` first. "
                "Received: use_multiprocessing=True with start method 'fork'"
            )
        with keras.device("cpu"):
            images = [
                ops.convert_to_tensor(frame[None], dtype="float32") for frame in frames
            ]
            for layer, seed in zip(self._copies(), seeds, strict=True):
                images = [_apply(layer, image, seed) for image in images]
            result = np.concatenate([ops.convert_to_numpy(x) for x in images])
        if result.shape != frames.shape:
            raise ValueError(
                f"`augmentation` must keep the size of {frames.shape[1:]}. "
                f"Received: layers that return {result.shape[1:]}"
            )
        return np.rint(np.clip(result, 0, 255)).astype("uint8")

    def _copies(self):
        if not hasattr(self._local, "layers"):
            with keras.device("cpu"), _float32():
                self._local.layers = [_copy(config) for config in self._configs]
        return self._local.layers

    def __getstate__(self) -> dict[str, Any]:
        return {"_configs": self._configs}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()


def _copy(config):
    layer = keras.saving.deserialize_keras_object(config)
    layer.dtype_policy = "float32"
    return layer


def _apply(layer, image, seed):
    states = [v for v in layer.variables if v.name == "seed_generator_state"]
    for i, state in enumerate(states):
        # The initial state of `SeedGenerator(seed + i)`.
        state.assign(np.array([seed + i, 0], "uint32"))
    if type(layer).__module__.startswith("keras_cv."):
        return _apply_keras_cv(layer, image, seed)
    return layer(image, training=True)


def _apply_keras_cv(layer, image, seed):
    """Applies a layer of KerasCV, whose random numbers are TensorFlow's."""
    import tensorflow as tf

    # Seeds, and by default the generator of all layers, are the whole process's.
    with _tensorflow_seed, tf.device("CPU:0"):
        if not layer.built:
            # The first call may draw more numbers than the others.
            layer(image, training=True)
        tf.random.set_seed(seed)
        for i, part in enumerate(layer._flatten_layers()):
            if hasattr(part, "_random_generator"):
                part._random_generator.reset_from_seed(seed + i)
        result = layer(image, training=True)
    return ops.convert_to_tensor(np.asarray(result), dtype="float32")


@contextlib.contextmanager
def _float32():
    """Makes float32 this thread's global policy, which sublayers of new layers get."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
