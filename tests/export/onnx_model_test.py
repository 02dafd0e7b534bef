"""ONNX models in ONNX Runtime against the model itself."""

import pathlib

import keras
import pytest

from tests.export.conftest import make_toy
from tests.export.halves import (
    CHUNKS,
    IMAGES,
    SMALLEST,
    check_decode,
    check_encode,
    needs,
)

pytestmark = needs("torch", "onnx", "onnxscript", "onnxruntime")

LOAD = """
import onnxruntime

def load(path):
    session = onnxruntime.InferenceSession(path + ".onnx")
    return lambda **inputs: session.run(None, inputs)[0]
"""


def test_encode(toy, onnx_models, tmp_path):
    shapes = CHUNKS + IMAGES + SMALLEST
    check_encode(toy, LOAD, onnx_models, tmp_path, shapes, atol=1e-5)


def test_decode(toy, onnx_models, tmp_path):
    check_decode(toy, LOAD, onnx_models, tmp_path, num_steps=2, atol=1e-4)


def test_files_say_what_they_are(toy, onnx_models):
    import onnx

    inputs = {"encode": ["video"], "decode": ["latents", "times", "noise"]}
    outputs = {"encode": ["latents"], "decode": ["video"]}
    axes = {
        "video": ["batch", "frames", "height", "width", 3],
        "noise": ["batch", "frames", "height", "width", 3],
        "latents": ["batch", "latent_frames", "latent_height", "latent_width", 8],
        "times": ["batch", "frames"],
    }
    halves = {"encode": toy.encoder, "decode": toy.decoder}
    assert sorted(path.name for path in onnx_models.iterdir()) == [
        "decode.onnx",
        "encode.onnx",
    ]
    for name, half in halves.items():
        path = onnx_models / f"{name}.onnx"
        model = onnx.load(path)
        onnx.checker.check_model(model)
        graph = model.graph
        assert [value.name for value in graph.input] == inputs[name]
        assert [value.name for value in graph.output] == outputs[name]
        for value in (*graph.input, *graph.output):
            dims = value.type.tensor_type.shape.dim
            assert [d.dim_param or d.dim_value for d in dims] == axes[value.name]
        weights = {v.path: v.numpy().nbytes for v in half.variables}
        stored = {t.name: len(t.raw_data) for t in graph.initializer}
        # Transposed kernels are stored once, without a name.
        assert {path for path in weights if path.endswith("bias")} < stored.keys()
        assert sum(stored.values()) < 1.2 * sum(weights.values())
        # No paths of this machine.
        assert str(pathlib.Path(keras.__file__).parent).encode() not in (
            path.read_bytes()
        )


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_is_refused(tmp_path, dtype):
    regen = make_toy(dtype=dtype)
    for format in ("onnx", "openvino"):
        with pytest.raises(ValueError, match=f"float32.*Received: dtype={dtype}"):
            regen.export(tmp_path / "model", format=format)
    assert not any(tmp_path.iterdir())
