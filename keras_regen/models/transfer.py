"""Weights of a trained model for a model with another compression or decoder."""

from typing import TypeVar

import numpy as np
from keras import ops

from keras_regen.configurable import signature_config
from keras_regen.layers import CausalConv3D, PatchOutput, ResidualBlock3D
from keras_regen.models.video_autoencoder import VideoAutoencoder
from keras_regen.pixels import SPATIAL_COMPRESSION

_Model = TypeVar("_Model", bound=VideoAutoencoder)


def change_compression(
    source: _Model, temporal_compression: int
) -> tuple[_Model, float]:
    """Builds the model of another k that starts with the weights of a trained one.

    Args:
        source: a trained `VideoAutoencoder`.
        temporal_compression: int. k of the new model, a power of two from 2 to 64.

    Returns:
        Pair of a model that differs from the source in k alone, and the share of its
        parameters that `transfer_weights` copied.

    Raises:
        ValueError: if k is not as above.
    """
    parts = {
        name: type(part).from_config(
            {**part.get_config(), "temporal_compression": temporal_compression}
        )
        for name, part in (("encoder", source.encoder), ("decoder", source.decoder))
    }
    target = type(source)(**{**signature_config(source), **parts})
    return target, transfer_weights(source, target)


def transfer_weights(source: VideoAutoencoder, target: VideoAutoencoder) -> float:
    """Copies the weights that a trained and an untrained model have in common.

    Weights are copied where the path and the shape are the same. Stages that only the
    target's encoder has, because of a larger k, become the identity on the frames that
    they keep, so that the content latents equal the source's from the start. Output
    patches that overlap start with the weights of patches that do not, and zeros.

    Args:
        source: a trained `VideoAutoencoder`.
        target: an untrained `VideoAutoencoder`.

    Returns:
        float. The share of the target's parameters that were copied.

    Raises:
        ValueError: if the two have nothing in common.
    """
    count = total = 0
    # Encoder and decoder apart: paths in both may be the same.
    for trained, untrained in (
        (source.encoder, target.encoder),
        (source.decoder, target.decoder),
    ):
        weights = {weight.path: weight for weight in trained.weights}
        for weight in untrained.weights:
            size = int(np.prod(weight.shape))
            total += size
            given = weights.get(weight.path)
            if given is not None and tuple(given.shape) == tuple(weight.shape):
                weight.assign(ops.convert_to_numpy(given))
                count += size
    count += _extend_patches(source.decoder, target.decoder)
    if not count:
        raise ValueError(
            "The models must have weights of the same path and shape. "
            f"Received: source={source.name}, target={target.name}"
        )
    known = {layer.name for layer in source.encoder.layers}
    for layer in target.encoder.layers:
        if layer.name not in known:
            _make_identity(layer)
    return count / total


def _extend_patches(source, target):
    """Copies output patches without overlap into larger ones, with zeros around them.

    Args:
        source: the trained decoder.
        target: the untrained decoder.

    Returns:
        int. Number of parameters copied: 0 unless only the target's patches overlap and
        both decoders have the same width.
    """
    small, large = _patch_output(source), _patch_output(target)
    if small is None or large is None or small.overlap or not large.overlap:
        return 0
    if small.units != large.units:
        return 0
    around = (large.overlap, large.overlap)
    count = 0
    # The kernel, `(units, patch)`, and the bias, `(patch,)`.
    for given, weight in zip(
        small.projection.weights, large.projection.weights, strict=True
    ):
        patches = ops.convert_to_numpy(given)
        count += patches.size
        patches = patches.reshape(-1, SPATIAL_COMPRESSION, SPATIAL_COMPRESSION, 3)
        patches = np.pad(patches, [(0, 0), around, around, (0, 0)])
        weight.assign(patches.reshape(weight.shape))
    return count


def _patch_output(decoder):
    """Returns the `PatchOutput` of a decoder, None for a convolutional one."""
    layers = [layer for layer in decoder.layers if isinstance(layer, PatchOutput)]
    return layers[0] if layers else None


def _make_identity(layer):
    """Makes a layer of a stage the identity on the last frame that each output sees."""
    if isinstance(layer, ResidualBlock3D):
        last = layer.convs[-1]
        last.kernel.assign(np.zeros(last.kernel.shape, "float32"))
    elif isinstance(layer, CausalConv3D):
        _, height, width, channels, filters = layer.kernel.shape
        # Only a stage that halves time alone can be the identity.
        if channels == filters and height == width == 1:
            kernel = np.zeros(layer.kernel.shape, "float32")
            kernel[-1, 0, 0] = np.eye(channels)
            layer.kernel.assign(kernel)
