"""Measures how fast `VideoClips` delivers clips, without a model.

    python -m tools.measure_input --data FOLDER --num-frames 9 --size 128 --batch-size 8

Prints the clips and frames per second that `fit` would receive.
"""

import argparse
import time

from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

from keras_regen.data import VideoClips


def batches_read_ahead(clips):
    """Yields the batches of an epoch, read by workers as in `fit`."""
    adapter = PyDatasetAdapter(clips)
    adapter.on_epoch_begin()
    yield from adapter.get_numpy_iterator()
    adapter.on_epoch_end()


def measure(clips, warm_up):
    """Returns the seconds and clips of the batches after the first `warm_up`."""
    count = 0
    for i, (chunk,) in enumerate(batches_read_ahead(clips)):
        if i == warm_up:
            start = time.perf_counter()
        if i >= warm_up:
            count += len(chunk)
    return time.perf_counter() - start, count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder, pattern, video or CSV")
    parser.add_argument("--num-frames", type=int, default=9)
    parser.add_argument("--size", type=int, nargs="+", default=[128])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int, help="threads; default: by the CPUs")
    parser.add_argument("--batches", type=int, default=50)
    parser.add_argument("--cache", type=int, default=0, help="MiB of decoded videos")
    args = parser.parse_args()
    warm_up = max(1, args.batches // 10)
    start = time.perf_counter()
    clips = VideoClips(
        args.data,
        args.num_frames,
        args.size[0] if len(args.size) == 1 else tuple(args.size),
        args.batch_size,
        steps_per_epoch=warm_up + args.batches,
        cache_bytes=args.cache * 2**20,
        workers=args.workers,
    )
    opened = time.perf_counter() - start
    seconds, count = measure(clips, warm_up)
    print(
        f"{clips.num_videos} videos opened in {opened:.2f} s, {clips.num_skipped} "
        f"skipped, {clips.workers} workers: {count / seconds:.1f} clips/s, "
        f"{count * args.num_frames / seconds:.0f} frames/s"
    )


if __name__ == "__main__":
    main()
