"""The command line: `keras-regen`."""

from keras_regen.cli.app import main

__all__ = ["main"]
