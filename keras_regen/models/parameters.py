"""The number of parameters of an architecture."""

import concurrent.futures

import keras

from keras_regen.models.architectures import architecture
from keras_regen.models.dit_decoder import DiTDecoder
from keras_regen.models.video_encoder import VideoEncoder


def count_parameters(name, temporal_compression=8):
    """Counts an architecture's parameters without allocating them.

    Args:
        name: `"tiny"`, `"small"`, `"base"` or `"paper"`.
        temporal_compression: int. k, a power of two from 2 to 64. Defaults to `8`.

    Returns:
        Tuple of int: those of the encoder, and those of the decoder.

    Raises:
        ValueError: if the name or k is not as above.

    Example:

    >>> count_parameters("tiny", temporal_compression=8)
    (2678856, 5180864)
    """
    # Keras initialises what one stateless scope has left out at the end of the next,
    # but remembers it by thread: what a thread of its own leaves out is forgotten with
    # it.
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(_count, architecture(name), temporal_compression).result()


def _count(config, temporal_compression):
    with keras.StatelessScope(initialize_variables=False):
        encoder = VideoEncoder(temporal_compression, **config["encoder"])
        decoder = DiTDecoder(temporal_compression, **config["decoder"])
    return encoder.count_params(), decoder.count_params()
