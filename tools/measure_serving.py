"""Measures the bytes and the time of a request to a server of an exported model.

    python -m tools.measure_serving --rest http://localhost:8501 \\
        --grpc localhost:8500 CLIP

Sends the first chunk of the clip, cropped in the centre, in three ways in turns: as
numbers in JSON, as base64 in JSON, and as raw bytes over gRPC. Prints the bytes of the
bodies, and the milliseconds, median and range, until the answer is decoded.
"""

import argparse
import base64
import functools
import itertools
import json
import statistics
import time
import urllib.request

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from keras_regen.video import VideoReader
from tools.common import print_table

TIMEOUT = 300
WARM_UP = 1
STEPS = 1


def read_chunk(path, num_frames, size):
    """Returns the first frames, cropped in the centre: `(1, T, size, size, 3)`."""
    with VideoReader(path) as reader:
        video = np.stack(list(itertools.islice(reader, num_frames)))
    top, left = ((side - size) // 2 for side in video.shape[1:3])
    video = video[:, max(top, 0) :, max(left, 0) :][:, :size, :size]
    if video.shape != (num_frames, size, size, 3):
        raise ValueError(
            f"The clip must have {num_frames} frames of {size}x{size} pixels. "
            f"Received: shape={video.shape}"
        )
    return video[None]


def post(url, signature, instance):
    """Sends a REST request. Returns bytes sent, bytes received and the prediction."""
    body = json.dumps(
        {"signature_name": signature, "instances": [instance]}, separators=(",", ":")
    ).encode()
    with urllib.request.urlopen(f"{url}:predict", body, TIMEOUT) as response:
        answer = response.read()
    return len(body), len(answer), json.loads(answer)["predictions"][0]


def send_numbers(url, video):
    instance = {"video": video[0].tolist(), "seed": 0, "num_steps": STEPS}
    sent, received, answer = post(url, "reconstruct_uint8", instance)
    return sent, received, np.array([answer], "uint8")


def send_base64(url, video):
    instance = {
        "video_bytes": {"b64": base64.b64encode(video.tobytes()).decode()},
        "shape": video.shape[1:],
        "seed": 0,
        "num_steps": STEPS,
    }
    sent, received, answer = post(url, "reconstruct_bytes", instance)
    raw = base64.b64decode(answer["video_bytes"]["b64"])
    return sent, received, np.frombuffer(raw, "uint8").reshape(1, *answer["shape"])


def send_raw(stub, model, video):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = "reconstruct_uint8"
    values = {
        "video": video,
        "seed": np.zeros(1, "int64"),
        "num_steps": np.full(1, STEPS, "int32"),
    }
    for name, value in values.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    response = stub.Predict(request, timeout=TIMEOUT)
    answer = tf.make_ndarray(response.outputs["video"])
    return request.ByteSize(), response.ByteSize(), answer


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", help="video with at least the frames of a chunk")
    parser.add_argument("--rest", required=True, metavar="URL")
    parser.add_argument("--grpc", required=True, metavar="ADDRESS")
    parser.add_argument("--model", default="regen")
    parser.add_argument("--num-frames", type=int, default=9)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=10)
    args = parser.parse_args()
    video = read_chunk(args.clip, args.num_frames, args.size)
    url = f"{args.rest}/v1/models/{args.model}"
    unlimited = [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
    ]
    stub = prediction_service_pb2_grpc.PredictionServiceStub(
        grpc.insecure_channel(args.grpc, unlimited)
    )
    ways = {
        "REST, numbers": functools.partial(send_numbers, url, video),
        "REST, base64": functools.partial(send_base64, url, video),
        "gRPC, raw": functools.partial(send_raw, stub, args.model, video),
    }
    weights, milliseconds, answers = {}, {name: [] for name in ways}, []
    # In turns, so that other load on the machine slows all of them equally.
    for run in range(WARM_UP + args.repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            *weights[name], answer = way()
            if run >= WARM_UP:
                milliseconds[name].append(1000 * (time.perf_counter() - start))
            answers.append(answer)
    if any(not np.array_equal(answer, answers[0]) for answer in answers):
        raise ValueError("All ways must give the same video")
    print(f"A chunk of {video.nbytes:,} bytes, {args.repeats} requests of each:")
    rows = [
        [
            name,
            *(f"{number:,}" for number in weights[name]),
            f"{statistics.median(times):.0f} ({min(times):.0f} to {max(times):.0f})",
        ]
        for name, times in milliseconds.items()
    ]
    print_table(["", "bytes sent", "bytes received", "ms, median (range)"], rows)


if __name__ == "__main__":
    main()
