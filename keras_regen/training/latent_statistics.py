"""What a latent diffusion model normalises by."""

import numpy as np


def latent_statistics(regen, batches):
    """Mean and standard deviation of every latent channel.

    Args:
        regen: a `Regen`.
        batches: iterable of uint8 or float arrays of shape `(B, k + 1, H, W, 3)`.

    Returns:
        Dict of `clips`, how many were encoded, and of `mean` and `std`, each a list for
        the content latent and one for the motion latent, with a number a channel.
        Ready for JSON.

    Raises:
        ValueError: if there are no batches.

    Example:

    >>> regen = Regen.from_architecture("tiny", temporal_compression=4)
    >>> clips = np.zeros((2, 5, 16, 16, 3), "uint8")
    >>> statistics = latent_statistics(regen, [clips, clips])
    >>> statistics["clips"], np.shape(statistics["std"])
    (4, (2, 8))
    """
    clips, count, total, squares = 0, 0, 0.0, 0.0
    for batch in batches:
        latents = regen.encode(batch).astype("float64")
        clips += len(latents)
        count += latents[:, 0, ..., 0].size
        total = total + latents.sum(axis=(0, 2, 3))
        squares = squares + np.square(latents).sum(axis=(0, 2, 3))
    if not clips:
        raise ValueError("There must be clips to encode. Received: no batches")
    mean = total / count
    # Latents are of the order of one: float64 leaves enough after the difference.
    variance = np.maximum(squares / count - np.square(mean), 0.0)
    return {"clips": clips, "mean": mean.tolist(), "std": np.sqrt(variance).tolist()}
