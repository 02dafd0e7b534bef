"""A run that trains a generator on latents."""

import dataclasses
import functools
import pathlib
from typing import Any

import keras
import numpy as np
import rich.console

from keras_regen.codec import VideoCodec
from keras_regen.generation import (
    GenerationDefaults,
    LatentDiffusion,
    LatentTransformer,
    VideoGenerator,
)
from keras_regen.latents import LatentClips
from keras_regen.models import (
    TEXT,
    absolute_preset,
    bundled_presets,
    load_model,
    preset_metadata,
    save_preset,
)
from keras_regen.pixels import SPATIAL_COMPRESSION
from keras_regen.training import distribution
from keras_regen.training.generation_monitor import GenerationMonitor
from keras_regen.training.generator_config import GeneratorConfig
from keras_regen.training.run import HELD_OUT_SEED, LOG, VIDEO, Run
from keras_regen.types import StrPath
from keras_regen.video import VideoWriter

# At most as many clips are held in memory for the loss on held-out latents.
VALIDATION_CLIPS = 256
# Embeddings of texts that are larger are not copied to the preset.
MAX_EMBEDDINGS_BYTES = 2**26


def train_generator(
    config: GeneratorConfig,
    output: StrPath,
    console: rich.console.Console | None = None,
) -> LatentDiffusion:
    """Trains a generator on latents, or resumes its training.

    Writes to the directory `output` what `train` writes: `samples.mp4` are generated
    videos, and `preset/` is what `VideoGenerator.from_preset` loads.

    Args:
        config: a `GeneratorConfig`.
        output: path of the directory.
        console: `rich.console.Console` or None, for standard output.

    Returns:
        The trained `LatentDiffusion`.

    Raises:
        ImportError: if a package of the extra `train` is missing.
        ValueError: if the settings do not fit the data, the devices, or the run that is
            resumed, or the codec or the validation data do not fit the data.
        FloatingPointError: if the gradients stay infinite or NaN.
    """
    return GeneratorRun(config, output, console)()


