"""What `encode --dataset` does."""

import glob
import os
import pathlib
import re
import time
from typing import Any

from keras_regen.backend import quiet_start
from keras_regen.cli.common import load_codec, load_keras, make_console, make_table
from keras_regen.cli.progress import ProgressBar, tracked
from keras_regen.latents import TEXT, LatentDataset, encode_with_ray


def encode_dataset(
    source: list[str],
    output: pathlib.Path,
    preset: str,
    precision: str,
    dtype: Any,
    shard: str,
    max_memory: str | None,
    chunking: str,
    text_encoder: str | None,
    only_index: bool,
    ray_actors: int | None,
) -> None:
    """Encodes a set of videos into a directory; see `latents.LatentDataset`.

    Args:
        source: as for `LatentDataset`.
        output: path of the directory.
        preset: str. The preset of the codec.
        precision: str. The dtype policy of the codec.
        dtype: as for `LatentDataset`.
        shard: str such as `"0/4"`.
        max_memory: as for `VideoCodec`.
        chunking: as for `VideoCodec`.
        text_encoder: str or None. The preset of a `KerasHubTextEncoder`.
        only_index: bool. Whether to encode no video.
        ray_actors: int or None. Actors of Ray that encode, instead of this process.

    Raises:
        ValueError: if an argument is not as above.
    """
    console = make_console()
    part, count = _parse_shard(shard)
    for path in source if not only_index else ():
        if not (os.path.exists(path) or glob.has_magic(path)):
            raise ValueError(
                f"There is no such folder, file or .csv. Received: dataset={path}"
            )
    dataset = LatentDataset(None, source, output, dtype, (part, count))
    load_keras(console)

    def make_codec():
        return load_codec(preset, max_memory, precision, chunking=chunking)

    if not (only_index or ray_actors):
        dataset.codec = make_codec()
    output.mkdir(parents=True, exist_ok=True)
    # One shard embeds the texts of all, so that each is embedded once.
    if text_encoder is not None and (part == 0 or only_index):
        _embed_texts(dataset, text_encoder, console)
    start, frames, encoded = time.perf_counter(), 0, 0
    total = len(dataset.videos)
    if not only_index:
        items = (
            encode_with_ray(dataset, make_codec, ray_actors)
            if ray_actors
            else dataset.encode()
        )
        for _, new in tracked(items, "Encoding", total, console, "videos"):
            frames += new
            encoded += new > 0
    seconds = time.perf_counter() - start
    index = dataset.write_index() if only_index else dataset.finish()
    skipped = len(dataset.skipped)
    summary = make_table()
    if not only_index:
        there = total - encoded - skipped
        summary.add_row("videos", f"{encoded} encoded, {there} there")
    if skipped:
        summary.add_row("skipped", f"{skipped}, which cannot be read")
    if index is None:
        summary.add_row("index", "the last shard will write it, or --index")
    else:
        chunks = index["latent_statistics"]["chunks"]
        summary.add_row("latents", f"{len(index['files'])} files, {chunks} chunks")
        _add_conditions(summary, index, dataset)
    if not only_index:
        rate = f"{frames / seconds:.1f} frames/s"
        summary.add_row("time", f"{seconds:.1f} s, {rate}")
    summary.add_row("output", str(output))
    console.print(summary)


def _add_conditions(summary, index, dataset):
    """Adds how many videos have texts and labels, if any has."""
    for name, key in (("texts", "texts"), ("labels", "label")):
        count = sum(key in file for file in index["files"])
        missing = key == "texts" and not (dataset.directory / TEXT).is_file()
        note = ", not embedded: give --text-encoder to use them" if missing else ""
        if count:
            summary.add_row(name, f"of {count} videos{note}")


def _embed_texts(dataset, preset, console):
    from keras_regen.text import KerasHubTextEncoder

    with quiet_start():
        encoder = KerasHubTextEncoder.from_preset(preset)
    with ProgressBar("Embedding", console, unit="texts") as progress:
        dataset.embed_texts(encoder, progress)


def _parse_shard(text):
    """Returns `(i, n)` for a str such as `"0/4"`, or raises ValueError."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not int(match[1]) < int(match[2]):
        raise ValueError(f"--shard must be i/n with i below n. Received: shard={text}")
    return int(match[1]), int(match[2])
