"""OpenVINO models."""

import pathlib
import tempfile

import openvino

from keras_regen.export.onnx_model import NAMES, export_onnx


def export_openvino(regen, directory, num_steps=1):
    """Writes `encode` and `decode`, each an `.xml` and a `.bin`, by way of ONNX.

    Args:
        regen: as for `export_onnx`.
        directory: path of an empty directory.
        num_steps: int. As for `export_onnx`. Defaults to `1`.

    Raises:
        ValueError: as `export_onnx`.
    """
    with tempfile.TemporaryDirectory() as onnx_directory:
        onnx_directory = pathlib.Path(onnx_directory)
        export_onnx(regen, onnx_directory, num_steps)
        for name in NAMES:
            model = openvino.convert_model(onnx_directory / f"{name}.onnx")
            # float16 would round the weights.
            openvino.save_model(
                model, directory / f"{name}.xml", compress_to_fp16=False
            )
