"""Scores a preset on the validation clips, beside two anchors, into its metadata.

    python score_preset.py PRESET DATA/valid [BUNDLE]

With BUNDLE the preset is stored there, its weights as float16, and scored as stored.
"""

import json
import pathlib
import sys
import tempfile

import keras
import numpy as np

from keras_regen import VideoCodec
from keras_regen.atomic_output import AtomicOutput
from keras_regen.evaluation import Evaluation, get_protocol, open_dataset
from keras_regen.evaluation.embedders import (
    Reconstruction,
    VideoCodecEmbedder,
    ZonalDct,
)
from keras_regen.models import METADATA, load_model, preset_directory, preset_metadata

SIZE = 128


class FirstFrameHeld:
    """Shows the first frame of every chunk throughout."""

    name = "hold_first_frame"

    def reconstruct(self, video):
        return Reconstruction(np.repeat(video[:1], len(video), axis=0), None, 0)

    def num_values(self, num_frames, height, width):
        return None


def evaluate(preset, folder):
    """The protocol, and the scores by clip and of the mean of clips."""
    model = load_model(preset)
    num_frames = model.temporal_compression + 1
    protocol = get_protocol("regen").override(size=SIZE, num_frames=num_frames)
    # Every clip is one chunk.
    codec = VideoCodec(model, blend_frames=0)
    model = VideoCodecEmbedder(codec, 1, name="one_step")
    embedders = [model, VideoCodecEmbedder(codec, 4, name="four_steps")]
    if not codec.model.is_generative:
        # A conventional decoder has one step.
        del embedders[1]
    embedders += [ZonalDct(model, num_frames, name="zonal_dct"), FirstFrameHeld()]
    table, items = {}, open_dataset(folder)
    with tempfile.TemporaryDirectory() as directory:
        output = pathlib.Path(directory) / "scores.json"
        evaluation = Evaluation(embedders, items, protocol, output)
        for pair in evaluation.run():
            print(*pair, flush=True)
        report = evaluation.report()
    for row in report["videos"]:
        clip = table.setdefault(pathlib.Path(row["video"]).stem, {})
        clip["chunks"] = row["num_clips"]
        clip[row["embedder"]] = {name: row[name] for name in ("psnr", "ssim")}
    table["mean"] = {
        embedder.name: {
            metric: float(
                np.mean([row[embedder.name][metric] for row in table.values()])
            )
            for metric in ("psnr", "ssim")
        }
        for embedder in embedders
    }
    print(json.dumps(table, indent=1))
    return protocol.to_dict(), table


def score_preset(preset, folder):
    """Scores the preset as it is stored, in float32, and rewrites its metadata."""
    keras.config.set_dtype_policy("float32")
    protocol, scores = evaluate(preset, folder)
    metadata = {**preset_metadata(preset), "protocol": protocol, "scores": scores}
    with AtomicOutput(preset_directory(preset) / METADATA, "metadata") as output:
        output.temporary.write_text(json.dumps(metadata, indent=2) + "\n")


if __name__ == "__main__":
    preset, folder, *bundle = map(pathlib.Path, sys.argv[1:])
    for directory in bundle:
        model = load_model(preset)
        model.save_to_preset(directory, preset_metadata(preset), dtype="float16")
        preset = directory
    score_preset(preset, folder)
