import os

# Workers share the cores: with threads for each of them too, they wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# On JAX most of the tests' time is compilation, of programs that run once or twice.
# Without LLVM's optimisations it takes half as long. XLA's own stay, and with them the
# memory that programs take.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
