"""What the page does with a clip."""

import dataclasses
import fractions
import itertools
import math
import pathlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from keras_regen.checks import check_real, check_whole
from keras_regen.codec import VideoCodec
from keras_regen.generation import VideoGenerator
from keras_regen.latents import Latents
from keras_regen.metrics import psnr, ssim
from keras_regen.models import bundled_presets, load_model, preset_metadata
from keras_regen.pixels import to_uint8
from keras_regen.video import VideoReader, VideoWriter

# H.264 that every browser plays has sides that are even.
_EVEN = 2
# Slow motion and texts may generate any number of frames: this many take minutes on a
# CPU.
_MAX_FRAMES = 600
# More frames a second than this are cut off together with what exceeds `max_seconds`.
_MAX_FPS = 60

# Called with numbers of frames, done and in total, and what is done with them.
Progress = Callable[[int, int | None, str], Any]


@dataclasses.dataclass(frozen=True)
class Regenerated:
    """A clip, its latents and what was generated from them.

    Args:
        original: path of the part of the clip that was used, an `.mp4`.
        decoded: path of what was generated from the latents, an `.mp4`.
        latents: path of the latents, an `.h5`.
        psnr: float. Mean PSNR of the frames, in dB.
        ssim: float. Mean SSIM of the frames.
        latent_shape: tuple of int.
        video_shape: tuple of int: frames, rows, columns and channels.
        fps: float. Frames per second.
        note: str. What was cut off or resized, as a sentence; or empty.
    """

    original: pathlib.Path
    decoded: pathlib.Path
    latents: pathlib.Path
    psnr: float
    ssim: float
    latent_shape: tuple[int, ...]
    video_shape: tuple[int, ...]
    fps: float
    note: str

    @property
    def num_latent_values(self) -> int:
        return math.prod(self.latent_shape)

    @property
    def num_pixel_values(self) -> int:
        return math.prod(self.video_shape)


