"""Matrix products of PyTorch on CPUs, by oneDNN where PyTorch's own are slower.

Imported under PyTorch alone.
"""

import functools
from typing import Any

import torch

from keras_regen.hardware import cpu_info


def is_faster(dtype: str) -> bool:
    """Returns whether `linear` is faster than `torch.addmm`, on a CPU.

    Args:
        dtype: str. The dtype of the factors.
    """
    onednn = torch.backends.mkldnn
    if torch.compiler.is_compiling() or not (onednn.is_available() and onednn.enabled):
        return False
    if dtype == "bfloat16":
        # PyTorch's own is oneDNN's too, but adds the bias and GELU after it.
        supported = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return supported and not torch.is_grad_enabled()
    return dtype == "float32" and mkl_is_slow()


@functools.cache
def mkl_is_slow() -> bool:
    """Returns whether MKL multiplies float32 without AVX-512, which the CPU has."""
    has_avx512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return has_avx512 and "AuthenticAMD" in cpu_info()


def linear(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    gelu: bool = False,
) -> torch.Tensor:
    """Computes `x @ weight.T + bias`, and the tanh approximation of GELU after it.

    Args:
        x: float32 or bfloat16 tensor of shape `(N, C)`.
        weight: tensor of shape `(units, C)`.
        bias: tensor of shape `(units,)` or None.
        gelu: bool. Defaults to `False`.

    Returns:
        Tensor of shape `(N, units)`.
    """
    if not torch.is_grad_enabled():
        return _linear(x, weight, bias, gelu)
    y = _Linear.apply(x, weight, bias)
    return torch.nn.functional.gelu(y, approximate="tanh") if gelu else y


def _linear(x, weight, bias=None, gelu=False):
    # As `torch.compile` does: bias and GELU are part of the product.
    name, algorithm = ("gelu", "tanh") if gelu else ("none", "")
    # Rows or columns with gaps may take a thousand times as long.
    x, weight = (
        x if x.is_contiguous() or x.T.is_contiguous() else x.contiguous()
        for x in (x, weight)
    )
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, name, [], algorithm)


class _Linear(torch.autograd.Function):
    """`linear` with gradients, which are such products too."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return _linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            _linear(gradient, weight.T) if of_x else None,
            # In the order of `weight.T`, the kernel of a layer.
            _linear(x.T, gradient.T).T if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )
