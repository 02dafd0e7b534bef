"""The settings of a training run."""

import dataclasses
import pathlib
import reprlib
import sys
import tomllib
from typing import Any, Self

from keras_regen.atomic_output import AtomicOutput, error_reason
from keras_regen.checks import check_real, check_whole, read_small
from keras_regen.pixels import SPATIAL_COMPRESSION
from keras_regen.sizes import parse_memory
from keras_regen.types import StrPath

# Settings that may change when a run is resumed.
CHANGEABLE = ("workers", "samples", "cache")
LISTS = (list[str], list[int])
# The names of architectures are those of `models`, which imports Keras.
CHOICES = {
    "size": ("tiny", "small", "base", "paper"),
    "temporal_compression": (2, 4, 8, 16, 32, 64),
    "decoder": ("dit", "in_context", "conv"),
    "regularization": ("none", "layer_norm", "kl"),
    "precision": ("float32", "mixed_bfloat16", "mixed_float16"),
}


def _option(default, text, **metadata):
    factory = {"default_factory": lambda: list(default)}
    return dataclasses.field(
        **(factory if isinstance(default, list) else {"default": default}),
        metadata={"help": text, **metadata},
    )


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The options of `keras-regen train` and the keys of its TOML file.

    Raises:
        ValueError: if a value is of another type or out of range.
    """

    data: list[str] = _option([], "Videos to train on: a folder, glob, file or .csv.")
    validation: list[str] = _option(
        [], "Videos to take samples from, as for --data. Defaults to those of --data."
    )
    # Model.
    size: str = _option("tiny", "Architecture: tiny, small, base or paper.")
    decoder: str = _option(
        "dit",
        "Decoder: dit, as in REGEN; or for comparison in_context, a DiT with the "
        "latents as tokens, or conv, a convolutional one.",
    )
    temporal_compression: int = _option(
        8, "Temporal compression k: a chunk has k + 1 frames."
    )
    regularization: str = _option(
        "none", "Bound on the latents: none, layer_norm or kl."
    )
    init: str = _option(
        "", "Preset to start from. Another k is allowed: the weights that fit are used."
    )
    decoder_only: bool = _option(
        False, "Train only the decoder, so that latents stay the same."
    )
    # Clips.
    resolution: list[int] = _option(
        [96],
        "Side of the crops in pixels. Several values are mixed.",
        min=SPATIAL_COMPRESSION,
        max=8192,
    )
    batch_size: int = _option(
        16, "Clips in a batch, at the first resolution.", min=1, max=65536
    )
    margin: int = _option(
        2, "Frames to predict before and after each chunk.", min=0, max=1024
    )
    image_share: float = _option(
        0.05, "Share of batches with single images, from 0 to 1.", min=0, max=1
    )
    stride: list[int] = _option(
        [1],
        "Step from one frame of a clip to the next. Several values are mixed.",
        min=1,
        max=10_000,
    )
    zoom: float = _option(
        2.0,
        "Largest frame size, as a multiple of the smallest that fills a crop.",
        min=1,
        max=64,
    )
    cache: str = _option("", "Memory for decoded videos, such as 8GB.")
    workers: int = _option(2, "Threads that read clips.", min=0, max=1024)
    # Optimisation.
    steps: int = _option(10_000, "Training steps in all.", min=1, max=10**12)
    minutes: float = _option(
        0.0,
        "Train for this long instead of for `steps`; the learning rate follows the "
        "clock. 0: train for `steps`.",
        min=0,
        max=10**7,
    )
    steps_per_epoch: int = _option(
        100,
        "Steps between two checkpoints; samples are made at each.",
        min=1,
        max=10**9,
    )
    learning_rate: float = _option(
        1e-3, "Peak learning rate, followed by a cosine decay.", min=0, max=1000
    )
    warmup: float = _option(
        0.05, "Share of the training before the peak, from 0 to 0.9.", min=0, max=0.9
    )
    weight_decay: float = _option(0.01, "Weight decay of AdamW.", min=0, max=1000)
    clip_norm: float = _option(
        1.0, "Largest norm of the gradient; 0 for no limit.", min=0, max=10**9
    )
    ema_momentum: float = _option(
        0.999,
        "Momentum of the averaged weights; 0 for no averages. Lowered if the average "
        "would span more than a tenth of the run.",
        min=0,
        max=0.99999,
    )
    accumulation: int = _option(
        1, "Batches for one update of the weights.", min=1, max=10**9
    )
    max_skipped: int = _option(
        25,
        "Stop after this many steps in a row with infinite or NaN gradients.",
        min=1,
        max=10**9,
    )
    # Computation.
    precision: str = _option(
        "mixed_bfloat16", "Dtype policy: float32, mixed_bfloat16 or mixed_float16."
    )
    remat: bool = _option(
        False, "Recompute activations: less memory, but more time a step."
    )
    jit: bool = _option(True, "Compile the step, if the backend can.")
    steps_per_execution: int = _option(
        1, "Steps to run in one compiled call.", min=1, max=10**6
    )
    model_parallel: int = _option(
        1, "Devices that share a model (JAX only).", min=1, max=10**6
    )
    seed: int = _option(
        0, "Seed of weights, clips, diffusion times and noise.", min=0, max=2**32 - 1
    )
    samples: int = _option(
        4, "Validation clips to reconstruct every epoch.", min=0, max=10_000
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            self._check_type(field)
        if not self.data:
            raise ValueError("There must be videos to train on. Received: data=[]")
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(map(str, allowed))}. "
                    f"Received: {name}={getattr(self, name)}"
                )
        if self.decoder == "conv" and self.margin:
            raise ValueError(
                "A convolutional decoder cannot extrapolate: `margin` must be 0. "
                f"Received: decoder=conv, margin={self.margin}"
            )
        if not self.resolution or any(
            side <= 0 or side % SPATIAL_COMPRESSION for side in self.resolution
        ):
            raise ValueError(
                f"`resolution` must be one or more multiples of {SPATIAL_COMPRESSION}. "
                f"Received: resolution={self.resolution}"
            )
        if self.cache:
            try:
                parse_memory(self.cache)
            except ValueError as error:
                raise ValueError(
                    "`cache` must be an amount of memory, such as 8GB. "
                    f"Received: cache={self.cache!r}"
                ) from error
        if self.steps % self.steps_per_epoch:
            raise ValueError(
                "`steps` must be a multiple of `steps_per_epoch`. Received: "
                f"steps={self.steps}, steps_per_epoch={self.steps_per_epoch}"
            )
        for name in ("accumulation", "steps_per_execution"):
            if self.steps_per_epoch % getattr(self, name):
                raise ValueError(
                    f"`steps_per_epoch` must be a multiple of `{name}`. Received: "
                    f"steps_per_epoch={self.steps_per_epoch}, "
                    f"{name}={getattr(self, name)}"
                )

    def _check_type(self, field):
        """Checks the type and the range of a value, which a file or a caller gave."""
        name, kind, value = field.name, field.type, getattr(self, field.name)
        limits = field.metadata.get("min", 0), field.metadata.get("max", sys.maxsize)
        if kind in LISTS:
            (kind,) = kind.__args__
            if not isinstance(value, list):
                raise ValueError(
                    f"`{name}` must be a list. Received: {name}={reprlib.repr(value)}"
                )
        for item in value if isinstance(value, list) else [value]:
            if kind is int:
                check_whole(*limits, **{name: item})
            elif kind is float:
                check_real(*limits, **{name: item})
            elif type(item) is not kind:
                raise ValueError(
                    f"`{name}` must be of type {kind.__name__}. "
                    f"Received: {name}={reprlib.repr(item)}"
                )
        if kind is float:
            # A dtype would follow from a whole number's type.
            object.__setattr__(self, name, float(value))

    @property
    def epochs(self) -> int:
        """Epochs to train for; with `minutes` there is no such number."""
        return sys.maxsize if self.minutes else self.steps // self.steps_per_epoch

    @classmethod
    def load(cls, path: StrPath | None = None, **overrides: Any) -> Self:
        """Reads a TOML file, and replaces some of its settings.

        Args:
            path: path, or None to start from the defaults.
            **overrides: settings by name.

        Raises:
            ValueError: if the file cannot be read, or a key is not a setting.
        """
        return cls(**{**(_read_config(path) if path else {}), **overrides})

    def save(self, path: StrPath) -> None:
        """Writes a TOML file with every setting; replaces one that is there."""
        import tomli_w

        with AtomicOutput(path, "configuration") as output:
            output.temporary.write_text(tomli_w.dumps(dataclasses.asdict(self)))

    def check_continues(self, other: "TrainingConfig") -> None:
        """Raises ValueError unless a run started with `other` can resume with this."""
        changed = [
            f"{field.name}={getattr(self, field.name)}, not "
            f"{getattr(other, field.name)}"
            for field in dataclasses.fields(self)
            if field.name not in CHANGEABLE
            and getattr(self, field.name) != getattr(other, field.name)
        ]
        if changed:
            raise ValueError(
                "The run was started with other settings. Repeat those, or choose "
                f"another output directory. Received: {'; '.join(changed)}"
            )


def _read_config(path):
    """Returns the settings of a TOML file as a dict, with their names checked."""
    path = pathlib.Path(path)
    try:
        values = tomllib.loads(read_small(path).decode())
    except (OSError, RecursionError, ValueError) as error:
        raise ValueError(
            f"Cannot read the configuration: {error_reason(error)}. "
            f"Received: path={path}"
        ) from error
    known = [field.name for field in dataclasses.fields(TrainingConfig)]
    for name in values:
        if name not in known:
            raise ValueError(
                f"The settings are {', '.join(known)}. Received: {name}, in {path}"
            )
    return values
