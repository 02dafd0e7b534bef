"""StableHLO, as `jax.export` serialises it."""

import contextlib

import jax

from keras_regen.export.programs import Programs

# One file for all of them: the model compiles for TPUs too.
PLATFORMS = ("cpu", "cuda", "tpu")


def export_stablehlo(regen, directory):
    """Writes `encode.jax_export` and `decode.jax_export`, which take any sizes.

    `jax.export.deserialize` loads them. The weights are inside. `decode` has one input
    more than in other formats, `num_steps`, int32 of shape `(B,)`: each sample's number
    of sampling steps.

    Args:
        regen: a `Regen`, under the JAX backend.
        directory: path of an empty directory.
    """
    programs = Programs(regen)
    channels = regen.encoder.latent_channels
    encoder_weights = [v.value for v in programs.encoder_variables]
    decoder_weights = [v.value for v in programs.decoder_variables]

    def encode(video):
        return programs.encode(encoder_weights, video)

    def decode(latents, times, noise, num_steps):
        return programs.decode(decoder_weights, latents, times, noise, num_steps)

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
    """Keeps paths of the machine that it is made on out of what is exported."""
    limit = jax.config.jax_traceback_in_locations_limit
    jax.config.update("jax_traceback_in_locations_limit", 0)
    try:
        yield
    finally:
        jax.config.update("jax_traceback_in_locations_limit", limit)
