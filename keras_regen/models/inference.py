"""Sampling as one compiled function."""

import keras
from keras import ops

from keras_regen import diffusion


def generate(decoder, path, prediction, latents, times, noise, num_steps):
    """Samples chunks, in a form that every backend can trace.

    Args:
        decoder: a `DiTDecoder`.
        path: a `diffusion.Path`.
        prediction: a `diffusion.Prediction`.
        latents: float32 tensor of shape `(B, 2, h, w, C)` or `(B, 1, h, w, C)`.
        times: float32 tensor of shape `(B, F)`, in frames.
        noise: float32 tensor of shape `(B, F, 8h, 8w, 3)`.
        num_steps: sampling steps. An int writes out as many calls of the decoder; an
            int tensor of shape `(B,)` makes a loop.

    Returns:
        float32 tensor of shape `(B, F, 8h, 8w, 3)`, in [-1, 1].
    """
    batch = ops.shape(latents)[0]

    def predict(x, t):
        inputs = {
            "video": x,
            "timestep": ops.broadcast_to(t, (batch,)),
            "latents": latents,
            "times": times,
        }
        return decoder(inputs, training=False)

    written_out = isinstance(num_steps, int)
    sample = diffusion.sample if written_out else diffusion.sample_in_loop
    return ops.clip(sample(predict, noise, path, prediction, num_steps), -1.0, 1.0)


class Generator:
    """Generates videos from noise by one function, compiled if the backend compiles.

    The function holds decoder, sampler and clipping. It is compiled once for each shape
    and works for any number of steps; for one step it has no loop.

    Args:
        decoder: a `DiTDecoder`.
        path: a `diffusion.Path`.
        prediction: a `diffusion.Prediction`.
    """

    def __init__(self, decoder, path, prediction):
        self._model = _SamplingModel(decoder, path, prediction)

    def __call__(self, latents, times, noise, num_steps):
        """See `Regen.generate`."""
        if num_steps < 1:
            raise ValueError(
                f"`num_steps` must be at least 1. Received: num_steps={num_steps}"
            )
        inputs = {"latents": latents, "times": times, "noise": noise}
        inputs = {k: ops.convert_to_tensor(v, "float32") for k, v in inputs.items()}
        if num_steps > 1:
            inputs["num_steps"] = ops.full((len(latents),), num_steps, "int32")
        # Under `tf.distribute` every replica returns the whole batch.
        return self._model.predict_on_batch(inputs)[: len(latents)]


class _SamplingModel(keras.Model):
    """A model around `generate`, for Keras to compile its `predict_on_batch`."""

    def __init__(self, decoder, path, prediction):
        super().__init__(name="sampling", dtype="float32")
        self.decoder = decoder
        self.diffusion_path = path
        self.prediction = prediction
        # The weights of the decoder exist already. Times must stay float32.
        self.built = True
        self.autocast = False

    def call(self, inputs):
        return generate(
            self.decoder,
            self.diffusion_path,
            self.prediction,
            inputs["latents"],
            inputs["times"],
            inputs["noise"],
            inputs.get("num_steps", 1),
        )
