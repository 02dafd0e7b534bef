import numpy as np
import pytest

from keras_regen import ConvAutoencoder
from keras_regen.models import change_compression, transfer_weights
from tests.models.conftest import awaken, make_regen
from tests.test_case import random


def test_a_larger_k_begins_with_the_content_of_a_smaller():
    source, target = awaken(make_regen(4)), make_regen(16)
    share = transfer_weights(source, target)
    assert 0.7 < share < 1
    video = random(1, 17, 16, 24, 3)
    expected = source.encode(video[:, :5])
    np.testing.assert_allclose(target.encode(video)[:, 0], expected[:, 0], atol=1e-6)
    for ours, theirs in zip(
        target.decoder.get_weights(), source.decoder.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_a_smaller_k():
    source = awaken(make_regen(16, prediction="v", seed=3))
    target, share = change_compression(source, 4)
    assert share == 1.0
    assert target.seed == 3 and target.prediction == source.prediction
    assert target.decoder.units == source.decoder.units


def test_another_k_of_a_convolutional_decoder():
    source = ConvAutoencoder.from_architecture("tiny", 4)
    target, share = change_compression(source, 8)
    assert target.decoder.temporal_compression == target.temporal_compression == 8
    assert type(target) is ConvAutoencoder and 0.5 < share < 1


def test_patches_that_overlap_begin_as_those_that_do_not():
    source = awaken(make_regen(4))
    target = make_regen(4, decoder={"patch_overlap": 4})
    assert transfer_weights(source, target) < 1.0
    video = random(1, 5, 16, 24, 3)
    np.testing.assert_allclose(
        target.reconstruct(video), source.reconstruct(video), atol=1e-6
    )


def test_patches_of_a_decoder_of_another_width_are_not_copied():
    source = awaken(make_regen(4))
    target = make_regen(4, decoder={"patch_overlap": 4, "units": 24})
    layer = target.decoder.get_layer("patch_output")
    before = [np.array(weight) for weight in layer.get_weights()]
    # Only the weights of the encoder and of the SIREN are copied.
    assert 0 < transfer_weights(source, target) < 0.5
    for expected, weight in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_nothing_in_common(monkeypatch):
    target = make_regen(4, encoder={"widths": (16,)})
    source = make_regen(4)
    for part in (source.encoder, source.decoder):
        monkeypatch.setattr(type(part), "weights", [])
    with pytest.raises(ValueError, match="of the same path and shape"):
        transfer_weights(source, target)
