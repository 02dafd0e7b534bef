"""Counts the kernels that a GPU would run, and the bytes they move, without having one.

    pip install "jax[cuda12]"
    python -m tools.measure_traffic --architecture small --batch-size 32

XLA compiles the encoder, one pass of the decoder and the training step for an H200, in
`mixed_bfloat16`; nothing is run. Every kernel is taken to read its operands and to
write its results once, an operand of which it reads a part counts whole, and a loop
counts as one pass. Without the GPU, XLA does not try which kernels are fastest.
"""

import argparse
import collections
import contextlib
import itertools
import math
import os
import re
from unittest import mock

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_gpu_autotune_level=0"

import jax
import keras

from keras_regen.models import ARCHITECTURES, Regen
from keras_regen.pixels import SPATIAL_COMPRESSION
from tools.common import log, print_table

H200 = """
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  device_memory_size: 150323855360
  memory_bandwidth: 4800000000000
  l2_cache_size: 52428800
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
}
platform_name: "CUDA"
device_description_str: "NVIDIA H200"
dnn_version_info { major: 9 minor: 8 }
runtime_version { major: 12 minor: 9 }
"""
ATTENTION = "jax._src.cudnn.fused_attention_stablehlo"
CASES = ("encode", "decode", "train")
GB = 1e9

# === Compiling ===


def gpu_device():
    """Returns a device to compile for."""
    from jax.experimental import topologies

    topology = topologies.get_topology_desc(
        platform="cuda", target_config=H200, topology="1x1x1"
    )
    return topology.devices[0]


@contextlib.contextmanager
def as_on_gpu():
    """Lets this package, Keras and JAX choose what they would on the GPU."""
    with (
        mock.patch("jax.default_backend", lambda: "gpu"),
        mock.patch(f"{ATTENTION}.check_cudnn_version", lambda: 90800),
        mock.patch(f"{ATTENTION}.check_compute_capability", lambda *_: True),
    ):
        yield


def compile_case(case, regen, args):
    """Returns the program of a case, a `jax.stages.Compiled`."""
    sharding = jax.sharding.SingleDeviceSharding(gpu_device())

    def abstract(shape, dtype="float32"):
        return jax.ShapeDtypeStruct(tuple(shape), dtype, sharding=sharding)

    def values(variables):
        return [abstract(variable.shape, variable.dtype) for variable in variables]

    batch, frames, size = args.batch_size, args.k + 1, args.size
    clips = abstract((batch, frames, size, size, 3), "uint8")
    side = size // SPATIAL_COMPRESSION
    channels = regen.encoder.latent_channels
    inputs = {
        "video": abstract(clips.shape),
        "timestep": abstract((batch,)),
        "latents": abstract((batch, 2, side, side, channels)),
        "times": abstract((batch, frames)),
    }
    if case == "train":
        state = (
            values(regen.trainable_variables),
            values(regen.non_trainable_variables),
            values(regen.optimizer.variables),
            values(regen.metrics_variables),
        )
        function, arguments = regen.train_step, (state, (clips,))
    else:
        model, x = {
            "encode": (regen.encoder, clips),
            "decode": (regen.decoder, inputs),
        }[case]
        function = model.stateless_call
        variables = model.trainable_variables, model.non_trainable_variables
        arguments = (*map(values, variables), x)
    program = jax.jit(function, donate_argnums=0 if case == "train" else ())
    with as_on_gpu():
        traced = program.trace(*arguments)
    return traced.lower(lowering_platforms=("cuda",)).compile()


# === Counting ===

BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4}
# What is no kernel.
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast"}
COMPUTATION = re.compile(r"(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) \(.*\{$")
INSTRUCTION = re.compile(
    r"\s+(?:ROOT )?%(?P<name>[\w.\-]+) = (?P<type>\(.*?\)|\S+) "
    r"(?P<operation>[\w\-]+)\((?P<operands>.*?)\)(?P<attributes>.*)"
)
CALLED = re.compile(r"(?:body|to_apply|calls)=%([\w.\-]+)")


def count_kernels(program):
    """Counts the kernels of a compiled program, and the bytes that they move.

    Args:
        program: str. The optimised HLO.

    Returns:
        Dict with `kernels` and `bytes`, and with `transposes` and `transposed_bytes` of
        the kernels that change the order of the axes.
    """
    computations = parse(program)
    counts = collections.Counter()
    waiting = [computations["ENTRY"]]
    for instructions in waiting:
        types = {x["name"]: x["type"] for x in instructions}
        for each in instructions:
            called = [computations[name] for name in CALLED.findall(each["attributes"])]
            if each["operation"] in ("while", "call"):
                waiting += called
            elif each["operation"] not in FREE:
                operands = re.findall(r"%([\w.\-]+)", each["operands"])
                moved = [each["type"], *(types[name] for name in operands)]
                size = sum(map(num_bytes, moved))
                counts.update(kernels=1, bytes=size)
                inside = itertools.chain([each], *called)
                if any(x["operation"] == "transpose" for x in inside):
                    counts.update(transposes=1, transposed_bytes=size)
    return counts


def parse(program):
    """Returns the instructions of each computation, by its name."""
    computations = {}
    for line in program.splitlines():
        if found := COMPUTATION.match(line):
            current = computations[found["name"]] = []
            if found["entry"]:
                computations["ENTRY"] = current
        elif found := INSTRUCTION.match(line):
            current.append(found.groupdict())
    return computations


def num_bytes(types):
    """Returns the size of arrays, such as `"bf16[4,8]{1,0}"` or a tuple of them."""
    return sum(
        BYTES.get(dtype, 0) * math.prod(map(int, filter(None, shape.split(","))))
        for dtype, shape in re.findall(r"(\w+)\[([\d,]*)\]", types)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="small")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--k", type=int, default=8, help="frames after the first")
    parser.add_argument("--size", type=int, default=128, help="height and width")
    parser.add_argument("--batch-size", type=int, default=32)
    args = parser.parse_args()
    regen = Regen.from_architecture(args.architecture, args.k, dtype="mixed_bfloat16")
    regen.compile(
        optimizer=keras.optimizers.AdamW(1e-3, use_ema=True, global_clipnorm=1.0)
    )
    regen.optimizer.build(regen.trainable_variables)
    rows = []
    for case in args.cases:
        compiled = compile_case(case, regen, args)
        counts = count_kernels(compiled.as_text())
        memory = compiled.memory_analysis().temp_size_in_bytes
        sizes = counts["bytes"], counts["transposed_bytes"], memory
        rows.append(
            [case, counts["kernels"], counts["transposes"]]
            + [f"{size / GB:.2f}" for size in sizes]
        )
        log(*rows[-1])
    print_table(
        ["", "kernels", "that transpose", "GB moved", "by those", "GB of memory"], rows
    )


if __name__ == "__main__":
    main()
