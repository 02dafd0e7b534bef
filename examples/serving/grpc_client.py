"""Send a video to a served Regen over gRPC, and write the video that comes back.

python grpc_client.py in.mp4 -o out.mp4 --server localhost:8500
"""

import argparse
import sys
import time

import grpc
import numpy as np
import tensorflow as tf
from chunks import add_arguments, reconstruct_file
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
add_arguments(parser)
parser.add_argument("--server", default="localhost:8500", help="host and gRPC port")
args = parser.parse_args()

# A batch of chunks exceeds the default limit of gRPC, 4 MiB.
unlimited = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]
stub = prediction_service_pb2_grpc.PredictionServiceStub(
    grpc.insecure_channel(args.server, unlimited)
)
sent = received = 0


def reconstruct(video, seeds):
    """Sends a request to the signature `reconstruct_uint8`."""
    global sent, received
    request = predict_pb2.PredictRequest()
    request.model_spec.name = args.model
    request.model_spec.signature_name = "reconstruct_uint8"
    # A number of steps for each chunk, because batching joins requests along this axis.
    steps = np.full(len(video), args.steps, "int32")
    for name, value in {"video": video, "seed": seeds, "num_steps": steps}.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    response = stub.Predict(request, timeout=args.timeout)
    sent += request.ByteSize()
    received += response.ByteSize()
    return tf.make_ndarray(response.outputs["video"])


start = time.perf_counter()
try:
    reconstruct_file(args, reconstruct)
except grpc.RpcError as error:
    sys.exit(f"\n{args.server} answered {error.code().name}: {error.details()}")
except ValueError as error:
    sys.exit(str(error))
seconds = time.perf_counter() - start
print(f"{args.output}: {sent} bytes sent, {received} received, {seconds:.1f} s")
