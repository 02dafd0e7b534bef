"""The notebooks run from top to bottom, without KERAS_BACKEND."""

import pathlib
import re

import keras
import pytest

FOLDER = pathlib.Path(__file__).parents[1] / "examples" / "notebooks"

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="slow; what the notebooks use is tested on every backend",
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a notebook in an empty directory; returns what its cells print and show."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    # Of the backends that are installed here, PyTorch is the fastest to start.
    config = tmp_path / "keras" / "keras.json"
    config.parent.mkdir()
    config.write_text('{"backend": "torch"}')
    monkeypatch.setenv("KERAS_HOME", str(config.parent))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parents[1]))

    def run(name):
        notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
        resources = {"metadata": {"path": str(tmp_path)}}
        nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()
        outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
        text = "".join(out["text"] for out in outputs if out.get("name") == "stdout")
        pictures = [out for out in outputs if "image/png" in out.get("data", {})]
        return text, len(pictures)

    return run


def test_every_notebook_is_tested():
    names = {path.stem for path in FOLDER.glob("*.ipynb")}
    tests = {name.removeprefix("test_") for name in globals()}
    assert names and names <= tests


def test_keras_regen_is_imported_before_keras():
    for path in FOLDER.glob("*.ipynb"):
        lines = [line.strip(' ",') for line in path.read_text().splitlines()]
        first = next(line for line in lines if re.match(r"(import|from) keras", line))
        assert first.startswith("import keras_regen")


def test_outputs_are_not_stored():
    for path in FOLDER.glob("*.ipynb"):
        assert '"outputs": []' in path.read_text()
        assert '"output_type"' not in path.read_text()


def test_reconstruct_and_look(run, tmp_path):
    text, pictures = run("reconstruct_and_look")
    assert float(text.split("PSNR ")[1].split()[0]) > 20
    assert "18 frames from 9" in text
    assert pictures == 3
    assert (tmp_path / "three_frames.mp4").stat().st_size


def test_train_on_your_folder(run, tmp_path):
    text, pictures = run("train_on_your_folder")
    before, after = (float(part.split()[0]) for part in text.split("PSNR ")[1:])
    assert after > before + 2
    assert pictures == 3
    assert (tmp_path / "my_preset" / "model.weights.h5").is_file()


def test_latents_for_another_model(run, tmp_path):
    text, pictures = run("latents_for_another_model")
    assert "(16, 4, 8, 8, 8)" in text
    assert text.count(".mp4 27") == 4
    assert pictures == 2
