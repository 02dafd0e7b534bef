"""OpenVINO models against the model itself."""

import shutil

import pytest

from tests.export.halves import (
    CHUNKS,
    IMAGES,
    SMALLEST,
    check_decode,
    check_encode,
    needs,
)

pytestmark = needs("torch", "onnx", "onnxscript", "openvino")

# By default OpenVINO computes in bfloat16 if the processor can.
LOAD = """
import openvino

def load(path):
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.compile_model(path + ".xml", "CPU", hint)
    return lambda **inputs: model(inputs)[0]
"""


@pytest.fixture(scope="module")
def directory(toy, onnx_models, tmp_path_factory):
    path = tmp_path_factory.mktemp("openvino") / "regen"

    def export_onnx(regen, directory, num_steps, schedule):
        assert (regen, num_steps, schedule) == (toy, 2, "log_snr")
        shutil.copytree(onnx_models, directory, dirs_exist_ok=True)

    # The export to ONNX takes ten times as long as the conversion.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_regen.export.onnx_model.export_onnx", export_onnx)
        toy.export(path, format="openvino", num_steps=2)
    return path


def test_encode(toy, directory, tmp_path):
    shapes = CHUNKS + IMAGES + SMALLEST
    check_encode(toy, LOAD, directory, tmp_path, shapes, atol=1e-5)


def test_decode(toy, directory, tmp_path):
    check_decode(toy, LOAD, directory, tmp_path, num_steps=2, atol=1e-4)


def test_names_and_sizes(toy, directory):
    import openvino

    for name, half, inputs, output in (
        ("encode", toy.encoder, ["video"], "latents"),
        ("decode", toy.decoder, ["latents", "times", "noise"], "video"),
    ):
        model = openvino.Core().read_model(directory / f"{name}.xml")
        assert [value.any_name for value in model.inputs] == inputs
        assert [value.any_name for value in model.outputs] == [output]
        # float32 weights, each stored once.
        size = (directory / f"{name}.bin").stat().st_size
        assert 0.99 < size / (4 * half.count_params()) < 1.2
