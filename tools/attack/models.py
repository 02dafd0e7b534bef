"""Presets, checkpoints and configurations of trainings."""

import copy
import dataclasses
import hashlib
import json
import pathlib
import shutil

import h5py
import numpy as np
import tomli_w

from keras_regen.models import load_model, preset_metadata
from keras_regen.training import Checkpoint, TrainingConfig
from tools.attack.attempt import Attempt
from tools.attack.child import REFUSED
from tools.attack.registry import kind
from tools.attack.toys import (
    compiled,
    damage,
    deep,
    pick,
    toy_regen,
    with_wrong_value,
    wrong_value,
)

WEIGHTS = "model.weights.h5"


def load(preset):
    """Loads a preset and its metadata, and uses it."""
    model = load_model(preset)
    preset_metadata(preset)
    return model.reconstruct(np.zeros((1, model.temporal_compression + 1, 16, 16, 3)))


def opening(rng, toys, preset, label, expected=None):
    """Returns an `Attempt` to use a preset in one of all ways."""
    options = {"label": label, "names": (str(preset), "Received:")}
    if expected:
        options["expected"] = expected
    how = int(rng.integers(4))
    if how < 2:
        return Attempt(call=lambda: load(preset), **options)
    if how == 2:
        return Attempt(arguments=("info", preset), **options)
    toys.copy("v.npy")
    arguments = ("encode", "v.npy", "-o", "o.h5", "--preset", preset)
    return Attempt(arguments=arguments, outputs=("o.h5",), **options)


def sign(preset):
    """Writes the digest of the weights as they are, or removes it."""
    path = preset / "metadata.json"
    digest = hashlib.sha256((preset / WEIGHTS).read_bytes()).hexdigest()
    path.write_text(json.dumps({"weights_sha256": digest}))


@kind(24)
def damaged_presets(toys, rng):
    preset = toys.copy("preset")
    before = (preset / WEIGHTS).read_bytes()
    label = f"weights, {damage(rng, preset / WEIGHTS)}"
    # Without a digest damage may stay unseen, but nothing else may happen.
    if rng.random() < 0.5:
        sign(preset)
        return opening(rng, toys, preset, f"{label}, signed")
    same = (preset / WEIGHTS).read_bytes() == before
    return opening(rng, toys, preset, label, None if same else (REFUSED,))


@kind(40)
def configs_of_presets(toys, rng):
    """Wrong types and values in the fields of JSON."""
    preset = toys.copy("preset")
    name = pick(rng, ("config.json", "config.json", "config.json", "metadata.json"))
    path = preset / name
    content = json.loads(path.read_text())
    where, wrong = with_wrong_value(rng, content)
    path.write_text(json.dumps(content))
    if rng.random() < 0.1:
        where, wrong = (
            name,
            pick(rng, (deep(), "null", "[]", "", "{", '"x"', "1" * 5000)),
        )
        path.write_text(wrong)
    elif rng.random() < 0.1:
        where, wrong = name, damage(rng, path)
    return opening(rng, toys, preset, f"{where}={wrong!r:.40}")


@kind(16)
def sizes_of_presets(toys, rng):
    """Numbers that are allowed one by one, and are much together."""
    preset = toys.copy("preset")
    config = json.loads((preset / "config.json").read_text())
    label = []
    for _ in range(int(rng.integers(1, 4))):
        part = pick(rng, ("encoder", "decoder"))
        arguments = config["config"][part]["config"]
        name = pick(rng, sorted(arguments))
        number = int(pick(rng, (0, 1, 2, 7, 64, 256, 1000, 4096, 16384, 2**20, 10**9)))
        wrong = pick(rng, (number, number, [number], [number] * 3, [[number] * 3] * 9))
        arguments[name] = wrong
        label.append(f"{part}.{name}={wrong!r:.30}")
    (preset / "config.json").write_text(json.dumps(config))
    return opening(rng, toys, preset, ", ".join(label))


