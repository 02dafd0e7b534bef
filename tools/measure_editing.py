"""Measures what docs/editing.md says of sampling steps, noise and inversion.

    python -m tools.measure_editing DATA OUTPUT
    python -m tools.measure_editing DATA OUTPUT --tables inversion backends

DATA has the folders `valid` and `valid2`. Tables are printed in Markdown:

- schedules: PSNR, SSIM and FVD of 1 to 8 sampling steps, with each schedule;
- noise: the same for each `noise_scale`; the spread of a value over four seeds, in
  levels of 255; and the PSNR of their mean above that of one, in dB;
- inversion: PSNR of what comes back from the noise that is found, in dB;
- backends: the same on each backend, and what it costs.

`noise` and `backends` measure the first preset alone. Results are kept in OUTPUT as
JSON, and what is there is not measured again.
"""

import argparse
import dataclasses
import functools
import json
import pathlib
import time

import numpy as np

from keras_regen.diffusion import Sampling
from keras_regen.metrics import I3DFeatures, psnr
from keras_regen.models import load_model
from keras_regen.pixels import to_uint8, to_unit_range
from keras_regen.weights_digest import weights_digest
from tools.common import (
    BACKENDS,
    distance,
    in_process,
    log,
    print_table,
    save_json,
    score,
    validation_chunks,
)

PRESETS = tuple(f"regen_small_8x8x{k}" for k in (8, 16, 32))
TABLES = ("schedules", "noise", "inversion", "backends")
SHORT_SIDE = 144
# Clips of a video: four of the long videos in `valid`, one of those in `valid2`.
MAX_CHUNKS = {"valid": 4, "valid2": 1}
STEPS = (1, 2, 4, 8)
SCHEDULES = ("uniform", "log_snr")
NOISE_SCALES = (0.0, 0.5, 1.0)
NOISE_STEPS = (1, 4)
SEEDS = (0, 1, 2, 3)
# What depends on the seed is measured on every fifth of the clips that are scored.
SEED_STRIDE = 5
# Pairs of `num_steps` and `refinements`.
INVERSIONS = ((10, 1), (20, 2))
INVERTED_CLIPS = ("seq_bus", "seq_foreman", "seq_husky", "seq_akiyo")
# The clip that other presets and backends invert.
ONE_CLIP = "seq_foreman"


