"""A run that trains a codec."""

import functools
import pathlib
from typing import Any

import keras
import numpy as np
import rich.console

from keras_regen.data import Bucket, VideoClips
from keras_regen.latents import LatentStatistics
from keras_regen.models import (
    ConvAutoencoder,
    Regen,
    build_model,
    change_compression,
    load_model,
)
from keras_regen.pixels import SPATIAL_COMPRESSION
from keras_regen.sizes import parse_memory
from keras_regen.training import distribution
from keras_regen.training.codec_config import TrainingConfig
from keras_regen.training.run import HELD_OUT_SEED, LOG, VIDEO, Run
from keras_regen.training.sample_monitor import FPS, SampleMonitor
from keras_regen.types import StrPath
from keras_regen.video import VideoWriter

# Number of clips for the latent statistics, and clips in a batch of them.
STATISTICS_CLIPS, STATISTICS_BATCH = 512, 8


def train(
    config: TrainingConfig, output: StrPath, console: rich.console.Console | None = None
) -> Regen | ConvAutoencoder:
    """Trains a model, or resumes its training.

    Writes to the directory `output`: `config.toml`, every setting; `checkpoint.h5`,
    after every epoch, from which the same call resumes an interrupted run;
    `history.json`, the logs of every epoch, and `history.png`, their plot;
    `samples.mp4`, validation clips next to their reconstructions in one step;
    `tensorboard/`; and `preset/`, with the averaged weights and the statistics of the
    latents.

    Args:
        config: a `TrainingConfig`.
        output: path of the directory.
        console: `rich.console.Console` or None, for standard output.

    Returns:
        The trained `Regen` or `ConvAutoencoder`.

    Raises:
        ImportError: if a package of the extra `train` is missing.
        ValueError: if the settings do not fit the data, the devices, or the run that is
            resumed.
        FloatingPointError: if the gradients stay infinite or NaN.
    """
    return CodecRun(config, output, console)()


def untrained_model(config: TrainingConfig, **how: Any) -> Regen | ConvAutoencoder:
    """Builds the model of a configuration, with initial weights.

    Args:
        config: a `TrainingConfig`.
        **how: `dtype` and `remat`, as for `build_model`.
    """
    regularization = None if config.regularization == "none" else config.regularization
    return build_model(
        config.size,
        config.temporal_compression,
        config.decoder,
        regularization=regularization,
        **how,
    )


class CodecRun(Run):
    """See `train`."""

    get_layout_map = staticmethod(Regen.get_layout_map)
    # Frames of a chunk, which the model that was built says.
    _num_frames: int

    def build(self) -> Regen | ConvAutoencoder:
        config = self.config
        how = {"dtype": config.precision, "remat": config.remat}
        k = config.temporal_compression
        if config.init:
            model = load_model(config.init, **how)
            if config.margin and not model.is_generative:
                raise ValueError(
                    "A convolutional decoder cannot extrapolate: `margin` must be 0. "
                    f"Received: init={config.init}, margin={config.margin}"
                )
            if k not in (0, model.temporal_compression):
                if config.decoder_only:
                    raise ValueError(
                        "`decoder_only` keeps the preset's encoder, whose k is "
                        f"{model.temporal_compression}. Received: decoder_only=True, "
                        f"temporal_compression={k}"
                    )
                model, share = change_compression(model, k)
                self.console.print(f"{share:.0%} of the weights are from {config.init}")
            model.encoder.trainable = not config.decoder_only
        else:
            model = untrained_model(config, **how)
        self._num_frames = model.temporal_compression + 1
        return model

    # === Data ===

    def training_data(self) -> VideoClips:
        config = self.config
        return VideoClips(
            config.data,
            self._num_frames,
            list(self._buckets()),
            steps_per_epoch=config.steps_per_epoch,
            strides=tuple(config.stride),
            margin=config.margin,
            image_share=config.image_share,
            zoom=(1.0, config.zoom),
            seed=config.seed,
            replica=distribution.rank(),
            cache_bytes=parse_memory(config.cache) if config.cache else 0,
            workers=config.workers,
        )

    def _buckets(self):
        """Yields a bucket for each resolution; all batches have about equal pixels."""
        first, replicas = self.config.resolution[0], distribution.num_replicas()
        for size in self.config.resolution:
            wanted = self.config.batch_size * (first / size) ** 2 / replicas
            batch_size = max(1, round(wanted)) * replicas
            if size == first:
                batch_size = self.config.batch_size
            local = distribution.local_batch_size(batch_size)
            yield Bucket(size, size, local)

    def _plain_clips(self, source, batch_size, **kwargs):
        """Returns clips without augmentation, cropped to the first resolution."""
        return VideoClips(
            source,
            self._num_frames,
            self.config.resolution[0],
            batch_size,
            augmentation=(),
            workers=0,
            **kwargs,
        )

    @functools.cached_property
    def _samples(self):
        """The clips to watch, uint8 `(N, k + 1, H, W, 3)`, or None."""
        count = self.config.samples
        if not count:
            return None
        if not self.config.validation:
            (clips,) = self._plain_clips(self.config.data, count, seed=HELD_OUT_SEED)[0]
            return clips
        clips = self._plain_clips(self.config.validation, 1, sampling="dense")
        indices = np.linspace(0, len(clips) - 1, min(count, len(clips)))
        return np.concatenate([clips[round(i)][0] for i in indices])

    # === Results ===

    def monitor(self, model: Any, step: int) -> keras.callbacks.Callback | None:
        if self._samples is None:
            return None
        return SampleMonitor(self.directory / LOG, self._samples, step=step)

    def write_samples(self, model: Any) -> None:
        if self._samples is None:
            return
        with VideoWriter(self.directory / VIDEO, FPS) as writer:
            for clip in self._samples:
                decoded = model.reconstruct(clip[None])[0]
                for frame in np.concatenate([clip, decoded], axis=2):
                    writer.write(frame)

    def metadata(self, model: Any, steps: int) -> dict[str, Any]:
        name = self.config.init or self.config.size
        side = SPATIAL_COMPRESSION
        metadata = {
            "description": f"{name}, {side}x{side}x{model.temporal_compression}",
            "data": [pathlib.Path(source).name for source in self.config.data],
        }
        if self.alone:
            metadata["latent_statistics"] = self._latent_statistics(model, steps)
        return metadata

    def _latent_statistics(self, model, steps):
        trained = steps * self.config.batch_size
        clips = self._plain_clips(
            self.config.data,
            STATISTICS_BATCH,
            steps_per_epoch=-(-min(STATISTICS_CLIPS, trained) // STATISTICS_BATCH),
            seed=HELD_OUT_SEED,
        )
        statistics = LatentStatistics()
        for (batch,) in clips:
            statistics.update(model.encode(batch))
        return statistics.result()
