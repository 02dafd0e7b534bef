"""Files of latents, and indexes of them."""

import hashlib
import json
import pathlib

import h5py
import numpy as np

from keras_regen.latents import LatentClips, Latents
from keras_regen.text import TextEmbeddings
from tools.attack.attempt import Attempt
from tools.attack.child import REFUSED
from tools.attack.registry import kind
from tools.attack.toys import damage, deep, pick, with_wrong_value, wrong_value

ATTRIBUTES = ("format", "version", "header", "content_hash")


def load(path, lazy):
    """Loads latents and every value."""
    latents = Latents.load(path, lazy=lazy)
    return np.asarray(latents.array, "float64"), latents.duration


def opening(rng, toys, path, label, expected=None):
    """Returns an `Attempt` to use a file of latents in one of all ways."""
    how = int(rng.integers(5))
    options = {"label": label, "names": (str(path),)}
    if expected:
        options["expected"] = expected
    if how < 2:
        return Attempt(call=lambda: load(path, bool(how)), **options)
    if how == 2:
        return Attempt(arguments=("info", path), **options)
    command = ("decode", path, "-o", "o.npy", "--max-memory", "500MB")
    # Some errors are about what the latents declare together with the command.
    options["names"] += ("preset", "o.npy", "Received:")
    preset = ("--preset", toys.preset) if how == 3 else ()
    return Attempt(arguments=(*command, *preset), outputs=("o.npy",), **options)


@kind(24)
def damaged_latents(toys, rng):
    path = toys.copy("z.h5")
    return opening(rng, toys, path, damage(rng, path))


@kind(40)
def headers_of_latents(toys, rng):
    """Wrong types and values in headers, of which the hash is right."""
    header, where, wrong = dict(toys.latents.header), "", ""
    for _ in range(int(rng.integers(1, 3))):
        if header:
            where, wrong = with_wrong_value(rng, header)
    text = json.dumps(header)
    if rng.random() < 0.15:
        text = pick(rng, (deep(), "null", "[]", "{}", "", '"x"', text[:-3], "NaN"))
    path = toys.copy("z.h5")
    with h5py.File(path, "a") as file:
        values = file["latents"][()]
        digest = hashlib.sha256(values.tobytes())
        digest.update(json.dumps(header, sort_keys=True).encode())
        file.attrs.create("header", text, dtype=h5py.string_dtype())
        file.attrs["content_hash"] = digest.hexdigest()
        if rng.random() < 0.2:
            where = pick(rng, ATTRIBUTES)
            wrong = pick(rng, (np.arange(3), 1.5, -1, 2**62, np.zeros((2, 2)), b"\xff"))
            file.attrs[where] = wrong
    return opening(rng, toys, path, f"{where}={wrong!r:.40}")


@kind(30)
def contents_of_latents(toys, rng):
    """Arrays of other shapes, dtypes and places."""
    path = toys.copy("z.h5")
    make = pick(rng, (_declared, _typed, _elsewhere, _values, _layered))
    with h5py.File(path, "a") as file:
        values = file["latents"][()]
        del file["latents"]
        label, header = make(toys, rng, file, values)
        header = {**toys.latents.header, **header}
        if make not in (_elsewhere, _typed):
            digest = hashlib.sha256()
            if file["latents"].size < 10**6:
                digest.update(file["latents"][()].tobytes())
            digest.update(json.dumps(header, sort_keys=True).encode())
            file.attrs["content_hash"] = digest.hexdigest()
        file.attrs["header"] = json.dumps(header)
    expected = (REFUSED,) if make is _elsewhere else None
    return opening(rng, toys, path, label, expected)


def _declared(toys, rng, file, values):
    side = int(pick(rng, (2, 100, 9000, 10**6, 2 * 10**9)))
    shape = pick(rng, ((side, 1, 1, 8), (2, side, side, 8), (2, 1, 1, side)))
    chunks = pick(rng, ((2, 1, 1, 1), (1, 1, 1, min(shape[-1], 2**20)), None))
    kind = pick(rng, ("f2", "f8"))
    if chunks is None and np.prod(shape, dtype="float64") > 1e8:
        chunks = (1, 1, 1, 1)
    file.create_dataset("latents", shape, kind, chunks=chunks)
    header = {"height": 8 * shape[1], "width": 8 * shape[2]}
    frames = shape[0] // 2 * 5
    return f"sparse {shape} {kind}", {**header, "num_frames": frames}


