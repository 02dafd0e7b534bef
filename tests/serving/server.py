"""Serves a SavedModel as TF Serving does: the same protocols, run by the C API.

    python -m tests.serving.server MODEL_DIR [--model_name NAME]
        [--enable_serialization_as_tensor_content]

`MODEL_DIR` has a directory for each version; the highest one is served. After loading
the model and running its warm-up requests, it prints a line of JSON with the ports,
`{"grpc": 1, "rest": 2}`. It does not support batching, labels or several models, nor
`Classify`, `Regress` and `MultiInference`. The process imports no Keras, and uses only
the C API of TensorFlow.
"""

import argparse
import concurrent.futures
import json
import pathlib
import sys
import threading

import grpc

from tests.serving.c_api import DEFAULT_SIGNATURE, Session, StatusError
from tests.serving.light_protos import is_light
from tests.serving.rest import make_rest_server
from tests.serving.tensor_protos import make_array, make_tensor_proto
from tests.serving.warmup import warmup_requests

# isort: split
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

HOST = "127.0.0.1"
THREADS = 4
# -1 is no limit: a batch of chunks exceeds the default of gRPC, 4 MiB.
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]


class Servable:
    """The newest version of a model.

    Args:
        directory: path of the directory of versions.
        name: str. The name of the model in requests.
        tensor_content: bool. Whether numbers are sent as raw memory over gRPC.

    Raises:
        StatusError: if there is no version, it cannot be loaded, or a warm-up request
            fails.
    """

    def __init__(self, directory, name, tensor_content):
        self.name = name
        self.tensor_content = tensor_content
        versions = [int(p.name) for p in directory.iterdir() if p.name.isdecimal()]
        if not versions:
            raise StatusError("NOT_FOUND", f"No versions of servable in {directory}")
        self.version = max(versions)
        # The names of directories may have leading zeros.
        (path, *_) = (
            p
            for p in sorted(directory.iterdir())
            if p.name.isdecimal() and int(p.name) == self.version
        )
        self.session = Session(path)
        self.warmed_up = 0
        for request in warmup_requests(path):
            self.predict(request)
            self.warmed_up += 1

    def check(self, name, version=None):
        """Raises `StatusError` unless this is the requested model and version."""
        if not name:
            raise StatusError("INVALID_ARGUMENT", "ModelSpec has no name specified.")
        if name != self.name or version not in (None, self.version):
            wanted = f"Latest({name})"
            if version is not None:
                wanted = f"Specific({name}, {version})"
            raise StatusError("NOT_FOUND", f"Servable not found for request: {wanted}")

    def check_spec(self, spec):
        """Checks a `ModelSpec`, as `check` does."""
        version = spec.version.value if spec.HasField("version") else None
        self.check(spec.name, version)

    def predict(self, request):
        """Answers a `PredictRequest`, without checking the name of its model."""
        signature = request.model_spec.signature_name or DEFAULT_SIGNATURE
        outputs = self.session.run(
            signature,
            {name: make_array(proto) for name, proto in request.inputs.items()},
            request.output_filter,
        )
        response = predict_pb2.PredictResponse()
        self._fill(response.model_spec, signature)
        for name, array in outputs.items():
            proto = make_tensor_proto(array, self.tensor_content)
            response.outputs[name].CopyFrom(proto)
        return response

    def metadata(self):
        """Returns the `GetModelMetadataResponse`."""
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, definition in self.session.meta_graph.signature_def.items():
            signatures.signature_def[name].CopyFrom(definition)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        self._fill(response.model_spec)
        response.metadata["signature_def"].Pack(signatures)
        return response

    def status(self):
        """Returns the `GetModelStatusResponse`."""
        response = get_model_status_pb2.GetModelStatusResponse()
        state = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        version = response.model_version_status.add(version=self.version, state=state)
        version.status.SetInParent()
        return response

    def _fill(self, spec, signature=""):
        spec.name = self.name
        spec.version.value = self.version
        spec.signature_name = signature


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """The gRPC service. Methods that are not defined here are unimplemented."""

    def __init__(self, servable):
        self._servable = servable

    def Predict(self, request, context):
        return self._answer(context, request, self._servable.predict)

    def GetModelMetadata(self, request, context):
        return self._answer(context, request, self._metadata)

    def _metadata(self, request):
        if list(request.metadata_field) != ["signature_def"]:
            raise StatusError(
                "INVALID_ARGUMENT",
                f"Metadata field {list(request.metadata_field)} is not supported",
            )
        return self._servable.metadata()

    def _answer(self, context, request, function):
        try:
            self._servable.check_spec(request.model_spec)
            return function(request)
        except StatusError as error:
            # Codes have the same names in TensorFlow and gRPC.
            context.abort(grpc.StatusCode[error.code], error.message)


def make_grpc_server(servable):
    """Starts a server of `PredictionService`. Returns it and its port."""
    executor = concurrent.futures.ThreadPoolExecutor(THREADS)
    server = grpc.server(executor, options=OPTIONS)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(servable), server
    )
    port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    return server, port


def main():
    """Serves until standard input ends or the process is killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir", type=pathlib.Path)
    parser.add_argument("--model_name", default="regen")
    # The name and the default are those of TF Serving.
    parser.add_argument("--enable_serialization_as_tensor_content", action="store_true")
    args = parser.parse_args()
    try:
        servable = Servable(
            args.model_dir,
            args.model_name,
            args.enable_serialization_as_tensor_content,
        )
    except StatusError as error:
        sys.exit(f"Failed to start server. Error: {error}")
    grpc_server, grpc_port = make_grpc_server(servable)
    rest_server = make_rest_server(servable, HOST)
    threading.Thread(target=rest_server.serve_forever, daemon=True).start()
    assert is_light()
    ready = {
        "grpc": grpc_port,
        "rest": rest_server.server_port,
        "version": servable.version,
        "warmed_up": servable.warmed_up,
    }
    print(json.dumps(ready), flush=True)
    # This pipe closes when the test ends, even if it crashes.
    sys.stdin.read()
    rest_server.shutdown()
    grpc_server.stop(grace=1).wait()
    servable.session.close()


if __name__ == "__main__":
    main()
