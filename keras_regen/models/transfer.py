"""Weights of a trained model in a model of another compression."""

import numpy as np
from keras import ops

from keras_regen.layers import CausalConv3D, PatchOutput, ResidualBlock3D


def transfer_weights(source, target):
    """Gives a model what it has in common with one that is trained.

    Weights go where the path and the shape are the same. Stages of the encoder that the
    source lacks, as those of a larger k, begin as the identity on the frames that they
    keep, so that the content latents are the source's at once; output patches that
    overlap begin as those that do not.

    Args:
        source: a trained `VideoAutoencoder`.
        target: an untrained one.

    Returns:
        float. The share of the target's parameters that were given.

    Raises:
        ValueError: if the two have nothing in common.
    """
    count = total = 0
    # Part by part: their layers may have the same names.
    for ours, theirs in (
        (target.encoder, source.encoder),
        (target.decoder, source.decoder),
    ):
        given = {weight.path: weight for weight in theirs.weights}
        for weight in ours.weights:
            size = int(np.prod(weight.shape))
            total += size
            other = given.get(weight.path)
            if other is not None and tuple(other.shape) == tuple(weight.shape):
                weight.assign(ops.convert_to_numpy(other))
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
    """Gives output patches that overlap those that do not, with zeros around them.

    Returns:
        int. The number of parameters given.
    """
    layers = [_patch_output(source), _patch_output(target)]
    if None in layers or layers[0].overlap or not layers[1].overlap:
        return 0
    ours, theirs = layers[1], layers[0]
    shapes = [(layer.patch_size + 2 * layer.overlap,) * 2 for layer in layers]
    margins = [(0, 0), *[(ours.overlap, ours.overlap)] * 2, (0, 0)]
    count = 0
    for mine, other in zip(
        ours.projection.weights, theirs.projection.weights, strict=True
    ):
        value = ops.convert_to_numpy(other)
        value = value.reshape(-1, *shapes[0], theirs.channels)
        mine.assign(np.pad(value, margins).reshape(mine.shape))
        count += value.size
    return count


def _patch_output(decoder):
    layers = [x for x in decoder.layers if isinstance(x, PatchOutput)]
    return layers[0] if layers else None


def _make_identity(layer):
    """Makes a stage's layer the identity on the last frame that each output sees."""
    if isinstance(layer, ResidualBlock3D):
        last = layer.convs[-1]
        last.kernel.assign(np.zeros(last.kernel.shape, "float32"))
    elif isinstance(layer, CausalConv3D):
        _, height, width, channels, filters = layer.kernel.shape
        # Only a stage that changes time alone can be one.
        if channels == filters and height == width == 1:
            kernel = np.zeros(layer.kernel.shape, "float32")
            kernel[-1, 0, 0] = np.eye(channels)
            layer.kernel.assign(kernel)
