"""Requests to a SavedModel or a gRPC server, made in a separate process.

    python -m tests.serving.calls TARGET < requests > answers

`TARGET` is the directory of a SavedModel, which the C API runs, or the address of a
server, `grpc://localhost:8500/MODEL`. Requests and answers are pickled lists. The
process asserts that it imported neither TensorFlow's Python nor Keras.

`make_calls` starts the process without importing TensorFlow, so that tests can use it
under any backend.
"""

import pickle
import subprocess
import sys

from tests.serving.processes import ROOT, environment


def make_calls(target, requests):
    """Returns the answers to a list of requests.

    Args:
        target: path of a SavedModel, or `grpc://HOST:PORT/MODEL`.
        requests: list of pairs of the name of a signature and a dict of arrays.

    Returns:
        List with a dict of arrays for each request, or a pair `(code, message)` if its
        status was not OK.
    """
    process = subprocess.run(
        [sys.executable, "-m", "tests.serving.calls", str(target)],
        input=pickle.dumps(requests),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
        check=True,
    )
    return pickle.loads(process.stdout)


def session_caller(directory):
    """Returns a function that calls a SavedModel in this process."""
    from tests.serving.c_api import Session

    return Session(directory).run


def grpc_caller(address, model):
    """Returns a function that calls a server."""
    import grpc

    from tests.serving.c_api import StatusError
    from tests.serving.tensor_protos import make_array, make_tensor_proto

    # isort: split
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    options = [("grpc.max_receive_message_length", -1)]
    channel = grpc.insecure_channel(address, options)
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def call(signature, inputs):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(make_tensor_proto(value, content=True))
        try:
            response = stub.Predict(request, timeout=60)
        except grpc.RpcError as error:
            raise StatusError(error.code().name, error.details()) from error
        return {name: make_array(proto) for name, proto in response.outputs.items()}

    return call


def main():
    from tests.serving.c_api import StatusError
    from tests.serving.light_protos import is_light

    target = sys.argv[1]
    if target.startswith("grpc://"):
        call = grpc_caller(*target.removeprefix("grpc://").split("/"))
    else:
        call = session_caller(target)
    answers = []
    for signature, inputs in pickle.load(sys.stdin.buffer):
        try:
            answers.append(call(signature, inputs))
        except StatusError as error:
            answers.append((error.code, error.message))
    assert is_light()
    sys.stdout.buffer.write(pickle.dumps(answers))


if __name__ == "__main__":
    main()
