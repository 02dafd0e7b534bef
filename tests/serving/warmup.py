"""Warm-up requests of a SavedModel: a TFRecord file of `PredictionLog`s."""

import functools
import struct

from tests.serving.c_api import StatusError

# isort: split
from tensorflow_serving.apis import prediction_log_pb2

PATH = "assets.extra/tf_serving_warmup_requests"
MAX_REQUESTS = 1000
CASTAGNOLI = 0x82F63B78
HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")


def warmup_requests(directory):
    """Returns the `PredictRequest`s in a SavedModel's file, or none without a file.

    Args:
        directory: `pathlib.Path` of the SavedModel.

    Raises:
        StatusError: if the file is damaged, or has other requests or too many.
    """
    path = directory / PATH
    if not path.exists():
        return []
    requests = []
    for record in read_records(path.read_bytes()):
        log = prediction_log_pb2.PredictionLog.FromString(record)
        if log.WhichOneof("log_type") != "predict_log":
            raise StatusError(
                "UNIMPLEMENTED", f"Unsupported log_type: {log.WhichOneof('log_type')}"
            )
        requests.append(log.predict_log.request)
    if len(requests) > MAX_REQUESTS:
        raise StatusError(
            "INVALID_ARGUMENT",
            f"Number of warmup records exceeds the maximum ({MAX_REQUESTS})",
        )
    return requests


def read_records(data):
    """Yields the records of a TFRecord file.

    A record is its length, a checksum of the length, its bytes, and a checksum of the
    bytes.

    Args:
        data: bytes, the whole file.

    Raises:
        StatusError: at a record that is cut short or does not match its checksums.
    """
    start = 0
    while start < len(data):
        end = start + HEADER.size
        if end > len(data):
            raise StatusError("DATA_LOSS", f"truncated record at {start}")
        length, length_checksum = HEADER.unpack(data[start:end])
        if checksum(data[start : start + 8]) != length_checksum:
            raise StatusError("DATA_LOSS", f"corrupted record at {start}")
        record = data[end : end + length]
        end += length + FOOTER.size
        if end > len(data):
            raise StatusError("DATA_LOSS", f"truncated record at {start}")
        if FOOTER.pack(checksum(record)) != data[end - FOOTER.size : end]:
            raise StatusError("DATA_LOSS", f"corrupted record at {start}")
        yield record
        start = end


def checksum(data):
    """Returns the CRC-32C of bytes, masked as in TFRecord."""
    table = _crc_table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _crc_table():
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (CASTAGNOLI if crc & 1 else 0)
        table.append(crc)
    return table
