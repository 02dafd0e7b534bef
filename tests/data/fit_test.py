"""Training on `VideoClips`, and on every other input that Keras's `fit` takes."""

import numpy as np
import pytest

from keras_regen.data import Bucket, VideoClips
from tests.models.conftest import make_regen
from tests.video.videos import CLIP


@pytest.fixture(scope="module")
def batches():
    clips = VideoClips(
        CLIP, 5, 16, batch_size=2, margin=1, steps_per_epoch=2, workers=1
    )
    return list(clips)


@pytest.fixture(scope="module")
def regen():
    """One model for all inputs, so that it is compiled once for each structure."""
    regen = make_regen()
    regen.compile(optimizer="adam")
    return regen


def fit(regen, data, **kwargs):
    before = [weight.numpy().copy() for weight in regen.trainable_variables]
    # With `shuffle=True` Keras warns that it does not shuffle these inputs.
    history = regen.fit(data, shuffle=False, verbose=0, **kwargs)
    assert np.isfinite(history.history["loss"][0])
    assert any(
        np.any(old != new.numpy())
        for old, new in zip(before, regen.trainable_variables, strict=True)
    )


def test_mixed_shapes():
    clips = VideoClips(
        CLIP,
        num_frames=5,
        size=[Bucket(16, 16, 2), Bucket(24, 32, 1)],
        margin=1,
        image_share=0.3,
        steps_per_epoch=5,
        workers=2,
    )
    shapes = {clips[i][0].shape[1:4] for i in range(5)}
    assert len(shapes) >= 3
    regen = make_regen()
    regen.compile(optimizer="adam")
    history = regen.fit(clips, epochs=2, verbose=0)
    # For an unbuilt model Keras would read, and count, an epoch more.
    assert clips.epoch == 2
    assert np.all(np.isfinite(history.history["loss"]))


def test_evaluate_and_validation(regen):
    dense = VideoClips(CLIP, 5, 16, batch_size=5, sampling="dense")
    assert [len(chunk) for (chunk,) in dense] == [5, 5, 2]
    assert regen.evaluate(dense, verbose=0) == regen.evaluate(dense, verbose=0)
    clips = VideoClips(CLIP, 5, 16, batch_size=2, steps_per_epoch=2, workers=1)
    history = regen.fit(clips, validation_data=dense, verbose=0)
    assert np.isfinite(history.history["val_loss"][0])


def test_tf_data(regen, batches):
    tf = pytest.importorskip("tensorflow")
    x, y = map(np.concatenate, zip(*batches, strict=True))
    fit(regen, tf.data.Dataset.from_tensor_slices((x, y)).batch(2))
    fit(regen, tf.data.Dataset.from_tensor_slices(x).batch(2).map(lambda x: (x,)))


def test_torch_data_loader(regen, batches):
    torch = pytest.importorskip("torch")
    x, y = map(np.concatenate, zip(*batches, strict=True))
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    fit(regen, torch.utils.data.DataLoader(dataset, batch_size=2))


@pytest.mark.parametrize("kind", ["map", "iter", "loader"])
def test_grain(regen, batches, kind):
    grain = pytest.importorskip("grain")
    x, y = map(np.concatenate, zip(*batches, strict=True))
    samples = list(zip(x, y, strict=True))
    if kind == "loader":
        data = grain.DataLoader(
            data_source=samples,
            sampler=grain.samplers.IndexSampler(len(samples), num_epochs=1),
            operations=[grain.transforms.Batch(2)],
        )
    else:
        data = grain.MapDataset.source(samples).batch(2)
        if kind == "iter":
            data = data.to_iter_dataset()
    # Keras does not read the number of batches from grain.
    fit(regen, data, steps_per_epoch=len(batches))


def test_keras_cv(regen):
    """On every backend, with the same change in all frames of a clip."""
    keras_cv = pytest.importorskip("keras_cv")
    dark = keras_cv.layers.RandomBrightness((-0.5, -0.1), value_range=(0, 255))
    options = {"batch_size": 2, "steps_per_epoch": 1, "workers": 1}
    clips = VideoClips(CLIP, 5, 16, augmentation=[dark], **options)
    ((before,),) = VideoClips(CLIP, 5, 16, augmentation=[], **options)
    ((after,),) = clips
    changes = (before.astype(int) - after)[after > 0]
    assert 25 <= changes.min() <= changes.max() <= 128 and len(set(changes)) == 2
    fit(regen, clips)
