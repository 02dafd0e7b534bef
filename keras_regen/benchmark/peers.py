"""Peers: the autoencoders of diffusers, with random weights.

They run on PyTorch, whichever backend our models use.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

from keras_regen.benchmark.settings import PRECISIONS
from keras_regen.benchmark.work import Work
from keras_regen.evaluation.embedders import FAMILIES, import_torch
from keras_regen.hardware import on_accelerator

# The title and the class of each peer. The defaults of the classes are the published
# configurations of Cosmos 1.0 CV8x8x8, LTX-Video 0.9.0, Wan 2.1 and CogVideoX 2B.
MODELS = {
    "cosmos": ("Cosmos 8x8x8", "AutoencoderKLCosmos"),
    "ltx": ("LTX-Video 8x32x32", "AutoencoderKLLTXVideo"),
    "wan": ("Wan 2.1 4x8x8", "AutoencoderKLWan"),
    "cogvideox": ("CogVideoX 4x8x8", "AutoencoderKLCogVideoX"),
}


class Peer:
    """An autoencoder of diffusers in one precision, on a GPU if our models are on one.

    Videos and latents stay on the device, in the precision of the weights, so copies
    are not timed. Tiling is off.

    Args:
        name: a key of `MODELS`.
        dtype: a dtype policy. The weights are in its compute dtype.
        **config: replaces parts of the published configuration.
    """

    def __init__(self, name: str, dtype: str = "float32", **config: Any) -> None:
        torch = import_torch()
        import diffusers

        self.title, self._family = MODELS[name]
        self._make = lambda: getattr(diffusers, self._family)(**config).eval()
        self._dtype = getattr(torch, PRECISIONS[dtype])
        on_gpu = on_accelerator() and torch.cuda.is_available()
        self._device = "cuda" if on_gpu else "cpu"
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            torch.manual_seed(0)
            # PyTorch's own `to`, since that of diffusers warns about missing modules.
            self.module = self._make()
            torch.nn.Module.to(self.module, self._device, self._dtype)
        # A copy without values, for counting operations.
        with torch.device("meta"):
            self._shadow = self._make().to("meta")

    def parameters(self) -> list[int]:
        """Returns the numbers of parameters of the encoder and the decoder."""
        return [
            sum(p.numel() for p in part.parameters())
            for part in (self.module.encoder, self.module.decoder)
        ]

    def takes(self, num_frames: int, height: int, width: int) -> bool:
        """Returns whether it takes videos of this shape without padding."""
        shape = (num_frames, height, width)
        return FAMILIES[self._family](self.module).padded_shape(*shape) == shape

    def work(self, case: str, shape: Sequence[int]) -> Work:
        """Returns the work of a case.

        Args:
            case: `"encode"` or `"decode"`.
            shape: `(B, F, H, W)`.

        Returns:
            `Work`.
        """
        torch = import_torch()
        batch, *sizes = shape
        empty = torch.empty((batch, 3, *sizes), device="meta")
        latents, operations = _counted(lambda: _encode(self._shadow, empty))
        function, inputs = _encode, empty
        if case == "decode":
            function, inputs = _decode, latents
            _, operations = _counted(lambda: _decode(self._shadow, latents))
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randn(inputs.shape, generator=generator)
        inputs = inputs.clamp(-1, 1).to(self._device, self._dtype)

        def run():
            with torch.inference_mode():
                function(self.module, inputs)
            if self._device == "cuda":
                torch.cuda.synchronize()

        return Work(run, operations)


def _encode(module, video):
    return module.encode(video).latent_dist.mode()


def _decode(module, latents):
    return module.decode(latents).sample


def _counted(function):
    """Calls a function on the meta device. Returns its result and its operations."""
    torch = import_torch()
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        # Operations of fused attention are not counted on every device.
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        counter = stack.enter_context(FlopCounterMode(display=False))
        outputs = function()
    return outputs, counter.get_total_flops()
