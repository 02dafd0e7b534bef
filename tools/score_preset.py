"""Measures a preset's PSNR and SSIM on validation clips.

    python -m tools.score_preset PRESET DATA/valid DATA/valid2
    python -m tools.score_preset PRESET DATA/valid DATA/valid2 --write
    python -m tools.score_preset PRESET DATA/valid DATA/valid2 --bundle DIR

Scores one and four steps, and two baselines: a 3D DCT of as many values, and the first
frame held. `--write` also stores the scores in the preset's metadata and writes its
model card. `--bundle` first stores the preset in DIR, with int8 weights, and writes
there.
"""

import argparse
import json
import pathlib
import tempfile

import keras
import numpy as np

from keras_regen.atomic_output import AtomicOutput
from keras_regen.codec import VideoCodec
from keras_regen.evaluation import Evaluation, embedders, get_protocol, open_dataset
from keras_regen.models import (
    METADATA,
    load_model,
    preset_card,
    preset_directory,
    preset_metadata,
)
from tools.common import SIZE


class FirstFrameHeld:
    """Repeats the first frame of every chunk."""

    name = "hold_first_frame"

    def reconstruct(self, video):
        held = np.repeat(video[:1], len(video), axis=0)
        return embedders.Reconstruction(held, None, 0)

    def num_values(self, num_frames, height, width):
        return None


def evaluate(preset, folders):
    """Returns the protocol, and the scores of every clip and of their mean."""
    model = load_model(preset)
    num_frames = model.temporal_compression + 1
    protocol = get_protocol("regen").override(size=SIZE, num_frames=num_frames)
    # Every clip is one chunk.
    codec = VideoCodec(model, blend_frames=0)
    one_step = embedders.VideoCodecEmbedder(codec, 1, name="one_step")
    scored = [one_step]
    if model.is_generative:
        scored.append(embedders.VideoCodecEmbedder(codec, 4, name="four_steps"))
    scored.append(embedders.ZonalDct(one_step, num_frames, name="zonal_dct"))
    scored.append(FirstFrameHeld())
    table, items = {}, open_dataset([str(folder) for folder in folders])
    stems = [pathlib.Path(item.name).stem for item in items]
    if len(set(stems)) < len(stems):
        raise ValueError(
            "Scores are kept by the names of clips, of which two are equal. "
            f"Received: {', '.join(sorted(stems))}"
        )
    with tempfile.TemporaryDirectory() as directory:
        output = pathlib.Path(directory) / "scores.json"
        evaluation = Evaluation(scored, items, protocol, output)
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
        for embedder in scored
    }
    print(json.dumps(table, indent=1))
    return protocol.to_dict(), table


def score_preset(preset, folders, write):
    """Scores the preset as it is stored, in float32; may write that next to it."""
    keras.config.set_dtype_policy("float32")
    protocol, scores = evaluate(preset, folders)
    if not write:
        return
    metadata = {**preset_metadata(preset), "protocol": protocol, "scores": scores}
    with AtomicOutput(preset_directory(preset) / METADATA, "metadata") as output:
        output.temporary.write_text(json.dumps(metadata, indent=2) + "\n")
    write_card(preset)


def write_card(preset):
    """Writes a preset's model card next to it."""
    with AtomicOutput(preset_directory(preset) / "README.md", "model card") as output:
        output.temporary.write_text(preset_card(preset))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset", help="directory or bundled name")
    parser.add_argument("folders", nargs="+", help="of validation clips")
    parser.add_argument(
        "--write", action="store_true", help="store the scores in the preset"
    )
    parser.add_argument("--bundle", type=pathlib.Path, help="directory to store it in")
    args = parser.parse_args()
    preset = args.preset
    if args.bundle:
        model = load_model(preset)
        model.save_to_preset(args.bundle, preset_metadata(preset), dtype="int8")
        preset = args.bundle
    score_preset(preset, args.folders, args.write or args.bundle)


if __name__ == "__main__":
    main()
