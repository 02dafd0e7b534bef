"""ONNX models, and OpenVINO models converted from them."""

import pathlib
import tempfile
import warnings

import onnx_ir
import torch

from keras_regen.atomic_output import as_os_error
from keras_regen.diffusion import DEFAULT_SCHEDULE
from keras_regen.export.torch_program import trace, without_stack_traces

# The first opset with GELU as one operation.
OPSET = 20
VIDEO = ("batch", "frames", "height", "width")
AXES = {
    "video": VIDEO,
    "noise": VIDEO,
    "latents": ("batch", "latent_frames", "latent_height", "latent_width"),
    "times": ("batch", "frames"),
}
NAMES = {
    "encode": (("video",), "latents"),
    "decode": (("latents", "times", "noise"), "video"),
}


def export_onnx(regen, directory, num_steps=1, schedule=DEFAULT_SCHEDULE):
    """Writes `encode.onnx` and `decode.onnx`, which take inputs of any size.

    Weights that exceed the 2 GB limit of such a file go to a second file.

    Args:
        regen: a float32 `Regen`, under the PyTorch backend.
        directory: path of an empty directory.
        num_steps: int. Sampling steps of `decode`, fixed in the file. Defaults to `1`.
        schedule: as for `Regen.decode`, fixed in the file.

    Raises:
        ValueError: if the model computes in another precision.
    """
    policy = regen.encoder.dtype_policy
    if policy.compute_dtype != "float32":
        raise ValueError(
            "ONNX and OpenVINO models are exported in float32, which their runtimes "
            f"can lower. Received: dtype={policy.name}"
        )
    for name, program in trace(regen, num_steps, schedule).items():
        inputs, output = NAMES[name]
        with warnings.catch_warnings(), without_stack_traces():
            # The exporter uses what PyTorch deprecates.
            warnings.simplefilter("ignore", FutureWarning)
            exported = torch.onnx.export(
                program,
                input_names=inputs,
                output_names=[output],
                opset_version=OPSET,
                verbose=False,
            )
        _clean(exported.model)
        exported.save(directory / f"{name}.onnx")


def export_openvino(regen, directory, num_steps=1, schedule=DEFAULT_SCHEDULE):
    """Writes `encode` and `decode`, each an `.xml` and a `.bin`, converted from ONNX.

    Args:
        regen: as for `export_onnx`.
        directory: path of an empty directory.
        num_steps: int. As for `export_onnx`. Defaults to `1`.
        schedule: as for `export_onnx`.

    Raises:
        ValueError: as for `export_onnx`.
    """
    import openvino

    with tempfile.TemporaryDirectory() as onnx_directory:
        onnx_directory = pathlib.Path(onnx_directory)
        export_onnx(regen, onnx_directory, num_steps, schedule)
        for name in NAMES:
            model = openvino.convert_model(onnx_directory / f"{name}.onnx")
            path = directory / f"{name}.xml"
            with as_os_error(RuntimeError):
                # float16 would round the weights.
                openvino.save_model(model, path, compress_to_fp16=False)


def _clean(model):
    """Removes metadata and names the axes of inputs and outputs."""
    graph = model.graph
    for part in (model, graph, *graph.inputs, *graph.initializers.values()):
        part.metadata_props.clear()
    for node in graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
            if value not in graph.outputs:
                # Its symbols have lost their names; runtimes infer shapes themselves.
                value.shape = None
    for value in (*graph.inputs, *graph.outputs):
        axes = AXES[value.name]
        value.shape = onnx_ir.Shape([*axes, *value.shape[len(axes) :]])
