"""Measures exported models against the model itself: answers, file sizes and times.

    python -m tools.measure_export formats             # every backend and format
    python -m tools.measure_export storage DATA/valid  # SavedModels of less precision

Prints tables in Markdown, of `--preset`. Below the table is why a format refused
it. Each export is written and run in processes of its own. Times are medians of seven
calls with one 9x128x128 chunk, after a first call.
"""

import argparse
import functools
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np

from tools.common import (
    BACKENDS,
    PRESET,
    in_process,
    log,
    print_table,
    score,
    validation_chunks,
)

REPEATS = 7
# Of each clip, for the PSNR.
MAX_CHUNKS = 4
# What a SavedModel computes in, and what its weights are stored as.
VARIANTS = [
    ("float32", "float32"),
    ("float32", "bfloat16"),
    ("float32", "int8"),
    ("mixed_bfloat16", "float32"),
    ("mixed_bfloat16", "bfloat16"),
    ("mixed_bfloat16", "int8"),
]


# === Runtimes: each returns `encode` and `decode`, functions of NumPy arrays ===


def run_saved_model(directory):
    import tensorflow as tf

    signatures = tf.saved_model.load(str(directory)).signatures

    def encode(video):
        return signatures["encode"](video=tf.constant(video))["latents"].numpy()

    def decode(latents, times, noise):
        # The noise of seed 0 is made in the graph.
        return signatures["decode"](
            latents=tf.constant(latents),
            seed=tf.constant(0, tf.int64),
            num_steps=tf.constant(1),
            num_frames=tf.constant(times.shape[1]),
        )["video"].numpy()

    return encode, decode


def run_onnx(directory):
    import onnxruntime

    def load(name):
        session = onnxruntime.InferenceSession(
            directory / f"{name}.onnx", providers=["CPUExecutionProvider"]
        )
        names = [argument.name for argument in session.get_inputs()]

        def run(*inputs):
            return session.run(None, dict(zip(names, inputs, strict=True)))[0]

        return run

    return load("encode"), load("decode")


def run_openvino(directory, hint="f32"):
    import openvino

    def load(name):
        model = openvino.Core().compile_model(
            directory / f"{name}.xml", "CPU", {"INFERENCE_PRECISION_HINT": hint}
        )
        return lambda *inputs: model(list(inputs))[0]

    return load("encode"), load("decode")


def run_torch(directory):
    import torch

    def load(name):
        module = torch.export.load(directory / f"{name}.pt2").module()

        def run(**inputs):
            tensors = {name: torch.from_numpy(x) for name, x in inputs.items()}
            with torch.no_grad():
                return module(**tensors).numpy()

        return run

    encode, decode = load("encode"), load("decode")

    def decode_by_name(latents, times, noise):
        return decode(latents=latents, times=times, noise=noise)

    return lambda video: encode(video=video), decode_by_name


def run_stablehlo(directory):
    import jax

    def load(name):
        path = directory / f"{name}.jax_export"
        return jax.jit(jax.export.deserialize(path.read_bytes()).call)

    encode, decode = load("encode"), load("decode")

    def decode_in_one_step(latents, times, noise):
        steps = np.ones(len(latents), "int32")
        return np.asarray(decode(latents, times, noise, steps))

    return lambda video: np.asarray(encode(video)), decode_in_one_step


RUNTIMES = {
    "tf_saved_model": run_saved_model,
    "onnx": run_onnx,
    "openvino": run_openvino,
    # OpenVINO's default where the processor has bfloat16.
    "openvino, bf16": functools.partial(run_openvino, hint="bf16"),
    "torch": run_torch,
    "stablehlo": run_stablehlo,
}


# === In a process of one backend ===


def median_ms(function, *inputs):
    function(*inputs)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function(*inputs)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def chunk_and_noise():
    """Returns one chunk of the bundled clip, its times and the noise of seed 0."""
    from keras_regen.diffusion import noise_canvas
    from keras_regen.video import VideoReader, bundled_clip

    with VideoReader(bundled_clip()) as reader:
        frames = np.stack([frame for frame, _ in zip(reader, range(9), strict=False)])
    video = frames[None, :, :128, :128].astype("float32") / 127.5 - 1
    times = np.arange(9, dtype="float32")
    noise = noise_canvas(0, times, (0, 128), (0, 128))
    return video, times[None], noise[None]


