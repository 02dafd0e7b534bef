"""Measures whether a training run that is killed ends as one that is not.

    python -m tools.kill_training --kills 2 OUT --data DATA/train --steps 200 ...

Trains in `OUT/whole` without a break. Then trains in `OUT/killed`, sends SIGKILL at
random moments of several epochs, and starts again each time. The options after OUT are
those of `keras-regen train`, without `--output`. Writes `OUT/killed.png`, and prints
how far apart the losses of the two runs are.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import time

from keras_regen.figures import new_figure, save_figure


def command(options, output):
    train = [sys.executable, "-m", "keras_regen", "train", *options]
    return [*train, "--output", str(output)]


def history(run):
    """Returns the logs of the epochs done."""
    path = run / "history.json"
    return json.loads(path.read_text()) if path.exists() else []


def train_killed(options, output, kills, seconds_per_epoch, epochs):
    """Trains to the end, and kills the process on the way.

    Returns:
        List of int: the steps of the last checkpoints before each kill.
    """
    generator, killed = random.Random(0), []
    for i in range(kills):
        # The kill comes at a random moment of the epoch after this one.
        until = (i + 1) * epochs // (kills + 1)
        process = subprocess.Popen(command(options, output))
        while len(history(output)) < until:
            if process.poll() is not None:
                raise SystemExit(f"The training ended by itself: {process.returncode}")
            time.sleep(0.05)
        time.sleep(generator.uniform(0.1, 0.9) * seconds_per_epoch)
        process.kill()
        process.wait()
        killed.append(history(output)[-1]["step"])
        print(f"killed after the checkpoint of step {killed[-1]}", flush=True)
    subprocess.run(command(options, output), check=True)
    return killed


def draw(runs, killed, path):
    figure = new_figure(7, 4)
    axes = figure.subplots()
    for (name, run), style in zip(runs.items(), ("-", "."), strict=True):
        rows = history(run)
        axes.plot(
            [r["step"] for r in rows], [r["loss"] for r in rows], style, label=name
        )
    for step in killed:
        axes.axvline(step, color="gray", linestyle=":", label="killed after")
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.legend(*[list(x) for x in zip(*_once(axes), strict=True)])
    save_figure(figure, path)


def _once(axes):
    """Returns handles and labels for a legend, each label once."""
    labelled = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    return [(handle, label) for label, handle in labelled.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("options", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    runs = {name: args.output / name for name in ("whole", "killed")}
    subprocess.run(command(args.options, runs["whole"]), check=True)
    rows = history(runs["whole"])
    seconds = sum(row["seconds"] for row in rows[1:]) / (len(rows) - 1)
    killed = train_killed(
        args.options, runs["killed"], args.kills, seconds, epochs=len(rows)
    )
    for name in ("loss", "psnr"):
        pairs = zip(*(history(run) for run in runs.values()), strict=True)
        difference = max(abs(a[name] / b[name] - 1) for a, b in pairs)
        print(
            f"{name}: at most {difference:.1e} apart, relative, in {len(rows)} epochs"
        )
    draw(runs, killed, args.output / "killed.png")


if __name__ == "__main__":
    main()