class Lab:
    """Measures one preset on clips, and keeps the results.

    Args:
        name: str. The name of the preset, for tables and files.
        model: a `Regen`.
        clips: dict from a name to a uint8 array of shape `(T, H, W, 3)`, T = k + 1.
        folder: directory of the results.
        features: `metrics.Features`, the network of the FVD, or None where none is
            measured.
        max_clips: int or None. Scores this many clips, evenly spread. Defaults to
            `None`, all.
    """

    def __init__(self, name, model, clips, folder, features, max_clips=None):
        self.name = name
        self.model = model
        self.clips = clips
        count = min(max_clips or len(clips), len(clips))
        places = np.linspace(0, len(clips) - 1, count).round().astype(int)
        self.scored = [[*clips][i] for i in places]
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.features = features
        self.digest = weights_digest(model.get_weights())
        self._latents = {}

    def kept(self, name, clips, make):
        """Returns `make(clip)` of every clip, as far as possible from the file.

        Args:
            name: str. The name of the file.
            clips: list of names of clips.
            make: callable that takes the name of a clip and returns what JSON can hold.
        """
        path = self.folder / f"{name}.json"
        results = {}
        if path.exists():
            stored = json.loads(path.read_text())
            if stored["weights"] == self.digest:
                results = stored["results"]
        start, missing = time.process_time(), [x for x in clips if x not in results]
        for clip in missing:
            results[clip] = make(clip)
            save_json(path, {"weights": self.digest, "results": results})
        if missing:
            seconds = time.process_time() - start
            log(f"{self.name}: {name}, {len(missing)} clips, {seconds:.0f} s of CPU")
        return [results[clip] for clip in clips]

    # === Decoding ===

    def latents(self, clip):
        """Returns the latents of a clip, `(1, 2, h, w, C)`."""
        if clip not in self._latents:
            self._latents[clip] = self.model.encode(self.clips[clip][None])
        return self._latents[clip]

    def decoded(self, clip, sampling):
        """Returns a clip as it is decoded, float32 `(T, H, W, 3)` in [-1, 1]."""
        options = dataclasses.asdict(sampling)
        return self.model.decode(self.latents(clip), **options)[0]

    def scores(self, sampling):
        """Returns the scores of a sampling.

        Returns:
            Dict of floats: the means of `psnr`, in dB, and `ssim`; `fvd`; `fvd_change`,
            how far it is above the FVD of one step; and `fvd_error`, the standard error
            of that, by leaving out one clip after the other.
        """
        originals = np.array(self.kept("originals", self.scored, self._original))
        rows, first = (
            self.kept(_name(x), self.scored, functools.partial(self._scored, x))
            for x in (sampling, Sampling())
        )
        ours, one_step = (
            np.array([row["features"] for row in rows]) for rows in (rows, first)
        )
        changes = [
            distance(originals[kept], ours[kept])
            - distance(originals[kept], one_step[kept])
            for kept in ~np.eye(len(originals), dtype=bool)
        ]
        fvd = distance(originals, ours)
        return {
            **{x: float(np.mean([row[x] for row in rows])) for x in ("psnr", "ssim")},
            "fvd": fvd,
            "fvd_change": fvd - distance(originals, one_step),
            "fvd_error": float(np.sqrt(len(changes) - 1) * np.std(changes)),
        }

    def _original(self, clip):
        return self.features(self.clips[clip][None])[0].tolist()

    def _scored(self, sampling, clip):
        video = to_uint8(self.decoded(clip, sampling))
        features = self.features(video[None])[0].tolist()
        return {**score(self.clips[clip], video), "features": features}

    def seeds(self, sampling):
        """Returns what depends on the seed.

        Returns:
            Dict of the means of the clips: `spread`, the standard deviation of a value
            over the seeds, in levels of 255; and `gain`, the PSNR of the mean of the
            seeds above that of one seed, in dB.
        """

        samplings = [dataclasses.replace(sampling, seed=seed) for seed in SEEDS]

        def measure(clip):
            videos = np.stack([self.decoded(clip, x) for x in samplings])
            variance = videos.var(axis=0, ddof=1, dtype="float64").mean()
            mean = videos.mean(axis=0, dtype="float64")
            one = np.mean([_psnr(self.clips[clip], video) for video in videos])
            return {
                "spread": 127.5 * float(np.sqrt(variance)),
                "gain": _psnr(self.clips[clip], mean) - float(one),
            }

        clips = self.scored[::SEED_STRIDE]
        rows = self.kept(f"{_name(sampling)}_seeds", clips, measure)
        return {x: float(np.mean([row[x] for row in rows])) for x in rows[0]}

    # === Inversion ===

    def inverted(self, clips, inversions=INVERSIONS):
        """Returns how exactly clips come back from their noise, a dict for each."""

        def measure(clip):
            row = {"none": _psnr(self.clips[clip], self.decoded(clip, Sampling()))}
            for steps, refinements in inversions:
                start = time.process_time()
                noise = self.model.invert(
                    self.clips[clip][None], self.latents(clip), steps, refinements
                )
                calls = str(steps * (1 + refinements))
                row[f"seconds, {calls}"] = time.process_time() - start
                row[calls] = self._regenerated(clip, noise, steps)
            half = noise.astype("float16").astype("float32")
            row["float16"] = self._regenerated(clip, half, steps)
            deviation = noise.astype("float64") - noise.mean()
            row["std"] = float(np.std(noise))
            row["kurtosis"] = float(np.mean(deviation**4) / np.mean(deviation**2) ** 2)
            return row

        return self.kept("inversion", clips, measure)

    def _regenerated(self, clip, noise, num_steps):
        latents = self.latents(clip)
        video = self.model.decode(latents, noise=noise, num_steps=num_steps)
        return _psnr(self.clips[clip], video[0])


# === Tables ===


def schedules(labs, numbers=STEPS):
    """Scores numbers of steps with both schedules."""
    rows = []
    for lab in labs:
        for steps in numbers:
            found = [lab.scores(Sampling(steps, schedule=x)) for x in SCHEDULES]
            cells = [" / ".join(_cells(scores)) for scores in found]
            rows.append([lab.name, len(lab.scored), steps, *cells])
    print("\nPSNR in dB / SSIM / FVD (above that of one step ± standard error):")
    print_table(["preset", "clips", "steps", *SCHEDULES], rows)


def noise(labs):
    """Scores the first preset with more and less noise."""
    rows, lab = [], labs[0]
    for steps in NOISE_STEPS:
        for scale in NOISE_SCALES:
            sampling = Sampling(steps, noise_scale=scale)
            seeds = ["0.00", ""]
            if scale:
                found = lab.seeds(sampling)
                seeds = [f"{found['spread']:.2f}", f"{found['gain']:+.2f}"]
            rows.append([steps, scale, *_cells(lab.scores(sampling)), *seeds])
    print(f"\n{len(lab.scored)} clips, their seeds {len(lab.scored[::SEED_STRIDE])}:")
    headings = ["PSNR", "SSIM", "FVD", "spread", "mean of seeds"]
    print_table(["steps", "noise_scale", *headings], rows)


