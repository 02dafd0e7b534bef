"""What mypy sees of the public functions is in `public_types.py`."""

import importlib
import inspect
import pathlib

import keras
import pytest

import keras_regen

ROOT = pathlib.Path(keras_regen.__file__).parent
PACKAGES = [
    ".".join(path.parent.relative_to(ROOT.parent).parts)
    for path in ROOT.glob("**/__init__.py")
]
# What users meet of the modules that no package holds.
MODULES = [
    f"keras_regen.{path.stem}"
    for path in ROOT.glob("*.py")
    if not path.stem.startswith("_")
]
# Methods that users call, although their names begin with an underscore.
OPERATORS = {"__call__", "__enter__", "__getitem__", "__init__", "__iter__", "__len__"}


def public_values():
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            yield getattr(module, name)
    for name in MODULES:
        values = vars(importlib.import_module(name)).items()
        yield from (v for n, v in values if n[0] != "_")


def functions(value):
    """Returns the functions of this package that a value is or has."""
    members = [value]
    if inspect.isclass(value):
        members = [
            getattr(member, "fget", None) or getattr(member, "func", member)
            for base in value.__mro__
            for name, member in vars(base).items()
            if name in OPERATORS or name[0] != "_"
        ]
    members = [inspect.unwrap(m) for m in members if hasattr(m, "__module__")]
    return [
        m
        for m in members
        if inspect.isfunction(m) and m.__module__.startswith("keras_regen")
    ]


def missing(function):
    """Returns the names of what has no annotation."""
    signature = inspect.signature(function)
    found = [
        name
        for i, (name, parameter) in enumerate(signature.parameters.items())
        if parameter.annotation is parameter.empty
        and not (i == 0 and name in ("self", "cls"))
    ]
    if signature.return_annotation is signature.empty:
        found.append("return")
    return found


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="signatures are equal on all backends"
)
def test_public_functions_are_annotated():
    found = {f for value in public_values() for f in functions(value)}
    assert len(found) > 300
    incomplete = {f"{f.__module__}.{f.__qualname__}": missing(f) for f in found}
    assert not {name: names for name, names in incomplete.items() if names}


def test_the_marker_of_annotations_is_packaged():
    assert (ROOT / "py.typed").is_file()
