"""The tools that are cheap to run."""

import dataclasses
import functools
import json
import os
import pathlib
import signal
import time
import types
from unittest import mock

import keras
import numpy as np
import PIL.Image
import pytest

from keras_regen.codec import VideoCodec
from keras_regen.data import MovingDigits
from keras_regen.diffusion import Sampling
from keras_regen.generation import GenerationDefaults, VideoGenerator
from keras_regen.latents import LatentClips
from keras_regen.metrics import Features, psnr
from keras_regen.models import load_model
from keras_regen.text import TextEmbeddings
from tests.generation.conftest import make_generator
from tests.models.conftest import awaken, make_regen
from tests.video.videos import CLIP, read
from tools.attack.attempt import Arena, Attempt
from tools.attack.registry import KINDS
from tools.attack.sweep import sweep
from tools.attack.toys import Toys
from tools.draw_readme import LABEL, draw


def test_draw_readme(tmp_path):
    regen = make_regen()
    awaken(regen)
    regen.save_to_preset(tmp_path / "preset")
    video = read(CLIP)[:6, :40, :48]
    draw(tmp_path / "out.webp", video, [tmp_path / "preset"])
    with PIL.Image.open(tmp_path / "out.webp") as picture:
        assert picture.is_animated
        assert picture.n_frames == len(video)
        assert picture.size == (2 * 48, LABEL + 40)


# The attack forks processes, which only PyTorch survives; the others take seconds.
on_pytorch = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="the tool is tested on PyTorch"
)


@pytest.fixture(scope="module")
def reader():
    pytest.importorskip("sklearn")
    from tools.digit_reader import DigitReader

    return DigitReader(num_clips=600)


@on_pytorch
def test_what_digits_show_is_read(reader):
    clips = MovingDigits("valid", 60, num_frames=9)
    pairs = [
        (reader(video), shown) for video, _, shown in map(clips.__getitem__, range(60))
    ]
    for name in ("colour", "direction", "speed"):
        assert all(getattr(a, name) == getattr(b, name) for a, b in pairs)
    assert np.mean([a.digit == b.digit for a, b in pairs]) > 0.9


@on_pytorch
def test_make_digits(tmp_path):
    pytest.importorskip("sklearn")
    from tools.make_digits import write

    clips = MovingDigits("train", 3, num_frames=4)
    write(clips, tmp_path)
    first = (tmp_path / "00000.npy").stat().st_mtime_ns
    write(clips, tmp_path)
    assert (tmp_path / "00000.npy").stat().st_mtime_ns == first
    rows = (tmp_path / "clips.csv").read_text().splitlines()
    assert rows[0] == "path,text" and len(rows) == 4
    np.testing.assert_array_equal(np.load(tmp_path / "00002.npy"), clips[2][0])
    assert clips[2][1] in rows[3]


@on_pytorch
def test_measure_generator():
    from tools.compare_compression.settings import Settings
    from tools.measure_generator import PRESET, measure

    assert min(measure(PRESET, Settings(frames=9, batch_size=2))) > 0


@on_pytorch
def test_evaluate_generator(reader, tmp_path):
    from tools.evaluate_generator import Evaluation

    codec = VideoCodec(awaken(make_regen(4)))
    model = make_generator(
        transformer={"num_labels": None, "text_channels": 6},
        encoder_id=codec.encoder_id,
    )
    texts = sorted(
        {MovingDigits(x, 4)[i][1] for x in ("valid", "held_out") for i in range(4)}
    )
    known = TextEmbeddings(
        texts, np.ones((len(texts), 6)), [1] * len(texts), "an encoder"
    )
    defaults = GenerationDefaults(window_chunks=2, num_steps=1)
    generator = VideoGenerator(model, codec, known, defaults)
    evaluation = Evaluation(generator, tmp_path, num_clips=2, reader=reader)
    results = evaluation.run(train_clips=32, long_chunks=3, long_count=2, fvd_count=0)
    accuracy = results["accuracy"]
    assert {"real, valid", "generated, held_out", "chunk 3 of 3"} < set(accuracy)
    assert all(0 <= x <= 1 for scores in accuracy.values() for x in scores.values())
    assert results["nearest training clip"]["ratio"] > 0
    # What is done is not done again.
    generator.diffusion.generate_stream = None
    again = evaluation.run(train_clips=32, long_chunks=3, long_count=2, fvd_count=0)
    assert again == results


