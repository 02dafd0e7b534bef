"""StableHLO files, serialised by `jax.export`."""

import contextlib

import jax

from keras_regen.diffusion import DEFAULT_SCHEDULE
from keras_regen.export.model_functions import ModelFunctions

# One file serves all three.
PLATFORMS = ("cpu", "cuda", "tpu")


def export_stablehlo(regen, directory, schedule=DEFAULT_SCHEDULE):
    """Writes `encode.jax_export` and `decode.jax_export`, which take any sizes.

    `jax.export.deserialize` loads them. The weights are inside. Unlike in other
    formats, `decode` takes the number of sampling steps of each sample as an input,
    `num_steps`, int32 of shape `(B,)`.

    Args:
        regen: a `Regen`, under the JAX backend.
        directory: path of an empty directory.
        schedule: as for `Regen.decode`, fixed in the file.
    """
    functions = ModelFunctions(regen, schedule)
    channels = regen.encoder.latent_channels
    encoder_weights = [v.value for v in functions.encoder_variables]
    decoder_weights = [v.value for v in functions.decoder_variables]

    def encode(video):
        return functions.encode(encoder_weights, video)

    def decode(latents, times, noise, num_steps):
        return functions.decode(decoder_weights, latents, times, noise, num_steps)

    floats, ints = "float32", "int32"
    video = ("b, t, 8*h, 8*w, 3", floats)
    latents = (f"b, t, h, w, {channels}", floats)
    times, num_steps = ("b, f", floats), ("b", ints)
    noise = ("b, f, 8*h, 8*w, 3", floats)
    for function, specs in (
        (encode, (video,)),
        (decode, (latents, times, noise, num_steps)),
    ):
        scope = jax.export.SymbolicScope()
        inputs = [
            jax.ShapeDtypeStruct(jax.export.symbolic_shape(shape, scope=scope), dtype)
            for shape, dtype in specs
        ]
        with _without_source_locations():
            export = jax.export.export(jax.jit(function), platforms=PLATFORMS)
            exported = export(*inputs)
        path = directory / f"{function.__name__}.jax_export"
        path.write_bytes(exported.serialize())


@contextlib.contextmanager
def _without_source_locations():
    """Keeps the paths of this machine out of the exported file."""
    limit = jax.config.jax_traceback_in_locations_limit
    jax.config.update("jax_traceback_in_locations_limit", 0)
    try:
        yield
    finally:
        jax.config.update("jax_traceback_in_locations_limit", limit)