def export_model(preset, format, directory):
    """Exports a preset, and stores Keras's own answers for `run_export`."""
    from keras_regen.models import Regen

    regen = Regen.from_preset(preset)
    start = time.perf_counter()
    regen.export(directory / "model", format)
    seconds = time.perf_counter() - start
    video, times, noise = chunk_and_noise()
    latents = regen.encode(video)
    np.savez(
        directory / "expected.npz",
        video=video,
        times=times,
        noise=noise,
        latents=latents,
        decoded=regen.decode(latents),
    )
    return {
        "export s": seconds,
        "Keras encode ms": median_ms(regen.encode, video),
        "Keras decode ms": median_ms(regen.decode, latents),
    }


def run_export(runtime, directory):
    """Runs the exported model in its own runtime, without keras_regen."""
    expected = np.load(directory / "expected.npz")
    encode, decode = RUNTIMES[runtime](directory / "model")
    video, latents = expected["video"], expected["latents"]
    inputs = latents, expected["times"], expected["noise"]
    start = time.perf_counter()
    decode(*inputs)
    first = 1000 * (time.perf_counter() - start)
    row = {
        "latents differ by": float(np.abs(encode(video) - latents).max()),
        "video differs by": float(np.abs(decode(*inputs) - expected["decoded"]).max()),
        "encode ms": median_ms(encode, video),
        "decode ms": median_ms(decode, *inputs),
        "first decode ms": first,
    }
    assert "keras_regen" not in sys.modules
    return row


def score_saved_model(preset, precision, weights, folder):
    """Scores a SavedModel's reconstructions of the validation chunks."""
    from keras_regen.models import Regen

    regen = Regen.from_preset(preset, dtype=precision)
    with tempfile.TemporaryDirectory() as directory:
        model = pathlib.Path(directory) / "1"
        regen.export(model, weights=weights, warmup=())
        size = sum(f.stat().st_size for f in model.rglob("*") if f.is_file())
        encode, decode = run_saved_model(model)
        scores = []
        for chunks in validation_chunks(folder, 9, MAX_CHUNKS).values():
            answers = [
                decode(
                    encode(chunk[None].astype("float32") / 127.5 - 1),
                    np.ones((1, 9)),
                    0,
                )
                for chunk in chunks
            ]
            answers = np.rint((np.concatenate(answers) + 1) * 127.5).astype("uint8")
            scores.append(score(chunks, answers)["psnr"])
        video, times, noise = chunk_and_noise()
        latents = encode(video)
        return {
            "MB": size / 1e6,
            "PSNR": float(np.mean(scores)),
            "encode ms": median_ms(encode, video),
            "decode ms": median_ms(decode, latents, times, noise),
        }


# === All exports ===


def formats(preset):
    """Exports from every backend to every format."""
    rows, refused = [], {}
    for runtime in RUNTIMES:
        for backend in BACKENDS:
            with tempfile.TemporaryDirectory() as name:
                directory = pathlib.Path(name)
                row = {"format": runtime, "from": backend}
                format = runtime.split(",")[0]
                try:
                    row |= _in_backend(backend, export_model, preset, format, directory)
                except ValueError as error:
                    refused[runtime] = error
                    break
                row |= _in_backend(backend, run_export, runtime, directory)
                files = directory.glob("model/**/*")
                sizes = [f.stat().st_size for f in files if "assets" not in str(f)]
                rows.append(row | {"MB": sum(sizes) / 1e6})
                log(rows[-1])
    print_table([*rows[0]], [[*row.values()] for row in rows])
    for runtime, error in refused.items():
        print(f"\n{runtime}: {error}")


def storage(preset, folder):
    """Exports SavedModels of every precision and storage."""
    rows = []
    for precision, weights in VARIANTS:
        row = {"computed in": precision, "stored as": weights}
        row |= _in_backend(
            "tensorflow", score_saved_model, preset, precision, weights, folder
        )
        row["dB lost"] = f"{(rows or [row])[0]['PSNR'] - row['PSNR']:.4f}"
        rows.append(row)
        log(row)
    cells = [row | {"PSNR": f"{row['PSNR']:.4f}"} for row in rows]
    print_table([*rows[0]], [[*row.values()] for row in cells])


def _in_backend(backend, function, *arguments):
    environment = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return in_process(function, *arguments, **environment)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default=PRESET, help="bundled name or directory")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("formats", help=formats.__doc__)
    command = commands.add_parser("storage", help=storage.__doc__)
    command.add_argument("folder", type=pathlib.Path, help="validation clips")
    args = parser.parse_args()
    if args.command == "formats":
        formats(args.preset)
    else:
        storage(args.preset, args.folder)


if __name__ == "__main__":
    main()
