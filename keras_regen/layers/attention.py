"""Full attention with bounded memory. The one file that knows what a backend does."""

import keras
from keras import ops

# A query block this long keeps one block of float32 logits at 4 heads under 256 MB
# for 15,000 keys.
QUERY_BLOCK = 1024


def materializes_logits(dtype):
    """Whether the backend would hold the whole N x N matrix of logits."""
    if keras.backend.backend() == "jax":
        import jax

        # cuDNN's kernel, for half precision. Keras's choice on TPUs is a kernel that
        # masks what comes later.
        return jax.default_backend() != "gpu" or dtype == "float32"
    return keras.backend.backend() == "tensorflow"


def attention(query, key, value):
    """Scaled dot-product attention of every token to every token.

    PyTorch, and JAX in half precision on GPUs, have fused kernels that never hold the
    logits. Elsewhere they would be an N x N matrix, so there the queries go in blocks
    of at most `QUERY_BLOCK`, computed again on the way back, and memory grows linearly
    with N in training too.

    Args:
        query: float tensor of shape `(B, N, heads, head_dim)`.
        key: float tensor of shape `(B, M, heads, head_dim)`.
        value: float tensor of shape `(B, M, heads, head_dim)`.

    Returns:
        Tensor of shape `(B, N, heads, head_dim)`, in the inputs' dtype.

    Reference:
        Vaswani et al. 2017, *Attention Is All You Need*, equation 1.
    """
    dtype = keras.backend.standardize_dtype(query.dtype)
    length = query.shape[1]
    # A symbol on JAX: exported, for other devices than this one too.
    exported = keras.backend.backend() == "jax" and not isinstance(length, int)
    if not exported and not materializes_logits(dtype):
        return ops.dot_product_attention(query, key, value)
    if dtype == "float16":
        # JAX has no product of float16 into float32 on the CPU.
        query, key, value = (ops.cast(x, "float32") for x in (query, key, value))
        return ops.cast(attention(query, key, value), dtype)
    # Neither None, TensorFlow's, nor a symbol, JAX's, which exports have.
    if isinstance(length, int) and length <= QUERY_BLOCK:
        return _attention_with_logits(query, key, value)
    return _attention_in_blocks(query, key, value)


def _attention_with_logits(query, key, value):
    return ops.dot_product_attention(query, key, value, flash_attention=False)


def _attention_in_blocks(query, key, value):
    """One block after the other, in a loop: side by side XLA would hold them all."""
    batch, length, heads, head_dim = ops.shape(query)
    num_blocks = (length + QUERY_BLOCK - 1) // QUERY_BLOCK
    size = (length + num_blocks - 1) // num_blocks
    query = ops.pad(query, [[0, 0], [0, num_blocks * size - length], [0, 0], [0, 0]])
    query = ops.reshape(query, (batch, num_blocks, size, heads, head_dim))
    attend = keras.remat(_attention_with_logits)
    blocks = ops.map(
        lambda block: attend(block, key, value),
        ops.transpose(query, (1, 0, 2, 3, 4)),
    )
    output = ops.transpose(blocks, (1, 0, 2, 3, 4))
    return ops.reshape(output, (batch, -1, heads, head_dim))[:, :length]