def inversion(labs):
    """Inverts four clips at k = 8, and one, in fewer calls, at more."""
    columns = ["none", "20", "60", "float16", "std", "kurtosis"]
    seconds = ["seconds, 20", "seconds, 60"]
    rows = []
    for lab in labs:
        clips, inversions = INVERTED_CLIPS, INVERSIONS
        if lab.model.temporal_compression > 8:
            clips, inversions = (ONE_CLIP,), INVERSIONS[:1]
        found = lab.inverted(clips, inversions)
        for clip, row in zip(clips, found, strict=True):
            numbers = [row.get(x) for x in columns + seconds]
            cells = ["" if x is None else f"{x:.2f}" for x in numbers]
            rows.append([lab.name, clip, *cells])
    print_table(["preset", "clip", *columns, *seconds], rows)


def backends(labs):
    """Inverts the centre of one clip, 64x64 pixels, on every backend."""
    rows, lab = [], labs[0]
    for backend in BACKENDS:

        def measure(clip, backend=backend):
            arguments = lab.name, lab.clips[clip][:, 32:96, 32:96]
            return in_process(invert_again, *arguments, KERAS_BACKEND=backend)

        (row,) = lab.kept(f"backend_{backend}", [ONE_CLIP], measure)
        rows.append([backend, *(f"{row[x]:.1f}" for x in ("psnr", "invert", "decode"))])
    print_table(["backend", "PSNR", "invert, s of CPU", "decode, s of CPU"], rows)


def invert_again(preset, video):
    """Inverts a video twice, since compiling takes time, and times the second."""
    model = load_model(preset)
    latents = model.encode(video[None])
    steps, refinements = INVERSIONS[0]
    for _ in range(2):
        start = time.process_time()
        noise = model.invert(video[None], latents, steps, refinements)
        inverted = time.process_time()
        same = model.decode(latents, noise=noise, num_steps=steps)
        end = time.process_time()
    found = _psnr(video, same[0])
    return {"psnr": found, "invert": inverted - start, "decode": end - inverted}


def _name(sampling):
    """Returns the name of the file of a sampling's scores."""
    # One step is the same with every schedule and, up to rounding, so are two.
    schedule = "any" if sampling.num_steps < 3 else sampling.schedule
    seed = sampling.seed if sampling.noise_scale else "any"
    return (
        f"steps_{sampling.num_steps}_{schedule}_scale_{sampling.noise_scale:g}_{seed}"
    )


def _cells(scores):
    ssim = f"{scores['ssim']:.3f}".lstrip("0")
    change = f"({scores['fvd_change']:+.0f} ± {scores['fvd_error']:.0f})"
    return [f"{scores['psnr']:.2f}", ssim, f"{scores['fvd']:.0f} {change}"]


def _psnr(clip, video):
    """Returns the PSNR of a float video, which is not rounded to 8 bits."""
    reference = to_unit_range(clip).astype("float64")
    return float(psnr(reference, video.astype("float64"), per="clip"))


# === Command line ===


def clips_for(data, temporal_compression):
    """Reads chunks of the validation clips.

    Returns:
        Dict from a name to a uint8 array of shape `(k + 1, 128, 128, 3)`.
    """
    clips = {}
    for folder, count in MAX_CHUNKS.items():
        chunks = validation_chunks(
            data / folder, temporal_compression + 1, count, SHORT_SIDE
        )
        for video, stacked in chunks.items():
            numbers = [""] if count == 1 else [f"_{i}" for i in range(len(stacked))]
            for number, chunk in zip(numbers, stacked, strict=True):
                clips[video + number] = chunk
    return clips


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--presets", nargs="+", default=PRESETS)
    parser.add_argument("--steps", nargs="+", type=int, default=STEPS)
    parser.add_argument("--max-clips", type=int, help="to score; evenly spread")
    args = parser.parse_args()
    is_scored = {"schedules", "noise"} & {*args.tables}
    features = I3DFeatures(batch_size=1) if is_scored else None
    labs = []
    for name in args.presets:
        model = load_model(name)
        clips = clips_for(args.data, model.temporal_compression)
        labs.append(Lab(name, model, clips, args.output, features, args.max_clips))
    tables = (
        functools.partial(schedules, numbers=args.steps),
        noise,
        inversion,
        backends,
    )
    for name, table in zip(TABLES, tables, strict=True):
        if name in args.tables:
            table(labs)


if __name__ == "__main__":
    main()
