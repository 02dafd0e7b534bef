"""Texts, images and videos in, videos out."""

import contextlib
import dataclasses
import logging
import pathlib
from collections.abc import Callable, Generator, Mapping
from typing import Any, Literal, Self

import numpy as np

from keras_regen.checks import MAX_STEPS, check_whole, suggest_arguments
from keras_regen.codec import VideoCodec
from keras_regen.generation.conditions import read_condition
from keras_regen.generation.generation_defaults import GenerationDefaults
from keras_regen.generation.generator_export import GeneratorOptions, export_generator
from keras_regen.generation.given_source import GivenSource
from keras_regen.generation.latent_diffusion import LatentDiffusion
from keras_regen.generation.sampling_step import check_sampling
from keras_regen.latents import Latents
from keras_regen.models import (
    TEXT,
    absolute_preset,
    load_model,
    preset_directory,
    preset_metadata,
    save_preset,
)
from keras_regen.pixels import latent_size
from keras_regen.text import TextEmbeddings, TextEncoder, check_encoder
from keras_regen.types import StrPath, WeightsDtype
from keras_regen.video import VideoWriter

# Keys of a preset's metadata: the codec's preset, and what `GenerationDefaults` holds.
CODEC, DEFAULTS = "codec", "generation"
# How many times the pixels of the preset a video has without a warning.
_MAX_ENLARGEMENT = 4
logger = logging.getLogger("keras_regen")