def _typed(toys, rng, file, values):
    kinds = ("i4", "u1", "f8", ">f4", ">f2", "S5", "c8", "bool", h5py.string_dtype())
    dtype = pick(rng, kinds)
    shape = pick(rng, (values.shape, values.shape[1:], (), (0, 4, 5, 8), (3, 4, 5, 8)))
    file.create_dataset("latents", shape, dtype)
    return f"{dtype} {shape}", {}


def _elsewhere(toys, rng, file, values):
    other, shape = str(toys.outside / "secret.h5"), values.shape
    how = pick(rng, ("external", "soft", "link", "virtual", "relative", "group"))
    if how == "external":
        place = [(str(toys.outside / "secret.npy"), 0, values.nbytes)]
        file.create_dataset("latents", shape, values.dtype, external=place)
    elif how == "virtual":
        layout = h5py.VirtualLayout(shape, values.dtype)
        layout[:] = h5py.VirtualSource(other, "latents", shape)
        file.create_virtual_dataset("latents", layout)
    elif how == "soft":
        file["other"] = values
        file["latents"] = h5py.SoftLink("/other")
    elif how == "group":
        file.create_group("latents")["latents"] = h5py.ExternalLink(other, "/latents")
    else:
        other = other if how == "link" else "../outside/secret.h5"
        file["latents"] = h5py.ExternalLink(other, "/latents")
    return how, {}


def _values(toys, rng, file, values):
    wrong = pick(rng, (np.nan, np.inf, -np.inf, 65504.0, 1e38, 1e-45, 1e300))
    kind = pick(rng, ("f2", "f4", "f8"))
    with np.errstate(over="ignore"):
        values = values.astype(kind)
        values.flat[int(rng.integers(values.size))] = wrong
    file["latents"] = values
    return f"{wrong} in {kind}", {}


def _layered(toys, rng, file, values):
    """Filters that HDF5 applies while it reads, and values of a fill."""
    options = pick(
        rng,
        (
            {"compression": "lzf", "chunks": True},
            {"compression": "gzip", "chunks": (2, 1, 1, 1)},
            {"fletcher32": True, "chunks": True},
            {"scaleoffset": 2, "chunks": True},
            {"shuffle": True, "chunks": True, "maxshape": (None, None, None, None)},
            {"fillvalue": np.nan, "chunks": True},
        ),
    )
    if "fillvalue" in options:
        file.create_dataset("latents", values.shape, "f2", **options)
    else:
        file.create_dataset("latents", data=values.astype("f4"), **options)
    return f"{options}", {}


@kind(30)
def indexes(toys, rng):
    """Fields of `index.json`."""
    folder = pathlib.Path("z")
    folder.mkdir()
    toys.copy("z.h5", folder / "v.h5")
    latents = toys.latents
    mean = [[0.5] * latents.array.shape[-1]] * 2
    index = {
        "files": [
            {
                "latents": "v.h5",
                "num_chunks": latents.num_chunks,
                "num_frames": latents.num_frames,
                "height": latents.height,
                "width": latents.width,
                "fps": latents.fps,
            }
        ],
        "latent_statistics": {"mean": mean, "std": mean, "chunks": 2},
    }
    names = ["v.h5", "index.json"]
    if rng.random() < 0.5:
        codec = ("temporal_compression", "chunking", "encoder_id", "preset")
        index |= {name: getattr(latents, name) for name in codec} | {"labels": ["a"]}
        index["files"][0] |= {"texts": ["a two", "a three"], "label": 0}
        tokens = np.ones((5, 4), "float32")
        TextEmbeddings(["a two", "a three"], tokens, [2, 3], "toy").save(
            folder / "text.h5"
        )
        names.append("text.h5")
    if rng.random() < 0.4:
        where = "files.0.latents"
        out = toys.outside / "secret.h5"
        options = ("../../outside/secret.h5", str(out), f"file://{out}", "a/../v.h5")
        options += ("", ".", "no.h5", "v.h5/", "\0", "x" * 300, wrong_value(rng))
        wrong = index["files"][0]["latents"] = pick(rng, options)
    else:
        where, wrong = with_wrong_value(rng, index)
    text = json.dumps(index)
    if rng.random() < 0.1:
        text = pick(rng, (deep(), "null", "[]", "", text[:-9], '{"files": 1}'))
    (folder / "index.json").write_text(text)
    if rng.random() < 0.2:
        damage(rng, folder / pick(rng, names))

    def batches():
        clips = LatentClips(folder, 2, (2, 2), normalize=False, seed=1)
        batches = [clips[i][0] for i in range(min(len(clips), 2))]
        if clips.condition is None:
            return batches
        return [batch["latents"] for batch in batches]

    return Attempt(f"{where}={wrong!r:.60}", call=batches, names=(str(folder),))
