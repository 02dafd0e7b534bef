import os
import tempfile

# Workers share the cores: with threads for each of them too, they wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# On JAX most of the tests' time is compilation, of programs that run once or twice.
# Without LLVM's optimisations it takes half as long. XLA's own stay, and with them the
# memory that programs take.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")


def pytest_configure(config):
    """Shares what JAX compiles among workers and processes that tests start.

    A program that is compiled already takes a quarter of the time.
    """
    # While another process writes an entry, JAX cannot read it, says so and compiles.
    config.addinivalue_line(
        "filterwarnings",
        "ignore:Error reading persistent compilation cache entry:UserWarning",
    )
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    cache = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    config.add_cleanup(cache.cleanup)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = cache.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
