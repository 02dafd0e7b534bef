"""The work of `tools.compare_compression`, in the order in which it is done."""

import dataclasses
import functools
import json
import pathlib

import numpy as np
import rich.progress

from keras_regen.data import MovingDigits
from keras_regen.generation import (
    GenerationDefaults,
    LatentDiffusion,
    LatentTransformer,
    VideoGenerator,
)
from keras_regen.latents import LatentDataset
from keras_regen.metrics import psnr
from keras_regen.text import TextEmbeddings
from keras_regen.training import GeneratorConfig, train_generator
from tools.common import check_continues, distance, log, save_json
from tools.compare_compression.codecs import CODECS, Codecs, has_preset
from tools.compare_compression.report import print_report, save_plot
from tools.compare_compression.settings import SIDE
from tools.compare_compression.timing import VIDEOS, fastest, generator_calls
from tools.digit_reader import DigitReader
from tools.evaluate_generator import Evaluation, kept_features

# Every so many frames of a video are shown to the network of FVD.
FVD_STRIDE = 4


class Comparison:
    """Trains and measures codecs and generators, and keeps everything in a directory.

    Args:
        settings: `Settings`.
        folder: path of the directory.
        text_encoder: callable without arguments that returns a `TextEncoder`.
        reader: `DigitReader` or None. Defaults to one that is trained when needed.
    """

    def __init__(self, settings, folder, text_encoder, reader=None):
        self.settings = settings
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        check_continues(
            self.folder / "settings.json",
            dataclasses.asdict(settings),
            settings.changeable,
        )
        self.codecs = Codecs(settings, self.folder)
        self._text_encoder = text_encoder
        self._reader = reader

    def run(self, names):
        """Does what is left to do for some of the `CODECS`, and returns the results."""
        settings = self.settings
        for name in names:
            self.measure_codec(name)
            self.encode(name)
        for share in settings.shares:
            for name in names:
                self.train(name, share)
                for steps in settings.sampling_steps_after(share):
                    self.measure(name, share, steps)
            results = self.report()
        if settings.fvd_clips:
            for name in names:
                self.measure_distances(name)
            results = self.report()
        return results

    # === Data ===

    @functools.cached_property
    def texts(self):
        """The embeddings of all captions."""
        path, settings = self.folder / "text.h5", self.settings
        splits = {"train": settings.train_clips, "valid": settings.clips}
        clips = [MovingDigits(*split, num_frames=1) for split in splits.items()]
        texts = sorted({split[i][1] for split in clips for i in range(len(split))})
        if path.exists():
            known = TextEmbeddings.load(path)
            if all(text in known for text in texts):
                return known
        log(f"Embedding {len(texts)} captions")
        return TextEmbeddings.create(self._text_encoder(), texts, path)

    @functools.cached_property
    def reader(self):
        return self._reader or DigitReader()

    # === Codecs ===

    def measure_codec(self, name):
        """Measures how well a codec re-generates videos, and what its latents cost."""
        settings, k = self.settings, CODECS[name]
        chunks, count = settings.chunks(k), settings.clips

        def measure():
            evaluation, videos = self._real(name)
            codec = evaluation.generator.codec
            real = self._clips(count)
            latents = codec.encode(real[0])
            return {
                "codec": name,
                "tokens": 2 * chunks * (SIDE // settings.patch_size) ** 2,
                "values": int(np.prod(latents.array.shape)),
                "psnr": float(psnr(real, videos).mean()),
                **evaluation.accuracy(videos, "valid", chunks),
                "decoding_seconds": fastest([lambda: codec.decode(latents)])[0],
            }

        return self._kept(self.folder / name / f"codec_{count}.json", measure)

    def encode(self, name):
        """Encodes the videos to train on."""
        directory = self.folder / name / "latents"
        if (directory / "index.json").exists():
            return
        dataset = LatentDataset(self.codecs.load(name), self.codecs.digits, directory)
        dataset.embed_texts(self.texts)
        items = dataset.encode(), f"Encoding, {name}", len(dataset.videos)
        for _ in rich.progress.track(*items):
            pass
        dataset.write_index()

    # === Generators ===

    @functools.cached_property
    def timing(self):
        """CPU seconds by k: of a training step, and to sample a video in one step."""

        def measure():
            log("Timing")
            ks = sorted({*CODECS.values()})
            calls = [
                generator_calls(self._untrained(k), self.settings, self.texts)
                for k in ks
            ]
            seconds = fastest([call for pair in calls for call in pair])
            return {
                str(k): {"step": step, "sampling_step": sampling / VIDEOS}
                for k, step, sampling in zip(
                    ks, seconds[::2], seconds[1::2], strict=True
                )
            }

        return self._kept(self.folder / "timing.json", measure)

    def _untrained(self, k):
        settings = self.settings
        transformer = LatentTransformer.from_architecture(
            settings.size,
            patch_size=settings.patch_size,
            text_channels=self.texts.channels,
        )
        return LatentDiffusion(transformer, k)

    def _steps(self, name, share):
        seconds = self.timing[str(CODECS[name])]["step"]
        return self.settings.training_steps(seconds, share)

    def train(self, name, share):
        """Trains a generator from one share of the time to the next."""
        settings, run = self.settings, self._run(name, share)
        if has_preset(run):
            return
        earlier = [x for x in settings.shares if x < share][-1:]
        model = {"size": settings.size, "patch_size": settings.patch_size}
        if earlier:
            model = {"init": str(self._run(name, earlier[0]) / "preset")}
        config = GeneratorConfig(
            **model,
            data=str(self.folder / name / "latents"),
            condition="text",
            chunks=settings.chunks(CODECS[name]),
            batch_size=settings.batch_size,
            workers=1,
            learning_rate=settings.learning_rate,
            steps=self._steps(name, share) - sum(self._steps(name, x) for x in earlier),
            steps_per_epoch=settings.steps_per_epoch,
            samples=0,
            precision="float32",
            # Each part draws other clips and noise.
            seed=settings.shares.index(share),
        )
        log(f"Training the generator of {name}, to {share:.0%} of the time")
        train_generator(config, run)

    def _run(self, name, share):
        return self.folder / name / f"generator_{share:g}"

    def measure(self, name, share, sampling_steps):
        """Measures what a generator's videos show, and what they took."""
        settings, k = self.settings, CODECS[name]

        def measure():
            evaluation, videos = self._generated(name, share, sampling_steps)
            steps, timing = self._steps(name, share), self.timing[str(k)]
            return {
                "codec": name,
                "share": share,
                "training_steps": steps,
                "training_seconds": steps * timing["step"],
                "sampling_steps": sampling_steps,
                "sampling_seconds": sampling_steps * timing["sampling_step"],
                **evaluation.accuracy(videos, "valid", settings.chunks(k)),
            }

        place = f"generated_{share:g}_{sampling_steps}_{settings.clips}.json"
        return self._kept(self.folder / name / place, measure)

    # === Videos ===

    def _clips(self, count, seed=0):
        clips = MovingDigits("valid", count, self.settings.frames, seed)
        return np.stack([clips[i][0] for i in range(count)])

    def _real(self, name):
        """Returns an `Evaluation`, and real videos that a codec re-generated."""
        k = CODECS[name]
        chunks = self.settings.chunks(k)
        defaults = GenerationDefaults(
            num_frames=chunks * (k + 1), window_chunks=max(2, chunks)
        )
        generator = VideoGenerator(
            self._untrained(k), self.codecs.load(name), self.texts, defaults
        )
        return self._evaluated(name, "real", generator)

    def _generated(self, name, share, sampling_steps):
        """Returns an `Evaluation`, and videos that a generator made."""
        generator = VideoGenerator.from_preset(
            self._run(name, share) / "preset", self.codecs.load(name), self.texts
        )
        kind = f"generated_{share:g}_{sampling_steps}"
        return self._evaluated(name, kind, generator, sampling_steps)

    def _evaluated(self, name, kind, generator, sampling_steps=None):
        settings = self.settings
        evaluation = Evaluation(
            generator,
            self.folder / name / kind,
            settings.clips,
            sampling_steps,
            settings.guidance,
            reader=self.reader,
        )
        make = evaluation.real if kind == "real" else evaluation.generated
        videos, _ = make("valid", settings.chunks(CODECS[name]))
        return evaluation, videos[:, : settings.frames]

    # === FVD ===

    def measure_distances(self, name):
        """Measures the FVD of re-generated and generated videos."""
        sets = {"real": lambda: self._real(name)}
        for share in self.settings.shares:
            steps = self.settings.sampling_steps[-1]
            sets[f"generated_{share:g}_{steps}"] = functools.partial(
                self._generated, name, share, steps
            )
        real = self._features("real", self._clips)
        self._kept_distance(
            self.folder / "fvd.json", real, "other", lambda n: self._clips(n, seed=1)
        )
        for kind, make in sets.items():
            path = self.folder / name / f"fvd_{kind}.json"
            self._kept_distance(
                path, real, f"{name}_{kind}", lambda n, make=make: make()[1][:n]
            )

    def _kept_distance(self, path, real, kind, make):
        return self._kept(path, lambda: distance(real, self._features(kind, make)))

    def _features(self, kind, make):
        count = self.settings.fvd_clips
        path = self.folder / f"features_{kind}_{count}.npy"
        get = functools.cache(lambda: make(count)[:, ::FVD_STRIDE])
        return kept_features(path, lambda i: get()[i], count)

    # === Results ===

    def _kept(self, path, measure):
        """Returns what a JSON file holds, which is measured if there is none."""
        if not path.exists():
            save_json(path, measure())
        return json.loads(path.read_text())

    def report(self):
        """Writes and prints what is known so far, and returns it as a dict."""

        def rows(pattern):
            for name in CODECS:
                for path in sorted((self.folder / name).glob(pattern)):
                    row = json.loads(path.read_text())
                    kind = path.stem.rpartition("_")[0].replace("codec", "real")
                    fvd = path.with_name(f"fvd_{kind}.json")
                    if fvd.exists():
                        row["fvd"] = json.loads(fvd.read_text())
                    yield row

        clips = self.settings.clips
        results = {
            "settings": dataclasses.asdict(self.settings),
            "codecs": list(rows(f"codec_{clips}.json")),
            "generators": sorted(
                rows(f"generated_*_{clips}.json"),
                key=lambda row: (row["share"], row["sampling_steps"]),
            ),
        }
        if (self.folder / "fvd.json").exists():
            results["fvd_of_real"] = json.loads((self.folder / "fvd.json").read_text())
        save_json(self.folder / "results.json", results)
        save_plot(results, self.folder / "results.png")
        print_report(results)
        return results
