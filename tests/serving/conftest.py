"""The toy model, on disk and served, for all tests of this directory.

The process of the tests never imports TensorFlow, on any backend: other processes make,
load and call models.
"""

import pytest

from tests.serving.processes import run_python, serve
from tests.serving.toy_requests import toy_requests


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model")
    process = run_python("-m", "tests.serving.toy", directory / "1")
    assert process.returncode == 0, process.stderr
    return directory


@pytest.fixture(scope="session")
def ports(model_dir):
    with serve(model_dir) as ports:
        yield ports


@pytest.fixture(scope="session")
def requests():
    return toy_requests()
