import contextlib
import types

import pytest

from keras_regen.cli import demo
from tests.cli.conftest import assert_user_error


@pytest.fixture
def served(monkeypatch):
    """What the page is served with; Ctrl-C comes at once."""
    calls = []

    @contextlib.contextmanager
    def serve(*arguments):
        calls.append(arguments)
        yield "http://here:1234"

    class Interrupted:
        def wait(self):
            raise KeyboardInterrupt

    monkeypatch.setattr(demo, "serve", serve)
    monkeypatch.setattr(demo, "threading", types.SimpleNamespace(Event=Interrupted))
    return calls


def test_serves_until_ctrl_c(run, preset, served):
    pytest.importorskip("gradio")
    options = ("--port", 1234, "--max-seconds", 2, "--max-side", 64)
    status, stdout, _ = run("demo", "--preset", preset, *options)
    assert status == 130 and "Open http://here:1234 in a browser" in stdout
    ((regenerator, *address),) = served
    assert address == ["127.0.0.1", 1234, False]
    assert regenerator.presets[0] == str(preset)
    assert (regenerator.max_seconds, regenerator.max_side) == (2, 64)


def test_errors(run, served, monkeypatch):
    pytest.importorskip("gradio")
    assert_user_error(run("demo", "--preset", "nowhere"), "nowhere")
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    assert_user_error(run("demo"), "keras-regen[demo]")
    assert not served
