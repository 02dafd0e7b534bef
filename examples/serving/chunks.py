"""Videos as the batches of chunks that a served Regen takes, and back."""

import itertools

import numpy as np

from keras_regen.video import VideoReader, VideoWriter

# Sides of what the model takes are multiples of this.
SIDE = 8


def read_batches(reader, num_frames, batch_size):
    """Cuts a video into chunks, a few of them in each batch.

    Sides are padded to multiples of 8 by repeating the edge, the last chunk by
    repeating the last frame.

    Args:
        reader: iterable of uint8 frames `(H, W, 3)`.
        num_frames: int. Frames of a chunk, k + 1.
        batch_size: int. Chunks in a batch; the last may have fewer.

    Yields:
        uint8 array `(B, k + 1, 8 * ceil(H / 8), 8 * ceil(W / 8), 3)`, and how many of
        its frames are the video's own.
    """
    frames = iter(reader)
    while batch := list(itertools.islice(frames, num_frames * batch_size)):
        video = np.stack(batch)
        padding = [(0, -size % SIDE) for size in video.shape[1:3]]
        video = np.pad(
            video, [(0, -len(video) % num_frames), *padding, (0, 0)], mode="edge"
        )
        yield video.reshape(-1, num_frames, *video.shape[1:]), len(batch)


def reconstruct_file(args, reconstruct):
    """Sends a video file through a server and writes what comes back.

    Args:
        args: what `add_arguments` asked for.
        reconstruct: function of a batch as above and seeds, int64 `(B,)`, that returns
            the server's video, uint8 of the batch's shape.
    """
    with VideoReader(args.video) as reader, VideoWriter(args.output, reader.fps) as out:
        batches = read_batches(reader, args.temporal_compression + 1, args.batch_size)
        done = chunks = 0
        for batch, count in batches:
            # Each chunk has noise of its own, whatever the size of batches.
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
    """Adds the arguments that all clients have."""
    parser.add_argument("video", help="video file to send")
    parser.add_argument("-o", "--output", required=True, help="video file to write")
    parser.add_argument("--model", default="regen", help="the server's name for it")
    parser.add_argument("--steps", type=int, default=1, help="sampling steps")
    parser.add_argument("--seed", type=int, default=0, help="of the first chunk")
    parser.add_argument("--temporal-compression", type=int, default=8, metavar="K")
    parser.add_argument("--batch-size", type=int, default=4, help="chunks in a request")
    parser.add_argument("--timeout", type=float, default=60, help="seconds a request")
