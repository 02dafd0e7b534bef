"""Whole videos: any length, any size, nothing lost."""

import collections
import contextlib
import itertools
import pathlib

import numpy as np

from keras_regen.codec.chunk_decoder import ChunkDecoder
from keras_regen.codec.chunk_encoder import ChunkEncoder
from keras_regen.codec.frames import ChunkReader, open_frames
from keras_regen.codec.memory import waiting_frames
from keras_regen.codec.pipeline import Prefetcher, capture_keras_scope, map_in_thread
from keras_regen.codec.stitcher import decoded_frames
from keras_regen.codec.timeline import Timeline
from keras_regen.diffusion import Sampling
from keras_regen.latents import ChunkLayout, Latents, LatentsWriter
from keras_regen.pixels import SPATIAL_COMPRESSION as PATCH
from keras_regen.sizes import parse_memory
from keras_regen.video import VideoWriter

# More frames extrapolated hide a seam better, and each of them is worth less.
BLEND_FRAMES = 2
MIN_TILE = 32


class VideoCodec:
    """Encodes and decodes whole videos, in memory that does not grow with their length.

    A video is cut into chunks of k + 1 frames. The last chunk is filled up with its
    last frame, and the sides with their edges up to multiples of 8; all of that is
    cropped away again, so every video comes back with its own number of frames, size
    and dtype. Where two chunks meet, both extrapolate across the boundary and one fades
    into the other; large frames are decoded in tiles that overlap. What a chunk or tile
    decodes to does not depend on what is decoded beside it.

    Args:
        model: a `Regen`, or a `ConvAutoencoder`, which does not extrapolate.
        chunking: `"disjoint"`, or `"shared"`: neighbouring chunks have a frame in
            common, so that one latent stands for fewer frames. Defaults to
            `"disjoint"`.
        blend_frames: int or None. Frames that a chunk extrapolates on either side; 0
            cuts from chunk to chunk. Defaults to 2, or as many as k allows.
        tile_size: int or None. The longest side of a decoded tile in pixels, a multiple
            of 8 from 32 up. Defaults to 128, or less to fit into `max_memory`.
        max_memory: int, str or None. Bytes for tensors and frames, beside the weights
            and the backend itself, such as `2e9` or `"2GB"`. Defaults to 2 GB beside
            the frames of one chunk, which are kept in float32.
        batch_size: int or None. Tiles that are decoded together. Defaults to what fits
            into `max_memory`, of four chunks at most.

    Raises:
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
        model,
        chunking="disjoint",
        blend_frames=None,
        tile_size=None,
        max_memory=None,
        batch_size=None,
    ):
        if tile_size is not None and (tile_size < MIN_TILE or tile_size % 8):
            raise ValueError(
                f"`tile_size` must be a multiple of 8 pixels, at least {MIN_TILE}. "
                f"Received: tile_size={tile_size}"
            )
        if batch_size is not None and batch_size < 1:
            raise ValueError(
                f"`batch_size` must be at least 1. Received: batch_size={batch_size}"
            )
        if blend_frames and not model.is_generative:
            raise ValueError(
                "The model decodes no frames beyond a chunk: `blend_frames` must be 0. "
                f"Received: blend_frames={blend_frames}"
            )
        self.model = model
        self.chunking = chunking
        self.blend_frames = blend_frames
        self.tile_size = tile_size
        self.max_memory = None if max_memory is None else parse_memory(max_memory)
        self.batch_size = batch_size
        # Raises for a chunking or blend that cannot be.
        self._layout(chunking)
        self._encoder_id = None

    # === Encoding ===

    def encode(self, video, output=None, fps=None, progress=None):
        """Encodes a video.

        Args:
            video: a path, see `video.VideoReader`; a `VideoReader`; an array of shape
                `(T, H, W, 3)`; or an iterable of frames of shape `(H, W, 3)`. uint8, or
                float in [-1, 1]; T, H and W from 1 up.
            output: path or None. Where to write the latents while they are encoded, as
                `Latents.save` does in float16. Defaults to keeping them in memory.
            fps: float or None. Frames per second. Defaults to the file's, or 25.
            progress: callable or None. Called as `progress(done, total)` with numbers
                of frames; the total is None where it is not known.

        Returns:
            `Latents`; with an output, those in the file, as `Latents.load(lazy=True)`.

        Raises:
            ValueError: if the video is not as above, or a file cannot be read or
                written.
        """
        with open_frames(video, fps) as frames:
            pieces = self._encoded(frames, progress)
            if output is None:
                return Latents.join(pieces)
            with (
                LatentsWriter(output) as writer,
                contextlib.closing(
                    map_in_thread(writer.write, pieces, lag=1)
                ) as written,
            ):
                with contextlib.closing(written):
                    for _ in written:
                        pass
        return Latents.load(output, lazy=True)

    def encode_stream(self, video, fps=None):
        """Encodes a video as its frames come.

        Frames of a file or an array are read ahead, in a thread, which is at rest
        whenever a piece is given out. An iterable is run in the caller's thread, and no
        further than the chunks that are encoded together.

        Args:
            video: as for `encode`.
            fps: as for `encode`.

        Returns:
            Iterator of `Latents`, one chunk each, each beginning where the last one
            ended. `Latents.join` makes one of them.

        Raises:
            ValueError: as `encode`, when it gets there.
        """
        with open_frames(video, fps) as frames:
            for piece in self._encoded(frames):
                frames.settle()
                yield piece

    def _encoded(self, frames, progress=None):
        layout = self._layout(self.chunking)
        first = next(frames.iterator)
        height, width, _ = first.shape
        encoder = self._encoder(height, width)
        frames.read_ahead(encoder.chunks_at_once * encoder.chunk_shape[0])
        reader = ChunkReader(
            itertools.chain([first], frames.iterator),
            layout,
            encoder.chunk_shape,
            "uint8" if first.dtype == "uint8" else "float32",
            encoder.chunks_at_once,
        )
        header = {
            "height": height,
            "width": width,
            "fps": frames.fps,
            "temporal_compression": layout.temporal_compression,
            "chunking": layout.kind,
            "dtype": str(first.dtype),
            "preset": self.model.preset,
            "encoder_id": self.encoder_id,
        }
        while (group := reader.read())[1]:
            chunks, spans = group
            for array, span in zip(encoder(chunks), spans, strict=True):
                yield Latents(
                    array,
                    **header,
                    num_frames=span.stop - span.start,
                    start=span.start,
                    first_chunk=span.number,
                )
                if progress:
                    progress(span.stop, frames.count)

    def _encoder(self, height, width):
        padded = [-(-size // PATCH) * PATCH for size in (height, width)]
        return ChunkEncoder(self.model.encoder, *padded, self.max_memory)

    # === Decoding ===

    def decode(
        self,
        latents,
        output=None,
        fps=None,
        speed=1.0,
        times=None,
        num_steps=1,
        seed=0,
        noise_scale=1.0,
        progress=None,
    ):
        """Decodes the latents of a video.

        Args:
            latents: `Latents`, the path of their file, or an iterable of consecutive
                `Latents` as `encode_stream` yields them.
            output: path or None. Where to write the video, see `video.VideoWriter`.
                Defaults to keeping it in memory.
            fps: float or None. Frames per second to decode at: the model makes frames
                at times in between. Defaults to the video's own.
            speed: float. How much faster than the video to play: 0.25 is slow motion,
                with three frames made between two. Defaults to `1`.
            times: ascending float array or None. Instead of both: the times to decode,
                in frames from the first of `latents`, 0 or more and less than
                `len(latents)`. They are played at the video's own rate.
            num_steps: int. Sampling steps. Defaults to `1`.
            seed: int. Seed of the noise canvas. Defaults to `0`.
            noise_scale: float. Standard deviation of the noise, 0 or more; 1 is what
                the model was trained with. Defaults to `1`.
            progress: callable or None. Called as `progress(done, total)` with numbers
                of frames; the total is None where it is not known.

        Returns:
            Array of shape `(T, H, W, 3)` and the dtype of the video, or the path of the
            output.

        Raises:
            ValueError: if an argument is not as above, the latents are another model's,
                or a file cannot be read or written.
        """
        timeline = Timeline(latents, fps, speed, times)
        frames = self._decoded(timeline, Sampling(num_steps, seed, noise_scale))

        def counted(frames):
            for done, frame in enumerate(frames, 1):
                yield frame
                if progress:
                    progress(done, timeline.count)

        if output is None:
            return np.stack([*counted(frames)])
        lag = waiting_frames(timeline.header.height, timeline.header.width)
        with (
            contextlib.closing(frames),
            VideoWriter(output, timeline.fps) as writer,
            contextlib.closing(
                map_in_thread(writer.write, counted(frames), lag)
            ) as written,
        ):
            with contextlib.closing(written):
                for _ in written:
                    pass
        return pathlib.Path(output)

    def decode_stream(
        self,
        latents,
        fps=None,
        speed=1.0,
        times=None,
        num_steps=1,
        seed=0,
        noise_scale=1.0,
    ):
        """Decodes the latents of a video as they come.

        Noise and mixing have threads of their own, and chunks of a file or of `Latents`
        are decoded before those before them are shown. Of an iterable nothing is held
        back: the chunks that are decoded together are shown before the next are taken.

        Args:
            latents: as for `decode`.
            fps: as for `decode`.
            speed: as for `decode`.
            times: as for `decode`.
            num_steps: as for `decode`.
            seed: as for `decode`.
            noise_scale: as for `decode`.

        Returns:
            Iterator of frames, arrays of shape `(H, W, 3)` and the dtype of the video.

        Raises:
            ValueError: as `decode`.
        """
        timeline = Timeline(latents, fps, speed, times)
        return self._decoded(timeline, Sampling(num_steps, seed, noise_scale))

    def _decoded(self, timeline, sampling):
        decoder = self._decoder(timeline, sampling)
        layout = self._layout(timeline.header.chunking)
        return decoded_frames(timeline, layout, decoder, lag=0 if timeline.live else 1)

    def _decoder(self, timeline, sampling):
        header = timeline.header
        self._check_model(header)
        layout = self._layout(header.chunking)
        # Passes of as many frames as are decoded at the video's own rate.
        num_frames = timeline.max_frames(layout)
        usual = layout.temporal_compression + 1 + 2 * layout.blend_frames
        passes = max(1, round(num_frames / usual))
        return ChunkDecoder(
            self.model,
            header.height,
            header.width,
            -(-num_frames // passes) * passes,
            passes,
            sampling,
            header.dtype,
            self.max_memory,
            self.tile_size and self.tile_size // PATCH,
            self.batch_size,
        )

    # === Both ===

    def reconstruct_stream(self, video, fps=None, num_steps=1, seed=0, noise_scale=1.0):
        """Encodes and decodes a video as its frames come.

        Frames are read as by `encode_stream`; of an iterable nothing is held back. Else
        the next chunks are encoded, in a thread, while these are decoded, where both
        together fit into `max_memory`.

        Args:
            video: as for `encode`.
            fps: as for `encode`.
            num_steps: as for `decode`.
            seed: as for `decode`.
            noise_scale: as for `decode`.

        Returns:
            Iterator of pairs `(original, decoded)` of frames.

        Raises:
            ValueError: as `encode` and `decode`, when it gets there.
        """
        originals, sampling = (
            collections.deque(),
            Sampling(num_steps, seed, noise_scale),
        )

        def kept(frames):
            for frame in frames:
                originals.append(frame)
                yield frame

        with open_frames(video, fps) as frames:
            frames.iterator = kept(frames.iterator)
            pieces = Prefetcher(self._encoded(frames))
            timeline = Timeline(pieces)
            decoder = self._decoder(timeline, sampling)
            encoder = self._encoder(timeline.header.height, timeline.header.width)
            if not frames.live and encoder.memory <= decoder.memory_left:
                pieces.begin(encoder.chunks_at_once, capture_keras_scope())
            decoded = decoded_frames(
                timeline,
                self._layout(self.chunking),
                decoder,
                lag=0 if frames.live else 1,
            )
            with contextlib.closing(pieces), contextlib.closing(decoded):
                for frame in decoded:
                    pieces.wait()
                    frames.settle()
                    yield originals.popleft(), frame

    def latent_shape(self, num_frames, height, width):
        """The shape of the latents of a video of so many frames and pixels."""
        return (
            2 * self._layout(self.chunking).count(num_frames),
            -(-height // PATCH),
            -(-width // PATCH),
            self.model.encoder.latent_channels,
        )

    @property
    def encoder_id(self):
        """What latents are labelled with: `VideoEncoder.fingerprint()`."""
        if self._encoder_id is None:
            self._encoder_id = self.model.encoder.fingerprint()
        return self._encoder_id

    def _layout(self, chunking):
        k = self.model.temporal_compression
        blend_frames = self.blend_frames
        if blend_frames is None and not self.model.is_generative:
            blend_frames = 0
        elif blend_frames is None:
            blend_frames = min(BLEND_FRAMES, ChunkLayout.max_blend_frames(k, chunking))
        return ChunkLayout(k, chunking, blend_frames)

    def _check_model(self, latents):
        """Raises ValueError unless this model can decode the latents."""
        ours = {
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
        for name, value in theirs.items():
            if value != ours[name]:
                raise ValueError(
                    f"The latents are not this model's, whose {name} is {ours[name]}; "
                    f"they were encoded with the preset {latents.preset}. "
                    f"Received: {name}={value}"
                )
