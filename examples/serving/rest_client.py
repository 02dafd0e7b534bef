"""Send a video to a served Regen over REST, and write the video that comes back.

    python rest_client.py in.mp4 -o out.mp4 --server localhost:8501

Sends bytes in base64 or, with --json, lists of numbers for comparison.
"""

import argparse
import base64
import json
import sys
import time
import urllib.error
import urllib.request

import numpy as np
from chunks import add_arguments, reconstruct_file

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
add_arguments(parser)
parser.add_argument("--server", default="localhost:8501", help="host and REST port")
parser.add_argument("--json", action="store_true", help="send numbers, not base64")
args = parser.parse_args()

url = f"http://{args.server}/v1/models/{args.model}:predict"
sent = received = 0


def predict(signature, instances):
    """Sends a request in row format: an object for each chunk."""
    global sent, received
    request = {"signature_name": signature, "instances": instances}
    body = json.dumps(request, separators=(",", ":")).encode()
    with urllib.request.urlopen(url, body, args.timeout) as response:
        answer = response.read()
    sent += len(body)
    received += len(answer)
    return json.loads(answer)["predictions"]


def reconstruct(video, seeds):
    """Sends a request to `reconstruct_bytes` or, with --json, `reconstruct_uint8`."""
    instances = [{"seed": int(seed), "num_steps": args.steps} for seed in seeds]
    if args.json:
        for instance, chunk in zip(instances, video, strict=True):
            instance["video"] = chunk.tolist()
        return np.array(predict("reconstruct_uint8", instances), "uint8")
    for instance, chunk in zip(instances, video, strict=True):
        instance["video_bytes"] = {"b64": base64.b64encode(chunk.tobytes()).decode()}
        instance["shape"] = chunk.shape
    return np.stack(
        [
            np.frombuffer(
                base64.b64decode(prediction["video_bytes"]["b64"]), "uint8"
            ).reshape(prediction["shape"])
            for prediction in predict("reconstruct_bytes", instances)
        ]
    )


start = time.perf_counter()
try:
    reconstruct_file(args, reconstruct)
except urllib.error.HTTPError as error:
    sys.exit(f"\n{url} answered {error.code}: {error.read().decode()}")
except urllib.error.URLError as error:
    sys.exit(f"\n{url} does not answer: {error.reason}")
except (TimeoutError, ValueError) as error:
    sys.exit(f"\n{error}")
seconds = time.perf_counter() - start
print(f"{args.output}: {sent} bytes sent, {received} received, {seconds:.1f} s")