class VideoGenerator:
    """Generates videos: from a text or a label, an image, a video or keyframes.

    A `LatentDiffusion` generates latents, and a `VideoCodec` decodes them, both some
    chunks at a time, so memory does not grow with the length of a video.

    Args:
        diffusion: a `LatentDiffusion`.
        codec: a `VideoCodec` of the encoder whose latents it was trained on.
        text_encoder: a `TextEncoder`, if the model has a text. Defaults to `None`.
        defaults: a `GenerationDefaults`. Defaults to its own defaults.

    Raises:
        ValueError: if the codec or the text encoder is another than the model's.

    Example:

    >>> generator = VideoGenerator.from_preset("digits_nano_8x8x8")
    >>> video = generator.generate("a red seven moves left", seed=2)
    >>> video.shape, video.dtype
    ((36, 64, 64, 3), dtype('uint8'))
    """

    def __init__(
        self,
        diffusion: LatentDiffusion,
        codec: VideoCodec,
        text_encoder: TextEncoder | None = None,
        defaults: GenerationDefaults | None = None,
    ) -> None:
        if text_encoder is not None:
            check_encoder(text_encoder)
        k = codec.model.temporal_compression
        if diffusion.temporal_compression != k:
            raise ValueError(
                f"The codec must have k = {diffusion.temporal_compression}. "
                f"Received: one of k = {k}, {codec!r}"
            )
        if diffusion.encoder_id not in (None, codec.encoder_id):
            raise ValueError(
                "The model generates latents of another codec, whose encoder_id is "
                f"{diffusion.encoder_id}. Received: encoder_id={codec.encoder_id}, "
                f"{codec!r}"
            )
        if codec.chunking != "disjoint":
            raise ValueError(
                "The codec of a generator must have disjoint chunks. "
                f"Received: chunking={codec.chunking!r}"
            )
        wanted = diffusion.text_encoder_id
        if text_encoder is not None and wanted not in (None, text_encoder.encoder_id):
            raise ValueError(
                "The model was trained with another text encoder, whose encoder_id is "
                f"{wanted}. Received: encoder_id={text_encoder.encoder_id}, "
                f"{text_encoder!r}"
            )
        self.diffusion = diffusion
        self.codec = codec
        self.text_encoder = text_encoder
        self.defaults = defaults or GenerationDefaults()

    # === Presets ===

    @classmethod
    @suggest_arguments
    def from_preset(
        cls,
        preset: StrPath,
        codec: VideoCodec | StrPath | None = None,
        text_encoder: TextEncoder | None = None,
        dtype: Any = None,
        max_memory: str | float | None = None,
    ) -> Self:
        """Loads a generator and its codec.

        Args:
            preset: the name of a bundled generator, a directory, `hf://user/name` or
                `hf://user/name@revision`.
            codec: a `VideoCodec`, or the preset of one. Defaults to the one that the
                preset names.
            text_encoder: a `TextEncoder`, which reads any text. Defaults to the
                embeddings of known texts in the preset, if it has some.
            dtype: dtype policy to run under. Defaults to the global policy.
            max_memory: as for `VideoCodec`.

        Raises:
            ValueError: if there is no such preset, it is damaged or names no codec.
        """
        diffusion = LatentDiffusion.from_preset(preset, dtype=dtype)
        metadata = preset_metadata(preset)
        if not isinstance(codec, VideoCodec):
            is_named = codec is None
            codec = metadata.get(CODEC) if is_named else codec
            if not isinstance(codec, str | pathlib.Path):
                raise ValueError(
                    f"The preset {str(preset)!r} names no codec: give one. "
                    f"Received: codec={codec!r}"
                )
            try:
                model = load_model(codec, dtype=dtype)
            except ValueError as error:
                if not is_named:
                    raise
                raise ValueError(
                    f"The preset {str(preset)!r} names a codec that cannot be loaded: "
                    f"give its place as `codec`. {error}"
                ) from error
            codec = VideoCodec(model, max_memory=max_memory)
        texts = preset_directory(preset) / TEXT
        if text_encoder is None and texts.is_file():
            text_encoder = TextEmbeddings.load(texts)
        values = metadata.get(DEFAULTS, {})
        try:
            defaults = GenerationDefaults(**values)
        except TypeError as error:
            raise ValueError(
                f"The preset {str(preset)!r} has unknown defaults: {error}. "
                f"Received: {DEFAULTS}={values!r}"
            ) from error
        return cls(diffusion, codec, text_encoder, defaults)

    @suggest_arguments
    def save_to_preset(
        self,
        directory: StrPath,
        metadata: Mapping[str, Any] | None = None,
        dtype: Literal["float32", "float16", "int8"] = "float32",
        overwrite: bool = True,
    ) -> None:
        """Writes the generator, the name of its codec and the embeddings of its texts.

        A codec that is in no preset, or was trained since it was loaded, has no name:
        save it to one of its own, and give that to `from_preset`.

        Args:
            directory: as for `LatentDiffusion.save_to_preset`.
            metadata: as for `LatentDiffusion.save_to_preset`.
            dtype: as for `LatentDiffusion.save_to_preset`.
            overwrite: as for `LatentDiffusion.save_to_preset`.

        Raises:
            ValueError: as `LatentDiffusion.save_to_preset`.
        """
        values = dataclasses.asdict(self.defaults)
        named = {CODEC: absolute_preset(self.codec.model.preset), DEFAULTS: values}
        encoder = self.text_encoder
        save_preset(
            self.diffusion,
            directory,
            {**(metadata or {}), **named},
            dtype,
            overwrite,
            texts=encoder if isinstance(encoder, TextEmbeddings) else None,
        )

    @suggest_arguments
    def export(
        self,
        path: StrPath,
        num_frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        num_steps: int | None = None,
        time_shift: float = 1.0,
        decoding_steps: int = 1,
        weights: WeightsDtype = "float32",
        max_pixels: int = 2**22,
        max_tokens: int = 256,
        warmup: bool = True,
    ) -> None:
        """Writes a SavedModel for TF Serving, with the codec.

        Its signature `generate` takes a text or a label, seeds and guidances, and
        returns what `generate` does, in uint8. `docs/serving.md` has all signatures.
        The arguments are fixed in the model. On JAX and PyTorch, a process with
        TensorFlow writes it.

        Args:
            path: path of a directory, new or empty; for TF Serving with a version
                number as its name, such as `serving/1`.
            num_frames: int or None. Frames of a video, at most those of a window of
                chunks. Defaults to the preset's.
            height: int or None. Rows, in pixels. Defaults to the preset's.
            width: int or None. Columns, in pixels. Defaults to the preset's.
            num_steps: int or None. Sampling steps. Defaults to the preset's.
            time_shift: float. See `LatentDiffusion.generate`. Defaults to `1`.
            decoding_steps: int. Sampling steps of the codec. Defaults to `1`.
            weights: `"float32"`, `"bfloat16"` or `"int8"`. How weights are stored, see
                `Regen.export`. Defaults to `"float32"`.
            max_pixels: int. The limit of pixels in a request, over all its videos and
                frames. Defaults to `2**22`.
            max_tokens: int. The limit of tokens of a text. Defaults to `256`.
            warmup: bool. Whether TF Serving generates a video by each signature before
                it accepts requests; needs tensorflow-serving-api. Defaults to `True`.

        Raises:
            ValueError: if an argument is not as above or the directory is not empty.
            ImportError: if TensorFlow or what `warmup` needs is not installed.
        """
        defaults = self.defaults
        options = GeneratorOptions(
            defaults.num_frames if num_frames is None else num_frames,
            defaults.height if height is None else height,
            defaults.width if width is None else width,
            defaults.num_steps if num_steps is None else num_steps,
            time_shift,
            decoding_steps,
            weights,
            max_pixels,
            max_tokens,
            warmup,
        )
        export_generator(self, path, options)

    # === Generation ===

    @suggest_arguments
    def generate(
        self,
        prompt: str | None = None,
        output: StrPath | None = None,
        *,
        label: str | int | None = None,
        image: StrPath | np.ndarray | None = None,
        video: StrPath | np.ndarray | None = None,
        keyframes: StrPath | np.ndarray | None = None,
        num_frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        fps: float | None = None,
        num_steps: int | None = None,
        guidance: float | None = None,
        time_shift: float = 1.0,
        seed: int = 0,
        decoding_steps: int = 1,
        progress: Callable[[int, int | None], object] | None = None,
        callback: Callable[[int, int], object] | None = None,
    ) -> np.ndarray | pathlib.Path:
        """Generates a video.

        Args:
            prompt: str or None. A text, if the model has one. Defaults to `None`: the
                model without a text, which needs `guidance=1`.
            output: path or None. Where to write the video, see `video.VideoWriter`.
                Defaults to keeping it in memory.
            label: str, int or None. The name or number of a label, instead of a prompt,
                if the model has labels. A str is a number only if they have no names.
                Defaults to `None`: the model without a label.
            image: path, or array of shape `(H, W, 3)`: the first frame, uint8 or float
                in [-1, 1]. It is resized to another `height` and `width` and cropped
                around its centre, and so are a video and keyframes.
            video: path, or array of shape `(T, H, W, 3)`: the video starts with its
                whole chunks of k + 1 frames, and goes on.
            keyframes: path of a directory of numbered images, or array of shape
                `(n, H, W, 3)`: the first frames of n chunks of k + 1 frames.
            num_frames: int or None. Frames of the video, those of `video` included.
                Defaults to the preset's, n chunks for keyframes, and for a video its
                own and the preset's.
            height: int or None. Rows, in pixels. Defaults to those of the image, video
                or keyframes, in their aspect ratio where `width` is given, or to the
                preset's. Many more pixels than the preset's are a warning in the log.
            width: int or None. Columns, in pixels. Defaults as `height`.
            fps: float or None. Frames per second. Defaults to the video's, or the
                preset's if it is an array.
            num_steps: int or None. Sampling steps. Defaults to the preset's.
            guidance: float or None. See `LatentDiffusion.generate`. Defaults to the
                preset's.
            time_shift: float. See `LatentDiffusion.generate`. Defaults to `1`.
            seed: int. Defaults to `0`.
            decoding_steps: int. Sampling steps of the codec. Defaults to `1`.
            progress: callable or None. Called as `progress(done, total)` with numbers
                of frames.
            callback: callable or None. Called after each sampling step of a window with
                the steps done and their number.

        Returns:
            uint8 array of shape `(num_frames, height, width, 3)`, or the path of the
            output.

        Raises:
            ValueError: if an argument is not as above, or does not fit the model.
        """
        # Before the time that sampling takes.
        check_whole(1, MAX_STEPS, decoding_steps=decoding_steps)
        if output is not None:
            VideoWriter.check(output)
        pieces, total = self._start(
            prompt,
            label=label,
            image=image,
            video=video,
            keyframes=keyframes,
            num_frames=num_frames,
            height=height,
            width=width,
            fps=fps,
            num_steps=num_steps,
            guidance=guidance,
            time_shift=time_shift,
            seed=seed,
            callback=callback,
        )
        with contextlib.closing(pieces):
            return self.codec.decode(
                pieces,
                output,
                num_steps=decoding_steps,
                seed=seed,
                # The codec does not know how many pieces will come.
                progress=progress and (lambda done, _: progress(done, total)),
            )

    def generate_latents(
        self,
        prompt: str | None = None,
        *,
        label: str | int | None = None,
        image: StrPath | np.ndarray | None = None,
        video: StrPath | np.ndarray | None = None,
        keyframes: StrPath | np.ndarray | None = None,
        num_frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        fps: float | None = None,
        num_steps: int | None = None,
        guidance: float | None = None,
        time_shift: float = 1.0,
        seed: int = 0,
        callback: Callable[[int, int], object] | None = None,
    ) -> Generator[Latents, None, None]:
        """Generates the latents of a video, some chunks at a time.

        Args:
            prompt: as for `generate`, and so are the others.

        Yields:
            `Latents` of new chunks, for `VideoCodec.decode_stream`, or for
            `Latents.join`.

        Raises:
            ValueError: as `generate`.
        """
        pieces, _ = self._start(
            prompt,
            label=label,
            image=image,
            video=video,
            keyframes=keyframes,
            num_frames=num_frames,
            height=height,
            width=width,
            fps=fps,
            num_steps=num_steps,
            guidance=guidance,
            time_shift=time_shift,
            seed=seed,
            callback=callback,
        )
        return pieces

    def _start(
        self,
        prompt,
        *,
        label,
        image,
        video,
        keyframes,
        num_frames,
        height,
        width,
        fps,
        num_steps,
        guidance,
        time_shift,
        seed,
        callback,
    ):
        """Returns what `generate_latents` does, and the number of frames."""
        defaults = self.defaults
        # What is cheap to check comes before what takes time.
        sizes = {"num_frames": num_frames, "height": height, "width": width}
        check_whole(1, 2**30, **{name: n for name, n in sizes.items() if n is not None})
        num_steps = defaults.num_steps if num_steps is None else num_steps
        if guidance is None:
            # Without a text or label there is nothing to go towards.
            guidance = defaults.guidance if prompt or label is not None else 1.0
        check_sampling(num_steps, guidance, time_shift)
        condition = read_condition(
            self.diffusion.transformer,
            prompt,
            label,
            self.text_encoder,
            defaults.labels,
        )
        given, pixel_aspect = None, (1, 1)
        with GivenSource.open(
            fps, image=image, video=video, keyframes=keyframes
        ) as source:
            height, width = self._size(source, height, width)
            if source is not None:
                if source.count is not None:
                    source.length(num_frames, defaults.num_frames, self._chunk)
                given = source.encode(self.codec, height, width)
                num_frames = source.length(num_frames, defaults.num_frames, self._chunk)
                pixel_aspect = source.pixel_aspect
        if num_frames is None:
            num_frames = defaults.num_frames
        if fps is None:
            fps = source.fps if source and source.fps else defaults.fps
        stream = self.diffusion.generate_stream(
            -(-num_frames // self._chunk),
            latent_size(height, width),
            [seed],
            window_chunks=defaults.window_chunks,
            context_chunks=defaults.context_chunks,
            given=given,
            num_steps=num_steps,
            guidance=guidance,
            time_shift=time_shift,
            callback=callback,
            **condition,
        )
        pieces = self._pieces(stream, num_frames, height, width, fps, pixel_aspect)
        return pieces, num_frames

    def _size(self, source, height, width):
        """Returns the rows and columns of the video, in pixels."""
        defaults = self.defaults
        if source is None:
            height, width = height or defaults.height, width or defaults.width
        else:
            height, width = source.size(height, width)
        if height * width > _MAX_ENLARGEMENT * defaults.height * defaults.width:
            logger.warning(
                "The video has %dx%d pixels, and the model was trained on %dx%d: it "
                "takes long and may look worse; a size can be given",
                *(width, height, defaults.width, defaults.height),
            )
        return height, width

    @property
    def _chunk(self):
        """Frames of a chunk."""
        return self.diffusion.temporal_compression + 1

    def _pieces(self, stream, num_frames, height, width, fps, pixel_aspect):
        """Yields the `Latents` of each window."""
        start, encoder_id = 0, self.codec.encoder_id
        for window in stream:
            array = window[0]
            stop = min(num_frames, start + len(array) // 2 * self._chunk)
            yield Latents(
                array,
                num_frames=stop - start,
                height=height,
                width=width,
                fps=fps,
                temporal_compression=self.diffusion.temporal_compression,
                preset=self.codec.model.preset,
                encoder_id=encoder_id,
                start=start,
                first_chunk=start // self._chunk,
                pixel_aspect=pixel_aspect,
            )
            start = stop
