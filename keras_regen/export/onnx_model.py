"""ONNX models."""

import warnings

import onnx_ir
import torch

from keras_regen.export.torch_program import trace

# The first with GELU as one operation.
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


def export_onnx(regen, directory, num_steps=1):
    """Writes `encode.onnx` and `decode.onnx`, whose inputs have any sizes.

    What is larger than the 2 GB of one such file has its weights beside it.

    Args:
        regen: a float32 `Regen`, under the PyTorch backend.
        directory: path of an empty directory.
        num_steps: int. Sampling steps of `decode`, written out. Defaults to `1`.

    Raises:
        ValueError: if `num_steps` is not an int of at least 1, or the model computes
            in another precision.
    """
    policy = regen.encoder.dtype_policy
    if policy.compute_dtype != "float32":
        raise ValueError(
            "ONNX and OpenVINO models are exported in float32, which their runtimes "
            f"can lower themselves. Received: dtype={policy.name}"
        )
    for name, program in trace(regen, num_steps).items():
        inputs, output = NAMES[name]
        with warnings.catch_warnings():
            # The exporter copies what PyTorch deprecates.
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


def _clean(model):
    """Leaves what a runtime reads, with axes named for what they are."""
    graph = model.graph
    for part in (model, graph, *graph.inputs, *graph.initializers.values()):
        part.metadata_props.clear()
    for node in graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
            if value not in graph.outputs:
                # In symbols that nothing names any more; runtimes infer shapes.
                value.shape = None
    for value in (*graph.inputs, *graph.outputs):
        axes = AXES[value.name]
        value.shape = onnx_ir.Shape([*axes, *value.shape[len(axes) :]])
