"""Features of a TensorFlow SavedModel."""

import keras
from keras import ops

from keras_regen.metrics.features import Features


@keras.saving.register_keras_serializable(package="keras_regen")
class SavedModelFeatures(Features):
    """Embeds clips with a SavedModel, such as a download from TensorFlow Hub.

    It runs in TensorFlow, whatever the backend is.

    Args:
        path: path of the SavedModel's directory.
        name: str. See `Features`, as for the other arguments.
        signature: str. Which signature to call, one with a single input. Defaults to
            `"serving_default"`; those of TensorFlow 1 have `"default"`.
        output: str or None. Which output to take; None if there is one. Defaults to
            `None`.

    Raises:
        ImportError: without TensorFlow.
        ValueError: if there is no SavedModel with such a signature at `path`.

    Example:

    ```python
    features = SavedModelFeatures(
        "i3d-kinetics-400", "i3d-hub", (224, 224), signature="default", min_frames=9
    )
    ```
    """

    def __init__(
        self,
        path,
        name,
        size=None,
        signature="serving_default",
        output=None,
        **kwargs,
    ):
        super().__init__(self._call_signature, name, size, **kwargs)
        self.path = str(path)
        self.signature = signature
        self.output = output
        # The signature alone does not keep what it reads alive.
        self._saved_model = _load(self.path)
        if signature not in self._saved_model.signatures:
            raise ValueError(
                "`signature` must be one of "
                f"{', '.join(sorted(self._saved_model.signatures))}. "
                f"Received: signature={signature!r}"
            )
        self._function = self._saved_model.signatures[signature]
        _, inputs = self._function.structured_input_signature
        outputs = self._function.structured_outputs
        if len(inputs) != 1 or (output or next(iter(outputs))) not in outputs:
            raise ValueError(
                "The signature must have a single input and the output that is asked "
                f"for. Received: inputs {sorted(inputs)}, outputs {sorted(outputs)}, "
                f"output={output!r}"
            )
        if output is None and len(outputs) > 1:
            raise ValueError(
                f"`output` must be one of {', '.join(sorted(outputs))}. "
                f"Received: output={output}"
            )
        self._input = next(iter(inputs))
        self._output = output or next(iter(outputs))

    def get_config(self):
        return {
            "path": self.path,
            "name": self.name,
            "size": self.size,
            "signature": self.signature,
            "output": self.output,
            "min_frames": self.min_frames,
            "batch_size": self.batch_size,
            "value_range": self.value_range,
            "num_features": self.num_features,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def _call_signature(self, clips):
        import tensorflow as tf

        clips = tf.constant(ops.convert_to_numpy(clips))
        return self._function(**{self._input: clips})[self._output].numpy()


def _load(path):
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ImportError(
            "SavedModels run in TensorFlow: pip install tensorflow"
        ) from error
    try:
        return tf.saved_model.load(path)
    except OSError as error:
        raise ValueError(
            f"Expected the directory of a SavedModel. Received: path={path}, and "
            f"{error}"
        ) from error
