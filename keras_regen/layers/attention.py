"""Attention with bounded memory, in the form that each backend computes fastest."""

import keras
from keras import ops

# Queries of one block: 2048 x 17,408 logits of one head are 143 MB in float32. On two
# CPU cores the fastest; XLA's products need longer blocks than TensorFlow's.
QUERY_BLOCK = {"jax": 2048, "tensorflow": 1024, "torch": 2048}
# Not worth a loop.
FEW_LOGITS = 2**20


def attention_form(dtype):
    """How attention is computed here.

    Returns:
        `"fused"`: by a kernel that never holds the logits; `"heads"`: one block of
        queries of one head after the other; `"blocks"`: all heads of one block of
        queries after the other.
    """
    backend = keras.backend.backend()
    if backend == "torch":
        return "fused"
    if backend == "tensorflow":
        import tensorflow as tf

        return "blocks" if tf.config.list_logical_devices("GPU") else "heads"
    import jax

    if jax.default_backend() == "gpu" and dtype != "float32":
        # cuDNN's kernel. Keras's choice on TPUs is a kernel that masks what comes
        # later.
        return "fused"
    # A loop over heads would undo their distribution.
    alone = keras.distribution.distribution() is None
    return "heads" if jax.default_backend() == "cpu" and alone else "blocks"


def logits_held(dtype, batch, num_heads, length):
    """Logits that `dot_product_attention` holds at once, in values, at most."""
    form = attention_form(dtype)
    if form == "fused":
        return 0
    rows = min(length, QUERY_BLOCK[keras.backend.backend()])
    return rows * length * (1 if form == "heads" else batch * num_heads)


def dot_product_attention(query, key, value):
    """Scaled dot-product attention of every token to every token.

    PyTorch, and JAX in half precision on GPUs, have fused kernels that never hold the
    logits. Elsewhere they would be an N x N matrix for each head, so there the queries
    go in blocks of at most `QUERY_BLOCK`, computed again on the way back, and memory
    grows linearly with N in training too. On CPUs each head goes alone: products of two
    matrices run at full speed there, and logits of one head stay in the cache.

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
    form = attention_form(dtype)
    if keras.backend.backend() == "jax" and not isinstance(query.shape[1], int):
        # A symbol: exported, for other devices than this one too.
        form = "blocks"
    if form == "fused":
        return _fused_attention(query, key, value)
    if dtype != (wide := compute_dtype(dtype, form)):
        parts = (ops.cast(x, wide) for x in (query, key, value))
        return ops.cast(dot_product_attention(*parts), dtype)
    function = attention_by_heads if form == "heads" else attention_by_blocks
    return function(query, key, value)


def compute_dtype(dtype, form):
    """The dtype to attend in: JAX on CPUs widens half precision for each product."""
    jax_on_cpu = keras.backend.backend() == "jax" and form == "heads"
    # There is no product of float16 into float32 on the CPU either.
    return "float32" if dtype == "float16" or jax_on_cpu else dtype


def _fused_attention(query, key, value):
    if keras.backend.backend() != "torch" or query.device.type != "cpu":
        return ops.dot_product_attention(query, key, value)
    import torch

    # Keras would put the queries in the order of the keys too, and get the result so.
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    return torch.nn.functional.scaled_dot_product_attention(
        query, key.contiguous(), value.contiguous()
    ).transpose(1, 2)


def attention_by_blocks(query, key, value):
    """All heads of one block of queries after the other."""
    attend = keras.remat(_attention_with_logits)
    return _in_blocks(lambda block: attend(block, key, value), query, axis=1)


def attention_by_heads(query, key, value):
    """One block of queries of one head after the other."""
    batch, length, heads, head_dim = ops.shape(query)
    logits = batch * heads * length * ops.shape(key)[1]
    if isinstance(logits, int) and logits <= FEW_LOGITS:
        return _attention_with_logits(query, key, value)
    query, key, value = (
        ops.reshape(
            ops.transpose(x, (0, 2, 1, 3)), (batch * heads, ops.shape(x)[1], head_dim)
        )
        for x in (query * head_dim**-0.5, key, value)
    )
    attend = keras.remat(_attention_of_head)

    def attend_in_turn(head):
        query, key, value = head
        return _in_blocks(lambda block: attend(block, key, value), query, axis=0)

    output = ops.map(attend_in_turn, (query, key, value))
    output = ops.reshape(output, (batch, heads, length, head_dim))
    return ops.transpose(output, (0, 2, 1, 3))


def _in_blocks(attend, query, axis):
    """`attend` of one block after the other: side by side XLA would hold them all."""
    length, block = ops.shape(query)[axis], QUERY_BLOCK[keras.backend.backend()]
    # Neither None, TensorFlow's, nor a symbol, JAX's, which exports have.
    if isinstance(length, int) and length <= block:
        return attend(query)
    num_blocks = length // block + 1
    size = (length + num_blocks - 1) // num_blocks
    padding = [[0, 0]] * len(query.shape)
    padding[axis] = [0, num_blocks * size - length]
    query = ops.pad(query, padding)
    shape = ops.shape(query)
    before, after = shape[:axis], shape[axis + 1 :]
    blocks = ops.reshape(query, (*before, num_blocks, size, *after))
    blocks = ops.map(attend, ops.moveaxis(blocks, axis, 0))
    output = ops.reshape(ops.moveaxis(blocks, 0, axis), shape)
    return output[:, :length] if axis == 1 else output[:length]


def _attention_with_logits(query, key, value):
    return ops.dot_product_attention(query, key, value, flash_attention=False)


def _attention_of_head(query, key, value):
    """Attention of scaled queries, `(N, D)`, to `(M, D)`."""
    logits = ops.matmul(query, ops.transpose(key))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Its kernel sums in float32 whatever it is given.
        return ops.matmul(tf.nn.softmax(logits), value)
    # XLA does better to divide the product, which is smaller.
    weights = ops.exp(logits - ops.stop_gradient(ops.max(logits, -1, keepdims=True)))
    return ops.matmul(weights, value) / ops.sum(weights, axis=-1, keepdims=True)
