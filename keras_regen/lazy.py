"""Public names of packages, imported on first use.

Keras fixes its backend when it is imported, so the backend must be chosen before
anything imports Keras. Importing it takes seconds, so help and error messages do
without.
"""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_regen.backend import BACKENDS, choose_backend


def lazy_exports(
    package: str, public: Sequence[str], origin: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Makes the functions by which a package imports public names on first use.

    Args:
        package: str. The package's `__name__`.
        public: list of str. The package's `__all__`.
        origin: dict from a public name to the module of the package that defines it.
            A public name that is not in it, and not imported, is a module itself.

    Returns:
        The package's `__getattr__` and `__dir__`.
    """

    def __getattr__(name):
        if name not in public:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = importlib.import_module(f"{package}.{origin.get(name, name)}")
        except ModuleNotFoundError as error:
            if error.name in BACKENDS:
                # Its error says how to install one.
                choose_backend()
            raise
        return getattr(module, name) if name in origin else module

    def __dir__():
        special = (name for name in vars(sys.modules[package]) if name[:2] == "__")
        return sorted({*public, *special})

    return __getattr__, __dir__
