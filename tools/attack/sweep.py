"""Tries inputs of all kinds and prints a table."""

import argparse
import collections
import os
import sys
import tempfile
import time
import zlib

import numpy as np

from tools import common
from tools.attack import commands, files, models, processes, values, videos
from tools.attack.attempt import Arena
from tools.attack.child import DONE, REFUSED
from tools.attack.registry import KINDS

# These register their kinds when they are imported.
MODULES = (videos, files, models, commands, values, processes)
HEADINGS = [
    "kind",
    "inputs",
    "refused",
    "succeeded",
    "killed",
    "violations",
    "s",
    "CPU s",
]


def sweep(names, toys, arena, seed=0, count=None):
    """Tries inputs of some kinds.

    Args:
        names: the names of the kinds.
        toys: `Toys`.
        arena: `Arena`.
        seed: int. Defaults to `0`.
        count: int or None. Inputs of each kind. Defaults to each kind's own number.

    Returns:
        Rows of the table, and a list of str: the violations.
    """
    rows, violations = [], []
    for name in names:
        make, default = KINDS[name]
        start, statuses, found = _times(), collections.Counter(), []
        number = default if count is None else count
        for index in range(number):
            rng = np.random.default_rng((seed, zlib.crc32(name.encode()), index))
            attempt, status, reasons = arena.violations(make, toys, rng)
            statuses[status] += 1
            found += [f"{name} {index}, {attempt.label!r}: {x}" for x in reasons]
            if sys.stderr.isatty():
                print(f"\r{name} {index + 1}/{number} ", end="", file=sys.stderr)
        killed = statuses.total() - statuses[REFUSED] - statuses[DONE]
        seconds = [round(b - a) for a, b in zip(start, _times(), strict=True)]
        row = [name, number, statuses[REFUSED], statuses[DONE], killed, len(found)]
        rows.append([*row, *seconds])
        common.log(
            f"\r{name}: {number} inputs, {len(found)} violations, {seconds[0]} s"
        )
        for violation in found:
            common.log(f"  {violation}")
        violations += found
    return rows, violations


def _times():
    """Returns the seconds since some time, and those of all cores."""
    used = os.times()
    return time.monotonic(), sum(used[:4])


def main():
    parser = argparse.ArgumentParser(
        prog="python -m tools.attack", description="Tries hostile inputs."
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--count", type=int, help="inputs of each kind")
    args = parser.parse_args()
    from keras_regen.backend import quiet_start
    from tools.attack.toys import Toys

    with tempfile.TemporaryDirectory() as directory:
        arena = Arena(directory)
        with quiet_start():
            toys = Toys(arena)
        rows, violations = sweep(args.kinds, toys, arena, args.seed, args.count)
    totals = [sum(column) for column in list(zip(*rows, strict=True))[1:]]
    common.print_table(HEADINGS, [*rows, ["all", *totals]])
    sys.exit(bool(violations))
