"""The number of parameters of an architecture."""

import concurrent.futures

import keras

from keras_regen.models.architectures import architecture, conv_decoder_architecture
from keras_regen.models.conv_decoder import ConvDecoder
from keras_regen.models.dit_decoder import DiTDecoder
from keras_regen.models.video_encoder import VideoEncoder


def count_parameters(name, temporal_compression=8, decoder="dit"):
    """Counts an architecture's parameters without allocating them.

    Args:
        name: `"tiny"`, `"small"`, `"base"` or `"paper"`.
        temporal_compression: int. k, a power of two from 2 to 64. Defaults to `8`.
        decoder: `"dit"`, or `"conv"` for the conventional one. Defaults to `"dit"`.

    Returns:
        Tuple of int: those of the encoder, and those of the decoder.

    Raises:
        ValueError: if an argument is not as above.

    Example:

    >>> count_parameters("tiny", temporal_compression=8)
    (2678856, 5180864)
    """
    if decoder not in ("dit", "conv"):
        raise ValueError(
            f'`decoder` must be "dit" or "conv". Received: decoder={decoder!r}'
        )
    config = dict(architecture(name))
    if decoder == "conv":
        config["decoder"] = conv_decoder_architecture(name, temporal_compression)
    build = DiTDecoder if decoder == "dit" else ConvDecoder
    # Keras initialises what one stateless scope has left out at the end of the next,
    # but remembers it by thread: what a thread of its own leaves out is forgotten with
    # it.
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(_count, config, build, temporal_compression).result()


def _count(config, build, temporal_compression):
    with keras.StatelessScope(initialize_variables=False):
        encoder = VideoEncoder(temporal_compression, **config["encoder"])
        decoder = build(temporal_compression, **config["decoder"])
    return encoder.count_params(), decoder.count_params()
