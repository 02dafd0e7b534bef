import subprocess
import sys

import pytest

import keras_regen


def run(code):
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names():
    assert set(keras_regen.__all__) < set(dir(keras_regen))
    for name in dir(keras_regen):
        assert getattr(keras_regen, name) is not None
    with pytest.raises(AttributeError, match="'nonsense'"):
        _ = keras_regen.nonsense


def test_the_package_and_its_command_do_not_import_keras():
    run("import sys, keras_regen.cli; assert 'keras' not in sys.modules")


def test_after_keras_the_classes_are_registered():
    run(
        "import keras, keras_regen; "
        "assert keras.saving.get_registered_object('keras_regen>Regen')"
    )
