"""The settings of a run that trains a generator."""

import dataclasses
from typing import ClassVar, get_args

from keras_regen.training.config import PRECISIONS, RunConfig, option
from keras_regen.types import TransformerSize

CHOICES = {
    "size": get_args(TransformerSize),
    "condition": ("auto", "text", "label", "none"),
    "precision": PRECISIONS,
}


@dataclasses.dataclass(frozen=True)
class GeneratorConfig(RunConfig):
    """The options of `keras-regen train-generator` and the keys of its TOML file.

    Raises:
        ValueError: if a value is of another type or out of range.
    """

    choices: ClassVar = CHOICES
    of_model: ClassVar = {"size": "tiny", "patch_size": 1}
    changeable: ClassVar = (
        *RunConfig.changeable,
        "codec",
        "sampling_steps",
        "guidance",
    )

    data: str = option("", "Latents to train on, a directory of encode --dataset.")
    validation: str = option(
        "", "Other latents, as for --data, of which the loss is measured every epoch."
    )
    # Model.
    size: str = option(
        "", "Architecture: nano, tiny, small, base or paper. Defaults to tiny."
    )
    patch_size: int = option(
        0,
        "Latents on each side of a token, of crops that it divides. 0: 1, or with "
        "--init, the preset's.",
        max=64,
    )
    condition: str = option(
        "auto",
        "What videos are generated from: text, label or none; auto for what the data "
        "have.",
    )
    init: str = option(
        "",
        "Preset of a generator to start from, which has its own size and patch size.",
    )
    # Clips.
    chunks: int = option(4, "Chunks of a clip.", min=1, max=4096)
    crop: list[int] = option(
        [],
        "Rows and columns of the crops, in latents. Defaults to the largest that every "
        "video has, in whole tokens.",
        min=1,
        max=4096,
    )
    batch_size: int = option(32, "Clips in a batch.", min=1, max=65536)
    workers: int = option(2, "Threads that read clips.", min=0, max=1024)
    # Training.
    drop_condition: float = option(
        0.1, "Share of clips without their condition, for guidance.", min=0, max=0.99
    )
    given_share: float = option(
        0.3, "Share of clips with given frames, as of an image.", min=0, max=1
    )
    learning_rate: float = option(
        3e-4, "Peak learning rate, followed by a cosine decay.", min=0, max=1000
    )
    # Samples.
    samples: int = option(4, "Videos to generate every epoch.", min=0, max=10_000)
    codec: str = option(
        "",
        "Preset that decodes the samples. Defaults to the one that the data name, or a "
        "bundled one with the same encoder.",
    )
    sampling_steps: int = option(30, "Sampling steps of a sample.", min=1, max=10_000)
    guidance: float = option(1.0, "Guidance of the samples.", min=0, max=1000)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.data:
            raise ValueError(
                "There must be latents to train on, a directory that `encode --dataset`"
                " wrote. Received: data=''"
            )
        if len(self.crop) not in (0, 2):
            raise ValueError(
                "`crop` must be rows and columns: give the option twice, or the key a "
                f"list of two. Received: crop={self.crop}"
            )
        if self.patch_size and any(side % self.patch_size for side in self.crop):
            raise ValueError(
                "`crop` must be multiples of `patch_size`. "
                f"Received: crop={self.crop}, patch_size={self.patch_size}"
            )
