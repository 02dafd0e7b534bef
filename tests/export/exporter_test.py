"""Export from every backend, and its errors."""

import importlib.util
import pathlib
import subprocess
import sys
from typing import get_args

import keras
import numpy as np
import pytest

from keras_regen import diffusion
from keras_regen.atomic_output import OutputError
from keras_regen.export import FORMATS, exporter, formats
from keras_regen.export.model_functions import ModelFunctions
from keras_regen.types import ExportFormat
from tests.export.conftest import K
from tests.models.conftest import make_regen

NATIVE = {
    "tf_saved_model": ("jax", "tensorflow"),
    "onnx": ("torch",),
    "openvino": ("torch",),
    "torch": ("torch",),
    "stablehlo": ("jax",),
}


@pytest.fixture
def hide(monkeypatch):
    """A function that hides the packages it is given."""
    find_spec = importlib.util.find_spec

    def hide(*hidden):
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name: None if name in hidden else find_spec(name),
        )

    return hide


def test_backends():
    assert {name: tuple(sorted(f.backends)) for name, f in FORMATS.items()} == NATIVE


@pytest.mark.parametrize("name", ["onnx", "openvino", "torch"])
def test_windows_are_not_for_formats_of_pytorch(tmp_path, name):
    for module in FORMATS[name].modules:
        pytest.importorskip(module)
    regen = make_regen(decoder={"window": (None, 2, 2)})
    with pytest.raises(ValueError, match=r"Received: .*window=\(None, 2, 2\)"):
        regen.export(tmp_path / "1", format=name)
    assert not any(tmp_path.iterdir())


def test_unknown_format(regen, tmp_path):
    with pytest.raises(ValueError, match="tf_saved_model.*Received: format='tflite'"):
        regen.export(tmp_path / "1", format="tflite")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", FORMATS)
def test_missing_packages_are_named(regen, tmp_path, hide, name):
    hide(*FORMATS[name].modules)
    extra = "serving" if name == "tf_saved_model" else name
    modules = ", ".join(FORMATS[name].modules)
    message = rf'needs {modules}: pip install "keras-regen\[{extra}\]"'
    with pytest.raises(ImportError, match=message):
        regen.export(tmp_path / "1", format=name)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["onnx", "openvino", "torch"])
def test_a_keras_that_is_too_old_for_pytorch(regen, tmp_path, monkeypatch, name):
    for module in FORMATS[name].modules:
        pytest.importorskip(module)
    monkeypatch.setattr(keras, "__version__", "3.13.2")
    message = r'pip install "keras>=3\.14"\. Received: Keras 3\.13\.2'
    with pytest.raises(ImportError, match=message):
        regen.export(tmp_path / "1", format=name)
    assert not any(tmp_path.iterdir())


def test_an_existing_model_is_not_replaced(regen, tmp_path):
    pytest.importorskip("tensorflow")
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_text("precious")
    with pytest.raises(ValueError, match="not empty"):
        regen.export(tmp_path / "1")
    assert (tmp_path / "1" / "saved_model.pb").read_text() == "precious"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "int4"}, "float32, bfloat16, int8.*int4"),
        ({"max_steps": 0}, "`max_steps` must be an int of at least 1"),
        ({"max_pixels": 0}, "`max_pixels` must be an int of at least 1"),
        ({"num_steps": 2}, "weights, max_steps.*Received: num_steps"),
        (
            {"format": "stablehlo", "num_steps": 2},
            "schedule. Its `decode` takes the number.*Received: num_steps",
        ),
        ({"schedule": "even"}, "log_snr, uniform. Received: schedule='even'"),
        *(
            ({"format": "torch", "num_steps": steps}, f"Received: num_steps={steps}")
            for steps in (0, 1.5, "2")
        ),
    ],
)
def test_bad_options(regen, tmp_path, monkeypatch, options, message):
    pytest.importorskip("tensorflow")
    pytest.importorskip("torch")
    # They are found before another process would start.
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(ValueError, match=message):
        regen.export(tmp_path / "1", **options)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warmup": [(8, 8)], "max_pixels": 64}, "at most 64 pixels"),
        ({"warmup": [(12, 8)]}, "multiples of 8.*12x8"),
        ({"warmup": [(0, 8)]}, "multiples of 8.*0x8"),
    ],
)
def test_bad_sizes_to_warm_up_with(regen, tmp_path, options, message):
    pytest.importorskip("tensorflow")
    if keras.backend.backend() == "torch" and "max_pixels" not in options:
        pytest.skip("each runs in another process; one shows that its error arrives")
    with pytest.raises(ValueError, match=message):
        regen.export(tmp_path / "1", **options)
    assert not any(tmp_path.iterdir())