@kind(24)
def gadgets(toys, rng):
    """Names of classes and functions that run code or read files."""
    preset = toys.copy("preset")
    config = json.loads((preset / "config.json").read_text())
    target = str(toys.outside / "secret.mp4")
    command = f"touch {toys.outside}/ran"
    name, arguments = pick(
        rng,
        (
            ("keras_regen>SavedModelFeatures", {"path": target}),
            ("keras_regen>FrechetVideoDistance", {"features": target}),
            ("keras_regen>STLPIPS", {}),
            ("Lambda", {"function": {"class_name": "__lambda__", "config": {}}}),
            ("TFSMLayer", {"filepath": target}),
            ("TorchModuleWrapper", {"module": target}),
            ("system", command),
            ("eval", f"__import__('os').system({command!r})"),
            ("get_file", {"origin": f"file://{target}"}),
            ("load_model", {"filepath": target}),
            ("Popen", {"args": ["sh", "-c", command]}),
            ("Regen", {}),
            ("Sequential", {"layers": []}),
            ("keras_regen>Regen", {}),
            ("keras_regen>ConvAutoencoder", copy.deepcopy(config["config"])),
        ),
    )
    module = pick(
        rng,
        (
            *("builtins", "os", "subprocess", "keras.layers", "keras.utils", None),
            *("keras_regen.metrics", "keras.src.export.tfsm_layer", "keras.saving"),
        ),
    )
    gadget = {"module": module, "class_name": name, "config": arguments}
    if rng.random() < 0.7:
        gadget["registered_name"] = name
    places = [config, config["config"]]
    places += [config["config"][part] for part in ("encoder", "decoder")]
    places += [place["config"] for place in places[2:]]
    place = pick(rng, places)
    key = pick(rng, sorted(place))
    if rng.random() < 0.15:
        config = gadget
    elif isinstance(place[key], list):
        place[key] = [gadget]
    else:
        place[key] = gadget
    (preset / "config.json").write_text(json.dumps(config))
    return opening(rng, toys, preset, f"{module}.{name} as {key}")


@kind(16)
def weights_of_presets(toys, rng):
    """Weights of other shapes, dtypes, values and places; the digest is right."""
    preset = toys.copy("preset")
    expected = None
    with h5py.File(preset / WEIGHTS, "a") as file:
        found = []
        file.visititems(
            lambda name, item: (
                found.append(name) if isinstance(item, h5py.Dataset) else None
            )
        )
        name = pick(rng, found)
        values = file[name][()]
        del file[name]
        what = pick(
            rng,
            ("nothing", "link", "external", "shape", "sparse", "nan", "text", "scale"),
        )
        if what == "link":
            file[name] = h5py.ExternalLink(str(toys.outside / "secret.h5"), "/latents")
        elif what == "external":
            place = [(str(toys.outside / "secret.npy"), 0, values.nbytes)]
            file.create_dataset(name, values.shape, values.dtype, external=place)
        elif what == "shape":
            file[name] = np.zeros((*values.shape, 2), values.dtype)
        elif what == "sparse":
            file.create_dataset(name, (10**6, 10**6), "f4", chunks=(1000, 1000))
        elif what == "nan":
            file[name] = np.full(values.shape, pick(rng, (np.nan, np.inf, 1e38)), "f4")
        elif what == "text":
            file[name] = "text"
        elif what == "scale":
            file[name] = np.ones(values.shape, "int8")
            scale = pick(rng, (np.nan, np.zeros(3), "x", 1e38, np.zeros((2, 10**3))))
            file[name].attrs["scale"] = scale
        if what in ("nothing", "link", "external", "shape", "sparse", "text"):
            expected = (REFUSED,)
    sign(preset)
    return opening(rng, toys, preset, f"{what} at {name}", expected)


@kind(12)
def names_of_presets(toys, rng):
    preset = pick(
        rng,
        (
            *("", ".", "..", "/", "/dev/null", "no", "\0", "x" * 300, "a\nb", "[/x]"),
            *("hf://", "hf://a", "hf:///", "hf://../..", "hf://a/b/c", "~", "v.npy"),
            *("../outside", "file:///etc", "regen_small_8x8x8/..", "../toys/z.h5"),
        ),
    )
    toys.copy("v.npy")
    arguments = ("encode", "v.npy", "-o", "o.h5", f"--preset={preset}")
    return Attempt(f"preset {preset!r:.40}", arguments, expected=(REFUSED,))


# === Training ===


def restore(path):
    """Restores a checkpoint, and returns its weights and numbers of epochs."""
    model = compiled(toy_regen())
    checkpoint = Checkpoint(path)
    epochs = checkpoint.restore(model)
    if not epochs:
        raise AssertionError("The run starts again at 0.")
    return model.get_weights()


