"""The command `python -m tools.attack`."""

import os

# A forked process has none of its parent's threads.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["KERAS_BACKEND"] = "torch"

from tools.attack.sweep import main

if __name__ == "__main__":
    main()
