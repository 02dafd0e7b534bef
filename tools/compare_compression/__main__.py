"""The command `python -m tools.compare_compression`."""

import argparse
import dataclasses
import pathlib

from keras_regen.text import KerasHubTextEncoder
from tools import compare_compression
from tools.compare_compression.codecs import CODECS
from tools.compare_compression.comparison import Comparison
from tools.compare_compression.settings import TOY, Settings

# The settings that are options.
OPTIONS = ("seconds", "train_clips", "codec_steps", "clips", "fvd_clips")


def main():
    parser = argparse.ArgumentParser(
        description=compare_compression.__doc__.partition("\n")[0]
    )
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument(
        "--text-encoder",
        required=True,
        help="what reads the captions: a preset of KerasHub, or a directory",
    )
    parser.add_argument("--codecs", nargs="+", choices=CODECS, default=[*CODECS])
    parser.add_argument("--toy", action="store_true", help="to see whether it runs")
    for name in OPTIONS:
        kind = type(getattr(TOY, name))
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind)
    options = vars(parser.parse_args())
    settings = TOY if options["toy"] else Settings()
    given = {name: options[name] for name in OPTIONS if options[name] is not None}
    Comparison(
        dataclasses.replace(settings, **given),
        options["output"],
        lambda: KerasHubTextEncoder.from_preset(options["text_encoder"]),
    ).run(options["codecs"])


if __name__ == "__main__":
    main()
