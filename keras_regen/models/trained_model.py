"""Base of the models that are trained by a loss of their own."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import keras
from keras import ops

from keras_regen.checks import suggest_arguments
from keras_regen.configurable import signature_config
from keras_regen.models.presets import load_preset, save_preset
from keras_regen.types import StrPath

# Evaluation computes the loss of a batch at this many diffusion times or more.
_MIN_EVALUATION_TIMES = 8


def assign_averages(model: keras.Model) -> None:
    """Makes the optimiser's moving averages the model's weights.

    Without `use_ema` nothing changes.

    Args:
        model: a compiled `keras.Model` whose optimiser is built.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if optimizer.use_ema:
        averages = optimizer._model_variables_moving_average
        for variable, average in zip(model.trainable_variables, averages, strict=True):
            # A copy: on JAX two variables of one buffer would be donated twice.
            variable.assign(ops.copy(average))


class TrainedModel(keras.Model):
    """A model whose configuration is the signature of its `__init__`.

    Subclasses keep every argument but `**kwargs` as an attribute of the same name. If
    the optimiser averages the weights, the averages are the weights after `fit`.

    Attributes:
        preset: str or None. The preset that the model was loaded from. `fit`,
            `train_on_batch` and `load_weights` set it to None, since the weights are
            then no longer the preset's.
    """

    # One of `bundled.KINDS`.
    preset_kind: ClassVar[str]
    preset: str | None = None

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        self.preset = None
        history = super().fit(*args, **kwargs)
        # Keras ends a fit by assigning the averages to the weights without copying
        # them, and the next fit on JAX would fail. Callbacks may have changed the
        # weights since.
        for variable in self.trainable_variables:
            variable.assign(ops.copy(variable))
        return history

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        self.preset = None
        return super().train_on_batch(*args, **kwargs)

    def load_weights(self, *args: Any, **kwargs: Any) -> None:
        self.preset = None
        super().load_weights(*args, **kwargs)

    def _repeat_samples(self, batch, size):
        """Repeats the samples of a small batch, for evaluation at enough times.

        A sample has one time. That of a batch of one would be the median alone.

        Args:
            batch: nested structure of tensors with a batch axis, and None.
            size: int or scalar tensor. The size of the batch.
        """
        repeats = -(-_MIN_EVALUATION_TIMES // size)

        def repeat(x):
            if x is None:
                return None
            return ops.tile(x, (repeats, *[1] * (len(x.shape) - 1)))

        return keras.tree.map_structure(repeat, batch)

    def _mean_loss(self, losses, sample_weight):
        """Returns the mean loss of the samples plus the losses that layers add."""
        if self._compile_loss is not None:
            raise ValueError(
                "The model has its own loss: for another, override `compute_loss`. "
                "Received: `compile` with a `loss`"
            )
        if sample_weight is not None:
            # `(B, 1)` would be broadcast against `(B,)`.
            weight = ops.reshape(sample_weight, ops.shape(losses))
            losses = losses * ops.cast(weight, "float32")
        terms = [ops.mean(losses), *(ops.cast(x, "float32") for x in self.losses)]
        # Under `tf.distribute` this divides each term by the number of replicas.
        return sum(self._aggregate_additional_loss(term) for term in terms)

    def get_config(self) -> dict[str, Any]:
        for layer in self._flatten_layers():
            if layer.quantization_mode is not None:
                raise ValueError(
                    "A quantized model cannot be saved, since its configuration does "
                    "not tell which layers are: save it before it is quantized. "
                    '`save_to_preset(dtype="int8")` stores it as small. '
                    f"Received: {layer.path} in {layer.quantization_mode}"
                )
        serialize = keras.saving.serialize_keras_object
        arguments = signature_config(self)
        return {
            **super().get_config(),
            **{name: serialize(value) for name, value in arguments.items()},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        deserialize = keras.saving.deserialize_keras_object
        return cls(
            **{
                name: deserialize(value) if isinstance(value, dict) else value
                for name, value in config.items()
            }
        )

    # === Presets ===

    @classmethod
    @suggest_arguments
    def from_preset(
        cls,
        preset: StrPath,
        temporal_compression: int | None = None,
        dtype: str | keras.DTypePolicy | None = None,
        remat: bool = False,
        custom_objects: Mapping[str, Any] | None = None,
    ) -> Self:
        """Loads a trained model.

        A preset holds no code, and its configuration may name only the classes that
        this package's models are made of.

        Args:
            preset: the name of a bundled preset, a directory, `hf://user/name` or
                `hf://user/name@revision`.
            temporal_compression: int or None. If given, the k that the preset has.
            dtype: dtype policy to run under. Defaults to the global policy.
            remat: bool. Whether the backward pass computes blocks again, instead of
                keeping their activations. Defaults to `False`.
            custom_objects: dict or None. Classes of your own that the preset may name,
                by the names that they are registered by: `{"mine>MyPath": MyPath}`.

        Raises:
            ValueError: if there is no such preset, it has another k or class, or it is
                damaged.
        """
        return load_preset(
            cls,
            cls.preset_kind,
            preset,
            temporal_compression,
            dtype,
            remat,
            custom_objects,
        )

    @suggest_arguments
    def save_to_preset(
        self,
        directory: StrPath,
        metadata: Mapping[str, Any] | None = None,
        dtype: Literal["float32", "float16", "int8"] = "float32",
        overwrite: bool = True,
    ) -> None:
        """Writes `config.json`, `model.weights.h5` and `metadata.json`.

        They replace a preset that is there, with its `text.h5` if it has one.

        Args:
            directory: path, which may not be just the name of a bundled preset. Created
                if needed; replaced only when all is written.
            metadata: dict or None. Facts about the model: data, steps, scores.
            dtype: `"float32"`, `"float16"` or `"int8"`, large kernels as whole numbers
                with a scale for each output channel. How the weights are stored.
                Defaults to `"float32"`.
            overwrite: bool. Whether a preset that is there is replaced, as by
                `keras.Model.save`. Defaults to `True`.

        Raises:
            ValueError: if `dtype` is another, there is a preset that may not be
                replaced, or `from_preset` would load a bundled preset instead.
        """
        save_preset(self, directory, metadata, dtype, overwrite)
