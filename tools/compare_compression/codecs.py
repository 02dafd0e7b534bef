"""The codecs that are compared: how they are trained."""

import functools
import math

import keras
import numpy as np

from keras_regen.codec import VideoCodec
from keras_regen.data import MovingDigits
from keras_regen.models import (
    ConvAutoencoder,
    ConvDecoder,
    DiTDecoder,
    Regen,
    VideoEncoder,
    load_model,
    transfer_weights,
)
from keras_regen.training import TrainingConfig, train
from tools.common import log
from tools.make_digits import write

# By their k, the most telling first.
CODECS = {"regen_8": 8, "regen_32": 32, "conv_8": 8, "regen_16": 16, "regen_4": 4}
# The smallest k, from which the others of a kind grow.
FIRST_K = 4


class Codecs:
    """Trains codecs on moving digits, and keeps them in a directory.

    One of k = 4 is trained first. Each other one starts with the weights of the one of
    half its k, and is trained for as many steps on as many frames: from nothing, k = 32
    learns little in them.

    Args:
        settings: `Settings`.
        folder: path of the directory.
    """

    def __init__(self, settings, folder):
        self.settings = settings
        self.folder = folder

    @functools.cached_property
    def digits(self):
        """The list of the videos to train on."""
        folder = self.folder / "digits"
        if not (folder / "clips.csv").exists():
            clips = self.settings.train_clips, self.settings.frames
            write(MovingDigits("train", *clips), folder)
        return folder / "clips.csv"

    def load(self, name):
        """Returns a `VideoCodec`, which is trained if it is not there.

        Args:
            name: str such as `"regen_8"` or `"conv_4"`.
        """
        folder = self.folder / name
        if not has_preset(folder / "codec"):
            kind, k = name.split("_")
            model = untrained_codec(kind, int(k), self.settings)
            if int(k) > FIRST_K:
                smaller = self.load(f"{kind}_{int(k) // 2}")
                transfer_weights(smaller.model, model)
            self._train(model, folder)
        # It was not trained to extrapolate, so chunks are not blended.
        return VideoCodec(load_model(folder / "codec/preset"), blend_frames=0)

    def _train(self, model, folder):
        settings, k = self.settings, model.temporal_compression
        model.save_to_preset(folder / "start")
        config = TrainingConfig(
            data=[str(self.digits)],
            init=str(folder / "start"),
            resolution=[settings.crop],
            batch_size=max(1, settings.codec_frames // (k + 1)),
            margin=0,
            image_share=0.0,
            zoom=settings.zoom,
            workers=1,
            steps=settings.codec_steps,
            steps_per_epoch=settings.steps_per_epoch,
            learning_rate=settings.codec_rate,
            precision="float32",
        )
        log(f"Training the codec {folder.name}")
        train(config, folder / "codec")


def has_preset(run):
    """Returns whether a training run has ended."""
    # The last file of a preset that is written.
    return (run / "preset" / "config.json").exists()


def untrained_codec(kind, k, settings):
    """Returns a `Regen`, or a `ConvAutoencoder` for `"conv"`, whose output is black.

    From the usual grey it takes hundreds of steps to learn what most pixels are.
    """
    network = settings.network
    keras.utils.set_random_seed(0)
    encoder = VideoEncoder(k, **network["encoder"], regularization="kl", name="encoder")
    if kind == "conv":
        decoder = ConvDecoder(k, **network["conv"], name="decoder")
        _make_black(decoder, 0)
        return ConvAutoencoder(encoder, decoder)
    decoder = DiTDecoder(k, **network["decoder"], name="decoder")
    _make_black(decoder, decoder.patch_overlap)
    return Regen(encoder, decoder)


def _make_black(decoder, overlap):
    """Sets the last bias, of a patch of pixels, to black; patches that overlap add."""
    bias = decoder.weights[-1]
    side = math.isqrt(bias.shape[0] // 3) - 2 * overlap
    around = (overlap, overlap)
    black = np.pad(np.full((side, side, 3), -1.0), (around, around, (0, 0)))
    bias.assign(black.ravel())
