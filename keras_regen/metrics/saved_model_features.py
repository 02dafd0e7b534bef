"""Features from a TensorFlow SavedModel."""

import functools
from typing import Any

from keras import ops

from keras_regen.metrics.features import Features, file_states
from keras_regen.types import StrPath


class SavedModelFeatures(Features):
    """Embeds clips with a SavedModel, such as one from TensorFlow Hub.

    It runs in TensorFlow on every backend. A SavedModel may do anything, so the class
    is not registered with Keras: to load a saved metric that uses it, pass
    `custom_objects={"SavedModelFeatures": SavedModelFeatures}`.

    Args:
        path: path of the SavedModel's directory.
        name: str. See `Features`.
        size: see `Features`.
        signature: str. The signature to call. It must have a single input. Defaults to
            `"serving_default"`. SavedModels of TensorFlow 1 have `"default"`.
        output: str or None. The output to use, or None if there is only one. Defaults
            to `None`.
        **kwargs: see `Features`.

    Raises:
        ImportError: if TensorFlow is not installed.
        ValueError: if there is no SavedModel with this signature at `path`.

    Example:

    ```python
    features = SavedModelFeatures(
        "i3d-kinetics-400", "i3d-hub", (224, 224), signature="default", min_frames=9
    )
    ```
    """

    def __init__(
        self,
        path: StrPath,
        name: str,
        size: tuple[int, int] | None = None,
        signature: str = "serving_default",
        output: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(self._call_signature, name, size, **kwargs)
        self.path = str(path)
        self.signature = signature
        self.output = output
        # The signature alone does not keep the variables alive.
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
                "The signature must have a single input and an output of the given "
                f"name. Received: inputs {sorted(inputs)}, outputs {sorted(outputs)}, "
                f"output={output!r}"
            )
        if output is None and len(outputs) > 1:
            raise ValueError(
                f"`output` must be one of {', '.join(sorted(outputs))}. "
                f"Received: output={output}"
            )
        self._input = next(iter(inputs))
        self._output = output or next(iter(outputs))

    @functools.cached_property
    def identity(self) -> list[Any]:
        return [self.signature, self._output, file_states(self.path)]

    def get_config(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "signature": self.signature,
            "output": self.output,
            **self._shared_config(),
        }

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
