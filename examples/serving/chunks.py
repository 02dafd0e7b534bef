"""Conversion of videos to batches of chunks for a served Regen, and back."""

import itertools

import numpy as np

from keras_regen.pixels import SPATIAL_COMPRESSION
from keras_regen.video import VideoReader, VideoWriter


def read_batches(reader, num_frames, batch_size):
    """Cuts a video into batches of chunks.

    Pads height and width to multiples of 8 by repeating the edge, and the last chunk by
    repeating the last frame.

    Args:
        reader: iterable of uint8 frames `(H, W, 3)`.
        num_frames: int. Frames of a chunk, k + 1.
        batch_size: int. Chunks in a batch. The last batch may have fewer.

    Yields:
        uint8 array `(B, k + 1, 8 * ceil(H / 8), 8 * ceil(W / 8), 3)`, and the number of
        its frames without padding.
    """
    frames = iter(reader)
    while batch := list(itertools.islice(frames, num_frames * batch_size)):
        video = np.stack(batch)
        padding = [(0, -size % SPATIAL_COMPRESSION) for size in video.shape[1:3]]
        video = np.pad(
            video, [(0, -len(video) % num_frames), *padding, (0, 0)], mode="edge"
        )
        yield video.reshape(-1, num_frames, *video.shape[1:]), len(batch)


def reconstruct_file(args, reconstruct):
    """Sends a video file to a server and writes the video that comes back.

    Args:
        args: the parsed arguments of `add_arguments`.
        reconstruct: function `(batch, seeds)` that returns the server's video, uint8 of
            the batch's shape. `batch` comes from `read_batches`; `seeds` is int64 of
            shape `(B,)`.
    """
    with VideoReader(args.video) as reader, VideoWriter(args.output, reader.fps) as out:
        batches = read_batches(reader, args.temporal_compression + 1, args.batch_size)
        done = chunks = 0
        for batch, count in batches:
            # Each chunk has its own noise, independent of the batch size.
            seeds = args.seed + np.arange(chunks, chunks + len(batch), dtype="int64")
            answer = reconstruct(batch, seeds)
            frames = answer.reshape(-1, *answer.shape[2:])[:count]
            for frame in frames[:, : reader.height, : reader.width]:
                out.write(frame)
            chunks += len(batch)
            done += count
            print(f"\r{done}/{reader.num_frames or '?'} frames", end="", flush=True)
    print()


def add_arguments(parser):
    """Adds the arguments of all clients."""
    parser.add_argument("video", help="video file to send")
    parser.add_argument("-o", "--output", required=True, help="video file to write")
    parser.add_argument(
        "--model", default="regen", help="name of the model on the server"
    )
    parser.add_argument("--steps", type=int, default=1, help="sampling steps")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first chunk")
    parser.add_argument("--temporal-compression", type=int, default=8, metavar="K")
    parser.add_argument("--batch-size", type=int, default=4, help="chunks in a request")
    parser.add_argument(
        "--timeout", type=float, default=60, help="seconds for a request"
    )
