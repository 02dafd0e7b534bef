"""Measures what a step of a generator from texts takes on each backend.

    python -m tools.measure_generator
    python -m tools.measure_generator PRESET --frames 66 --backend jax torch

Prints processor seconds: of a training step, and of a sampling step with guidance. Both
are the fastest of some, after a first one that compiles.
"""

import argparse

from keras_regen.generation import VideoGenerator
from tools.common import BACKENDS, in_process, log, print_table
from tools.compare_compression.settings import Settings
from tools.compare_compression.timing import VIDEOS, fastest, generator_calls

PRESET = "digits_nano_8x8x8"


def measure(preset, settings):
    """Returns the seconds of a training step, and of a sampling step of a video."""
    generator = VideoGenerator.from_preset(preset)
    training, sampling = fastest(
        generator_calls(generator.diffusion, settings, generator.text_encoder)
    )
    return training, sampling / VIDEOS


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("preset", nargs="?", default=PRESET)
    parser.add_argument("--frames", type=int, default=36, help="of a video")
    parser.add_argument("--batch-size", type=int, default=24, help="to train on")
    parser.add_argument("--guidance", type=float, default=5.0)
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, default=BACKENDS)
    options = parser.parse_args()
    settings = Settings(
        frames=options.frames,
        batch_size=options.batch_size,
        guidance=options.guidance,
    )
    rows = []
    for backend in options.backend:
        log(f"Measuring on {backend}")
        training, sampling = in_process(
            measure, options.preset, settings, KERAS_BACKEND=backend
        )
        rows.append([backend, f"{training:.2f}", f"{sampling:.4f}"])
    print_table(["backend", "training step, s", "sampling step of a video, s"], rows)


if __name__ == "__main__":
    main()