class Regenerator:
    """Re-generates clips with presets, each of which is loaded once.

    It works on one clip at a time. Clips are cut and made smaller, so that one visitor
    cannot keep the others waiting.

    Args:
        presets: sequence of at least one preset, see `models.load_model`, which are
            loaded at once. The bundled ones are offered too, and loaded when they are
            used.
        max_seconds: float, more than 0. The longest part of a clip that is used: its
            start. Defaults to `5`.
        max_side: int, at least 16. The longest side of frames, in pixels: larger ones
            are made smaller. Defaults to `448`.
        max_memory: see `VideoCodec`.
        dtype: dtype policy to compute under. Defaults to the global policy.

    Attributes:
        presets: list of str. All presets that are offered.
        generators: list of str. The bundled generators, loaded when they are used.

    Raises:
        ValueError: if an argument is not as above, or a preset cannot be loaded.
    """

    def __init__(
        self,
        presets: Sequence[str],
        max_seconds: float = 5.0,
        max_side: int = 448,
        max_memory: int | str | None = None,
        dtype: str | None = None,
    ) -> None:
        check_real(0.1, 3600, max_seconds=max_seconds)
        check_real(16, 8192, max_side=max_side)
        self.presets = list(dict.fromkeys([*map(str, presets), *bundled_presets()]))
        self.max_seconds = max_seconds
        self.max_side = max_side
        self.max_memory = max_memory
        self.dtype = dtype
        self.generators = bundled_presets("generator")
        self._codecs: dict[str, VideoCodec] = {}
        self._generators: dict[str, VideoGenerator] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        for preset in presets:
            self.codec(preset)

    def codec(self, preset: str) -> VideoCodec:
        """Returns the `VideoCodec` of a preset that is offered, loaded once."""
        if preset not in self.presets:
            # What a browser sends must not name files on this machine.
            raise ValueError(
                f"The presets are {', '.join(self.presets)}. Received: preset={preset}"
            )
        if preset not in self._codecs:
            model = load_model(preset, dtype=self.dtype)
            self._codecs[preset] = VideoCodec(model, max_memory=self.max_memory)
        return self._codecs[preset]

    def regenerate(
        self,
        video: str | pathlib.Path,
        folder: str | pathlib.Path,
        preset: str | None = None,
        num_steps: int = 1,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Regenerated:
        """Encodes the start of a clip, and generates it again from its latents.

        Args:
            video: path of a video, see `video.VideoReader`.
            folder: path of a directory to write the files to.
            preset: str. One of `presets`. Defaults to the first.
            num_steps: int. Sampling steps. Defaults to `1`.
            seed: int. Seed of the noise canvas. Defaults to `0`.
            progress: callable or None. Called as `progress(done, total, what)` with
                numbers of frames and a word for what is done with them.

        Returns:
            `Regenerated`.

        Raises:
            ValueError: if an argument is not as above, or the video cannot be read.
        """
        with self._lock:
            return self._regenerate(video, folder, preset, num_steps, seed, progress)

    def _regenerate(self, video, folder, preset, num_steps, seed, progress):
        codec = self.codec(preset or self.presets[0])
        stem, folder = pathlib.Path(video).stem, pathlib.Path(folder)
        frames, fps, shown, note = self._read(video)
        encoded = codec.encode(
            frames, fps=fps, progress=self._report(progress, "Encoding")
        )
        path = folder / f"{stem}.h5"
        dataclasses.replace(encoded, **shown).save(path)
        # As others will find them, in half precision.
        latents = Latents.load(path)
        decoded = codec.decode(
            latents,
            num_steps=num_steps,
            seed=seed,
            progress=self._report(progress, "Generating"),
        )
        return Regenerated(
            original=_write(folder / f"{stem}_original.mp4", frames, latents),
            decoded=_write(folder / f"{stem}_regen.mp4", decoded, latents),
            latents=path,
            psnr=float(np.mean(psnr(frames, decoded))),
            ssim=float(np.mean(ssim(frames, decoded))),
            latent_shape=tuple(latents.array.shape),
            video_shape=frames.shape,
            fps=fps,
            note=note,
        )

    def slow_motion(
        self,
        path: str | pathlib.Path,
        output: str | pathlib.Path,
        preset: str | None = None,
        speed: float = 0.25,
        fps: float | None = None,
        num_steps: int = 1,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> str:
        """Generates a clip at another speed or frame rate from its latents.

        Args:
            path: path of the latents, as `Regenerated.latents`.
            output: path of the `.mp4` to write.
            preset: as for `regenerate`.
            speed: float. How much faster than the clip to play. Defaults to `0.25`.
            fps: float or None. Frames per second. Defaults to the clip's.
            num_steps: as for `regenerate`.
            seed: as for `regenerate`.
            progress: as for `regenerate`.

        Returns:
            str: what is shown, as a sentence. It is the start of the clip, if the whole
            would have too many frames.

        Raises:
            ValueError: if an argument is not as above.
        """
        check_real(0.01, 16, speed=speed)
        latents = Latents.load(path)
        rate = latents.fps if fps is None else fps
        check_real(1, 240, fps=rate)
        frames = len(latents)
        max_frames = max(1, int(_MAX_FRAMES * speed * latents.fps / rate))
        with self._lock:
            self.codec(preset or self.presets[0]).decode(
                latents[:max_frames],
                output,
                fps=fps,
                speed=speed,
                num_steps=num_steps,
                seed=seed,
                progress=self._report(progress, "Frames in between"),
            )
        seconds = latents[:max_frames].duration
        shown = "" if max_frames >= frames else f" Of the first {seconds:.1f} s."
        return f"{speed:g} times the speed, {rate:g} frames/s.{shown}"

    def generator(self, preset: str) -> VideoGenerator:
        """Returns the `VideoGenerator` of a bundled preset, loaded once."""
        if preset not in self.generators:
            raise ValueError(
                f"The generators are {', '.join(self.generators)}. "
                f"Received: preset={preset}"
            )
        if preset not in self._generators:
            self._generators[preset] = VideoGenerator.from_preset(
                preset, dtype=self.dtype, max_memory=self.max_memory
            )
        return self._generators[preset]

    def examples(self, preset: str) -> list[str]:
        """Returns texts to try on a bundled generator, which its metadata lists."""
        return list(preset_metadata(preset).get("examples", []))

    def generate(
        self,
        prompt: str,
        output: str | pathlib.Path,
        preset: str,
        num_frames: int | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        """Generates a video from a text.

        Args:
            prompt: str.
            output: path of the `.mp4` to write.
            preset: str. One of `generators`.
            num_frames: int or None, at most 600. Defaults to the preset's.
            seed: see `VideoGenerator.generate`.
            progress: as for `regenerate`.

        Raises:
            ValueError: if an argument is not as above.
        """
        if num_frames is not None:
            check_whole(1, _MAX_FRAMES, num_frames=num_frames)
        with self._lock:
            self.generator(preset).generate(
                prompt,
                output,
                num_frames=num_frames,
                seed=seed,
                progress=self._report(progress, "Generating"),
            )

    def close(self) -> None:
        """Ends the work that is under way, and waits until it has ended.

        It ends at its next frames with a ValueError, as does what is asked for later.
        """
        self._closed.set()
        with self._lock:
            pass

    def _report(self, progress, what):
        """Returns the `progress` of a codec."""

        def report(done, total):
            if self._closed.is_set():
                raise ValueError("The page was closed. Received: close()")
            if progress is not None:
                progress(done, total, what)

        return report

    def _read(self, video):
        """Returns the frames of a clip that are used, their rate and a note.

        Returns:
            Tuple of the frames, their rate, a dict of what `Latents` have of how they
            are shown, and a note.
        """
        with VideoReader(video, partial=True) as reader:
            max_frames = max(1, int(self.max_seconds * min(reader.fps, _MAX_FPS)))
            size = self._fit(reader.height, reader.width)
            # One frame more shows whether anything is cut off.
            frames = [
                _resize(to_uint8(frame), *size)
                for frame in itertools.islice(reader, max_frames + 1)
            ]
            used = frames[:max_frames]
            times = reader.timestamps and reader.timestamps.between(0, len(used))
            aspect = reader.pixel_aspect.as_integer_ratio()
            shown = {"pixel_aspect": aspect, "times": times}
            notes = []
            if len(frames) > max_frames:
                seconds = max_frames / reader.fps if times is None else times[-1]
                notes.append(f"Only the first {seconds:.1f} s are used.")
            if size != (reader.height, reader.width):
                old, new = f"{reader.width}x{reader.height}", f"{size[1]}x{size[0]}"
                notes.append(f"Frames are resized from {old} to {new} pixels.")
            if reader.damage:
                notes.append(f"{reader.damage.capitalize()}.")
            return np.stack(used), reader.fps, shown, " ".join(notes)

    def _fit(self, height, width):
        """Returns the size to show frames of a size in: even, and not too large."""
        scale = min(1.0, self.max_side / max(height, width))
        return tuple(
            max(_EVEN, int(scale * side) // _EVEN * _EVEN) for side in (height, width)
        )


def _resize(frame, height, width):
    if frame.shape[:2] == (height, width):
        return frame
    image = Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _write(path, frames, latents):
    """Writes frames that are shown as those of their latents."""
    aspect = fractions.Fraction(*latents.pixel_aspect)
    with VideoWriter(path, latents.fps, aspect) as writer:
        for frame, shown in zip(frames, latents.shown, strict=True):
            writer.write(frame, *shown)
    return path