@on_pytorch
def test_score_preset_writes_when_asked(tmp_path, monkeypatch):
    from tools import score_preset

    preset = tmp_path / "preset"
    make_regen().save_to_preset(preset, {"data": "toy"})
    stored = {path.name: path.read_bytes() for path in preset.iterdir()}
    protocol, scores = {"name": "regen"}, {"a": {"chunks": 1}}
    with monkeypatch.context() as patch:
        patch.setattr(score_preset, "evaluate", lambda *_: (protocol, scores))
        patch.setattr(score_preset, "preset_card", lambda _: "A card.")
        score_preset.score_preset(preset, ["valid"], write=False)
        after = {path.name: path.read_bytes() for path in preset.iterdir()}
        assert after == stored
        score_preset.score_preset(preset, ["valid"], write=True)
    metadata = json.loads((preset / "metadata.json").read_text())
    assert metadata["data"] == "toy" and metadata["scores"] == scores
    assert (preset / "README.md").read_text() == "A card."
    for folder in ("valid", "valid2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.mp4").touch()
    folders = [tmp_path / "valid", tmp_path / "valid2"]
    with pytest.raises(ValueError, match="Received: x, x"):
        score_preset.evaluate(preset, folders)


@on_pytorch
def test_choose_recipe(tmp_path, monkeypatch, capsys):
    from tools import choose_recipe

    def train(recipe, network, clips, steps, batch_size, seed):
        # A recipe of fewer operations takes more steps.
        assert len(clips[(steps - 1) * batch_size :]) >= batch_size
        return None, {}

    def equal_steps(recipe, network, steps, size):
        return steps + bool(recipe.decoder)

    replaced = {
        "equal_steps": equal_steps,
        "validation_chunks": lambda *_, **__: {},
        "training_clips": lambda data, path, count, *_: np.zeros(count),
        "train": train,
        "scores": lambda *_: {"psnr_1": 20.0},
    }
    for name, function in replaced.items():
        monkeypatch.setattr(choose_recipe, name, function)

    def run(*options):
        recipes = ("--recipes", "default", "no overlap")
        command = ["choose_recipe", "DATA", str(tmp_path), *recipes, *options]
        monkeypatch.setattr("sys.argv", command)
        choose_recipe.main()
        return capsys.readouterr().out

    assert "| default | 1 | 20.00 ± 0.00 |" in run()
    assert "| no overlap | 2 | 20.00 ± 0.00 |" in run("--seeds", "1")
    with pytest.raises(ValueError, match="Received: size=64, not 48"):
        run("--size", "64")


@on_pytorch
def test_measure_export_gives_the_reason_of_a_format_that_refuses(monkeypatch, capsys):
    from tools import measure_export

    def in_backend(backend, function, *arguments):
        if "onnx" in arguments:
            raise ValueError("It has windows.")
        return {function.__name__: 1.5}

    monkeypatch.setattr(measure_export, "_in_backend", in_backend)
    measure_export.formats("toy")
    table, reason = capsys.readouterr().out.strip().split("\n\n", 1)
    assert "| stablehlo | jax | 1.5 |" in table and "onnx" not in table
    assert reason == "onnx: It has windows."


