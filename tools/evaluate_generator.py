"""Measures a generator of moving digits.

    python -m tools.evaluate_generator digits_nano_8x8x8 --text-encoder MINILM \\
        --output OUT

Generates a video for each caption of clips that the generator was not trained on, and
reads what it shows. What is done is kept in OUT, with the options, and is not repeated.
"""

import argparse
import json
import pathlib

import numpy as np
import rich.progress

from keras_regen.atomic_output import AtomicOutput
from keras_regen.data import MovingDigits
from keras_regen.generation import GivenFrames, VideoGenerator
from keras_regen.latents import Latents
from keras_regen.metrics import FrechetVideoDistance, psnr
from keras_regen.text import KerasHubTextEncoder
from tools.common import check_continues, distance, print_table, save_json
from tools.digit_reader import DigitReader

BATCH = 32
SHOWN = ("digit", "colour", "direction", "speed")


class Evaluation:
    """What is measured of a generator.

    Args:
        generator: `VideoGenerator`.
        folder: path of the directory for results.
        num_clips: int.
        num_steps: int or None.
        guidance: float or None.
        seed: int. The seed of the first video; the others' follow.
        reader: `DigitReader`.
    """

    def __init__(
        self,
        generator,
        folder,
        num_clips,
        num_steps=None,
        guidance=None,
        seed=0,
        reader=None,
    ):
        defaults = generator.defaults
        self.generator = generator
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.num_clips = num_clips
        self.num_steps = num_steps or defaults.num_steps
        self.guidance = defaults.guidance if guidance is None else guidance
        self.seed = seed
        self.chunk = generator.diffusion.temporal_compression + 1
        self.size = defaults.height // 8, defaults.width // 8
        self.reader = reader or DigitReader()

    def clips(self, split, num_chunks):
        return MovingDigits(split, self.num_clips, num_chunks * self.chunk)

    # === Videos ===

    def generated(self, split, num_chunks, count=None):
        """Returns videos of the captions of a split, and their latents."""
        clips = self.clips(split, num_chunks)
        texts = [clips[i][1] for i in range(count or len(clips))]

        def make(first, texts):
            seeds = [self.seed + first + i for i in range(len(texts))]
            text, mask = self.generator.text_encoder.encode(texts)
            return self._sampled(num_chunks, seeds, text=text, text_mask=mask)

        return self._kept(f"generated_{split}_{num_chunks}", texts, make)

    def real(self, split, num_chunks, count=None):
        """Returns re-generated real videos of a split, and their latents."""
        clips = self.clips(split, num_chunks)
        videos = [clips[i][0] for i in range(count or len(clips))]
        codec = self.generator.codec

        def make(_, videos):
            return np.stack([codec.encode(video).array for video in videos])

        return self._kept(f"real_{split}_{num_chunks}", videos, make)

    def _sampled(self, num_chunks, seeds, given=None, **condition):
        defaults = self.generator.defaults
        stream = self.generator.diffusion.generate_stream(
            *(num_chunks, self.size, seeds),
            window_chunks=defaults.window_chunks,
            context_chunks=defaults.context_chunks,
            num_steps=self.num_steps,
            guidance=self.guidance,
            given=given,
            **condition,
        )
        return np.concatenate([*stream], axis=1)

    def _kept(self, name, items, make):
        """Returns videos and latents, made a batch at a time and kept in files."""
        parts = []
        for first in rich.progress.track(range(0, len(items), BATCH), name):
            path = self.folder / f"{name}_{first:05}.npz"
            if not path.exists():
                latents = make(first, items[first : first + BATCH])
                videos = np.stack([self._decode(x) for x in latents])
                with AtomicOutput(path, "videos") as output:
                    np.savez(output.temporary, videos=videos, latents=latents)
            with np.load(path) as file:
                parts.append((file["videos"], file["latents"]))
        return tuple(map(np.concatenate, zip(*parts, strict=True)))

    def _decode(self, array):
        defaults, k = self.generator.defaults, self.chunk - 1
        frames = len(array) // 2 * self.chunk
        latents = Latents(
            array, frames, defaults.height, defaults.width, defaults.fps, k
        )
        return self.generator.codec.decode(latents)

    # === Measures ===

    def accuracy(self, videos, split, num_chunks, shift=0):
        """Returns the share of videos that show what their captions say."""
        clips = self.clips(split, num_chunks)
        hits = {name: [] for name in SHOWN}
        for i, video in enumerate(videos):
            _, text, wanted = clips[(i + shift) % len(videos)]
            seen = self.reader(video)
            for name in SHOWN:
                is_open = name == "speed" and text == wanted.caption(-1)
                if not is_open:
                    hits[name].append(getattr(seen, name) == getattr(wanted, name))
        return {name: float(np.mean(values)) for name, values in hits.items()}

    def image_to_video(self, count):
        """Returns PSNR of first frames: of videos made from them, and reconstructed."""
        real, latents = self.real("valid", 2, count)
        clips = self.clips("valid", 2)
        originals = np.stack([clips[i][0][0] for i in range(count)])

        def make(first, items):
            texts = [clips[first + i][1] for i in range(len(items))]
            text, mask = self.generator.text_encoder.encode(texts)
            given = GivenFrames.first(np.stack(items)[:, :1], 1)
            seeds = [self.seed + first + i for i in range(len(items))]
            return self._sampled(2, seeds, given, text=text, text_mask=mask)

        videos, _ = self._kept("image_to_video", list(latents), make)
        accuracy = self.accuracy(videos, "valid", 2)
        return {
            "generated": float(psnr(originals, videos[:, 0]).mean()),
            "reconstructed": float(psnr(originals, real[:, 0]).mean()),
            **accuracy,
        }

    def distances(self, train_clips):
        """Returns how near the nearest training clips are: of generated, and of real.

        The distance is of the first chunk's latents, in standard deviations.

        Args:
            train_clips: int. Clips that the generator was trained on.
        """
        clips = MovingDigits("train", train_clips, self.chunk)
        model = self.generator.codec.model
        path = self.folder / f"train_{train_clips}.npy"
        if not path.exists():
            parts = [
                model.encode(np.stack([clips[i][0] for i in range(a, a + BATCH)]))
                for a in rich.progress.track(range(0, train_clips, BATCH), path.stem)
            ]
            with AtomicOutput(path, "latents") as output:
                np.save(output.temporary, np.concatenate(parts))
        train = np.load(path)
        mean, std = (
            x[:, None, None] for x in (train.mean((0, 2, 3)), train.std((0, 2, 3)))
        )

        def normal(x):
            return ((x[:, :2] - mean) / std).reshape(len(x), -1).astype("float32")

        train = normal(train)
        squares = np.square(train).sum(1)

        def nearest(x):
            x = normal(x)
            d = np.square(x).sum(1)[:, None] + squares - 2 * x @ train.T
            return float(np.sqrt(np.maximum(d.min(1), 0) / x.shape[1]).mean())

        generated = nearest(self.generated("valid", 2)[1])
        real = nearest(self.real("valid", 2)[1])
        return {"generated": generated, "real": real, "ratio": generated / real}

    def fvd(self, count):
        """Returns the FVD of real, re-generated and generated clips."""
        clips = self.clips("valid", 2)
        # Other clips of the same samples of handwriting.
        others = MovingDigits("valid", count, 2 * self.chunk, seed=1)
        made = {
            kind: getattr(self, kind)("valid", 2)[0] for kind in ("real", "generated")
        }
        sets = {
            "real": lambda i: clips[i][0],
            "real, other clips": lambda i: others[i][0],
            "re-generated": lambda i: made["real"][i],
            "generated": lambda i: made["generated"][i],
        }
        features = {
            name: kept_features(
                self.folder / f"features_{name.replace(', ', '_')}.npy", get, count
            )
            for name, get in sets.items()
        }
        return {
            name: distance(features["real"], features[name]) for name in list(sets)[1:]
        }

    # === All of it ===

    def run(self, train_clips, long_chunks, long_count, fvd_count):
        """Measures everything, and returns it as a dict that JSON can hold."""
        results = {"steps": self.num_steps, "guidance": self.guidance}
        results["clips"], results["seed"] = self.num_clips, self.seed
        table = results["accuracy"] = {}
        for split in ("valid", "held_out"):
            for kind in ("real", "generated"):
                videos, _ = getattr(self, kind)(split, 2)
                table[f"{kind}, {split}"] = self.accuracy(videos, split, 2)
        videos, _ = self.generated("valid", 2)
        table["generated, captions shuffled"] = self.accuracy(videos, "valid", 2, 1)
        if long_count:
            videos, _ = self.generated("valid", long_chunks, long_count)
            chunks = np.split(videos, long_chunks, axis=1)
            for place in (0, long_chunks - 1):
                table[f"chunk {place + 1} of {long_chunks}"] = self.accuracy(
                    chunks[place], "valid", long_chunks
                )
        results["image to video"] = self.image_to_video(min(128, self.num_clips))
        results["nearest training clip"] = self.distances(train_clips)
        if fvd_count:
            results["fvd"] = self.fvd(fvd_count)
        return results


