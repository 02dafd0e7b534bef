import keras
import numpy as np
import pytest

from keras_regen.codec.chunk_encoder import ChunkEncoder, EncodingPlan
from keras_regen.models import VideoEncoder, encoder_bytes
from tests.models.conftest import make_regen

K = 2


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return make_regen(K, encoder={"kernel_sizes": ((3, 3, 3), (3, 3, 3))})


@pytest.fixture(scope="module")
def encoder(model):
    return model.encoder


@pytest.mark.parametrize(
    ("rows", "fits"), [(11, (13, 13)), (14, (13, 19)), (26, (13, 19))]
)
def test_windows_change_nothing(model, encoder, rows, fits):
    columns = 24
    video = np.random.default_rng(0).uniform(
        -1, 1, (2, K + 1, 8 * rows, 8 * columns, 3)
    )
    video = video.astype("float32")
    whole = encoder.predict_on_batch(video)
    memory = encoder_bytes(encoder, *fits)
    plan = EncodingPlan.fit(encoder, 8 * rows, 8 * columns, memory)
    assert encoder_bytes(encoder, *plan.window) <= memory
    assert plan.window != (rows, columns)
    latents = ChunkEncoder(model, plan)(video)
    np.testing.assert_allclose(latents, whole, atol=1e-5)


def test_one_window_where_it_fits(encoder):
    memory = 3 * encoder_bytes(encoder, 10, 12)
    plan = EncodingPlan.fit(encoder, 75, 96, memory)
    assert plan.window == (10, 12)
    assert plan.chunks_at_once == 3
    assert plan.memory == memory
    assert plan.chunk_shape == (K + 1, 80, 96, 3)


def test_halves_are_two_windows(model, encoder):
    """A window at the edge of the frame needs context on one side only."""
    rows = 40
    memory = encoder_bytes(encoder, rows // 2 + encoder.context, 10)
    plan = EncodingPlan.fit(encoder, 8 * rows, 80, memory)
    chunk_encoder = ChunkEncoder(model, plan)
    encoded, encode = [], chunk_encoder._run
    chunk_encoder._run = lambda chunks: encoded.append(chunks.shape) or encode(chunks)
    chunk_encoder(np.zeros((1, K + 1, 8 * rows, 80, 3), "float32"))
    assert [shape[2] for shape in encoded] == [8 * plan.window[0]] * 2


def test_too_little_memory(encoder):
    with pytest.raises(ValueError, match=r"needs [\d.e-]+ GB. Received: max_memory="):
        EncodingPlan.fit(encoder, 800, 800, 1000)


@pytest.mark.parametrize("patch", [1, 4, 8])
def test_context_is_just_enough(patch):
    encoder = VideoEncoder(K, stem_patch_size=patch, widths=(4,), num_blocks=(1,))
    context = encoder.context
    size = 2 * context + 3
    video = np.zeros((1, K + 1, 8, 8 * size, 3), "float32")
    changed = video.copy()
    changed[:, :, :, 8 * (context + 1) : 8 * (context + 2)] = 1
    change = encoder.predict_on_batch(changed) - encoder.predict_on_batch(video)
    columns = np.flatnonzero(np.abs(change).max(axis=(0, 1, 2, 4)) > 0)
    assert columns.min() >= 1 and columns.max() <= 2 * context + 1
    # The whole context is used, on at least one side.
    assert columns.min() <= 2 or columns.max() >= 2 * context
