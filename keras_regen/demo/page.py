"""The page, in Gradio, which is imported only when it is used."""

import contextlib
import html
import logging
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from keras_regen.video import bundled_clip

if TYPE_CHECKING:
    from keras_regen.demo.regenerator import Regenerator

INTRODUCTION = """\
# keras-regen

A video becomes **latents**: two small maps of numbers for every k + 1 frames, one for
the content and one for the motion. A diffusion transformer generates the frames again
from them, and frames in between. Models that generate video learn to make such latents.

The page uses the first {seconds:g} seconds of a clip, without sound, and makes frames
smaller if a side has more than {side} pixels. Clips stay on the machine that serves it.
"""
SUMMARY = """\
| | |
|---|---|
| PSNR | {psnr:.2f} dB |
| SSIM | {ssim:.3f} |
| pixel values | {pixels:,} ({video}) |
| latent values | {values:,} ({latents}) |
| ratio | 1 : {ratio:.0f} |

{note}
"""
CLIPS = ("bunny", "steel")
# The choices of how fast the third video plays, and at how many frames per second.
SPEEDS = {"off": 1.0, "2 times": 0.5, "4 times": 0.25, "8 times": 0.125}
RATES = {"as the clip": None, **{str(rate): rate for rate in (24, 25, 30, 50, 60, 120)}}
MAX_STEPS = 8
MAX_UPLOAD = "500mb"
# Visitors who may wait while one clip is worked on.
MAX_WAITING = 20
# Seconds between two looks for old files, and the age from which they are removed.
CLEANING = (600, 7200)
CSS = """
.gradio-container {max-width: 1280px !important; margin: auto;}
#summary table {width: 100%; display: table;}
#summary td {padding: 5px 8px; white-space: nowrap;}
#summary tr {border: none; border-bottom: 1px solid var(--border-color-primary);}
#summary td, #summary table {border: none;}
#summary thead {display: none;}
"""

_logger = logging.getLogger(__name__)


def import_gradio() -> Any:
    """Returns the module `gradio`, set to send nothing anywhere.

    Raises:
        ImportError: if it is not installed. The message says how to install it.
    """
    # Both are read on import.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import gradio
    except ImportError as error:
        raise ImportError(
            "The page needs gradio: pip install keras-regen[demo]"
        ) from error
    return gradio


@contextlib.contextmanager
def serve(
    regenerator: "Regenerator",
    host: str = "127.0.0.1",
    port: int | None = None,
    share: bool = False,
) -> Iterator[str]:
    """Serves the page for the length of a `with` block.

    Clips are worked on one after the other. What visitors upload and receive is in a
    temporary directory, from which old files are removed, and at the end all.

    Args:
        regenerator: a `Regenerator`, which is closed at the end.
        host: str. The address to listen at: `"0.0.0.0"` for all of this machine's.
            Defaults to `"127.0.0.1"`, which other machines cannot reach.
        port: int or None. Defaults to the first free one from 7860 on.
        share: bool. Whether Gradio's server gives the page a public address too, over
            which it sees all that is sent. Defaults to `False`.

    Yields:
        str. The address of the page.

    Raises:
        ImportError: without gradio.
        OSError: if the port is not free.
    """
    import_gradio()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="keras-regen-"))
        stack.enter_context(_environment("GRADIO_TEMP_DIR", folder))
        page = build_page(regenerator)
        stack.callback(page.close, verbose=False)
        # An interpreter that exits while a model computes aborts.
        stack.callback(regenerator.close)
        _, local, public = page.queue(max_size=MAX_WAITING).launch(
            server_name=host,
            server_port=port,
            share=share,
            css=CSS,
            theme=_theme(),
            max_file_size=MAX_UPLOAD,
            footer_links=[],
            ssr_mode=False,
            prevent_thread_lock=True,
            quiet=True,
        )
        yield public or local


def build_page(regenerator: "Regenerator") -> Any:
    """Makes the page.

    Args:
        regenerator: a `Regenerator`.

    Returns:
        `gradio.Blocks`.
    """
    gr = import_gradio()
    introduction = INTRODUCTION.format(
        seconds=regenerator.max_seconds, side=regenerator.max_side
    )
    with gr.Blocks(
        title="keras-regen", analytics_enabled=False, delete_cache=CLEANING
    ) as page:
        gr.Markdown(introduction)
        with gr.Tab("Re-generate"):
            _add_regeneration(gr, regenerator)
        if regenerator.generators:
            with gr.Tab("Generate"):
                _add_generation(gr, regenerator)
    return page


