"""The REST interface of TF Serving: `Predict`, status and metadata."""

import http.server
import json
import re
import urllib.parse

from google.protobuf import json_format

from tests.serving.c_api import DEFAULT_SIGNATURE, StatusError
from tests.serving.json_tensors import read_request, write_response

# isort: split
from tensorflow_serving.apis import get_model_metadata_pb2

MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+))?"
PREDICT = re.compile(MODEL + ":predict", re.IGNORECASE)
INFORMATION = re.compile(MODEL + "(?P<metadata>/metadata)?", re.IGNORECASE)
HTTP_CODES = {
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "CANCELLED": 499,
    "DEADLINE_EXCEEDED": 504,
    "FAILED_PRECONDITION": 400,
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "OUT_OF_RANGE": 400,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "UNAUTHENTICATED": 401,
    "UNAVAILABLE": 503,
    "UNIMPLEMENTED": 501,
}


def make_rest_server(servable, host):
    """Makes a server of a `Servable` on a free port. `serve_forever` starts it."""
    server = http.server.ThreadingHTTPServer((host, 0), _Handler)
    server.servable = servable
    return server


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer(INFORMATION, self._information)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(PREDICT, lambda match: self._predict(body))

    def log_message(self, *args):
        """Does not log requests."""

    def _answer(self, pattern, function):
        code = 200
        try:
            match = pattern.fullmatch(self.path)
            if match is None:
                raise StatusError(
                    "INVALID_ARGUMENT", f"Malformed request: {self.command} {self.path}"
                )
            version = match["version"]
            self.server.servable.check(
                urllib.parse.unquote(match["name"]), version and int(version)
            )
            body = function(match)
        except StatusError as error:
            code = HTTP_CODES.get(error.code, 500)
            body = json.dumps({"error": error.message}).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _predict(self, body):
        session = self.server.servable.session
        signature, inputs, rows = read_request(
            body, session.signatures, DEFAULT_SIGNATURE
        )
        return write_response(session.run(signature, inputs), rows)

    def _information(self, match):
        if not match["metadata"]:
            return json.dumps(
                _as_json(self.server.servable.status()), indent=1
            ).encode()
        response = self.server.servable.metadata()
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        information = {
            "model_spec": _as_json(response.model_spec),
            "metadata": {"signature_def": _as_json(signatures)},
        }
        return json.dumps(information, indent=1).encode()


def _as_json(message):
    return json_format.MessageToDict(
        message,
        always_print_fields_with_no_presence=True,
        preserving_proto_field_name=True,
    )
