"""Checks that every layer must pass."""

import inspect

import keras
import numpy as np
from keras import ops

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


def random(*shape, seed=0):
    """Uniform float32 in [-1, 1]."""
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype("float32")


def first(outputs):
    """Returns the first of a layer's outputs."""
    return keras.tree.flatten(outputs)[0]


class TestCase:
    """Base of the test classes."""

    def run_layer_test(
        self, cls, init_kwargs, input_shapes, output_shape, num_weights, other_shapes
    ):
        """Checks a layer.

        Args:
            cls: the layer's class.
            init_kwargs: dict, its arguments.
            input_shapes: list of shapes, batch included, of its positional inputs.
            output_shape: shape of the output for them.
            num_weights: int. Number of its weights.
            other_shapes: list of `(input_shapes, output_shape)` that the same built
                layer must take.
        """
        layer = cls(**init_kwargs)
        inputs = [random(*shape, seed=i) for i, shape in enumerate(input_shapes)]
        output = first(layer(*inputs))
        assert tuple(output.shape) == output_shape
        assert len(layer.weights) == num_weights
        assert np.all(np.isfinite(ops.convert_to_numpy(output)))

        self._check_config(layer, cls)
        self._check_symbolic(layer, input_shapes, output)
        for shapes, expected in other_shapes:
            other = first(layer(*[random(*shape) for shape in shapes]))
            assert tuple(other.shape) == expected
        for policy in POLICIES:
            self._check_policy(cls, init_kwargs, inputs, policy, output)

    def _check_config(self, layer, cls):
        config = layer.get_config()
        arguments = inspect.signature(cls.__init__).parameters
        assert set(arguments) - {"self", "kwargs"} <= set(config)
        assert cls.from_config(config).get_config() == config

    def _check_symbolic(self, layer, input_shapes, output):
        # Everything but the channels is unknown.
        unknown = [
            keras.KerasTensor((*[None] * (len(shape) - 1), shape[-1]))
            for shape in input_shapes
        ]
        assert first(layer(*unknown)).shape[-1] == output.shape[-1]
        known = first(layer(*[keras.KerasTensor(shape) for shape in input_shapes]))
        assert known.shape == tuple(output.shape)
        assert known.dtype == keras.backend.standardize_dtype(output.dtype)

    def _check_policy(self, cls, init_kwargs, inputs, policy, expected):
        layer = cls(**init_kwargs, dtype=policy)
        output = first(layer(*inputs))
        symbolic = first(layer(*[keras.KerasTensor(x.shape) for x in inputs]))
        dtype = keras.backend.standardize_dtype(output.dtype)
        assert dtype == symbolic.dtype
        assert tuple(output.shape) == tuple(expected.shape)
        assert all(weight.dtype == "float32" for weight in layer.weights)
        assert np.all(np.isfinite(ops.convert_to_numpy(ops.cast(output, "float32"))))

    def run_training_test(self, cls, init_kwargs, input_shapes, tmp_path):
        """Trains a layer in a compiled model for one step, saves it and loads it."""
        inputs = [keras.Input(shape[1:]) for shape in input_shapes]
        outputs = first(cls(**init_kwargs, name="layer")(*inputs))
        model = keras.Model(inputs, outputs)
        arrays = [random(*shape, seed=i) for i, shape in enumerate(input_shapes)]
        target = random(*outputs.shape[1:])[None].repeat(len(arrays[0]), axis=0)
        before = [weight.numpy().copy() for weight in model.trainable_variables]
        model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
        model.fit(arrays, target, batch_size=len(target), verbose=0)
        changed = [
            not np.array_equal(old, new.numpy())
            for old, new in zip(before, model.trainable_variables, strict=True)
        ]
        assert any(changed)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(
            model.predict(arrays, verbose=0), loaded.predict(arrays, verbose=0)
        )