def test_warmup_without_its_package(regen, tmp_path, monkeypatch):
    pytest.importorskip("tensorflow")
    if keras.backend.backend() == "torch":
        pytest.skip("runs in another process")
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with pytest.raises(ImportError, match=r"pip install .keras-regen\[serving\]"):
        regen.export(tmp_path / "1")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["tf_saved_model", "torch", "stablehlo"])
def test_a_full_disk_is_one_error_and_leaves_nothing(regen, tmp_path, name):
    if keras.backend.backend() not in FORMATS[name].backends:
        pytest.skip("runs in another process")
    for module in FORMATS[name].modules:
        pytest.importorskip(module)
    resource = pytest.importorskip("resource")
    options = {"warmup": ()} if name == "tf_saved_model" else {}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OutputError, match="the exported model: .*File too large"):
            regen.export(tmp_path / "1", format=name, **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("returncode", "stderr", "message"),
    [
        (-6, "", "killed by signal 6$"),
        (-9, "loading\n", "killed by signal 9, likely for lack of memory"),
        (1, "Traceback\nKeyError: 'x'\n", "^KeyError: 'x'"),
        (1, "", "no message"),
    ],
)
def test_a_failing_process_is_an_error(monkeypatch, returncode, stderr, message):
    process = subprocess.CompletedProcess([], returncode, stderr=stderr)
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: process)
    with pytest.raises(RuntimeError, match=message) as error:
        exporter.export_in_process("module", {}, "tensorflow")
    assert error.value.__notes__ == [stderr]


def test_the_process_gets_the_precision(tmp_path, monkeypatch):
    asked = []

    def record(command, **kwargs):
        preset = pathlib.Path(exporter.json.loads(command[-1])["preset"])
        asked.append(
            (exporter.json.loads(command[-1]), kwargs["env"], [*preset.iterdir()])
        )
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", record)
    regen = make_regen(4, dtype="mixed_bfloat16")
    exporter._export_under_backend(regen, tmp_path, "jax", "stablehlo", {"a": 1})
    [(request, environment, files)] = asked
    assert request["dtype"] == "mixed_bfloat16" and request["a"] == 1
    assert environment["KERAS_BACKEND"] == "jax"
    assert {file.name for file in files} >= {"config.json", "model.weights.h5"}


@keras.saving.register_keras_serializable(package="tests")
class OwnWeighting(diffusion.SampleWeighting):
    pass


@keras.saving.register_keras_serializable(package="tests")
class OwnTimes(diffusion.UniformTimes):
    pass


@keras.saving.register_keras_serializable(package="tests")
class OwnPrediction(diffusion.Sample):
    pass


def test_the_process_needs_no_classes_that_only_train(tmp_path):
    regen = make_regen(weighting=OwnWeighting(), time_distribution=OwnTimes())
    exporter.save_for_process(regen, tmp_path, "jax")
    loaded = type(regen).from_preset(tmp_path)
    assert type(loaded.prediction) is type(regen.prediction)
    regen = make_regen(prediction=OwnPrediction())
    with pytest.raises(
        ValueError, match="KERAS_BACKEND=jax.*Received: prediction .*tests>OwnPred"
    ):
        exporter.save_for_process(regen, tmp_path, "jax")


def test_formats_do_not_import_keras():
    code = (
        "import sys; from keras_regen.export.formats import FORMATS;"
        "assert not {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_are_those_of_the_types():
    assert set(formats.SCHEDULES) == set(diffusion.SCHEDULES)
    assert get_args(ExportFormat) == tuple(formats.FORMATS)


def test_a_schedule_is_part_of_the_exported_function(toy):
    latents = np.full((1, 2, 2, 3, 8), 0.5, "float32")
    times = np.arange(K + 1, dtype="float32")[None]
    noise = diffusion.noise_canvas(0, times[0], (0, 16), (0, 24))[None]
    inputs = map(keras.ops.convert_to_tensor, (latents, times, noise))
    functions = ModelFunctions(toy, "uniform")
    weights = [variable.value for variable in functions.decoder_variables]
    video = functions.decode(weights, *inputs, 3)
    expected, other = (
        toy.decode(latents, num_steps=3, schedule=name)
        for name in ("uniform", "log_snr")
    )
    np.testing.assert_allclose(keras.ops.convert_to_numpy(video), expected, atol=1e-3)
    assert np.abs(other - expected).max() > 1e-2
