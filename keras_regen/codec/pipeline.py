"""Threads that read, mix and write while the model runs, in bounded memory.

Reading, mixing and writing release Python's lock and run in threads, while the
model runs in its caller's thread. Where the output of one model is the input of
another, the first model can run ahead in a thread too, in the Keras scopes of the
caller.
"""

import collections
import concurrent.futures
import contextlib
import sys
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

import keras

THREAD_NAME = "keras-regen"
_END = object()
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Prefetcher:
    """An iterator that can run ahead of its consumer, in a thread.

    An error of the iterator is raised in the consumer, after the items before it.
    Until `start` is called, the consumer's thread makes every item.

    Args:
        items: iterator. Nothing else may use it.
    """

    def __init__(self, items: Iterator[Any]) -> None:
        self._items = items
        self._thread: _Thread | None = None
        self._pending: collections.deque[concurrent.futures.Future] = (
            collections.deque()
        )

    def start(
        self, depth: int, scope: Callable[[], Any] = contextlib.nullcontext
    ) -> None:
        """Runs `depth` items ahead from now on.

        Args:
            depth: int, at least 1.
            scope: callable. Returns the context to make an item in.
        """
        self._scope = scope
        self._thread = _Thread()
        for _ in range(depth):
            self._submit(self._thread)

    def _submit(self, thread):
        self._pending.append(thread.submit(self._take))

    def _take(self):
        with self._scope():
            return next(self._items, _END)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._thread is None:
            return next(self._items)
        if self._pending:
            item = self._pending.popleft().result()
            if item is not _END:
                self._submit(self._thread)
                return item
        self.close()
        raise StopIteration

    def wait(self) -> None:
        """Waits until the thread has made every item that it may make ahead."""
        if self._pending:
            concurrent.futures.wait([self._pending[-1]])

    def close(self) -> None:
        """Ends the thread, once it has made its current item."""
        self._pending.clear()
        if self._thread:
            self._thread.end()


def map_in_thread(
    function: Callable[[_Item], _Result], items: Iterator[_Item], lag: int
) -> Generator[_Result, None, None]:
    """Calls a function with every item, in a thread, while the next items are taken.

    Items are taken in the caller's thread. An error, of the function or of an item, is
    raised in the caller, after the results before it. Closing the generator drops calls
    that have not started, and waits for the one that has.

    Args:
        function: callable of one item.
        items: iterator.
        lag: int. Items that are taken beyond the one whose result is yielded. With 0
            nothing is held back, and nothing happens at the same time.

    Yields:
        The results, in order.
    """
    pending: collections.deque[concurrent.futures.Future] = collections.deque()
    more = True
    thread = _Thread()
    try:
        while more or pending:
            if more:
                try:
                    pending.append(thread.submit(function, next(items)))
                except StopIteration:
                    more = False
                except Exception as error:
                    more = False
                    pending.append(concurrent.futures.Future())
                    pending[-1].set_exception(error)
            while len(pending) > (lag if more else 0):
                yield pending.popleft().result()
    finally:
        thread.end()


def write_in_thread(
    write: Callable[[_Item], object], items: Generator[_Item, None, None], lag: int
) -> None:
    """Writes every item in a thread, while the next items are made.

    When it returns or raises, the thread has ended and the items are closed.

    Args:
        write: callable of one item.
        items: generator.
        lag: int. Items that may wait to be written.
    """
    with (
        contextlib.closing(items),
        contextlib.closing(map_in_thread(write, items, lag)) as written,
    ):
        for _ in written:
            pass


def counted(
    items: Generator[_Item, Any, Any],
    progress: Callable[[int, int | None], object] | None,
    source: Any,
    size: Callable[[_Item], int] = lambda item: 1,
) -> Generator[_Item, None, None]:
    """Yields items and reports progress after each.

    Args:
        items: generator, which is closed at the end.
        progress: callable or None, see `VideoCodec.encode`.
        source: object with a `count`, the total, which may become known on the way.
        size: callable. The number of frames of an item. Defaults to 1 for each.
    """
    done = 0
    with contextlib.closing(items):
        for item in items:
            yield item
            done += size(item)
            if progress is not None:
                progress(done, source.count)


def capture_keras_scope() -> Callable[[], Any]:
    """Captures the device and the distribution that this thread computes on.

    Other contexts of the thread, such as `torch.autocast`, are not captured.

    Returns:
        Callable that returns a context, to enter in another thread.
    """
    device, distribution = _device(), keras.distribution.distribution()

    @contextlib.contextmanager
    def scope():
        keras.distribution.set_distribution(distribution)
        # Only where the device differs: entering a scope makes TensorFlow and JAX
        # compile anew.
        changes = device != _device()
        with keras.device(device) if changes else contextlib.nullcontext():
            yield

    return scope


def _device():
    device = keras.ops.zeros(()).device
    return device if keras.backend.backend() == "jax" else str(device)


class _Thread(concurrent.futures.ThreadPoolExecutor):
    """One thread, which Python ends before it exits."""

    def __init__(self):
        super().__init__(1, THREAD_NAME)

    def end(self, is_finalizing=sys.is_finalizing):
        """Drops calls that have not started, and waits for the one that has."""
        # While the interpreter exits, the thread has ended and modules are gone.
        if not is_finalizing():
            self.shutdown(cancel_futures=True)
