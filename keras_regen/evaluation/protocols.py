"""Protocols that say how videos are scored, by name.

They follow published evaluations, as far as these are described:

- `regen`: the paper's size, 512x512 (Zhang et al. 2025, arXiv 2503.08665, the table at
  4x). The paper does not say how videos are resized and cut, how many frames a clip
  has, or how PSNR and SSIM are averaged, so this project chose everything except the
  size. 33 frames is the shortest clip without padding for causal models of 4, 8, 16 and
  32 frames.
- `vidtok`: the table of https://github.com/microsoft/VidTok, by its files
  `scripts/inference_evaluate.py`, `vidtok/data/vidtok.py` and `vidtok/modules/util.py`
  at d6ad92d. VidTok resizes and compares floats; here both videos have 256 levels.
  VidTok adds 1e-8 to the mean square error, which limits PSNR to 80 dB and lowers it a
  little above about 50 dB; here PSNR is cut at 80 dB. Before SSIM, VidTok shrinks
  frames of 384 pixels and more by averaging; here a larger `size` is not shrunk. How
  its Frechet distance resizes is not published.
- `tokenbench`: `token_bench/metrics_cli.py` of https://github.com/NVlabs/TokenBench at
  dcbb7d5, for videos from its `token_bench/video/preprocessing_script.py`. TokenBench
  compares lossy MP4 files (`cosmos_tokenizer/video_cli.py` of
  https://github.com/NVIDIA/Cosmos-Tokenizer, in windows of 17 frames); here nothing is
  compressed. TokenBench cuts videos of more than 30 frames per second at 10 seconds;
  here all are cut at 300 frames. Until 27 December 2024 its script subtracted 8-bit
  integers, whose wrap-around hid part of the errors of 16 levels and more.
"""

import dataclasses
from typing import Any, Literal

import numpy as np

from keras_regen.evaluation.protocol_clips import ProtocolClips
from keras_regen.metrics import psnr, ssim, temporal_consistency
from keras_regen.pixels import to_uint8
from keras_regen.types import StrPath

