"""Every example in a docstring does what it shows."""

import doctest
import importlib
import pkgutil

import keras
import numpy as np
import pytest

import keras_regen

GLOBALS = {"keras": keras, "keras_regen": keras_regen, "np": np}
# Modules that not every installation has.
OPTIONAL = ("jax", "onnx_ir", "openvino", "tensorflow", "torch")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules():
    yield keras_regen
    for info in pkgutil.walk_packages(keras_regen.__path__, "keras_regen."):
        try:
            yield importlib.import_module(info.name)
        except ModuleNotFoundError as error:
            # Of another backend or format.
            if error.name not in OPTIONAL:
                raise


def doctests():
    """The doctests of each module that has examples."""
    finder = doctest.DocTestFinder()
    for module in modules():
        tests = finder.find(module, extraglobs=GLOBALS)
        if tests := [test for test in tests if test.examples]:
            yield pytest.param(tests, id=module.__name__)


@pytest.mark.parametrize("tests", [*doctests()])
def test_examples(tests):
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    report = []
    for test in tests:
        runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)
