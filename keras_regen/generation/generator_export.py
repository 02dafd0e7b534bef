"""Export of generators for TF Serving."""

import dataclasses
import pathlib
import tempfile
from typing import TYPE_CHECKING

import keras

from keras_regen.atomic_output import AtomicOutput
from keras_regen.checks import MAX_STEPS, check_flags, check_real, check_whole
from keras_regen.codec import VideoCodec
from keras_regen.export import (
    answer_request,
    export_in_process,
    find_format,
    save_for_process,
    save_generator,
)
from keras_regen.generation.generator_functions import GeneratorFunctions
from keras_regen.models import load_model
from keras_regen.types import StrPath

if TYPE_CHECKING:
    from keras_regen.generation.video_generator import VideoGenerator


@dataclasses.dataclass(frozen=True)
class GeneratorOptions:
    """What is fixed in an exported generator; see `VideoGenerator.export`.

    Args:
        num_frames: int. T.
        height: int. Rows, in pixels.
        width: int. Columns, in pixels.
        num_steps: int. Sampling steps.
        time_shift: float.
        decoding_steps: int. Sampling steps of the codec.
        weights: `"float32"`, `"bfloat16"` or `"int8"`.
        max_pixels: int.
        max_tokens: int.
        warmup: bool.

    Raises:
        ValueError: if a value is not as above, or one video has more than `max_pixels`.
    """

    num_frames: int
    height: int
    width: int
    num_steps: int
    time_shift: float
    decoding_steps: int
    weights: str
    max_pixels: int
    max_tokens: int
    warmup: bool = True

    def __post_init__(self) -> None:
        names = ("num_frames", "height", "width", "max_tokens")
        check_whole(1, 2**30, **{name: getattr(self, name) for name in names})
        names = ("num_steps", "decoding_steps")
        check_whole(1, MAX_STEPS, **{name: getattr(self, name) for name in names})
        check_real(1e-6, 1e6, time_shift=self.time_shift)
        check_flags(warmup=self.warmup)
        options = {"weights": self.weights, "max_pixels": self.max_pixels}
        find_format("tf_saved_model", options)
        pixels = self.num_frames * self.height * self.width
        if pixels > self.max_pixels:
            raise ValueError(
                f"One video of {self.num_frames} frames of {self.height}x{self.width} "
                f"has {pixels} pixels, more than a request may have. "
                f"Received: max_pixels={self.max_pixels}"
            )


def export_generator(
    generator: "VideoGenerator", path: StrPath, options: GeneratorOptions
) -> None:
    """Writes a SavedModel. See `VideoGenerator.export`."""
    model, codec = generator.diffusion, generator.codec
    if not codec.model.is_generative:
        raise ValueError(
            "A codec with a conventional decoder cannot be exported. "
            f"Received: {codec!r}"
        )
    window = generator.defaults.window_chunks
    chunks = codec.layout.count(options.num_frames)
    if chunks > window:
        raise ValueError(
            f"A served video is one window at most: {window} chunks of "
            f"{codec.layout.stride} frames, {window * codec.layout.stride} frames. "
            f"Received: num_frames={options.num_frames}, {chunks} chunks"
        )
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with AtomicOutput(path, "exported model", directory=True) as output:
        if keras.backend.backend() == "tensorflow":
            save_generator(GeneratorFunctions(generator, options), output.temporary)
            return
        with tempfile.TemporaryDirectory() as directory:
            presets = {
                name: str(pathlib.Path(directory) / name)
                for name in ("generator", "codec")
            }
            save_for_process(generator, presets["generator"], "tensorflow")
            save_for_process(codec.model, presets["codec"], "tensorflow")
            request = {
                **presets,
                "dtype": model.transformer.dtype_policy.name,
                "codec_dtype": codec.model.encoder.dtype_policy.name,
                "blend_frames": codec.blend_frames,
                "path": str(output.temporary),
                "options": dataclasses.asdict(options),
            }
            export_in_process(__name__, request, "tensorflow")


def _main(request):
    from keras_regen.generation import VideoGenerator

    codec = load_model(request["codec"], dtype=request["codec_dtype"])
    generator = VideoGenerator.from_preset(
        request["generator"],
        VideoCodec(codec, blend_frames=request["blend_frames"]),
        dtype=request["dtype"],
    )
    export_generator(generator, request["path"], GeneratorOptions(**request["options"]))


if __name__ == "__main__":
    answer_request(_main)
