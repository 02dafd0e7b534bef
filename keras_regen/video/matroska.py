"""Matroska fields that FFmpeg does not report or write."""

import io

# Identifiers of elements. An element is an identifier, a size and so many bytes.
EBML, SEGMENT, TRACKS, TRACK, VIDEO = 0x1A45DFA3, 0x18538067, 0x1654AE6B, 0xAE, 0xE0
DISPLAY_WIDTH = b"\x54\xb0"
# FFmpeg writes the tracks among the first elements.
_MAX_ELEMENTS = 100


def is_cut_off(path):
    """Whether a file is smaller than it says; some do not say it."""
    with path.open("rb") as file:
        header = _read_head(file)
        if not header or header[0] != EBML or header[1] is None:
            return False
        file.seek(header[1], io.SEEK_CUR)
        segment = _read_head(file)
        if not segment or segment[0] != SEGMENT or segment[1] is None:
            return False
        return file.tell() + segment[1] > path.stat().st_size


def set_display_width(path, width):
    """Writes the width that players show into a file that FFmpeg wrote.

    FFmpeg gives the size of a track eight bytes, of which two suffice. So there are
    six for the width, and no other part of the file moves.

    Args:
        path: path.
        width: int. Columns that players stretch a frame to; its height stays.

    Returns:
        bool. Whether there was room.
    """
    added = DISPLAY_WIDTH + b"\x83" + width.to_bytes(3, "big")
    with path.open("r+b") as file:
        end = path.stat().st_size
        if not _find(file, SEGMENT, end) or not (tracks := _find(file, TRACKS, end)):
            return False
        end = file.tell() + tracks
        while size := _find(file, TRACK, end):
            start = file.tell()
            content = file.read(size)
            place = io.BytesIO(content)
            if not (video := _find(place, VIDEO, size)):
                continue
            after = place.tell()
            # One byte for the size of the video, and two for that of the track.
            if video + len(added) > 126 or size + len(added) > 2**14 - 2:
                return False
            content = (
                content[: after - 1]
                + bytes([0x80 | video + len(added)])
                + content[after : after + video]
                + added
                + content[after + video :]
            )
            file.seek(start - 8)
            if file.read(1) != b"\x01":
                return False
            file.seek(start - 8)
            file.write((0x4000 | len(content)).to_bytes(2, "big") + content)
            return True
    return False


def _find(file, wanted, end):
    """Goes to the content of the next element of a kind; returns its size, or None."""
    for _ in range(_MAX_ELEMENTS):
        if file.tell() >= end or not (head := _read_head(file)):
            return None
        identifier, size = head
        if identifier == wanted:
            return size or end - file.tell()
        if size is None:
            return None
        file.seek(size, io.SEEK_CUR)
    return None


def _read_head(file):
    """Reads the start of an element.

    Returns:
        Its identifier, and the size of its content or None where that is not told; or
        None at the end of the file.
    """
    parts = []
    for longest in (4, 8):
        first = file.read(1)
        length = 9 - first[0].bit_length() if first else 9
        if length > longest:
            return None
        rest = file.read(length - 1)
        if len(rest) < length - 1:
            return None
        parts.append((int.from_bytes(first + rest, "big"), length))
    (identifier, _), (size, length) = parts
    size &= (1 << 7 * length) - 1
    return identifier, None if size == (1 << 7 * length) - 1 else size