def _add_regeneration(gr, regenerator):
    """Adds what makes latents of a clip, and the clip again from them."""
    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            video = gr.Video(
                label="Clip", sources=["upload"], height=220, elem_id="clip"
            )
            gr.Examples(
                [[str(bundled_clip(name))] for name in CLIPS],
                [video],
                label="Or one of these",
            )
            preset = gr.Dropdown(
                regenerator.presets, value=regenerator.presets[0], label="Preset"
            )
            with gr.Row():
                steps = gr.Slider(1, MAX_STEPS, 1, step=1, label="Steps")
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
            with gr.Row():
                speed = gr.Dropdown([*SPEEDS], value="2 times", label="Slow motion")
                rate = gr.Dropdown([*RATES], value="as the clip", label="Its frames/s")
            button = gr.Button("Re-generate", variant="primary")
        with gr.Column(scale=2, min_width=480):
            with gr.Row():
                original = _player(gr, "Original", "original")
                decoded = _player(gr, "From the latents", "decoded")
            with gr.Row():
                with gr.Column():
                    slow = _player(gr, "Slow motion", "slow")
                with gr.Column():
                    summary = gr.Markdown(elem_id="summary", min_height=180)
                    latents = gr.DownloadButton(
                        "Latents", interactive=False, elem_id="latents"
                    )
    button.click(
        _make_handler(gr, regenerator),
        [video, preset, steps, seed, speed, rate],
        [original, decoded, summary, latents, slow],
        show_progress_on=[summary],
        concurrency_limit=1,
        api_visibility="private",
    )


def _add_generation(gr, regenerator):
    """Adds what makes a video from a text."""
    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            prompt = gr.Textbox(label="Text", elem_id="prompt")
            examples = [
                [text]
                for name in regenerator.generators
                for text in regenerator.examples(name)
            ]
            gr.Examples(examples, [prompt], label="Or one of these")
            preset = gr.Dropdown(
                regenerator.generators,
                value=regenerator.generators[0],
                label="Generator",
            )
            with gr.Row():
                frames = gr.Slider(9, 144, 36, step=9, label="Frames")
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
            button = gr.Button("Generate", variant="primary", elem_id="generate")
        with gr.Column(scale=2, min_width=480):
            generated = _player(gr, "Generated", "generated")

    def handle(prompt, preset, frames, seed, progress=gr.Progress()):  # noqa: B008
        with tempfile.TemporaryDirectory(prefix="keras-regen-") as folder:
            output = pathlib.Path(folder) / "generated.mp4"
            with _readable_errors(gr):
                regenerator.generate(
                    prompt,
                    output,
                    preset,
                    num_frames=int(frames),
                    seed=seed,
                    progress=_reporter(progress),
                )
            yield str(output)

    button.click(
        handle,
        [prompt, preset, frames, seed],
        [generated],
        concurrency_limit=1,
        api_visibility="private",
    )


def _theme():
    """Returns a theme with the browser's own fonts, so that none are loaded."""
    gr = import_gradio()
    return gr.themes.Default(
        font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace")
    )


def _player(gr, label, name):
    return gr.Video(
        label=label, elem_id=name, interactive=False, autoplay=True, loop=True
    )


def _make_handler(gr, regenerator):
    """Returns the function behind the button."""

    def handle(video, preset, steps, seed, speed, rate, progress=gr.Progress()):  # noqa: B008
        if video is None:
            raise _error(gr, "Upload a clip first, or pick one.")
        sampling = {"preset": preset, "num_steps": steps, "seed": seed}
        # A generator: Gradio copies files after each `yield`, before they are removed.
        with tempfile.TemporaryDirectory(prefix="keras-regen-") as folder:
            with _readable_errors(gr):
                result = regenerator.regenerate(
                    video, folder, progress=_reporter(progress), **sampling
                )
            videos = str(result.original), str(result.decoded)
            summary, kilobytes = _summarize(result), result.latents.stat().st_size / 1e3
            latents = gr.DownloadButton(
                f"Download the latents, {kilobytes:,.0f} kB",
                value=str(result.latents),
                interactive=True,
            )
            yield *videos, summary, latents, None
            if SPEEDS[speed] == 1 and RATES[rate] is None:
                return
            slow = pathlib.Path(folder) / f"{pathlib.Path(video).stem}_slow.mp4"
            with _readable_errors(gr):
                note = regenerator.slow_motion(
                    result.latents,
                    slow,
                    speed=SPEEDS[speed],
                    fps=RATES[rate],
                    progress=_reporter(progress),
                    **sampling,
                )
            yield *videos, f"{summary} Slow motion: {note}", latents, str(slow)

    return handle


def _reporter(progress):
    """Returns the `Progress` that a `gradio.Progress` shows."""
    return lambda done, total, what: progress((done, total), desc=what, unit="frames")


def _summarize(result):
    return SUMMARY.format(
        psnr=result.psnr,
        ssim=result.ssim,
        video=" x ".join(map(str, result.video_shape)),
        pixels=result.num_pixel_values,
        latents=" x ".join(map(str, result.latent_shape)),
        values=result.num_latent_values,
        ratio=result.num_pixel_values / result.num_latent_values,
        note=result.note,
    )


@contextlib.contextmanager
def _readable_errors(gr):
    """Turns errors into messages on the page."""
    try:
        yield
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        # What was received names files on this machine.
        raise _error(gr, str(error).partition(" Received: ")[0]) from error
    except MemoryError as error:
        raise _error(gr, "There is not enough memory for this clip.") from error
    except Exception as error:
        _logger.exception("A clip could not be worked on.")
        raise _error(
            gr, "Something went wrong. Where the page was started there is more."
        ) from error


def _error(gr, message):
    # Messages are HTML. They stay until they are closed.
    return gr.Error(
        html.escape(message, quote=False), duration=None, print_exception=False
    )


@contextlib.contextmanager
def _environment(name, value):
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
