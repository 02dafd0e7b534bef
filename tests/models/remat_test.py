import keras
import numpy as np
import pytest

from keras_regen import Regen
from keras_regen.layers import attention
from tests.models.conftest import awaken, make_regen
from tests.models.regen_test import moving_squares


def trained(remat, dtype):
    keras.utils.set_random_seed(0)
    part = {"remat": remat}
    regen = awaken(
        make_regen(dtype=dtype, encoder=part, decoder={**part, "mixing_size": 3})
    )
    regen.compile(keras.optimizers.SGD(0.02))
    history = regen.fit(
        moving_squares(12), batch_size=4, shuffle=False, epochs=2, verbose=0
    )
    return history.history["loss"], [v.numpy() for v in regen.trainable_variables]


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_training_is_the_same(dtype, monkeypatch):
    calls, remat = [], keras.remat

    def recorded(function):
        # Attention always computes its weights again.
        if function is not attention._attend:
            calls.append(function)
        return remat(function)

    monkeypatch.setattr(keras, "remat", recorded)
    losses, weights = trained(False, dtype)
    assert not calls
    remat_losses, remat_weights = trained(True, dtype)
    # Blocks of encoder and decoder. The list keeps the functions alive, which must not
    # matter.
    assert len(calls) >= 3 + 2
    tolerance = {"float32": 1e-4, "mixed_bfloat16": 1e-2}[dtype]
    np.testing.assert_allclose(remat_losses, losses, rtol=tolerance)
    for ours, theirs in zip(remat_weights, weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=tolerance)


def test_presets_leave_it_to_the_caller(tmp_path):
    part = {"remat": True}
    make_regen(encoder=part, decoder=part).save_to_preset(tmp_path / "preset")
    assert "remat" not in (tmp_path / "preset" / "config.json").read_text()
    for remat in (False, True):
        regen = Regen.from_preset(tmp_path / "preset", remat=remat)
        assert regen.encoder.remat is remat and regen.decoder.remat is remat
        assert regen.decoder.get_layer("block_0").remat is remat
