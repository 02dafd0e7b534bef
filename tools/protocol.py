"""The validation clips that maintainers measure on, and their scores."""

import numpy as np
from clips import read_video, resize_short_side, videos_in

from keras_regen.evaluation import get_protocol

SIZE = 128


def validation_clips(folder):
    """Every clip, 128x128 from the middle of a short side of 128.

    Args:
        folder: path of the validation clips.

    Returns:
        Dict from the clip's name to uint8 `(T, 128, 128, 3)`.
    """
    clips = {}
    for path in videos_in(folder):
        frames = resize_short_side(read_video(path), SIZE)
        top, left = (frames.shape[1] - SIZE) // 2, (frames.shape[2] - SIZE) // 2
        clips[path.stem] = frames[:, top : top + SIZE, left : left + SIZE]
    return clips


def validation_chunks(folder, num_frames, max_chunks=None):
    """Consecutive chunks of every clip, 128x128 from the middle of a short side of 128.

    Args:
        folder: path of the validation clips.
        num_frames: int. Frames of a chunk, k + 1.
        max_chunks: int or None. At most so many of a clip, evenly spread.

    Returns:
        Dict from the clip's name to uint8 `(N, num_frames, 128, 128, 3)`.
    """
    chunks = {}
    for name, frames in validation_clips(folder).items():
        count = len(frames) // num_frames
        clip = frames[: count * num_frames].reshape(-1, num_frames, SIZE, SIZE, 3)
        if max_chunks and count > max_chunks:
            clip = clip[np.linspace(0, count - 1, max_chunks).round().astype(int)]
        chunks[name] = clip
    return chunks


def reconstruct(regen, chunks, num_steps=1, seed=0, batch_size=16):
    """Re-generates every chunk; the last batch is filled up to keep one shape."""
    outputs = []
    for start in range(0, len(chunks), batch_size):
        batch = chunks[start : start + batch_size]
        fill = np.repeat(batch[-1:], batch_size - len(batch), axis=0)
        output = regen.reconstruct(np.concatenate([batch, fill]), num_steps, seed)
        outputs.append(output[: len(batch)])
    return np.concatenate(outputs)


def score(reference, video):
    """Mean over clips of PSNR in dB and SSIM, as the protocol `regen` has them.

    Args:
        reference: uint8 array of shape `(..., T, H, W, 3)`.
        video: likewise.
    """
    clips = [x.reshape(-1, *x.shape[-4:]) for x in (reference, video)]
    scores = [*map(get_protocol("regen").scores, *clips)]
    return {
        name: float(np.mean([s[name] for s in scores])) for name in ("psnr", "ssim")
    }
