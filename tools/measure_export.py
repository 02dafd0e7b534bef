"""What exported models answer, weigh and take, against the model itself.

    python measure_export.py formats             # every backend and format
    python measure_export.py storage DATA/valid  # SavedModels of less precision

Prints tables in Markdown. Each export is written and run in processes of its own; times
are the median of `REPEATS` calls with one 9x128x128 chunk, the first left out.
"""

import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

PRESET = "regen_tiny_8x8x8"
BACKENDS = ("jax", "tensorflow", "torch")
REPEATS = 7
VARIANTS = [
    # computed in, stored as
    ("float32", "float32"),
    ("float32", "bfloat16"),
    ("float32", "int8"),
    ("mixed_bfloat16", "float32"),
    ("mixed_bfloat16", "bfloat16"),
    ("mixed_bfloat16", "int8"),
]


# === Runtimes: the two halves as functions of NumPy arrays ===


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
        return lambda *inputs: session.run(None, dict(zip(names, inputs, strict=True)))[
            0
        ]

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
    return lambda video: encode(video=video), lambda latents, times, noise: decode(
        latents=latents, times=times, noise=noise
    )


def run_stablehlo(directory):
    import jax
    import numpy as np

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
    # What it does by itself where the processor has bfloat16.
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
    """One chunk of the bundled clip, its times and the noise of seed 0."""
    import numpy as np

    from keras_regen.diffusion import noise_canvas
    from keras_regen.video import VideoReader, bundled_clip

    with VideoReader(bundled_clip()) as reader:
        frames = np.stack([frame for frame, _ in zip(reader, range(9), strict=False)])
    video = frames[None, :, :128, :128].astype("float32") / 127.5 - 1
    times = np.arange(9, dtype="float32")
    noise = noise_canvas(0, times, (0, 128), (0, 128))
    return video, times[None], noise[None]


def export_row(format, directory):
    """Exports and measures Keras's own answers: for `run_row` to compare with."""
    import numpy as np

    from keras_regen import Regen

    regen = Regen.from_preset(PRESET)
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


def run_row(runtime, directory):
    """Runs what was exported, without this package."""
    import numpy as np

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


def storage_row(precision, weights, folder):
    """The PSNR of a SavedModel's reconstructions of the validation chunks."""
    import numpy as np
    from protocol import score, validation_chunks

    from keras_regen import Regen

    regen = Regen.from_preset(PRESET, dtype=precision)
    with tempfile.TemporaryDirectory() as directory:
        model = pathlib.Path(directory) / "1"
        regen.export(model, weights=weights, warmup=())
        size = sum(f.stat().st_size for f in model.rglob("*") if f.is_file())
        encode, decode = run_saved_model(model)
        scores = []
        for chunks in validation_chunks(folder, 9).values():
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


# === All of them ===


def in_process(backend, *arguments):
    """What a function of this file returns in a process of a backend."""
    process = subprocess.run(
        [sys.executable, __file__, *map(str, arguments)],
        env=os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(process.stdout.splitlines()[-1])


def table(rows):
    columns = list(rows[0])
    print("|", " | ".join(columns), "|\n|" + "---|" * len(columns))
    for row in rows:
        cells = [f"{x:.4g}" if isinstance(x, float) else str(x) for x in row.values()]
        print("|", " | ".join(cells), "|", flush=True)


def formats():
    rows = []
    for runtime in RUNTIMES:
        for backend in BACKENDS:
            format = runtime.split(",")[0]
            with tempfile.TemporaryDirectory() as directory:
                row = {"format": runtime, "from": backend}
                row |= in_process(backend, "export_row", format, directory)
                row |= in_process(backend, "run_row", runtime, directory)
                files = pathlib.Path(directory).glob("model/**/*")
                sizes = [f.stat().st_size for f in files if "assets" not in str(f)]
                rows.append(row | {"MB": sum(sizes) / 1e6})
                print(rows[-1], file=sys.stderr, flush=True)
    table(rows)


def storage(folder):
    rows = []
    for precision, weights in VARIANTS:
        row = {"computed in": precision, "stored as": weights}
        row |= in_process("tensorflow", "storage_row", precision, weights, folder)
        row["dB lost"] = round((rows or [row])[0]["PSNR"] - row["PSNR"], 4)
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
    table(rows)


def main(name, *arguments):
    if name in ("formats", "storage"):
        globals()[name](*arguments)
    elif name == "storage_row":
        print(json.dumps(storage_row(*arguments)))
    else:
        format, directory = arguments
        row = {"export_row": export_row, "run_row": run_row}[name]
        print(json.dumps(row(format, pathlib.Path(directory))))


if __name__ == "__main__":
    main(*sys.argv[1:])
