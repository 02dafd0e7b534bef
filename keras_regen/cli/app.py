"""The program and its commands."""

import contextlib
import io
import logging
import os
import signal
import sys
import threading
import warnings
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

import keras_regen
from keras_regen.cli import (
    benchmark,
    decode,
    demo,
    edit,
    evaluate,
    export,
    generate,
    info,
    metric_weights,
    train,
    video,
)

USER_ERROR = 2
_INTERRUPTED = [128 + signal.SIGINT, 128 + signal.SIGTERM]
_SECONDS_OF_CALLBACK = 0.05

app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(video.reconstruct)
app.command()(video.encode)
app.command()(decode.decode)
app.command()(edit.invert)
app.command()(edit.interpolate)
app.command()(edit.edit)
app.command()(edit.compare)
app.command()(generate.generate)
app.command()(train.train)
app.command()(train.train_generator)
app.command()(evaluate.evaluate)
app.command()(export.export)
app.command()(benchmark.benchmark)
app.command()(demo.demo)
app.command()(metric_weights.metric_weights)
app.command()(info.info)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command line and exits.

    Args:
        arguments: list of str or None. Defaults to the process's arguments.

    Raises:
        SystemExit: always, unless a signal interrupts a call without `arguments`: it
            ends the process at once. The status is 0 for success, 2 for a user's error,
            which is one line on stderr, 130 after Ctrl-C, and 143 after SIGTERM.
    """
    # Names of files need not be text in the encoding of the terminal.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_LineFormatter())
    warnings.formatwarning = _format_warning
    try:
        with _unwinding_at_signals():
            status = app(arguments, prog_name="keras-regen", standalone_mode=False)
    except TyperException as error:
        _fail(error.format_message())
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        _fail(str(error))
    except MemoryError as error:
        _fail(f"There is not enough memory, see --max-memory: {error or 'no message'}")
    except SystemExit as error:
        status = error.code
    if arguments is None and status in _INTERRUPTED:
        # JAX crashes where Python ends while a thread of it compiles.
        # A stream that the caller closed is None.
        with contextlib.suppress(OSError, AttributeError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


@app.callback(invoke_without_command=True)
def _keras_regen(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.")
    ] = False,
) -> None:
    """REGEN: a compact video embedder with a generative decoder."""
    if version:
        print(f"keras-regen {keras_regen.__version__}")
        raise typer.Exit()
    if context.invoked_subcommand is None:
        print(context.get_help())


@contextlib.contextmanager
def _unwinding_at_signals():
    """Ends the program by an exception at SIGTERM, as at Ctrl-C, wherever they come.

    Docker and Slurm send SIGTERM. `with` blocks remove what is not complete. What
    ignores SIGTERM, or handles it otherwise, goes on to do so.
    """
    received = []

    def unwind(signum, frame):
        received.append(signum)
        # The next one must not interrupt the removal.
        signal.signal(signum, signal.SIG_IGN)
        sys.exit(128 + signum)

    def interrupt(signum, frame):
        received.append(signum)
        signal.default_int_handler(signum, frame)

    def unwind_later(unraisable):
        signals = {SystemExit: signal.SIGTERM, KeyboardInterrupt: signal.SIGINT}
        signum = signals.get(unraisable.exc_type)
        if signum is None:
            report(unraisable)
            return
        # It came in a destructor or callback, where Python ignores exceptions.
        if signum == signal.SIGTERM:
            signal.signal(signum, unwind)
        arguments = os.getpid(), signum
        threading.Timer(_SECONDS_OF_CALLBACK, os.kill, arguments).start()

    before = signal.getsignal(signal.SIGTERM)
    in_main = threading.current_thread() is threading.main_thread()
    if before != signal.SIG_DFL or not in_main:
        yield
        return
    report, sys.unraisablehook = sys.unraisablehook, unwind_later
    signal.signal(signal.SIGTERM, unwind)
    is_default = signal.getsignal(signal.SIGINT) == signal.default_int_handler
    if is_default:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except Exception:
        # What a signal interrupts may end with an exception of its own.
        if received:
            sys.exit(128 + received[0])
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
        if is_default:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.unraisablehook = report


def _fail(message):
    print(f"keras-regen: {_to_line(message)}", file=sys.stderr)
    sys.exit(USER_ERROR)


class _LineFormatter(logging.Formatter):
    """Makes one line of each warning."""

    def format(self, record):
        return _to_line(super().format(record))


def _format_warning(message, category, filename, lineno, line=None):
    return f"{_to_line(str(message))}\n"


def _to_line(message):
    line = " ".join(message.split())
    # Names of files may hold control sequences of the terminal.
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
