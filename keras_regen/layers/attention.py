"""Attention with bounded memory, in the form that is fastest on each backend."""

from typing import Literal

import keras
from keras import ops

from keras_regen.hardware import device_type, on_accelerator
from keras_regen.types import Tensor

# Queries in one block: the fastest on two CPU cores, where XLA's matrix products need
# longer blocks than TensorFlow's. 2048 x 17,408 float32 logits of one head are 143 MB.
QUERY_BLOCK = {"jax": 2048, "tensorflow": 1024, "torch": 2048}
# With at most this many logits a loop does not pay.
MAX_LOGITS_AT_ONCE = 2**20
# Logits, and as many weights, that stay in the cache of a CPU core, by their dtype.
CACHED_LOGITS = {"bfloat16": 2**21, "float32": 2**20}
# A head with fewer logits is too small for a call of its own.
MIN_LOGITS_OF_HEAD = 2**16


def attention_form(
    dtype: str, head_dim: int
) -> Literal["fused", "heads", "blocks", "cache"]:
    """Returns how the backend computes attention.

    Args:
        dtype: str. The dtype of the inputs.
        head_dim: int. Channels of a head.

    Returns:
        `"fused"`: a kernel that never holds the logits; `"heads"`: a loop over heads
        and blocks of queries; `"blocks"`: a loop over blocks of queries, all heads
        together; `"cache"`: a loop over so few samples, or heads, and queries that
        there are at most `CACHED_LOGITS` logits.
    """
    backend = keras.backend.backend()
    if backend == "torch":
        from keras_regen.layers import onednn

        # On CPUs the kernel takes three times as long in bfloat16, and its products are
        # MKL's in float32.
        in_cache = dtype == "bfloat16" or onednn.is_faster(dtype)
        return "cache" if in_cache and not on_accelerator() else "fused"
    if backend == "tensorflow":
        return "blocks" if on_accelerator() else "heads"
    if device_type() == "gpu" and dtype != "float32" and _cudnn_takes(head_dim):
        # Not on TPUs, where Keras would use a kernel with a causal mask.
        return "fused"
    # A loop over heads would undo their distribution over devices.
    alone = keras.distribution.distribution() is None
    return "heads" if device_type() == "cpu" and alone else "blocks"


def _cudnn_takes(head_dim):
    """Returns whether Keras on JAX uses cuDNN's kernel: else it holds all logits.

    cuDNN needs an NVIDIA GPU of compute capability 8 or more, and each such GPU takes
    these sizes of heads.
    """
    import jax

    # "8.0"; of a GPU by AMD there is none, or a name such as "gfx90a".
    capability = getattr(jax.devices()[0], "compute_capability", "")
    generation = capability.partition(".")[0]
    if not generation.isdecimal() or int(generation) < 8:
        return False
    return head_dim % 8 == 0 and head_dim <= 128


