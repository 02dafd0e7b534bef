"""Running a whole benchmark."""

import dataclasses
import datetime
import gc
import itertools
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_regen.atomic_output import AtomicOutput
from keras_regen.benchmark.ceilings import measure_ceiling
from keras_regen.benchmark.machine import load_limit, machine, versions
from keras_regen.benchmark.peak_memory import measure_peak_memory
from keras_regen.benchmark.report import REPORT, with_ratios
from keras_regen.benchmark.settings import PEER_CASES, PRECISIONS, Settings
from keras_regen.benchmark.timer import Timer
from keras_regen.benchmark.work import check_model, make_model, make_work
from keras_regen.hardware import on_accelerator
from keras_regen.models import preset_name
from keras_regen.types import StrPath


class Benchmark:
    """Times models, peers and the limits of the machine in one run.

    Args:
        settings: `Settings`.
        timer: `Timer` or None. Defaults to one that discards samples during which other
            processes took more than 0.1 cores, or with a GPU half of the cores.

    Raises:
        ValueError: if there is no model of a given name.
        ImportError: if psutil is not installed.
    """

    def __init__(self, settings: Settings, timer: Timer | None = None) -> None:
        for name in settings.models:
            check_model(name)
        self.settings = settings
        self._on_gpu = on_accelerator()
        self._timer = timer or Timer(settings.repeats, load_limit(), settings.any_load)
        self._date = datetime.datetime.now(datetime.UTC)
        self.ceilings: dict[str, dict[str, Any]] = {}
        self.rows: list[dict[str, Any]] = []
        self.skipped: list[str] = []

    def __len__(self) -> int:
        """The number of measurements, including one ceiling for each precision."""
        s = self.settings
        sizes = len(s.sizes) * len(s.dtypes) * max(1, len(s.compressions))
        ours = len(s.models) * len(s.cases)
        return len(s.dtypes) + sizes * (ours + len(s.peers) * len(self._peer_cases()))

    def run(
        self, on_start: Callable[[str], object] = lambda label: None
    ) -> Iterator[dict[str, Any] | None]:
        """Makes all measurements.

        Args:
            on_start: callable `(label)`, called before each measurement with a str that
                describes it.

        Yields:
            A dict, the row of the case that was measured; None after a ceiling or a
            case that was skipped.
        """
        for dtype in self.settings.dtypes:
            on_start(f"what the machine can do in {PRECISIONS[dtype]}")
            self.ceilings[PRECISIONS[dtype]] = measure_ceiling(
                PRECISIONS[dtype], self._timer, on_gpu=self._on_gpu
            )
            yield None
        yield from self._run_ours(on_start)
        yield from self._run_peers(on_start)

    def report(self) -> dict[str, Any]:
        """Returns all measurements so far, as a dict."""
        extra = ("torch", "diffusers") if self.settings.peers else ()
        return {
            "date": self._date.isoformat(timespec="seconds"),
            "backend": keras.backend.backend(),
            "machine": machine(),
            "versions": versions(*extra),
            "settings": dataclasses.asdict(self.settings),
            "other_cores_allowed": None if self._timer.any_load else self._timer.limit,
            "ceilings": self.ceilings,
            "rows": with_ratios(self.rows),
            "skipped": self.skipped,
        }

    def save(self, directory: StrPath) -> None:
        """Writes all measurements so far to `benchmark.json`, whole or not at all.

        Raises:
            ValueError: if it cannot be written.
        """
        path = pathlib.Path(directory) / REPORT
        with AtomicOutput(path, "report") as output:
            output.temporary.write_text(json.dumps(self.report(), indent=1) + "\n")

    def _run_ours(self, on_start):
        s = self.settings
        for dtype, name, k in itertools.product(
            s.dtypes, s.models, s.compressions or (None,)
        ):
            model = make_model(name, k, dtype)
            frames = model.temporal_compression + 1
            parameters = [p.count_params() for p in (model.encoder, model.decoder)]
            # Training comes last, because the state of the optimiser stays in memory.
            cases = sorted(s.cases, key=lambda case: case == "train")
            for case, size in itertools.product(cases, s.sizes):
                on_start(_label(name, case, dtype, (s.batch_size, frames, *size)))
                yield self._measure(
                    make_work(case, model, size, s.batch_size, s.num_steps),
                    device=keras.backend.backend(),
                    model=preset_name(name),
                    is_peer=False,
                    case=case,
                    num_steps=s.num_steps if case == "decode" else 1,
                    parameters=parameters,
                    shape=(s.batch_size, frames, *size),
                    dtype=dtype,
                )
            del model
            gc.collect()

    def _run_peers(self, on_start):
        if not self.settings.peers:
            return
        from keras_regen.benchmark.peers import Peer

        # The same shapes as for our models.
        shapes = {
            tuple(row[n] for n in ("batch_size", "frames", "height", "width")): None
            for row in self.rows
        }
        for dtype, name in itertools.product(self.settings.dtypes, self.settings.peers):
            peer = Peer(name, dtype)
            for case, shape in itertools.product(self._peer_cases(), shapes):
                on_start(_label(peer.title, case, dtype, shape))
                yield self._measure_peer(peer, case, shape, dtype)
            del peer
            gc.collect()

    def _measure_peer(self, peer, case, shape, dtype):
        """Returns the row of a peer, or None if it cannot do the case."""
        label = _label(peer.title, case, dtype, shape)
        if not peer.takes(*shape[1:]):
            self.skipped.append(f"{label}: it does not take videos of this shape")
            return None
        try:
            return self._measure(
                peer.work(case, shape),
                device="torch",
                model=peer.title,
                is_peer=True,
                case=case,
                num_steps=1,
                parameters=peer.parameters(),
                shape=shape,
                dtype=dtype,
            )
        except NotImplementedError as error:
            # PyTorch lacks some operations in some precisions on some devices.
            self.skipped.append(f"{label}: {error}")
            return None

    def _peer_cases(self):
        return [case for case in PEER_CASES if case in self.settings.cases]

    def _measure(self, work, device, shape, dtype, **labels):
        memory = measure_peak_memory(device if self._on_gpu else "cpu")
        try:
            timing = self._timer.time(work.function, compiled=memory.reset)
        finally:
            peak = memory.stop()
        batch_size, frames, height, width = shape
        rate = work.operations / timing.seconds
        row = {
            **labels,
            "batch_size": batch_size,
            "frames": frames,
            "height": height,
            "width": width,
            "dtype": dtype,
            "first_call_seconds": timing.first_seconds,
            "seconds": timing.seconds,
            "min_seconds": min(timing.samples),
            "max_seconds": max(timing.samples),
            "samples": timing.samples,
            "calls_per_sample": timing.calls_per_sample,
            "other_cores": timing.other_cores,
            "discarded": timing.discarded,
            "frames_per_second": batch_size * frames / timing.seconds,
            "operations": work.operations,
            "operations_per_second": rate,
            "share_of_ceiling": rate / self.ceilings[PRECISIONS[dtype]]["ceiling"],
            "peak_memory_bytes": peak,
        }
        self.rows.append(row)
        return row


def _label(name, case, dtype, shape):
    return f"{name}, {case}, {' x '.join(map(str, shape))}, {dtype}"
