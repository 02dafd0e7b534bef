import threading

import pytest

from keras_regen.codec import memory
from keras_regen.codec.pipeline import THREAD_NAME

# Seconds to wait for an event, which comes at once unless it never does.
PATIENCE = 20


def threads():
    """The threads of the codec that are alive."""
    return [t for t in threading.enumerate() if t.name.startswith(THREAD_NAME)]


@pytest.fixture(autouse=True)
def groups_of_chunks(monkeypatch):
    """Several chunks in a group, as on accelerators: the hard case."""
    monkeypatch.setattr(memory, "on_accelerator", lambda: True)


@pytest.fixture
def no_thread_is_left():
    yield
    assert threads() == []
