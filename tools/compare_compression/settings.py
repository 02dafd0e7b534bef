"""What is trained and measured."""

import dataclasses

from keras_regen.data import MovingDigits
from keras_regen.pixels import SPATIAL_COMPRESSION
from tools.choose_recipe import NETWORKS

# Rows and columns of latents.
SIDE = MovingDigits.size // SPATIAL_COMPRESSION
NANO = {
    **NETWORKS["nano"],
    # At k = 8 as many parameters as the DiT, within 1 %, and operations, within 3 %.
    "conv": {
        "stem_patch_size": 4,
        "widths": (80, 48, 96),
        "num_blocks": (2, 1, 1),
        "kernel_sizes": NETWORKS["nano"]["encoder"]["kernel_sizes"],
    },
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is trained, and how it is measured.

    Args:
        frames: int. Frames of a video.
        train_clips: int. Videos to train on.
        network: dict of the arguments of `VideoEncoder`, `DiTDecoder`, `ConvDecoder`.
        codec_steps: int. Training steps of a codec, after those of half its k.
        codec_frames: int. Frames in a batch for a codec.
        codec_rate: float. Learning rate of codecs.
        crop: int. Side of the crops that codecs are trained on, in pixels.
        zoom: float. As for `TrainingConfig`, for codecs.
        size: str. Architecture of the transformer.
        patch_size: int.
        batch_size: int. Videos in a batch for a generator.
        learning_rate: float. Of generators.
        seconds: float. CPU time to train a generator.
        steps_per_epoch: int. Steps from one checkpoint to the next.
        shares: tuple of float. Shares of `seconds` after which a generator is measured.
        clips: int. Videos to generate each time.
        sampling_steps: tuple of int. The last is used after every share.
        guidance: float.
        fvd_clips: int. Of these videos, those for FVD; 0 for no FVD.
    """

    frames: int = 66
    train_clips: int = 2000
    network: dict = dataclasses.field(default_factory=lambda: NANO)
    codec_steps: int = 300
    codec_frames: int = 108
    codec_rate: float = 2e-3
    crop: int = 48
    zoom: float = 1.4
    size: str = "nano"
    patch_size: int = 2
    batch_size: int = 16
    learning_rate: float = 1e-3
    seconds: float = 900.0
    steps_per_epoch: int = 25
    shares: tuple = (0.25, 0.5, 1.0)
    clips: int = 64
    sampling_steps: tuple = (4, 8, 16)
    guidance: float = 4.0
    fvd_clips: int = 0

    # Settings that may change when the work is continued.
    changeable = ("clips", "sampling_steps", "fvd_clips")

    def chunks(self, k):
        """Returns the chunks that cover a video."""
        return -(-self.frames // (k + 1))

    def sampling_steps_after(self, share):
        """Returns with how many steps a generator is sampled, the most first."""
        steps = self.sampling_steps[::-1]
        return steps if share == self.shares[-1] else steps[:1]

    def training_steps(self, seconds, share):
        """Returns the steps up to a share of the time: whole epochs, at least one more.

        Args:
            seconds: float. Of a training step.
            share: float, one of `shares`.
        """
        epochs = 0
        for limit in self.shares[: self.shares.index(share) + 1]:
            wanted = limit * self.seconds / (seconds * self.steps_per_epoch)
            epochs = max(epochs + 1, round(wanted))
        return epochs * self.steps_per_epoch


TOY = Settings(
    frames=10,
    train_clips=6,
    network={
        "encoder": {"stem_patch_size": 4, "widths": (8,), "num_blocks": (1,)},
        "decoder": {"units": 16, "depth": 1, "num_heads": 2, "siren_features": 8},
        "conv": {"stem_patch_size": 4, "widths": (8,), "num_blocks": (1,)},
    },
    codec_steps=2,
    codec_frames=18,
    batch_size=2,
    seconds=0.0,
    steps_per_epoch=2,
    shares=(0.5, 1.0),
    clips=2,
    sampling_steps=(1, 2),
)
