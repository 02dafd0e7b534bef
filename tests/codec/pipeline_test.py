import itertools
import subprocess
import sys
import threading

import keras
import pytest

from keras_regen.codec.pipeline import THREAD_NAME, Prefetcher, map_in_thread
from tests.codec.conftest import PATIENCE, threads

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


def failing(items, error):
    yield from items
    raise error


def started(items, depth):
    items = Prefetcher(items)
    items.start(depth)
    return items


class TestPrefetcher:
    def test_takes_no_more_than_its_depth(self):
        taken = []
        items = started((taken.append(i) or i for i in range(10)), 3)
        for i, item in enumerate(items):
            items.wait()
            assert item == i
            assert taken == [*range(min(10, i + 4))]
        assert i == 9

    def test_an_error_comes_where_it_was(self):
        error = RuntimeError("seven")
        items = started(failing(range(7), error), 3)
        assert [*itertools.islice(items, 7)] == [*range(7)]
        with pytest.raises(RuntimeError) as caught:
            next(items)
        assert caught.value is error
        assert [*items] == []

    def test_closed_early(self):
        items = started(iter(range(10)), 3)
        next(items)
        assert len(threads()) == 1
        items.close()
        assert [*items] == []

    def test_starts_when_told(self):
        ran_in = []

        def numbers():
            for i in range(6):
                ran_in.append(threading.current_thread())
                yield i

        items = Prefetcher(numbers())
        assert next(items) == 0 and len(ran_in) == 1
        items.wait()
        items.start(2)
        assert [*items] == [1, 2, 3, 4, 5]
        assert ran_in[0] is threading.current_thread()
        assert {t.name for t in ran_in[1:]} == {f"{THREAD_NAME}_0"}


TWO_DEVICES = {
    "jax": """
import jax
jax.config.update("jax_num_cpu_devices", 2)
import keras
device, same = "cpu:1", lambda x: x.device == jax.devices()[1]
keras.distribution.set_distribution(
    keras.distribution.DataParallel(devices=["cpu:0", "cpu:1"])
)
""",
    "tensorflow": """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
import keras
device, same = "cpu:1", lambda x: x.device.endswith("CPU:1")
""",
    "torch": """
import keras
device, same = "meta", lambda x: x.device.type == "meta"
""",
}
IN_A_THREAD = """
from keras_regen.codec.pipeline import Prefetcher, capture_keras_scope
def made():
    while True:
        yield keras.ops.zeros(2), keras.distribution.distribution()
items = Prefetcher(made())
with keras.device(device):
    items.start(1, capture_keras_scope())
array, distribution = next(items)
items.close()
assert same(array), array
assert distribution is keras.distribution.distribution()
assert not same(keras.ops.zeros(2))
"""


def test_a_thread_computes_where_its_caller_does():
    script = TWO_DEVICES[keras.backend.backend()] + IN_A_THREAD
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr


class TestMapInThread:
    @pytest.mark.parametrize("lag", [0, 1, 3, 20])
    def test_results_are_in_order(self, lag):
        assert [*map_in_thread(abs, iter(range(-9, 0)), lag)] == [*range(9, 0, -1)]

    def test_the_next_is_taken_before_this_is_done(self):
        next_is_taken = threading.Event()

        def items():
            yield 0
            next_is_taken.set()
            yield 1

        results = map_in_thread(lambda _: next_is_taken.wait(PATIENCE), items(), 1)
        assert [*results] == [True, True]

    @pytest.mark.parametrize("lag", [0, 1, 3])
    def test_takes_as_many_as_the_lag_allows(self, lag):
        taken = []
        items = (taken.append(i) or i for i in range(9))
        for done, _ in enumerate(map_in_thread(abs, items, lag), 1):
            assert len(taken) == min(9, done + lag)

    @pytest.mark.parametrize("where", ["function", "items"])
    @pytest.mark.parametrize("lag", [0, 1, 5])
    def test_an_error_comes_where_it_was(self, where, lag):
        error = RuntimeError("three")

        def function(i):
            if i == 3:
                raise error
            return i

        items = iter(range(5)) if where == "function" else failing(range(3), error)
        results, seen = map_in_thread(function, items, lag), []
        with pytest.raises(RuntimeError) as caught:
            seen.extend(results)
        assert caught.value is error
        assert seen == [0, 1, 2]

    def test_control_c_does_not_wait_for_results(self):
        results, seen = map_in_thread(abs, failing([1], KeyboardInterrupt()), 1), []
        with pytest.raises(KeyboardInterrupt):
            seen.extend(results)
        assert seen == []

    def test_closed_early_drops_calls_that_have_not_started(self):
        taken, started, go_on = (threading.Event() for _ in range(3))
        calls = []

        def items():
            yield from range(3)
            taken.set()
            yield 3

        def work(i):
            calls.append(i)
            if i == 0:
                taken.wait(PATIENCE)
            if i == 1:
                started.set()
                go_on.wait(PATIENCE)

        results = map_in_thread(work, items(), 3)
        next(results)
        assert started.wait(PATIENCE)
        threading.Timer(0.05, go_on.set).start()
        results.close()
        assert calls == [0, 1]


def test_threads_end_with_the_interpreter():
    script = (
        "import time\n"
        "from keras_regen.codec.pipeline import Prefetcher, map_in_thread\n"
        "items = Prefetcher(iter(range(9)))\n"
        "items.start(2)\n"
        "results = map_in_thread(lambda i: time.sleep(0.1), items, 2)\n"
        "next(results)\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0
    assert "Error" not in result.stderr and "Exception" not in result.stderr
