"""Whole videos, of any length and size."""

from keras_regen.codec.reconstruct import Compression, compression, reconstruct_frames

__all__ = ["Compression", "compression", "reconstruct_frames"]