@on_pytorch
def test_measure_editing(tmp_path, capsys):
    from tools.measure_editing import Lab, schedules

    keras.utils.set_random_seed(0)
    regen = awaken(make_regen(4))
    video = read(CLIP)[:10, :16, :16]
    clips = {"a": video[:5], "b": video[5:], "c": video[4:9]}
    colour = Features(lambda clips: clips, "mean colour")

    def lab():
        return Lab("toy", regen, clips, tmp_path, colour, max_clips=2)

    assert lab().scored == ["a", "c"]
    schedules([lab()], numbers=(1, 3))
    table = capsys.readouterr().out
    one, three = ([*line.split("|")[4:6]] for line in table.splitlines()[-2:])
    assert one[0] == one[1] and three[0] != three[1]
    scores = lab().scores(Sampling(3, schedule="uniform"))
    assert three[0].startswith(f" {scores['psnr']:.2f} / ") and scores["fvd"] > 0
    half, full = (lab().seeds(Sampling(noise_scale=x))["spread"] for x in (0.5, 1))
    assert 0 < half < full
    (row,) = lab().inverted(["b"], [(2, 0), (3, 1)])
    assert row["none"] < row["2"] < row["6"]
    noise = regen.invert(clips["b"][None], num_steps=3, refinements=1)
    same = regen.decode(regen.encode(clips["b"][None]), noise=noise, num_steps=3)
    assert row["6"] == pytest.approx(psnr(clips["b"] / 127.5 - 1, same[0], per="clip"))
    # What is in the files is not measured again.
    regen.decode = regen.invert = None
    schedules([lab()], numbers=(1, 3))
    assert capsys.readouterr().out == table


@on_pytorch
def test_compare_compression(reader, tmp_path, monkeypatch):
    from tools.compare_compression import codecs, comparison, report, settings

    runs = {}

    def train(config, run):
        runs[run.relative_to(tmp_path).as_posix()] = config
        load_model(config.init).save_to_preset(run / "preset")

    def train_generator(config, run):
        runs[run.relative_to(tmp_path).as_posix()] = config
        clips = LatentClips(config.data, config.batch_size, num_chunks=config.chunks)
        model = make_generator(
            transformer={"num_labels": None, "text_channels": clips.text.channels},
            encoder_id=clips.codec["encoder_id"],
        )
        defaults = GenerationDefaults(num_frames=config.chunks * 5, window_chunks=2)
        model.save_to_preset(
            run / "preset", {"generation": dataclasses.asdict(defaults)}
        )

    def embed(texts):
        return np.ones((len(texts), 2, 6)), np.ones((len(texts), 2), bool)

    toy = settings.TOY
    encoder = types.SimpleNamespace(encoder_id="toy", encode=embed)
    monkeypatch.setattr(codecs, "train", train)
    monkeypatch.setattr(comparison, "train_generator", train_generator)
    # What takes seconds: to load a codec again, to plot often, to time every k.
    monkeypatch.setattr(codecs.Codecs, "load", functools.cache(codecs.Codecs.load))
    monkeypatch.setattr(comparison, "save_plot", lambda *_: None)
    timing = {"4": {"step": 0.5, "sampling_step": 0.25}}
    (tmp_path / "timing.json").write_text(json.dumps(timing))
    assert (toy.sampling_steps_after(0.5), toy.sampling_steps_after(1)) == (
        (2,),
        (2, 1),
    )
    toy = dataclasses.replace(toy, seconds=10.0, sampling_steps=(2,))
    names = ["regen_4"]
    results = comparison.Comparison(toy, tmp_path, lambda: encoder, reader).run(names)
    assert runs["regen_4/codec"].init == str(tmp_path / "regen_4/start")
    assert codecs.Codecs(toy, tmp_path).load("regen_8").model.temporal_compression == 8
    assert [*runs][-1] == "regen_8/codec"
    # Ten seconds are twenty steps, in two parts.
    half, whole = (runs[f"regen_4/generator_{share}"] for share in ("0.5", "1"))
    assert (half.init, half.steps, whole.steps) == ("", 10, 10)
    assert whole.init == str(tmp_path / "regen_4/generator_0.5/preset")
    (codec,) = results["codecs"]
    assert codec["tokens"] == 2 * 2 * 16 and codec["values"] == 2 * 2 * 64 * 8
    rows = [
        (row["training_seconds"], row["sampling_seconds"])
        for row in results["generators"]
    ]
    assert rows == [(5, 0.5), (10, 0.5)]
    report.save_plot(results, tmp_path / "results.png")
    assert (tmp_path / "results.png").exists()
    # What is done is not done again, and other settings are another comparison.
    runs.clear()
    again = comparison.Comparison(toy, tmp_path, None, reader).run(names)
    assert again == results and not runs
    other = dataclasses.replace(toy, frames=5)
    with pytest.raises(ValueError, match="frames=5, not 10"):
        comparison.Comparison(other, tmp_path, None, reader)