@kind(16)
def damaged_checkpoints(toys, rng):
    path = toys.copy("checkpoint.h5")
    label = damage(rng, path)
    return Attempt(label, call=lambda: restore(path), names=(str(path),))


@kind(20)
def contents_of_checkpoints(toys, rng):
    path = toys.copy("checkpoint.h5")
    with h5py.File(path, "a") as file:
        what = pick(rng, ("history", "history", "attribute", "variable", "group"))
        wrong = wrong_value(rng)
        if what == "history":
            history = pick(
                rng, (wrong, [wrong], [{"loss": wrong}], [], None, {}, [{}], [[]])
            )
            text = pick(rng, (json.dumps(history), json.dumps(history), deep(), ""))
            del file["history"]
            file["history"] = text.encode("utf-8", "replace")
            wrong = text[:40]
        elif what == "attribute":
            name = pick(rng, ("format", "version", "sha256"))
            wrong = pick(rng, (np.arange(3), 1.5, "x", -1, b"\xff"))
            file.attrs[name] = wrong
        else:
            group = pick(rng, ("model", "optimizer"))
            name = f"{group}/{pick(rng, sorted(file[group]))}"
            name = group if what == "group" else name
            del file[name]
            wrong = pick(rng, ("nothing", "link", "values", "sparse"))
            if wrong == "link":
                other = str(toys.outside / "secret.h5")
                file[name] = h5py.ExternalLink(other, "/latents")
            elif wrong == "values":
                file[name] = np.full((3, 3), np.nan)
            elif wrong == "sparse":
                file.create_dataset(name, (10**6, 10**6), "f4", chunks=(1000, 1000))
            what = name
    return Attempt(
        f"{what}={wrong!r:.40}", call=lambda: restore(path), names=(str(path),)
    )


@kind(40)
def configs_of_trainings(toys, rng):
    """TOML: wrong types, huge numbers, other names."""
    path = pathlib.Path("config.toml")
    values = dataclasses.asdict(TrainingConfig(data=["v.mp4"]))
    name = pick(rng, sorted(values))
    wrong = wrong_value(rng)
    values[name] = [wrong] if isinstance(values[name], list) else wrong
    if values[name] in (None, [None]):
        values[name] = {"a": {"b": []}}
    try:
        text = tomli_w.dumps(values)
    except (TypeError, ValueError):
        text = f"{name} = {wrong!r}"
    if rng.random() < 0.2:
        name = "file"
        text = pick(
            rng,
            (
                *("a = " + deep(20_000), "= 1", "\0", "data = 1\ndata = 2", ""),
                *("other = 1", "a.b.c = 1", "data = 1e999", "x = 99999-99-99", '"'),
                *("data = " + "9" * 5000, "[data]\n" * 3, "\ud800", "steps = inf"),
            ),
        )
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    if rng.random() < 0.15:
        damage(rng, path)

    def run():
        config = TrainingConfig.load(path)
        config.save("again.toml")
        if TrainingConfig.load("again.toml") != config:
            raise AssertionError("What was saved is another configuration.")
        pathlib.Path("again.toml").unlink()

    names = (str(path), name, "Received:")
    return Attempt(f"{name}: {text[:40]!r}", call=run, names=names)


@kind(4)
def trainings(toys, rng):
    """Whole trainings that are refused, and runs that cannot be resumed."""
    toys.copy("v.mp4")
    config = toys.copy("config.toml")
    run = pathlib.Path("run")
    how = pick(rng, ("resume", "json", "file", "checkpoint", "init", "data"))
    options = ()
    if how == "file":
        run.write_bytes(b"a file")
    elif how == "data":
        pathlib.Path("v.mp4").write_bytes(rng.bytes(500))
    elif how == "init":
        options = ("--init", "../outside/secret.json", "--size", "")
        options += ("--decoder", "", "--regularization", "")
    else:
        run.mkdir()
        shutil.copyfile(config, run / "config.toml")
        toys.copy("checkpoint.h5", run / "checkpoint.h5")
        if how == "json":
            (run / "config.toml").write_text(deep(20_000))
        elif how == "checkpoint":
            damage(rng, run / "checkpoint.h5")
    arguments = ("train", "--config", config, "-o", run, "--samples", 0, *options)
    # The settings of a run that fails later stay.
    return Attempt(
        f"training, {how}",
        arguments,
        remains=("run",) if how != "file" else (),
        warns=True,
        expected=(REFUSED,),
    )
