"""What a training run is asked to do."""

import dataclasses
import pathlib
import tomllib

from keras_regen.atomic_output import AtomicOutput

# What another invocation of the same run may change.
FREE = ("workers", "samples", "cache")
LISTS = (list[str], list[int])


def _option(default, text, **metadata):
    factory = {"default_factory": lambda: list(default)}
    return dataclasses.field(
        **(factory if isinstance(default, list) else {"default": default}),
        metadata={"help": text, **metadata},
    )


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The settings of a run: options of `keras-regen train`, keys of its TOML file.

    Raises:
        ValueError: if a value is out of range.
    """

    data: list[str] = _option([], "Folder, glob, file or .csv of videos to train on.")
    validation: list[str] = _option(
        [], "Likewise, of videos to watch. Defaults to clips of DATA."
    )
    # The model.
    size: str = _option("tiny", "Architecture: tiny, small, base or paper.")
    decoder: str = _option(
        "dit",
        "dit, REGEN's; or to compare it with: in_context, a DiT with the latents as "
        "tokens, or conv, a conventional one.",
    )
    temporal_compression: int = _option(8, "k: frames after the first in one chunk.")
    regularization: str = _option(
        "none", "What keeps latents in bounds: none, layer_norm or kl."
    )
    init: str = _option(
        "", "Preset whose weights to start from, of this k or, in part, of another."
    )
    decoder_only: bool = _option(False, "Leave the encoder, and so latents, as it is.")
    # The clips.
    resolution: list[int] = _option([96], "Side of the crop in pixels; several: mixed.")
    batch_size: int = _option(16, "Clips a step, at the first resolution.", min=1)
    margin: int = _option(2, "Target frames before and after each chunk.", min=0)
    image_share: float = _option(
        0.05, "Share of the batches that are of single images.", min=0, max=1
    )
    stride: list[int] = _option([1], "Frame stride; several: mixed.")
    zoom: float = _option(2.0, "Largest size of frames, over the crop.", min=1)
    cache: str = _option("", "Decoded videos to keep in memory, such as 8GB.")
    workers: int = _option(2, "Threads that read clips.", min=0)
    # The optimisation.
    steps: int = _option(10_000, "Steps in all.", min=1)
    steps_per_epoch: int = _option(
        100, "Steps between checkpoints, each with a look at the samples.", min=1
    )
    learning_rate: float = _option(1e-3, "Peak; it falls as a cosine.", min=0)
    warmup: float = _option(0.05, "Share of the steps before it.", min=0, max=0.9)
    weight_decay: float = _option(0.01, "Of AdamW.", min=0)
    clip_norm: float = _option(1.0, "Largest norm of the gradient.", min=0)
    ema_momentum: float = _option(
        0.999,
        "Momentum of the averaged weights, which last a tenth of the run at most; "
        "0 for none.",
        min=0,
        max=0.99999,
    )
    accumulation: int = _option(1, "Batches to one update.", min=1)
    max_skipped: int = _option(
        25, "Steps in a row with gradients not finite that end it.", min=1
    )
    # How it is computed.
    precision: str = _option("mixed_bfloat16", "Keras's dtype policy.")
    remat: bool = _option(False, "Less memory for more time: recompute blocks.")
    jit: bool = _option(True, "Compile the step, where the backend can.")
    steps_per_execution: int = _option(1, "Steps compiled into one.", min=1)
    model_parallel: int = _option(1, "Devices that share the model (JAX).", min=1)
    seed: int = _option(0, "Of weights, clips, times and noise.", min=0)
    samples: int = _option(4, "Validation clips to re-generate each epoch.", min=0)

    def __post_init__(self):
        if not self.data:
            raise ValueError("There must be videos to train on. Received: data=[]")
        for name, allowed in {
            "decoder": ("dit", "in_context", "conv"),
            "regularization": ("none", "layer_norm", "kl"),
            "precision": ("float32", "mixed_bfloat16", "mixed_float16"),
        }.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(allowed)}. "
                    f"Received: {name}={getattr(self, name)}"
                )
        if self.decoder == "conv" and self.margin:
            raise ValueError(
                "A conventional decoder cannot extrapolate: `margin` must be 0. "
                f"Received: decoder=conv, margin={self.margin}"
            )
        if not self.resolution or any(x <= 0 or x % 8 for x in self.resolution):
            raise ValueError(
                "`resolution` must be multiples of 8, one at least. "
                f"Received: resolution={self.resolution}"
            )
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            low = field.metadata.get("min", float("-inf"))
            high = field.metadata.get("max", float("inf"))
            if isinstance(value, int | float) and not low <= value <= high:
                raise ValueError(
                    f"`{field.name}` must be from {low} to {high}. "
                    f"Received: {field.name}={value}"
                )
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

    @property
    def epochs(self):
        return self.steps // self.steps_per_epoch

    @classmethod
    def load(cls, path=None, **overrides):
        """The settings of a TOML file, with some of them replaced.

        Args:
            path: path or None, for the defaults.
            **overrides: values by name.

        Raises:
            ValueError: if the file cannot be read, or holds what is no setting.
        """
        return cls(**{**(read_config(path) if path else {}), **overrides})

    def save(self, path):
        """Writes a TOML file with every setting, in the place of any other."""
        import tomli_w

        with AtomicOutput(path, "configuration") as output:
            output.temporary.write_text(tomli_w.dumps(dataclasses.asdict(self)))

    def check_continues(self, other):
        """Raises ValueError unless a run begun with `other` can go on with this."""
        changed = [
            f"{field.name}={getattr(self, field.name)}, not "
            f"{getattr(other, field.name)}"
            for field in dataclasses.fields(self)
            if field.name not in FREE
            and getattr(self, field.name) != getattr(other, field.name)
        ]
        if changed:
            raise ValueError(
                "The run was begun with other settings; give them again, or another "
                f"output. Received: {'; '.join(changed)}"
            )


def read_config(path):
    """The settings that a TOML file gives, checked for name and type."""
    path = pathlib.Path(path)
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(
            f"Cannot read the configuration: {reason}. Received: path={path}"
        ) from error
    types = {field.name: field.type for field in dataclasses.fields(TrainingConfig)}
    for name, value in values.items():
        if name not in types:
            raise ValueError(
                f"The settings are {', '.join(types)}. Received: {name}, in {path}"
            )
        if types[name] is float and type(value) is int:
            values[name] = float(value)
        elif not _is_a(value, types[name]):
            kind = types[name] if types[name] in LISTS else types[name].__name__
            raise ValueError(
                f"`{name}` must be of type {kind}. "
                f"Received: {name}={value!r}, in {path}"
            )
    return values


def _is_a(value, kind):
    if kind in LISTS:
        (item,) = kind.__args__
        return isinstance(value, list) and all(type(x) is item for x in value)
    return type(value) is kind
