"""Whole videos to latents and back: any length, any size, nothing lost."""

import collections
import contextlib
import dataclasses
import fractions
import itertools
import math
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike

from keras_regen.checks import check_whole, suggest_arguments
from keras_regen.codec.chunk_decoder import ChunkDecoder, DecodingPlan
from keras_regen.codec.chunk_encoder import ChunkEncoder, EncodingPlan
from keras_regen.codec.chunk_inverter import ChunkInverter, chunk_of, windows
from keras_regen.codec.frames import ChunkReader, VideoLike, open_frames
from keras_regen.codec.memory import waiting_frames
from keras_regen.codec.pipeline import (
    Prefetcher,
    capture_keras_scope,
    counted,
    write_in_thread,
)
from keras_regen.codec.stitcher import decoded_frames
from keras_regen.codec.stored_noise import check_noise, sampling_of, tile_size_of
from keras_regen.codec.timeline import LatentsLike, Timeline
from keras_regen.diffusion import DEFAULT_SCHEDULE, Sampling, ScheduleName
from keras_regen.latents import (
    ChunkLayout,
    InvertedNoise,
    Latents,
    LatentsWriter,
    as_latents,
)
from keras_regen.models import ConvAutoencoder, Regen
from keras_regen.pixels import SPATIAL_COMPRESSION as PATCH
from keras_regen.pixels import latent_size
from keras_regen.sizes import parse_memory
from keras_regen.types import Chunking, LatentsDtype, StrPath
from keras_regen.video import Sound, VideoWriter, warn_without_sound
from keras_regen.weights_digest import weights_digest

# Called with the numbers of frames that are done and, once it is known, of all.
Progress: TypeAlias = Callable[[int, int | None], object]

# More extrapolated frames hide a seam better, but each further frame is less exact.
_BLEND_FRAMES = 2
_MIN_TILE = 4 * PATCH
_MAX_WHOLE = 2**31
# As a part of a frame rate. 24 and 23.976 frames/s, which sound cannot follow, differ
# by twice as much.
_RATE_TOLERANCE = 5e-4


