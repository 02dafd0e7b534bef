"""Measures the memory of a training step on many devices, without having them.

    python -m tools.measure_memory --architecture paper --topology v5p:2x2x2

XLA compiles the step and says what it would allocate; nothing is run. Compiling for
TPUs needs no TPU, only `pip install libtpu` in the version that `jax[tpu]` asks for.
Without `--topology` the step is compiled for virtual CPU devices, whose buffers differ
from those of an accelerator. The step is Keras's own, in `mixed_bfloat16`, with AdamW,
its averages of the weights, and one clip for each replica.
"""

import argparse
import concurrent.futures
import os
import re
import time

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")

import jax
import keras
import numpy as np

from keras_regen.models import ARCHITECTURES, Regen
from tools.common import log, print_table

AXES = ("batch", "model")
GIB = 2**30


def plan_devices(topology):
    """Returns the devices to compile for."""
    if not topology:
        return jax.devices()
    from jax.experimental import topologies

    return topologies.get_topology_desc(topology, platform="tpu").devices


def plan_distribution(devices, shape):
    """Returns the distribution over a mesh of `(batch, model)` devices."""
    devices = np.array(devices[: shape[0] * shape[1]]).reshape(shape)
    if shape[1] == 1:
        mesh = keras.distribution.DeviceMesh(shape[:1], AXES[:1], devices[:, 0])
        return keras.distribution.DataParallel(mesh)
    mesh = keras.distribution.DeviceMesh(shape, AXES, devices)
    return keras.distribution.ModelParallel(layout_map=Regen.get_layout_map(mesh))


def abstract_model(distribution, args, remat):
    """Returns a compiled model whose variables have layouts and no values."""
    optimizer = keras.optimizers.AdamW(1e-4, use_ema=True)
    with keras.StatelessScope(initialize_variables=False):
        regen = Regen.from_architecture(
            args.architecture, args.k, dtype="mixed_bfloat16", remat=remat
        )
        regen.compile(optimizer=optimizer)
        for variable in regen.variables:
            variable._layout = distribution.get_variable_layout(variable)
        # The optimiser's slots take the layouts of their variables.
        optimizer.build(regen.trainable_variables)
    return regen


def compile_step(distribution, args, remat):
    """Compiles a training step.

    Returns:
        The compiler's `memory_analysis()`.
    """
    # Keras remembers, in each thread, the variables that a stateless scope did not
    # initialise, and initialises them at the end of the thread's next scope.
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as thread:
        regen = thread.submit(abstract_model, distribution, args, remat).result()

    def abstract(variable):
        layout = distribution.get_variable_layout(variable).backend_layout
        return jax.ShapeDtypeStruct(
            tuple(variable.shape), variable.dtype, sharding=layout
        )

    state = [
        [abstract(variable) for variable in variables]
        for variables in (
            regen.trainable_variables,
            regen.non_trainable_variables,
            regen.optimizer.variables,
            regen.metrics_variables,
        )
    ]
    shape = (distribution.num_model_replicas, args.k + 1, args.size, args.size, 3)
    layout = distribution.get_data_layout(shape).backend_layout
    clips = jax.ShapeDtypeStruct(shape, "uint8", sharding=layout)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, tuple(state))
    with distribution.scope():
        step = jax.jit(
            regen.train_step, donate_argnums=0, out_shardings=(None, shardings)
        )
        return step.lower(tuple(state), (clips,)).compile().memory_analysis()


def measure(distribution, args, remat):
    """Returns the state, the rest and their sum, in GiB of one device, as text."""
    try:
        memory = compile_step(distribution, args, remat)
    except jax.errors.JaxRuntimeError as error:
        # The compiler refuses a step that does not fit, and says what it would take.
        found = re.search(r"Used ([\d.]+)([GM]) of ([\d.]+)G hbm", str(error))
        if not found:
            raise
        used = float(found[1]) / (1 if found[2] == "G" else 1024)
        return ["", "", f"{used:.1f}, over {found[3]}"]
    state = memory.argument_size_in_bytes
    rest = memory.temp_size_in_bytes + (
        memory.output_size_in_bytes - memory.alias_size_in_bytes
    )
    return [f"{size / GIB:.2f}" for size in (state, rest, state + rest)]


def mesh_shape(text):
    """Parses `"2x4"`: two replicas of the model, each shared by four devices."""
    return tuple(int(size) for size in text.split("x"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="paper")
    parser.add_argument("--k", type=int, default=32, help="frames after the first")
    parser.add_argument("--size", type=int, default=256, help="height and width")
    parser.add_argument("--topology", help="of TPUs, such as v5p:2x2x2; else the CPU")
    parser.add_argument(
        "--meshes", type=mesh_shape, nargs="+", default=[(1, 1), (8, 1), (2, 4), (1, 8)]
    )
    parser.add_argument("--remat", type=int, nargs="+", choices=(0, 1), default=[0, 1])
    args = parser.parse_args()

    devices = plan_devices(args.topology)
    print(
        f"{args.architecture}, {args.k + 1}x{args.size}x{args.size}; JAX "
        f"{jax.__version__}, {devices[0].device_kind}, {args.topology or 'virtual'}"
    )
    rows = []
    for shape in args.meshes:
        for remat in args.remat:
            start = time.perf_counter()
            row = measure(plan_distribution(devices, shape), args, bool(remat))
            seconds = f"{time.perf_counter() - start:.0f} s"
            mesh = "x".join(map(str, shape))
            rows.append([mesh, "yes" if remat else "no", *row, seconds])
            log(*rows[-1])
    sizes = ["state, GiB", "rest, GiB", "sum, GiB"]
    print_table(["batch x model", "remat", *sizes, "compiled in"], rows)


if __name__ == "__main__":
    main()