CHOICES = {
    "resize": ("bilinear", "lanczos"),
    "which_clips": ("consecutive", "first"),
    "short": ("drop", "repeat", "keep"),
    "psnr": ("frame", "clip"),
    "ssim": ("gaussian", "uniform"),
    "fvd_resize": ("stretch", "crop"),
}


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Which clips of a video are scored, and how.

    Args:
        name: str.
        short_side: int. Pixels of the shorter side of a frame after resizing, which
            keeps the aspect ratio.
        crop: pair of ints (height, width), cut from the centre, or None.
        enlarge: bool. Whether smaller frames are enlarged.
        resize: `"bilinear"` or `"lanczos"`: the filter of Pillow, antialiased.
        num_frames: int. Frames of a clip.
        which_clips: `"consecutive"`, all clips without overlap; or `"first"`.
        short: how to treat remaining frames that are too few for a clip: `"drop"` them,
            so that a shorter video has no clip; `"repeat"` the last frame to fill the
            clip; or `"keep"` a shorter clip.
        max_fps: float or None. Every n-th frame is used, `n = round(fps / max_fps)` but
            at least 1; every frame, if None.
        psnr: `"frame"`, the mean PSNR of frames; or `"clip"`, the PSNR of the mean
            square error of the clip.
        psnr_limit: float. The maximum PSNR of a frame or clip, in dB.
        ssim: `"gaussian"` or `"uniform"`, the window. See `keras_regen.metrics.ssim`.
        fvd_resize: how frames become 224x224 for the Frechet video distance:
            `"stretch"`, or `"crop"`, the centre after the shorter side is resized.
        changed: tuple of str. The arguments that `override` changed.
    """

    name: str
    short_side: int
    crop: tuple[int, int] | None
    enlarge: bool
    resize: Literal["bilinear", "lanczos"]
    num_frames: int
    which_clips: Literal["consecutive", "first"]
    short: Literal["drop", "repeat", "keep"]
    max_fps: float | None
    psnr: Literal["frame", "clip"]
    psnr_limit: float
    ssim: Literal["gaussian", "uniform"]
    fvd_resize: Literal["stretch", "crop"]
    changed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field, choices in CHOICES.items():
            value = getattr(self, field)
            if value not in choices:
                raise ValueError(
                    f"`{field}` must be one of {', '.join(choices)}. "
                    f"Received: {field}={value!r}"
                )
        sides = (self.num_frames, self.short_side, *(self.crop or (1, 1)))
        if not all(isinstance(side, int) and side > 0 for side in sides):
            raise ValueError(
                "`num_frames` and sizes must be ints above 0. Received: "
                f"num_frames={self.num_frames}, short_side={self.short_side}, "
                f"crop={self.crop}"
            )

    def override(
        self, size: int | tuple[int, int] | None = None, num_frames: int | None = None
    ) -> "Protocol":
        """Returns the protocol with another size or length of clips.

        Args:
            size: int or pair of ints (height, width). Frames are resized to cover it
                and cropped, and small frames are enlarged. Defaults to no change.
            num_frames: int. Defaults to no change.

        Returns:
            `Protocol` whose `changed` lists the changes; this one without changes.
        """
        values: dict[str, Any] = {}
        if size is not None:
            crop = (size, size) if isinstance(size, int) else tuple(size)
            values = {"short_side": min(crop), "crop": crop, "enlarge": True}
        if num_frames is not None:
            values["num_frames"] = num_frames
        values = {k: v for k, v in values.items() if v != getattr(self, k)}
        if not values:
            return self
        changed = tuple(sorted({*self.changed, *values}))
        return dataclasses.replace(self, **values, changed=changed)

    def to_dict(self) -> dict[str, Any]:
        """Returns the protocol as a dict for JSON, to store with scores."""
        return dataclasses.asdict(self)

    def clips(
        self, path: StrPath, fps: float | None = None, max_clips: int | None = None
    ) -> ProtocolClips:
        """Reads the clips of a video, with one clip in memory.

        Args:
            path: path of a video for `keras_regen.video.VideoReader`.
            fps: see `ProtocolClips`.
            max_clips: see `ProtocolClips`.

        Returns:
            `ProtocolClips`, an iterable of uint8 arrays of shape `(T, H, W, 3)`. It
            counts clips, repeated frames and dropped frames.
        """
        return ProtocolClips(self, path, fps, max_clips)

    def scores(self, reference: np.ndarray, video: np.ndarray) -> dict[str, float]:
        """Scores a clip.

        Args:
            reference: uint8 array of shape `(T, H, W, 3)`.
            video: array of the same shape, uint8 or float in [-1, 1]. Floats are
                rounded to 256 levels.

        Returns:
            Dict of floats: `psnr` in dB, `ssim` and, with two frames or more,
            `temporal_consistency` in dB, with the limit of PSNR.
        """
        video = to_uint8(np.asarray(video))
        scores = {
            "psnr": self._limited(psnr(reference, video, per=self.psnr)),
            "ssim": float(ssim(reference, video, window=self.ssim).mean()),
        }
        if len(video) > 1:
            changes = temporal_consistency(reference, video)
            scores["temporal_consistency"] = self._limited(changes)
        return scores

    def _limited(self, decibels):
        return float(np.minimum(decibels, self.psnr_limit).mean())


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="regen",
            short_side=512,
            crop=(512, 512),
            enlarge=True,
            resize="lanczos",
            num_frames=33,
            which_clips="consecutive",
            short="drop",
            max_fps=None,
            psnr="frame",
            # A pair of equal frames would outweigh many others.
            psnr_limit=60.0,
            ssim="gaussian",
            fvd_resize="stretch",
        ),
        Protocol(
            name="vidtok",
            short_side=256,
            crop=(256, 256),
            enlarge=True,
            resize="bilinear",
            num_frames=17,
            which_clips="consecutive",
            short="repeat",
            max_fps=30.0,
            psnr="frame",
            psnr_limit=80.0,
            ssim="gaussian",
            fvd_resize="stretch",
        ),
        Protocol(
            name="tokenbench",
            short_side=1080,
            crop=None,
            enlarge=False,
            resize="lanczos",
            num_frames=300,
            which_clips="first",
            short="keep",
            max_fps=None,
            psnr="clip",
            # 20 log10(255 / eps), with eps of float32.
            psnr_limit=186.6,
            ssim="uniform",
            fvd_resize="crop",
        ),
    )
}


def get_protocol(name: str) -> Protocol:
    """Returns a protocol by name: `"regen"`, `"vidtok"` or `"tokenbench"`.

    Raises:
        ValueError: if there is no such protocol.

    Example:

    >>> protocol = get_protocol("vidtok").override(size=128)
    >>> protocol.crop, protocol.num_frames, protocol.changed
    ((128, 128), 17, ('crop', 'short_side'))
    """
    if name not in PROTOCOLS:
        raise ValueError(
            f"`name` must be one of {', '.join(PROTOCOLS)}. Received: name={name!r}"
        )
    return PROTOCOLS[name]