class GeneratorRun(Run):
    """See `train_generator`."""

    get_layout_map = staticmethod(LatentTransformer.get_layout_map)

    def build(self) -> LatentDiffusion:
        config, clips = self.config, self._clips
        condition: dict[str, Any] = {}
        text_encoder_id = None
        if clips.text is not None:
            condition["text_channels"] = clips.text.channels
            text_encoder_id = clips.text.encoder_id
        elif clips.condition == "label":
            condition["num_labels"] = len(clips.labels)
        shape = {"latent_channels": clips.mean.shape[-1], **condition}
        k, encoder_id = (
            clips.codec[name] for name in ("temporal_compression", "encoder_id")
        )
        if not config.init:
            return LatentDiffusion(
                LatentTransformer.from_architecture(
                    config.size,
                    patch_size=config.patch_size,
                    dtype=config.precision,
                    remat=config.remat,
                    **shape,
                ),
                k,
                clips.mean,
                clips.std,
                encoder_id,
                drop_condition=config.drop_condition,
                given_share=config.given_share,
                text_encoder_id=text_encoder_id,
            )
        model = self._initial
        # A preset may fit any encoder; those of earlier versions name no text encoder.
        model.encoder_id = model.encoder_id or encoder_id
        model.text_encoder_id = model.text_encoder_id or text_encoder_id
        expected = {
            "temporal_compression": k,
            "encoder_id": encoder_id,
            "text_encoder_id": text_encoder_id,
            **dict.fromkeys(("text_channels", "num_labels")),
            **shape,
        }
        for name, value in expected.items():
            part = model if hasattr(model, name) else model.transformer
            if getattr(part, name) != value:
                raise ValueError(
                    f"The preset {config.init} does not fit the data, which have "
                    f"{name}={value}. Received: {name}={getattr(part, name)}"
                )
        # Users write metadata of their own.
        defaults = preset_metadata(config.init).get("generation")
        labels = defaults.get("labels") if isinstance(defaults, dict) else None
        if clips.condition == "label" and labels and labels != clips.labels:
            raise ValueError(
                f"The preset {config.init} does not fit the data, which have "
                f"labels={clips.labels}. Received: labels={labels}"
            )
        model.drop_condition = config.drop_condition
        model.given_share = config.given_share
        return model

    @functools.cached_property
    def _initial(self):
        """The model of the preset `init`."""
        config = self.config
        return LatentDiffusion.from_preset(
            config.init, dtype=config.precision, remat=config.remat
        )

    @property
    def _patch_size(self):
        if self.config.init:
            return self._initial.transformer.patch_size
        return self.config.patch_size

    # === Data ===

    def training_data(self) -> LatentClips:
        clips = self._clips
        if distribution.is_chief():
            known = clips.labels if clips.text is None else clips.text
            of = f" ({len(known)} {clips.condition}s)" if clips.condition else ""
            self.console.print(f"Condition: {clips.condition or 'none'}{of}")
        return clips

    @functools.cached_property
    def _clips(self):
        config = self.config

        def clips_of(size):
            return LatentClips(
                config.data,
                distribution.local_batch_size(config.batch_size),
                size,
                config.chunks,
                config.steps_per_epoch,
                normalize=False,
                seed=distribution.replica_seed(config.seed, distribution.rank()),
                condition=None if config.condition == "none" else config.condition,
                workers=config.workers,
            )

        clips, patch = clips_of(tuple(config.crop) or None), self._patch_size
        whole = tuple(max(patch, side // patch * patch) for side in clips.size)
        if whole != clips.size:
            clips = clips_of(whole)
        if clips.codec["chunking"] != "disjoint":
            raise ValueError(
                "A generator is trained on latents of disjoint chunks. "
                f"Received: chunking={clips.codec['chunking']}, in {config.data}"
            )
        return clips

    @functools.cached_property
    def _validation(self):
        """Held-out clips, as `fit` takes them, or None."""
        config, clips = self.config, self._clips
        if not config.validation:
            return None
        batch_size = min(config.batch_size, VALIDATION_CLIPS)
        held_out = LatentClips(
            config.validation,
            batch_size,
            clips.size,
            config.chunks,
            VALIDATION_CLIPS // batch_size,
            normalize=False,
            seed=HELD_OUT_SEED,
            condition=clips.condition,
        )
        kinds = {
            "encoder_id": [x.codec["encoder_id"] for x in (clips, held_out)],
            "text encoder": [x.text and x.text.encoder_id for x in (clips, held_out)],
        }
        for name, (ours, theirs) in kinds.items():
            if ours != theirs:
                raise ValueError(
                    f"The validation data must have the {name} of the data, {ours}. "
                    f"Received: {theirs}, in {config.validation}"
                )
        batches = [batch for (batch,) in (held_out[i] for i in range(len(held_out)))]
        data = keras.tree.map_structure(lambda *x: np.concatenate(x), *batches)
        if clips.condition == "label":
            data["label"] = self._renumbered(data["label"], held_out.labels)
        return data

    def _renumbered(self, label, names):
        """Returns labels with the numbers that the training data have for the names."""
        known = self._clips.labels
        # The last number stands for none. Names that no clip has do not matter.
        used = [names[i] for i in np.unique(label) if i < len(names)]
        if unknown := [name for name in used if name not in known]:
            raise ValueError(
                f"The validation data must have labels of the data, {known}. "
                f"Received: {unknown}, in {self.config.validation}"
            )
        numbers = [known.index(x) if x in known else -1 for x in names]
        return np.array([*numbers, len(known)], "int32")[label]

    def _check_processes(self):
        super()._check_processes()
        if self.config.validation and not self.alone:
            raise ValueError(
                "`validation` must be empty with several JAX processes, since one of "
                "them cannot compute without the others. "
                f"Received: validation={self.config.validation}"
            )

    # === Samples ===

    @functools.cached_property
    def _codec(self):
        """The codec of the latents, or None if there is none here."""
        if self.config.codec:
            return VideoCodec(load_model(self.config.codec))
        source = self._clips.codec
        k, encoder_id = source["temporal_compression"], source["encoder_id"]
        names = [source["preset"]] if source["preset"] else []
        # Without the digest of the encoder, only the name tells.
        for name in [*names, *(bundled_presets() if encoder_id else ())]:
            try:
                codec = VideoCodec(load_model(name, k))
            except (ImportError, ValueError):
                continue
            if encoder_id in (None, codec.encoder_id):
                return codec
        self.console.print(
            "There are no samples: the codec of the latents is not here. Give --codec."
        )
        return None

    @property
    def _defaults(self):
        config, clips = self.config, self._clips
        height, width = (SPATIAL_COMPRESSION * side for side in clips.size)
        return GenerationDefaults(
            height,
            width,
            config.chunks * (clips.codec["temporal_compression"] + 1),
            clips.fps,
            window_chunks=max(2, config.chunks),
            num_steps=config.sampling_steps,
            guidance=config.guidance,
            labels=clips.labels if clips.condition == "label" else None,
        )

    def _generator(self, model):
        """Returns a `VideoGenerator`, or None if there are no samples to be made."""
        if not self.config.samples or self._codec is None:
            return None
        return VideoGenerator(model, self._codec, self._clips.text, self._defaults)

    @property
    def _samples(self):
        """Yields the arguments of each sample: conditions spread over all."""
        count, clips = self.config.samples, self._clips
        options: list[dict[str, Any]] = [{}]
        if clips.text is not None:
            options = [{"prompt": text} for text in clips.text.texts]
        elif clips.condition == "label":
            options = [{"label": label} for label in range(len(clips.labels))]
        places = np.linspace(0, len(options) - 1, count).round().astype(int)
        return [{**options[place], "seed": i} for i, place in enumerate(places)]

    def monitor(self, model: Any, step: int) -> keras.callbacks.Callback | None:
        if not self.alone:
            return None
        return GenerationMonitor(
            self.directory / LOG,
            self._generator(model),
            self._samples,
            self._validation,
            self.config.batch_size,
            step,
        )

    def write_samples(self, model: Any) -> None:
        generator = self._generator(model)
        if generator is None:
            return
        with VideoWriter(self.directory / VIDEO, self._clips.fps) as writer:
            for sample in self._samples:
                for frame in generator.generate(**sample):
                    writer.write(frame)

    # === Results ===

    def metadata(self, model: Any, steps: int) -> dict[str, Any]:
        config, k = self.config, model.temporal_compression
        name, side = config.init or config.size, SPATIAL_COMPRESSION
        codec = self._codec.model.preset if config.samples and self._codec else None
        codec = absolute_preset(codec or config.codec or self._clips.codec["preset"])
        return {
            "description": f"{name}, {config.chunks} chunks of {side}x{side}x{k}",
            "data": [pathlib.Path(config.data).name],
            "condition": self._clips.condition,
            **({"codec": codec} if codec else {}),
            "generation": dataclasses.asdict(self._defaults),
        }

    def save(self, model: Any, directory: pathlib.Path, metadata: Any) -> None:
        text = self._clips.text
        path = self._clips.directory / TEXT
        if text is not None and path.stat().st_size >= MAX_EMBEDDINGS_BYTES:
            self.console.print(
                f"The preset has no embeddings of the {len(text)} texts, which are "
                "large: give it a text encoder."
            )
            text = None
        save_preset(model, directory, metadata, texts=text)
