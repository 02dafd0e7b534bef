"""The command `demo`."""

import threading
from typing import Annotated

import typer

from keras_regen.backend import quiet_start
from keras_regen.cli.common import DEFAULT_PRESET, load_keras, make_console
from keras_regen.cli.options import MaxMemoryOption, PrecisionOption
from keras_regen.demo import import_gradio, serve


def demo(
    preset: Annotated[
        list[str] | None,
        typer.Option(
            help="A preset to offer besides the bundled ones, as for encode; once or "
            "more."
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(help="The address to listen at; 0.0.0.0 lets other machines in."),
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Defaults to the first free one from 7860 on."
        ),
    ] = None,
    max_seconds: Annotated[
        float, typer.Option(min=0.1, help="Seconds of a clip that are used.")
    ] = 5.0,
    max_side: Annotated[
        int,
        typer.Option(min=16, help="The longest side of frames; others are resized."),
    ] = 448,
    share: Annotated[
        bool,
        typer.Option(
            "--share",
            help="Give the page a public address on a server of Gradio, which sees "
            "what is sent. Without it nothing leaves this machine.",
        ),
    ] = False,
    precision: PrecisionOption = "float32",
    max_memory: MaxMemoryOption = None,
) -> None:
    """Serve a page in the browser to try presets on.

    It runs until Ctrl-C.
    """
    console = make_console()
    # Raises an error now, and not after the seconds that importing Keras takes.
    import_gradio()
    load_keras(console)
    with quiet_start():
        from keras_regen.demo import Regenerator

        presets = preset or [DEFAULT_PRESET]
        regenerator = Regenerator(presets, max_seconds, max_side, max_memory, precision)
    with serve(regenerator, host, port, share) as url:
        console.print(f"Open {url} in a browser, and press Ctrl-C to stop.")
        threading.Event().wait()
