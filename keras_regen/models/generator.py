"""Sampling as one compiled function."""

import keras
from keras import ops

from keras_regen import diffusion


class Generator:
    """Noise to video, compiled as a whole where the backend compiles.

    Decoder, sampler and clipping are one function: compiled once for each shape, and
    for any number of steps. One step alone is a function without a loop.

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
        # Under `tf.distribute` every replica gives the whole batch.
        return self._model.predict_on_batch(inputs)[: len(latents)]


class _SamplingModel(keras.Model):
    """What Keras compiles: `predict_on_batch` on each backend."""

    def __init__(self, decoder, path, prediction):
        super().__init__(name="sampling", dtype="float32")
        self.decoder = decoder
        self.diffusion_path = path
        self.prediction = prediction
        # The decoder's weights exist already; its times stay float32.
        self.built = True
        self.autocast = False

    def call(self, inputs):
        latents, times = inputs["latents"], inputs["times"]
        batch = ops.shape(latents)[0]

        def predict(x, t):
            return self.decoder(
                {
                    "video": x,
                    "timestep": ops.broadcast_to(t, (batch,)),
                    "latents": latents,
                    "times": times,
                },
                training=False,
            )

        in_loop = "num_steps" in inputs
        sample = diffusion.sample_in_loop if in_loop else diffusion.sample
        num_steps = inputs["num_steps"] if in_loop else 1
        video = sample(
            predict, inputs["noise"], self.diffusion_path, self.prediction, num_steps
        )
        return ops.clip(video, -1.0, 1.0)