def windows_at_once(x: Tensor) -> bool:
    """Returns whether to attend within all windows by one call.

    One call computes the logits between all tokens that share a window of `WindowGrid`
    and masks those that do not belong together. Accelerators are faster with few calls.
    CPUs are faster with the calls of `windowed_attention`, which need no mask and fewer
    products; but only TensorFlow can trace them for unknown sizes.

    Args:
        x: tensor of shape `(B, F, h, w, C)`, the tokens.

    Returns:
        bool.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return on_accelerator()
    if not all(isinstance(size, int) for size in x.shape[1:4]):
        return True
    if backend == "torch":
        return x.device.type != "cpu"
    return on_accelerator()


def logits_held(
    dtype: str, batch: int, num_heads: int, head_dim: int, length: int
) -> int:
    """Returns the maximum number of logits that `dot_product_attention` holds."""
    form = attention_form(dtype, head_dim)
    if form == "fused":
        return 0
    if form == "cache":
        return min(CACHED_LOGITS[dtype], batch * num_heads * length**2)
    rows = min(length, QUERY_BLOCK[keras.backend.backend()])
    return rows * length * (1 if form == "heads" else batch * num_heads)


def dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, segments: Tensor | None = None
) -> Tensor:
    """Computes scaled dot-product attention.

    PyTorch, but for CPUs where its kernel is slower, and JAX in half precision on
    NVIDIA's GPUs since Ampere, have fused kernels that never hold the logits. Elsewhere
    the logits would be an N x M matrix for each head, so the queries are processed in
    blocks, which the backward pass computes again: memory grows linearly with N in
    training too. On CPUs the logits of a block stay in the cache, and XLA and
    TensorFlow process each head alone, since there the product of two matrices runs at
    full speed.

    Args:
        query: float tensor of shape `(B, N, heads, head_dim)`.
        key: float tensor of shape `(B, M, heads, head_dim)`.
        value: float tensor of shape `(B, M, heads, head_dim)`.
        segments: int tensor of shape `(B, N)`, with N = M: every token attends to the
            tokens of its own segment. Or None: every token attends to every token.
            Defaults to `None`.

    Returns:
        Tensor of shape `(B, N, heads, head_dim)`, in the inputs' dtype.

    Reference:
        Vaswani et al. 2017, *Attention Is All You Need*, equation 1.
    """
    dtype = keras.backend.standardize_dtype(query.dtype)
    form = attention_form(dtype, query.shape[-1])
    if keras.backend.backend() == "jax" and not isinstance(query.shape[1], int):
        # A symbolic length: the export may run on other devices.
        form = "blocks"
    if form == "heads" and segments is not None:
        # CPUs attend in segments only where `windows_at_once` says so.
        form = "blocks"
    if form == "cache" and segments is None and isinstance(query.shape[1], int):
        if dtype == "bfloat16":
            return attention_in_cache(query, key, value)
        if query.shape[1] * key.shape[1] >= MIN_LOGITS_OF_HEAD:
            return attention_of_heads_in_cache(query, key, value)
    if form in ("fused", "cache"):
        return _fused_attention(query, key, value, segments)
    if dtype != (wide := compute_dtype(dtype, form)):
        query, key, value = (ops.cast(x, wide) for x in (query, key, value))
        return ops.cast(dot_product_attention(query, key, value, segments), dtype)
    if form == "heads":
        return attention_by_heads(query, key, value)
    return attention_by_blocks(query, key, value, segments)


def compute_dtype(dtype: str, form: str) -> str:
    """Returns the dtype to attend in: float32 where half precision is slower."""
    jax_on_cpu = keras.backend.backend() == "jax" and form == "heads"
    # JAX on CPUs casts half precision up for each product, and CPUs have no product of
    # float16 that sums in float32.
    return "float32" if dtype == "float16" or jax_on_cpu else dtype


def _same_segment(queries, keys):
    """Returns which queries attend to which keys, for all heads.

    Args:
        queries: int tensor of shape `(B, N)` or None, the segments of the queries.
        keys: int tensor of shape `(B, M)` or None, the segments of the keys.

    Returns:
        bool tensor of shape `(B, 1, N, M)` or None.
    """
    if queries is None:
        return None
    return ops.expand_dims(queries, (1, 3)) == ops.expand_dims(keys, (1, 2))


def _fused_attention(query, key, value, segments):
    mask = _same_segment(segments, segments)
    if keras.backend.backend() != "torch":
        return ops.dot_product_attention(query, key, value, mask=mask)
    import torch

    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    if query.device.type == "cpu":
        # Not the queries, or the result would be contiguous too.
        key, value = key.contiguous(), value.contiguous()
    return torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask
    ).transpose(1, 2)


def attention_in_cache(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attends with so few samples and queries at a time that logits stay in the cache.

    Only on PyTorch, where a loop costs little.
    """
    import torch

    query = (query * query.shape[-1] ** -0.5).transpose(1, 2)
    key, value = (x.transpose(1, 2).contiguous() for x in (key, value))
    row = key.shape[1] * key.shape[2]
    samples = max(1, CACHED_LOGITS["bfloat16"] // (row * query.shape[2]))
    rows = max(1, CACHED_LOGITS["bfloat16"] // row)
    # The backward pass computes the weights again.
    attend = keras.remat(_attend) if torch.is_grad_enabled() else _attend
    parts = zip(*(x.split(samples) for x in (query, key, value)), strict=True)
    outputs = [
        [attend(some, key, value) for some in query.split(rows, 2)]
        for query, key, value in parts
    ]
    # To join one would copy it.
    outputs = [x[0] if len(x) == 1 else torch.cat(x, 2) for x in outputs]
    return torch.cat(outputs).transpose(1, 2)


def _attend(query, key, value):
    """Attends with scaled queries `(..., N, D)` to keys and values `(..., M, D)`."""
    return (query @ key.mT).softmax(-1) @ value


def attention_of_heads_in_cache(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attends one head and so few queries at a time that logits stay in the cache.

    Only on PyTorch in float32, where `onednn` has the product of two matrices.
    """
    import torch

    batch, _, heads, _ = query.shape
    query = (query * query.shape[-1] ** -0.5).transpose(1, 2)
    key, value = (x.transpose(1, 2).contiguous() for x in (key, value))
    blocks = -(-query.shape[2] * key.shape[2] // CACHED_LOGITS["float32"])
    attend = keras.remat(_attend_head) if torch.is_grad_enabled() else _attend_head
    parts = zip(*(x.flatten(0, 1) for x in (query, key, value)), strict=True)
    outputs = [
        torch.cat([attend(some, key, value) for some in query.tensor_split(blocks)])
        for query, key, value in parts
    ]
    return torch.stack(outputs).unflatten(0, (batch, heads)).transpose(1, 2)


def _attend_head(query, key, value):
    """Attends with scaled queries `(N, D)` to keys and values `(M, D)`."""
    from keras_regen.layers import onednn

    return onednn.linear(onednn.linear(query, key).softmax(-1), value.T)


def attention_by_blocks(
    query: Tensor, key: Tensor, value: Tensor, segments: Tensor | None = None
) -> Tensor:
    """Attends one block of queries at a time, with all heads together."""

    def attend(query, own_segments=None):
        mask = _same_segment(own_segments, segments)
        # Captured and not an argument, since it has no gradient.
        attend_masked = keras.remat(
            lambda *parts: ops.dot_product_attention(
                *parts, mask=mask, flash_attention=False
            )
        )
        return attend_masked(query, key, value)

    queries = (query,) if segments is None else (query, segments)
    return _in_blocks(attend, *queries, axis=1)


def attention_by_heads(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attends one head and one block of queries at a time."""
    batch, length, heads, head_dim = ops.shape(query)
    logits = batch * heads * length * ops.shape(key)[1]
    if isinstance(logits, int) and logits <= MAX_LOGITS_AT_ONCE:
        return ops.dot_product_attention(query, key, value, flash_attention=False)
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


def _in_blocks(attend, *queries, axis):
    """Calls `attend` for one block of queries, and what belongs to them, at a time.

    `ops.map` keeps XLA from computing, and holding, all of them at once.
    """
    length, block = ops.shape(queries[0])[axis], QUERY_BLOCK[keras.backend.backend()]
    # In graphs of unknown length it is a tensor on TensorFlow, a symbol on JAX.
    if isinstance(length, int) and length <= block:
        return attend(*queries)
    num_blocks = length // block + 1
    size = (length + num_blocks - 1) // num_blocks

    def to_blocks(x):
        padding = [[0, 0]] * len(x.shape)
        padding[axis] = [0, num_blocks * size - length]
        x = ops.pad(x, padding)
        shape = ops.shape(x)
        x = ops.reshape(x, (*shape[:axis], num_blocks, size, *shape[axis + 1 :]))
        return ops.moveaxis(x, axis, 0)

    blocks = tuple(to_blocks(x) for x in queries)
    output = ops.moveaxis(ops.map(lambda block: attend(*block), blocks), 0, axis)
    shape = ops.shape(output)
    output = ops.reshape(output, (*shape[:axis], num_blocks * size, *shape[axis + 2 :]))
    return output[:, :length] if axis == 1 else output[:length]


def _attention_of_head(query, key, value):
    """Attends with scaled queries `(N, D)` to keys and values `(M, D)`."""
    logits = ops.matmul(query, ops.transpose(key))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Its softmax sums in float32 in every dtype.
        return ops.matmul(tf.nn.softmax(logits), value)
    # On XLA dividing the product, which is smaller than the weights, is faster.
    weights = ops.exp(logits - ops.stop_gradient(ops.max(logits, -1, keepdims=True)))
    return ops.matmul(weights, value) / ops.sum(weights, axis=-1, keepdims=True)