class VideoCodec:
    """Encodes and decodes whole videos, in memory that does not grow with their length.

    A video is cut into chunks of k + 1 frames. The last chunk is padded with the last
    frame, and the sides with edge pixels up to multiples of 8. Decoding crops the
    padding, so every video keeps its number of frames, size and dtype. Where two chunks
    meet, both extrapolate across the boundary and one fades into the other. Large
    frames are decoded in overlapping tiles. The pixels of a chunk or tile do not depend
    on what is decoded together with it.

    Args:
        model: a `Regen`, or a `ConvAutoencoder`, which does not extrapolate.
        chunking: `"disjoint"`, or `"shared"`: neighbouring chunks have a frame in
            common, so there are more latents for a video. Defaults to `"disjoint"`.
        blend_frames: int or None. Frames that a chunk extrapolates on either side; with
            0 the video cuts from chunk to chunk. Defaults to 2, or as many as k allows.
        tile_size: int or None. The longest side of a decoded tile in pixels, a multiple
            of 8, at least 32. Defaults to 128, or less to fit into `max_memory`.
        max_memory: int, str or None. Bytes for tensors and frames, such as `2e9` or
            `"2GB"`; the weights and the backend itself come on top. Defaults to 2 GB
            plus the frames of one chunk in float32, which must be no more than half of
            the machine's memory.
        batch_size: int or None. Tiles to decode together. Defaults to as many as fit
            into `max_memory`, up to four chunks.

    Raises:
        TypeError: if the model is the name or the path of one.
        ValueError: if an argument is not as above.

    Example:

    >>> regen = keras_regen.Regen.from_architecture("tiny", temporal_compression=4)
    >>> codec = VideoCodec(regen)
    >>> latents = codec.encode(np.zeros((7, 17, 9, 3), "uint8"))
    >>> latents.array.shape
    (4, 3, 2, 8)
    >>> video = codec.decode(latents)
    >>> video.shape, video.dtype
    ((7, 17, 9, 3), dtype('uint8'))
    """

    def __init__(
        self,
        model: Regen | ConvAutoencoder,
        chunking: Chunking = "disjoint",
        blend_frames: int | None = None,
        tile_size: int | None = None,
        max_memory: str | float | None = None,
        batch_size: int | None = None,
    ) -> None:
        if isinstance(model, str | pathlib.Path):
            raise TypeError(
                "A codec is made of a model: `VideoCodec(Regen.from_preset(name))`. "
                f"Received: model={str(model)!r}"
            )
        if tile_size is not None:
            check_whole(1, _MAX_WHOLE, tile_size=tile_size)
        if tile_size is not None and (tile_size < _MIN_TILE or tile_size % PATCH):
            raise ValueError(
                f"`tile_size` must be a multiple of {PATCH} pixels, at least "
                f"{_MIN_TILE}. Received: tile_size={tile_size}"
            )
        if batch_size is not None:
            check_whole(1, math.inf, batch_size=batch_size)
        if blend_frames and not model.is_generative:
            raise ValueError(
                "The model cannot extrapolate: `blend_frames` must be 0. "
                f"Received: blend_frames={blend_frames}"
            )
        self.model = model
        self.chunking = chunking
        self.blend_frames = blend_frames
        self.tile_size = tile_size
        self.max_memory = None if max_memory is None else parse_memory(max_memory)
        self.batch_size = batch_size
        # Raises ValueError for an invalid chunking or number of frames.
        self._layout(chunking)
        # Set while the weights are known to stay.
        self._encoder_id: str | None = None

    def __repr__(self) -> str:
        model = self.model
        return (
            f"VideoCodec({type(model).__name__}, k={model.temporal_compression}, "
            f"latents (2n, H/{PATCH}, W/{PATCH}, {model.encoder.latent_channels}), "
            f"preset={model.preset!r}, chunking={self.chunking!r})"
        )

    # === Encoding ===

    @suggest_arguments
    def encode(
        self,
        video: VideoLike,
        output: StrPath | None = None,
        fps: float | None = None,
        progress: Progress | None = None,
        dtype: LatentsDtype = "float16",
    ) -> Latents:
        """Encodes a video.

        Args:
            video: a path, see `video.VideoReader`; a `VideoReader`; an array of shape
                `(T, H, W, 3)`; or an iterable of frames of shape `(H, W, 3)`. uint8, or
                float in [-1, 1]; T, H and W at least 1.
            output: path or None. Where to write the latents while they are encoded, see
                `Latents.save`. Defaults to keeping them in memory.
            fps: float or None. Frames per second. Defaults to the file's, or 25.
            progress: callable or None. Called as `progress(done, total)` with numbers
                of frames; the total is None while it is not known.
            dtype: `"float16"` or `"float32"`. How the output stores latents; in memory
                they are float32. Defaults to `"float16"`.

        Returns:
            `Latents`. With an output, they stay in the file, as with
            `Latents.load(lazy=True)`.

        Raises:
            ValueError: if the video is not as above, or a file cannot be read or
                written.
        """
        LatentsWriter.check_dtype(dtype)
        with open_frames(video, fps) as frames:
            pieces = counted(self._encoded(frames), progress, frames, len)
            return _collected(pieces, output, dtype, video)

    @suggest_arguments
    def encode_stream(
        self, video: VideoLike, fps: float | None = None
    ) -> Iterator[Latents]:
        """Encodes a video while its frames arrive.

        Frames of a file or an array are read ahead in a thread, which is idle whenever
        a piece is yielded. An iterable runs in the caller's thread, and no further than
        the chunks that are encoded together.

        Args:
            video: as for `encode`. A `VideoReader` must stay open while iterating.
            fps: as for `encode`.

        Yields:
            `Latents` of one chunk each, each starting where the last one ended.
            `Latents.join` joins them.

        Raises:
            ValueError: as `encode`, while iterating.
        """
        with open_frames(video, fps) as frames:
            for piece in self._encoded(frames):
                frames.settle()
                yield piece

    def _plan_encoding(self, frames):
        size = frames.height, frames.width
        return EncodingPlan.fit(self.model.encoder, *size, self.max_memory)

    def _encoded(self, frames, plan=None):
        """Yields the `Latents` of each chunk of `Frames`."""
        for latents, _ in self._encoded_chunks(frames, plan):
            yield latents

    def _encoded_chunks(self, frames, plan=None):
        """Yields the `Latents` of each chunk, and its pixels, until the next."""
        plan = plan or self._plan_encoding(frames)
        layout = self._layout(self.chunking)
        encoder, encoder_id = ChunkEncoder(self.model, plan), self.encoder_id
        frames.read_ahead(plan.chunks_at_once * plan.chunk_shape[0])
        reader = ChunkReader(frames, layout, plan.chunk_shape, plan.chunks_at_once)
        while (group := reader.read())[1]:
            chunks, spans = group
            for chunk, array, span in zip(chunks, encoder(chunks), spans, strict=True):
                yield (
                    Latents(
                        array,
                        num_frames=span.stop - span.start,
                        height=frames.height,
                        width=frames.width,
                        fps=frames.fps,
                        temporal_compression=layout.temporal_compression,
                        chunking=layout.chunking,
                        dtype=frames.dtype,
                        preset=self.model.preset,
                        encoder_id=encoder_id,
                        start=span.start,
                        first_chunk=span.number,
                        pixel_aspect=frames.pixel_aspect,
                        times=frames.times(span.start, span.stop),
                    ),
                    chunk,
                )

    @suggest_arguments
    def invert(
        self,
        video: VideoLike,
        latents: Latents | StrPath | None = None,
        output: StrPath | None = None,
        fps: float | None = None,
        num_steps: int = 20,
        refinements: int = 2,
        progress: Progress | None = None,
        dtype: LatentsDtype = "float16",
        schedule: ScheduleName = DEFAULT_SCHEDULE,
    ) -> Latents:
        """Encodes a video, and finds the noise that re-generates it.

        Decoding the result gives the video back, nearly exactly; see `Regen.invert`.
        The noise has about as many values as the video, and more where chunks and tiles
        overlap: it serves to edit, not to compress. A chunk takes `num_steps * (1 +
        refinements)` calls of the decoder.

        Args:
            video: as for `encode`.
            latents: `Latents` of the video, the path of their file, or None. Defaults
                to those that are encoded.
            output: as for `encode`.
            fps: as for `encode`.
            num_steps: int. Sampling steps, as many as `decode` will take. Defaults to
                `20`.
            refinements: int, 0 or more. Iterations to make each step exact. Defaults to
                `2`.
            progress: as for `encode`.
            dtype: `"float16"` or `"float32"`. What latents and noise are rounded to,
                before the noise is found. Defaults to `"float16"`.
            schedule: as for `decode`.

        Returns:
            `Latents` with `noise`. With an output, they stay in the file.

        Raises:
            ValueError: if the model has no noise, the latents are not of this model and
                chunking, or as `encode`.
        """
        if not self.model.is_generative:
            raise ValueError(
                "A model with a conventional decoder has no noise to find. "
                f"Received: a codec of a {type(self.model).__name__}"
            )
        LatentsWriter.check_dtype(dtype)
        if latents is not None:
            latents = as_latents(latents)
            self._check_model(dataclasses.replace(latents, noise=None))
            if latents.chunking != self.chunking:
                raise ValueError(
                    f"The latents must have the codec's chunking, {self.chunking!r}. "
                    f"Received: chunking={latents.chunking!r}"
                )
        with open_frames(video, fps) as frames:
            options = num_steps, refinements, schedule
            pieces = self._inverted(frames, latents, np.dtype(dtype), options)
            pieces = counted(pieces, progress, frames, len)
            return _collected(pieces, output, dtype, video)

    def _inverted(self, frames, latents, dtype, options):
        """Yields the `Latents` of each chunk of `Frames`, with noise."""
        num_steps, _, schedule = options
        layout = self._layout(self.chunking)
        plan = self._fit_decoding(layout, frames, layout.decoded_frames, "float32")
        invert = ChunkInverter(self.model, plan, layout, *options)
        settings = (
            layout.blend_frames,
            PATCH * plan.tiling.size,
            num_steps,
            schedule,
            self.decoder_id,
        )
        for piece, window in windows(self._encoded_chunks(frames), layout):
            array = piece.array if latents is None else chunk_of(latents, piece)
            # What will be stored, or the noise would be that of other latents.
            array = np.asarray(array).astype(dtype).astype("float32")
            noise = invert(array, window)[None].astype(dtype)
            noise = InvertedNoise(noise, *settings)
            yield dataclasses.replace(piece, array=array, noise=noise)

    # === Decoding ===

    @overload
    def decode(
        self,
        latents: LatentsLike,
        output: None = None,
        fps: float | None = None,
        speed: float = 1.0,
        times: ArrayLike | None = None,
        num_steps: int | None = None,
        seed: int = 0,
        noise_scale: float = 1.0,
        progress: Progress | None = None,
        audio_from: StrPath | None = None,
        schedule: ScheduleName = DEFAULT_SCHEDULE,
    ) -> np.ndarray: ...

    @overload
    def decode(
        self,
        latents: LatentsLike,
        output: StrPath,
        fps: float | None = None,
        speed: float = 1.0,
        times: ArrayLike | None = None,
        num_steps: int | None = None,
        seed: int = 0,
        noise_scale: float = 1.0,
        progress: Progress | None = None,
        audio_from: StrPath | None = None,
        schedule: ScheduleName = DEFAULT_SCHEDULE,
    ) -> pathlib.Path: ...

    @suggest_arguments
    def decode(
        self,
        latents: LatentsLike,
        output: StrPath | None = None,
        fps: float | None = None,
        speed: float = 1.0,
        times: ArrayLike | None = None,
        num_steps: int | None = None,
        seed: int = 0,
        noise_scale: float = 1.0,
        progress: Progress | None = None,
        audio_from: StrPath | None = None,
        schedule: ScheduleName = DEFAULT_SCHEDULE,
    ) -> np.ndarray | pathlib.Path:
        """Decodes the latents of a video.

        Latents with noise, as `invert` returns them, decode to the video that was
        inverted, nearly exactly. `dataclasses.replace(latents, noise=None)` has none.

        Args:
            latents: `Latents`, the path of their file, or an iterable of consecutive
                `Latents` as `encode_stream` yields them.
            output: path or None. Where to write the video, see `video.VideoWriter`.
                Defaults to keeping it in memory.
            fps: float or None. Frames per second to decode at: the model generates the
                frames in between. By default every frame is written at its own time,
                also where the frame rate varies.
            speed: float. How much faster than the video to play: 0.25 is slow motion,
                with three generated frames between two. Defaults to `1`.
            times: ascending float array or None. Instead of both: the times to decode,
                in frames from the first of `latents`, 0 or more and less than
                `len(latents)`. They are played at the video's own rate.
            num_steps: int or None. Sampling steps. Defaults to `1`, or those that the
                noise of the latents was found with.
            seed: int. Seed of the noise canvas, which latents with noise do not use.
                Defaults to `0`.
            noise_scale: float. Standard deviation of the noise, 0 or more; 1 is what
                the model was trained with, and what latents with noise need. Defaults
                to `1`.
            progress: callable or None. Called as `progress(done, total)` with numbers
                of frames; the total is None while it is not known.
            audio_from: path or None. A file, such as the video that was encoded, of
                which the sound is copied into the output: the part that `latents`
                cover. At another speed, with `times`, or if the video of the file has
                another frame rate than `latents`, the sound is left out, and one line
                is logged. Defaults to None.
            schedule: `"uniform"` or `"log_snr"`. The times of the sampling steps, see
                `diffusion.sampling_time`. Defaults to `"log_snr"`; latents with noise
                keep theirs.

        Returns:
            Array of shape `(T, H, W, 3)` and the dtype of the video, or the path of the
            output.

        Raises:
            ValueError: if an argument is not as above, the latents are another model's,
                or a file cannot be read or written.
        """
        if audio_from is not None and output is None:
            raise ValueError(
                "Sound needs an `output` to be written to. "
                f"Received: audio_from={audio_from}"
            )
        timeline = Timeline(latents, fps, speed, times, keeps_times=output is not None)
        sampling = sampling_of(timeline.first, num_steps, seed, noise_scale, schedule)
        frames = self._decoded(timeline, sampling)
        frames = counted(frames, progress, timeline)
        if output is None:
            return np.stack([*frames])
        first = timeline.first
        sound = _sound(audio_from, first, speed, times)
        lag = waiting_frames(first.height, first.width)
        aspect = fractions.Fraction(*first.pixel_aspect)
        numbers = itertools.count()
        with VideoWriter(output, timeline.fps, aspect, sound) as writer:

            def write(frame):
                writer.write(frame, *timeline.shown_at(next(numbers)))

            write_in_thread(write, frames, lag)
        return pathlib.Path(output)

    @suggest_arguments
    def decode_stream(
        self,
        latents: LatentsLike,
        fps: float | None = None,
        speed: float = 1.0,
        times: ArrayLike | None = None,
        num_steps: int | None = None,
        seed: int = 0,
        noise_scale: float = 1.0,
        schedule: ScheduleName = DEFAULT_SCHEDULE,
    ) -> Iterator[np.ndarray]:
        """Decodes the latents of a video while they arrive.

        Mixing runs in a thread. Chunks of a file or of `Latents` are decoded
        ahead of the frames that are yielded. With an iterable nothing is held back: the
        frames of the chunks that are decoded together are yielded before the next
        chunks are taken.

        Args:
            latents: as for `decode`.
            fps: as for `decode`.
            speed: as for `decode`.
            times: as for `decode`.
            num_steps: as for `decode`.
            seed: as for `decode`.
            noise_scale: as for `decode`.
            schedule: as for `decode`.

        Returns:
            Iterator of frames, arrays of shape `(H, W, 3)` and the dtype of the video.

        Raises:
            ValueError: as `decode`.
        """
        timeline = Timeline(latents, fps, speed, times)
        sampling = sampling_of(timeline.first, num_steps, seed, noise_scale, schedule)
        return self._decoded(timeline, sampling)

    def _plan_decoding(self, timeline):
        first, noise = timeline.first, timeline.first.noise
        layout = self._layout(first.chunking, noise)
        max_frames = timeline.max_frames(layout)
        plan = self._fit_decoding(layout, first, max_frames, first.dtype, noise)
        if noise is not None:
            check_noise(noise, plan.tiling, layout)
        return plan

    def _fit_decoding(self, layout, like, max_frames, dtype, noise=None):
        return DecodingPlan.fit(
            self.model.decoder,
            layout,
            like.height,
            like.width,
            max_frames,
            dtype,
            self.max_memory,
            tile_size_of(noise, self.tile_size),
            self.batch_size,
        )

    def _decoded(self, timeline, sampling, plan=None):
        """Returns an iterator over the frames of a `Timeline`."""
        first = timeline.first
        if plan is None:
            self._check_model(first)
            plan = self._plan_decoding(timeline)
        layout = self._layout(first.chunking, first.noise)
        return decoded_frames(
            timeline,
            layout,
            ChunkDecoder(self.model, plan, sampling, layout.blend_frames),
            lag=0 if timeline.live else 1,
        )

    # === Both ===

    @suggest_arguments
    def reconstruct_stream(
        self,
        video: VideoLike,
        fps: float | None = None,
        num_steps: int = 1,
        seed: int = 0,
        noise_scale: float = 1.0,
        schedule: ScheduleName = DEFAULT_SCHEDULE,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Encodes and decodes a video while its frames arrive.

        Frames are read as by `encode_stream`. With an iterable nothing is held back.
        Otherwise a thread encodes the next chunks while these are decoded, if both
        together fit into `max_memory`.

        Args:
            video: as for `encode`.
            fps: as for `encode`.
            num_steps: as for `decode`.
            seed: as for `decode`.
            noise_scale: as for `decode`.
            schedule: as for `decode`.

        Yields:
            Pairs `(original, decoded)` of frames.

        Raises:
            ValueError: as `encode` and `decode`, while iterating.
        """
        originals: collections.deque[np.ndarray] = collections.deque()
        sampling = Sampling(num_steps, seed, noise_scale, schedule)
        with open_frames(video, fps, on_read=originals.append) as frames:
            encoding = self._plan_encoding(frames)
            pieces = Prefetcher(self._encoded(frames, encoding))
            timeline = Timeline(pieces, live=frames.live)
            decoding = self._plan_decoding(timeline)
            if not frames.live and encoding.memory <= decoding.memory_left:
                pieces.start(encoding.chunks_at_once, capture_keras_scope())
            decoded = self._decoded(timeline, sampling, decoding)
            with contextlib.closing(pieces), contextlib.closing(decoded):
                for frame in decoded:
                    pieces.wait()
                    frames.settle()
                    yield originals.popleft(), frame

    def latent_shape(
        self, num_frames: int, height: int, width: int
    ) -> tuple[int, int, int, int]:
        """Returns the shape of the latents of a video of this length and size.

        Raises:
            ValueError: if a number is not whole, or less than 1.
        """
        check_whole(1, _MAX_WHOLE, num_frames=num_frames, height=height, width=width)
        return (
            2 * self._layout(self.chunking).count(num_frames),
            *latent_size(height, width),
            self.model.encoder.latent_channels,
        )

    @property
    def encoder_id(self) -> str:
        """The label of the latents that it encodes: `VideoEncoder.fingerprint()`.

        Of the weights of this moment, which training may change: 5 ns for each of them.
        """
        return self._encoder_id or self.model.encoder.fingerprint()

    @contextlib.contextmanager
    def fixed_weights(self) -> Iterator[None]:
        """A context in which the weights do not change, for many short videos.

        `encoder_id` is computed once for it, which else every call does.
        """
        before, self._encoder_id = self._encoder_id, self.encoder_id
        try:
            yield
        finally:
            self._encoder_id = before

    @property
    def decoder_id(self) -> str:
        """The label of the noise that it finds: 16 digits of the decoder's weights."""
        return weights_digest(self.model.decoder.get_weights())[:16]

    @property
    def layout(self) -> ChunkLayout:
        """How it cuts a video into chunks, and fades them."""
        return self._layout(self.chunking)

    def _layout(self, chunking, noise=None):
        k = self.model.temporal_compression
        if noise is not None:
            return ChunkLayout(k, chunking, noise.blend_frames)
        blend_frames = self.blend_frames
        if blend_frames is None and not self.model.is_generative:
            blend_frames = 0
        elif blend_frames is None:
            blend_frames = min(_BLEND_FRAMES, ChunkLayout.max_blend_frames(k, chunking))
        return ChunkLayout(k, chunking, blend_frames)

    def _check_model(self, latents):
        """Raises ValueError unless this model can decode the latents."""
        ours: dict[str, object] = {
            "temporal_compression": self.model.temporal_compression,
            "latent_channels": self.model.encoder.latent_channels,
        }
        theirs = {
            "temporal_compression": latents.temporal_compression,
            "latent_channels": latents.array.shape[-1],
        }
        if latents.encoder_id is not None:
            ours["encoder_id"] = self.encoder_id
            theirs["encoder_id"] = latents.encoder_id
        if latents.noise is not None:
            ours["decoder_id"] = self.decoder_id
            theirs["decoder_id"] = latents.noise.decoder_id
        for name, value in theirs.items():
            if value != ours[name]:
                raise ValueError(
                    f"The latents are not this model's, whose {name} is {ours[name]}; "
                    f"they were encoded with the preset {latents.preset}. "
                    f"Received: {name}={value}"
                )


def _collected(pieces, output, dtype, video):
    """Returns consecutive `Latents` of a video as one: in memory, or in a file."""
    if output is None:
        return Latents.join(pieces)
    path = video if isinstance(video, str | os.PathLike) else None
    with LatentsWriter(output, dtype, path) as writer:
        write_in_thread(writer.write, pieces, lag=1)
    return Latents.load(output, lazy=True)


def _sound(path, latents, speed, times):
    """Returns the `Sound` of a file from where latents start, or None."""
    if path is None:
        return None
    if speed != 1 or times is not None:
        cause = f"speed={speed}" if times is None else "`times` are given"
        reason = f"it would not be in step, since {cause}"
    else:
        sound = Sound(path, start=float(latents.frame_times[0]))
        if not sound.streams:
            reason = f"{path} has none"
        # Latents of a variable rate hold the times of the file.
        elif latents.is_constant_rate and not math.isclose(
            latents.fps, sound.fps or latents.fps, rel_tol=_RATE_TOLERANCE
        ):
            reason = (
                f"it would not be in step, since the latents have {latents.fps:.5g} "
                f"frames/s and {path} has {sound.fps:.5g}"
            )
        else:
            return sound
        sound.close()
    warn_without_sound(reason)
    return None
