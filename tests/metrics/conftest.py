import numpy as np
import pytest

from keras_regen.metrics import METRIC_WEIGHTS, prepare_metric_weights


@pytest.fixture(scope="session")
def published_weights(tmp_path_factory):
    """Returns the path of a network's published weights, or skips without them."""
    cache = tmp_path_factory.mktemp("cache")

    def published_weights(name):
        known = METRIC_WEIGHTS[name]
        try:
            known.find_checkpoint()
        except ImportError:
            pytest.skip(f"needs the published weights: {known.pip_command}")
        if name != "i3d":
            pytest.importorskip("torch", reason="converting ST-LPIPS needs PyTorch")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("KERAS_REGEN_CACHE", str(cache))
            return known.path if known.path.exists() else prepare_metric_weights(name)

    return published_weights


def fill(model, seed=0):
    """Fills every weight by NumPy's generator, equally on every backend."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if "variance" in weight.name:
            values = rng.uniform(0.5, 1.5, weight.shape)
        else:
            fan_in = max(np.prod(weight.shape[:-1]), 4)
            values = rng.normal(0, np.sqrt(2 / fan_in), weight.shape)
        weight.assign(values.astype("float32"))
    return model
