"""The settings that all training runs share."""

import dataclasses
import pathlib
import reprlib
import sys
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, get_args

from keras_regen.atomic_output import AtomicOutput, error_reason
from keras_regen.checks import MAX_SEED, check_real, check_whole, read_small
from keras_regen.types import Precision, StrPath

LISTS = (list[str], list[int])
PRECISIONS = get_args(Precision)


def option(default: Any, text: str, **metadata: Any) -> Any:
    """Makes a setting, with its help and its limits `min` and `max`."""
    factory = {"default_factory": lambda: list(default)}
    return dataclasses.field(
        **(factory if isinstance(default, list) else {"default": default}),
        metadata={"help": text, **metadata},
    )


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The settings of a run that do not depend on what is trained.

    Subclasses have settings of their own, among them `data`, `validation`, `size`,
    `init` and `samples`.

    Raises:
        ValueError: if a value is of another type or out of range.
    """

    # The values of settings that have few.
    choices: ClassVar[Mapping[str, Sequence[Any]]] = {"precision": PRECISIONS}
    # Settings of the model, and what they are if they are empty or 0. With `init` they
    # are the preset's then.
    of_model: ClassVar[Mapping[str, Any]] = {}
    # Those of them that may differ from the preset's.
    changes_preset: ClassVar[Sequence[str]] = ()
    # Settings that may change when a run is resumed.
    changeable: ClassVar[Sequence[str]] = ("workers", "samples")

    steps: int = option(10_000, "Training steps in all.", min=1, max=10**12)
    minutes: float = option(
        0.0,
        "Train for this long instead of for `steps`; the learning rate follows the "
        "clock. 0: train for `steps`.",
        min=0,
        max=10**7,
    )
    steps_per_epoch: int = option(
        100,
        "Steps between two checkpoints, at most all; samples are made at each.",
        min=1,
        max=10**9,
    )
    learning_rate: float = option(
        1e-3, "Peak learning rate, followed by a cosine decay.", min=0, max=1000
    )
    warmup: float = option(
        0.05, "Share of the training before the peak, from 0 to 0.9.", min=0, max=0.9
    )
    weight_decay: float = option(0.01, "Weight decay of AdamW.", min=0, max=1000)
    clip_norm: float = option(
        1.0, "Largest norm of the gradient; 0 for no limit.", min=0, max=10**9
    )
    ema_momentum: float = option(
        0.999,
        "Momentum of the averaged weights; 0 for no averages. Lowered if the average "
        "would span more than a tenth of the run.",
        min=0,
        max=0.99999,
    )
    accumulation: int = option(
        1, "Batches for one update of the weights.", min=1, max=10**9
    )
    max_skipped: int = option(
        25,
        "Stop after this many steps in a row with infinite or NaN gradients.",
        min=1,
        max=10**9,
    )
    # Computation.
    precision: str = option(
        "mixed_bfloat16", "Dtype policy: float32, mixed_bfloat16 or mixed_float16."
    )
    remat: bool = option(
        False, "Recompute activations: less memory, but more time a step."
    )
    jit: bool = option(True, "Compile the step, if the backend can.")
    steps_per_execution: int = option(
        1, "Steps to run in one compiled call.", min=1, max=10**6
    )
    model_parallel: int = option(
        1, "Devices that share a model (JAX only).", min=1, max=10**6
    )
    seed: int = option(
        0, "Seed of weights, clips, diffusion times and noise.", min=0, max=MAX_SEED
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            self._check_type(field)
        self._choose_model()
        for name, allowed in self.choices.items():
            value = getattr(self, name)
            if value not in allowed and name not in self.left_to_preset:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(map(str, allowed))}. "
                    f"Received: {name}={value}"
                )
        if self.steps < self.steps_per_epoch:
            object.__setattr__(self, "steps_per_epoch", self.steps)
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
    def left_to_preset(self) -> list[str]:
        """The settings of the model that are those of the preset `init`."""
        return [name for name in self.of_model if not getattr(self, name)]

    def _choose_model(self):
        config: Any = self
        if not config.init:
            for name in self.left_to_preset:
                object.__setattr__(self, name, self.of_model[name])
            return
        allowed = (*self.left_to_preset, *self.changes_preset)
        given = [name for name in self.of_model if name not in allowed]
        if given:
            received = ", ".join(f"{name}={getattr(self, name)}" for name in given)
            raise ValueError(
                f"The preset `init` has its own {', '.join(given)}, which must not be "
                f"given too. Received: init={config.init}, {received}"
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

    @classmethod
    def settings(cls) -> list[dataclasses.Field[Any]]:
        """Returns the settings, those that all runs share last."""
        shared = {field.name for field in dataclasses.fields(RunConfig)}
        # Sorting keeps the order within each group.
        return sorted(dataclasses.fields(cls), key=lambda field: field.name in shared)

    @property
    def epochs(self) -> int:
        """Epochs to train for; with `minutes` there is no such number."""
        return sys.maxsize if self.minutes else self.steps // self.steps_per_epoch

    @classmethod
    def load(cls, path: StrPath | None = None, **overrides: Any) -> Self:
        """Reads a TOML file, and replaces some of its settings.

        If `init` is among those, the settings of the model in the file are left out,
        so that the file of a run can be that of another which starts from its preset.

        Args:
            path: path, or None to start from the defaults.
            **overrides: settings by name.

        Raises:
            ValueError: if the file cannot be read, or a key is not a setting.
        """
        settings = _read_config(path, cls) if path else {}
        if overrides.get("init"):
            for name in set(cls.of_model) - set(cls.changes_preset):
                settings.pop(name, None)
        return cls(**{**settings, **overrides})

    def save(self, path: StrPath) -> None:
        """Writes a TOML file with every setting; replaces one that is there."""
        import tomli_w

        with AtomicOutput(path, "configuration") as output:
            names = [field.name for field in self.settings()]
            values = {name: getattr(self, name) for name in names}
            output.temporary.write_text(tomli_w.dumps(values))

    def check_continues(self, other: Self) -> None:
        """Raises ValueError unless a run started with `other` can resume with this."""
        changed = [
            f"{field.name}={getattr(self, field.name)}, not "
            f"{getattr(other, field.name)}"
            for field in dataclasses.fields(self)
            if field.name not in self.changeable
            and getattr(self, field.name) != getattr(other, field.name)
        ]
        if changed:
            raise ValueError(
                "The run was started with other settings. Repeat those, or choose "
                "another output directory: with `init` a run starts from the weights "
                f"of another. Received: {'; '.join(changed)}"
            )


def _read_config(path, cls):
    """Returns the settings of a TOML file as a dict, with their names checked."""
    path = pathlib.Path(path)
    try:
        values = tomllib.loads(read_small(path).decode())
    except (OSError, RecursionError, ValueError) as error:
        raise ValueError(
            f"Cannot read the configuration: {error_reason(error)}. "
            f"Received: path={path}"
        ) from error
    known = [field.name for field in cls.settings()]
    for name in values:
        if name not in known:
            raise ValueError(
                f"The settings are {', '.join(known)}. Received: {name}, in {path}"
            )
    return values
