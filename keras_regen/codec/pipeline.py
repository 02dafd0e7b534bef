"""What runs at the same time, in threads of its own and in bounded memory.

Reading, noise, mixing and writing release Python's lock and run beside the model, which
runs in the thread of its caller. Where one model makes what another one takes, the
first can be run ahead in a thread too, within the scopes of the caller.
"""

import collections
import concurrent.futures
import contextlib
import sys

import keras

THREAD_NAME = "keras-regen"
_END = object()


class _Thread(concurrent.futures.ThreadPoolExecutor):
    """One thread, which Python ends before it exits."""

    def __init__(self):
        super().__init__(1, THREAD_NAME)

    def end(self, is_finalizing=sys.is_finalizing):
        """Drops what has not begun, and waits for what has."""
        # As the interpreter ends, the thread has ended and modules are gone.
        if not is_finalizing():
            self.shutdown(cancel_futures=True)


class Prefetcher:
    """An iterator that is run ahead of its consumer, in a thread.

    What the iterator raises is raised here, after the items before it.

    Args:
        items: iterator. Nothing else may use it.
        depth: int. Items to hold at most, beside the one given out. With 0, the
            default, all is done in the consumer's thread, until `begin`.
    """

    def __init__(self, items, depth=0):
        self._items = items
        self._thread = None
        self._pending = collections.deque()
        if depth:
            self.begin(depth)

    def begin(self, depth, scope=contextlib.nullcontext):
        """From now on runs so many items ahead.

        Args:
            depth: int, at least 1.
            scope: callable. Returns the context to make an item in.
        """
        self._scope = scope
        self._thread = _Thread()
        for _ in range(depth):
            self._submit()

    def _submit(self):
        self._pending.append(self._thread.submit(self._take))

    def _take(self):
        with self._scope():
            return next(self._items, _END)

    def __iter__(self):
        return self

    def __next__(self):
        if self._thread is None:
            return next(self._items)
        if self._pending:
            item = self._pending.popleft().result()
            if item is not _END:
                self._submit()
                return item
        self.close()
        raise StopIteration

    def wait(self):
        """Waits until all is made that may be: then the thread does nothing."""
        if self._pending:
            concurrent.futures.wait([self._pending[-1]])

    def close(self):
        """Ends the thread, once it has the item that it is at."""
        self._pending.clear()
        if self._thread:
            self._thread.end()


def capture_keras_scope():
    """What Keras computes on in this thread, to be entered in another one.

    That is its device and its distribution. Other contexts of the thread, such as
    `torch.autocast`, stay behind.

    Returns:
        Callable that returns a context.
    """
    device, distribution = _device(), keras.distribution.distribution()

    @contextlib.contextmanager
    def scope():
        keras.distribution.set_distribution(distribution)
        # Not without need: TensorFlow and JAX would compile anew.
        changes = device != _device()
        with keras.device(device) if changes else contextlib.nullcontext():
            yield

    return scope


def _device():
    device = keras.ops.zeros(()).device
    return device if keras.backend.backend() == "jax" else str(device)


def map_in_thread(function, items, lag):
    """Calls a function with every item, in a thread, while the next are taken.

    Items are taken in the caller's thread. What is raised, by the function or for an
    item, is raised here, after the results before it. Closing the generator drops what
    has not begun, and waits for what has.

    Args:
        function: callable of one item.
        items: iterator.
        lag: int. Items that are taken beyond the one whose result is given. With 0
            nothing is held back, and nothing done at the same time.

    Yields:
        The results, in order.
    """
    pending, more = collections.deque(), True
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