@on_pytorch
@pytest.mark.parametrize("kind", ["regen", "conv"])
def test_codecs_of_digits_start_black(kind):
    from tools.compare_compression.codecs import untrained_codec
    from tools.compare_compression.settings import Settings

    model = untrained_codec(kind, 4, Settings())
    video = model.decode(np.zeros((1, 2, 8, 8, 8)))
    np.testing.assert_array_equal(video, -1.0)


@on_pytorch
def test_attack(tmp_path):
    (tmp_path / "arena").mkdir()
    arena = Arena(tmp_path / "arena")
    names = ["options", "damaged_latents", "damaged_videos", "values_decoded"]
    rows, violations = sweep(names, Toys(arena), arena, count=1)
    assert violations == []
    assert [row[:2] for row in rows] == [[name, 1] for name in names]
    assert set(names) < set(KINDS)


def crash():
    os.kill(os.getpid(), signal.SIGSEGV)


def hang():
    time.sleep(60)


def take_memory():
    # Far above the limit: the kernel's count of a process's memory is coarse.
    np.ones(1_500_000_000, "uint8")


def raise_other():
    raise KeyError("x")


def raise_without_name():
    raise ValueError("something is wrong")


def leave():
    pathlib.Path("stray").touch()
    raise ValueError("in.mp4 is wrong")


def read_outside():
    pathlib.Path("../outside/secret").read_bytes()


def write_outside():
    pathlib.Path("../tmp/x").touch()


def make_nan():
    return np.array([np.nan])


@on_pytorch
@pytest.mark.parametrize(
    ("call", "violation"),
    [
        (crash, "its status is -11"),
        (hang, "it did not end in"),
        (take_memory, "it took 1."),
        (raise_other, "its status is 1: KeyError: 'x'"),
        (raise_without_name, "its error does not name the input"),
        (leave, "it changed stray"),
        (read_outside, "it opened a file outside"),
        (write_outside, "it changed something outside"),
        (make_nan, "a value is not finite"),
    ],
)
def test_rules_of_the_attack(tmp_path, call, violation):
    (tmp_path / "arena").mkdir()
    seconds = 0.5 if call is hang else 60
    arena = Arena(tmp_path / "arena", seconds, max_memory=500_000_000)
    (arena.outside / "secret").write_bytes(b"secret")
    attempt = Attempt("a fake", call=call, names=("in.mp4",))
    _, _, (found, *others) = arena.violations(lambda: attempt)
    assert found.startswith(violation) and not others


HLO = """
%fused_transpose (p.1: f32[2,3]) -> f32[3,2] {
  %p.1 = f32[2,3]{1,0} parameter(0)
  ROOT %transpose.1 = f32[3,2]{1,0} transpose(%p.1), dimensions={1,0}
}

%body (p.2: (bf16[4])) -> (bf16[4]) {
  %p.2 = (bf16[4]{0}) parameter(0)
  %x.1 = bf16[4]{0} get-tuple-element(%p.2), index=0
  %x.2 = bf16[4]{0} add(%x.1, %x.1)
  ROOT %tuple.1 = (bf16[4]{0}) tuple(%x.2)
}

ENTRY %main (a: f32[2,3], b: (bf16[4])) -> f32[3,2] {
  %a = f32[2,3]{1,0} parameter(0)
  %b = (bf16[4]{0}) parameter(1)
  %while.1 = (bf16[4]{0}) while(%b), condition=%condition, body=%body
  ROOT %fusion = f32[3,2]{1,0} fusion(%a), kind=kLoop, calls=%fused_transpose
}
"""


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="of JAX alone")
def test_kernels_and_the_bytes_that_they_move():
    with mock.patch.dict(os.environ):
        from tools.measure_traffic import count_kernels
    # One that reads and writes 24 bytes, and a sum of two times eight to eight.
    assert count_kernels(HLO) == {
        "kernels": 2,
        "bytes": 48 + 24,
        "transposes": 1,
        "transposed_bytes": 48,
    }
