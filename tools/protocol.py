"""The validation protocol: chunks of held-out clips, and anchors on the same."""

import numpy as np
from clips import read_video, resize_short_side, videos_in

from keras_regen import metrics

SIZE = 128
# What two equal frames count, in dB: the anchor that holds a frame has many.
PSNR_LIMIT = 60.0
PROTOCOL = (
    "validation clips never trained on; short side scaled to 128, 128x128 from the "
    "middle; consecutive chunks; mean over frames of the PSNR, at most 60 dB, and SSIM"
)


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
    """Mean over frames of PSNR in dB, at most `PSNR_LIMIT`, and SSIM, of uint8."""
    return {
        "psnr": float(np.minimum(metrics.psnr(reference, video), PSNR_LIMIT).mean()),
        "ssim": float(np.mean(metrics.ssim(reference, video))),
    }


def hold_first_frame(chunks):
    """The anchor that shows the first frame of every chunk throughout."""
    return np.broadcast_to(chunks[:, :1], chunks.shape).copy()


# Orthonormal: luminance and two differences of colour.
COLOUR = np.array([[1, 1, 1], [1, 0, -1], [-1, 2, -1]]) / np.sqrt([[3], [2], [6]])


def _dct_matrix(size):
    n = np.arange(size)
    matrix = np.cos(np.pi * (n[None] + 0.5) * n[:, None] / size) * np.sqrt(2 / size)
    matrix[0] /= np.sqrt(2)
    return matrix


def zonal_dct(chunks, num_values):
    """The anchor that keeps the best `num_values` 3D DCT coefficients of every block.

    Blocks are 8x8 pixels by the whole chunk, in orthonormal luminance and colour. The
    zone is one for all blocks: the coefficients of most energy in these very chunks,
    unquantised, so no fixed zone does better.
    """
    count, frames, height, width, _ = chunks.shape
    blocks = (chunks / 127.5 - 1.0).reshape(
        count, frames, height // 8, 8, width // 8, 8, 3
    )
    space, time = _dct_matrix(8), _dct_matrix(frames)
    transforms = (time, space, space, COLOUR)
    coefficients = np.einsum(
        "nfyaxbc,tf,ia,jb,kc->nyxtijk", blocks, *transforms, optimize=True
    )
    energy = np.mean(coefficients**2, axis=(0, 1, 2))
    zone = energy >= np.sort(energy.ravel())[-num_values]
    blocks = np.einsum(
        "nyxtijk,tf,ia,jb,kc->nfyaxbc", coefficients * zone, *transforms, optimize=True
    )
    video = np.clip(blocks, -1, 1).reshape(chunks.shape)
    return np.rint((video + 1) * 127.5).astype("uint8")
