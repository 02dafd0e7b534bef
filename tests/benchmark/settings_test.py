import importlib.util

import pytest

from keras_regen.benchmark import Settings


@pytest.mark.parametrize(
    "argument, message",
    [
        ({"cases": ("encode", "dance")}, "encode, decode, dit, train.*case=dance"),
        ({"sizes": ((64, 60),)}, "multiples of 8.*size=64x60"),
        ({"sizes": ((0, 64),)}, "multiples of 8"),
        ({"dtypes": ("float64",)}, "mixed_bfloat16.*dtype=float64"),
        ({"peers": ("cosmos", "sora")}, "cogvideox.*peer=sora"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"num_steps": 0}, "num_steps=0"),
        ({"repeats": 0}, "repeats=0"),
    ],
)
def test_errors(argument, message):
    with pytest.raises(ValueError, match=message):
        Settings(models=("tiny",), **argument)


def test_peers_need_diffusers(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install keras-regen\[peers\]"):
        Settings(models=("tiny",), peers=("wan",))
