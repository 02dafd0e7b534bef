"""`encode` for a set of videos."""

import pathlib
import re
import time

import rich.console

from keras_regen.cli.common import load_codec, load_keras, make_table, tracked


def encode_dataset(source, output, preset, dtype, shard, max_memory, options):
    """Encodes a set of videos into a directory; see `latents.LatentDataset`."""
    console = rich.console.Console()
    shard = _parse_shard(shard)
    load_keras(console)
    from keras_regen.latents import LatentDataset

    codec = load_codec(preset, max_memory, **options)
    dataset = LatentDataset(codec, source, output, dtype, shard)
    pathlib.Path(output).mkdir(parents=True, exist_ok=True)
    start, frames, encoded = time.perf_counter(), 0, 0
    videos = ((1, item) for item in dataset.encode())
    total = len(dataset.videos)
    for _, count in tracked(videos, "Encoding", total, console, unit="videos"):
        frames += count
        encoded += count > 0
    seconds = time.perf_counter() - start
    index = dataset.write_index()
    skipped = len(dataset.skipped)
    summary = make_table()
    summary.add_row("videos", f"{encoded} encoded, {total - encoded - skipped} there")
    if skipped:
        summary.add_row("skipped", f"{skipped}, which cannot be read")
    chunks = index["latent_statistics"]["chunks"]
    summary.add_row("latents", f"{len(index['files'])} files, {chunks} chunks")
    summary.add_row("time", f"{seconds:.1f} s, {frames / seconds:.1f} frames/s")
    summary.add_row("output", str(output))
    console.print(summary)


def _parse_shard(text):
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not int(match[1]) < int(match[2]):
        raise ValueError(f"--shard must be i/n with i below n. Received: shard={text}")
    return int(match[1]), int(match[2])