def kept_features(path, get, count):
    """Returns the features of clips for FVD; computes them if a file has none.

    Args:
        path: path of the `.npy` file.
        get: callable that returns the clip of a number.
        count: int. Number of clips.
    """
    if not path.exists():
        metric = FrechetVideoDistance()
        parts = [
            metric.features(np.stack([get(i) for i in range(a, min(a + 8, count))]))
            for a in rich.progress.track(range(0, count, 8), path.stem)
        ]
        with AtomicOutput(path, "features") as output:
            np.save(output.temporary, np.concatenate(parts))
    return np.load(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("preset")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument(
        "--text-encoder",
        required=True,
        help="what reads the captions: a preset of KerasHub, or a directory",
    )
    parser.add_argument("--clips", type=int, default=512)
    parser.add_argument("--train-clips", type=int, default=5000)
    parser.add_argument("--long-chunks", type=int, default=16)
    parser.add_argument("--long-clips", type=int, default=64)
    parser.add_argument("--fvd-clips", type=int, default=512)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    settings = {k: x for k, x in vars(options).items() if k != "output"}
    check_continues(options.output / "settings.json", settings)
    evaluation = Evaluation(
        VideoGenerator.from_preset(
            options.preset,
            text_encoder=KerasHubTextEncoder.from_preset(options.text_encoder),
        ),
        options.output,
        options.clips,
        options.steps,
        options.guidance,
        options.seed,
    )
    results = evaluation.run(
        options.train_clips, options.long_chunks, options.long_clips, options.fvd_clips
    )
    save_json(options.output / "results.json", results)
    rows = [[name, *scores.values()] for name, scores in results["accuracy"].items()]
    print_table(["", *SHOWN], rows)
    print(json.dumps({k: x for k, x in results.items() if k != "accuracy"}, indent=1))


if __name__ == "__main__":
    main()
