import functools
import json

import imageio.v3 as iio
import numpy as np
import pytest

from keras_regen.evaluation import (
    Evaluation,
    Item,
    get_protocol,
    plot_contact_sheet,
    plot_rate_distortion,
)
from keras_regen.evaluation.embedders import Reconstruction
from keras_regen.metrics import Features, frechet_video_distance, psnr, ssim
from tests.video.videos import moving_ramp, write

PROTOCOL = get_protocol("vidtok").override(size=16, num_frames=4)


class Darker:
    """Loses some levels of brightness, and records the videos it gets."""

    def __init__(self, name, levels):
        self.name = name
        self.levels = levels
        self.seen = 0

    @property
    def identity(self):
        return self.levels

    def reconstruct(self, video):
        self.seen += 1
        darker = np.maximum(video, self.levels) - np.uint8(self.levels)
        return Reconstruction(darker, self.num_values(*video.shape[:3]), 640)

    def num_values(self, num_frames, height, width):
        return num_frames * height * width // 64


class Codec(Darker):
    """An embedder with bits but no values."""

    def reconstruct(self, video):
        return Reconstruction(super().reconstruct(video).video, None, 320)


@pytest.fixture
def items(tmp_path):
    # 6 frames are a clip of 4 frames and a padded clip.
    for name, frames in (("a", 6), ("b", 4)):
        write(tmp_path / f"{name}.mp4", moving_ramp(frames, 16, 16))
    return [Item(name, str(tmp_path / f"{name}.mp4")) for name in "ab"]


def mean_colour():
    return Features(lambda clips: clips, "mean colour")


def clips_of(items):
    return [clip for item in items for clip in PROTOCOL.clips(item.path)]


def test_the_report(items, tmp_path):
    embedders = [Darker("dark", 3), Codec("darker", 9)]
    evaluation = Evaluation(
        embedders, items, PROTOCOL, tmp_path / "out" / "r.json", mean_colour()
    )
    assert len(evaluation) == 4
    assert [*evaluation.run()] == [
        ("dark", "a"), ("darker", "a"), ("dark", "b"), ("darker", "b")
    ]  # fmt: skip
    report = evaluation.report()
    assert json.loads((tmp_path / "out" / "r.json").read_text()) == report
    clips = clips_of(items)
    assert len(clips) == 3
    for embedder, row in zip(embedders, report["embedders"], strict=True):
        decoded = [embedder.reconstruct(clip).video for clip in clips]
        pairs = list(zip(clips, decoded, strict=True))
        assert row["embedder"] == embedder.name
        assert (row["num_videos"], row["num_clips"], row["num_frames"]) == (2, 3, 4)
        assert row["psnr"] == pytest.approx(np.mean([psnr(*pair) for pair in pairs]))
        assert row["ssim"] == pytest.approx(np.mean([ssim(*pair) for pair in pairs]))
        with pytest.warns(UserWarning, match="biased"):
            distance = frechet_video_distance(
                np.stack(clips), np.stack(decoded), mean_colour()
            )
        assert row["frechet_video_distance"] == {
            "value": pytest.approx(distance),
            "features": "mean colour",
            "num_clips": 3,
            "is_biased": True,
        }
    dark, darker = report["embedders"]
    assert dark["psnr"] > darker["psnr"]
    assert dark["compression"] == pytest.approx(3 * 64)
    assert darker["compression"] is None
    assert dark["bits_per_pixel"] == pytest.approx(640 / (4 * 16 * 16))
    assert [(row["embedder"], row["video"]) for row in report["videos"]] == [
        ("dark", "a"), ("dark", "b"), ("darker", "a"), ("darker", "b")
    ]  # fmt: skip
    scores = [clip["psnr"] for clip in report["videos"][0]["clips"]]
    assert report["videos"][0]["psnr"] == pytest.approx(np.mean(scores))
    assert report["protocol"]["changed"] == ["crop", "num_frames", "short_side"]


def test_an_interrupted_run_goes_on(items, tmp_path):
    first = Darker("dark", 3)
    run = Evaluation([first], items, PROTOCOL, tmp_path / "r.json").run()
    next(run)
    assert first.seen == 2
    second = Darker("dark", 3)
    Evaluation([second], items, PROTOCOL, tmp_path / "r.json").report()
    assert second.seen == 1
    # Another model of the same name is scored again.
    third = Darker("dark", 4)
    Evaluation([third], items, PROTOCOL, tmp_path / "r.json").report()
    assert third.seen == 3
    # A video that changed is scored again too.
    write(items[1].path, moving_ramp(8, 16, 16))
    fourth = Darker("dark", 4)
    Evaluation([fourth], items, PROTOCOL, tmp_path / "r.json").report()
    assert fourth.seen == 2
    # And so are all with other features of the same name.
    fifth, features = Darker("dark", 4), mean_colour()
    for features.identity in ("a", "a", "b"):
        evaluation = Evaluation([fifth], items, PROTOCOL, tmp_path / "r.json", features)
        assert len([*evaluation.run()]) == 2
    assert fifth.seen == 2 * 4


def test_an_image_that_is_overwritten_is_scored_again(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    item = Item("clip", str(folder))
    for i, frame in enumerate(moving_ramp(4, 16, 16)):
        iio.imwrite(folder / f"{i}.png", frame)

    def seen():
        dark = Darker("dark", 3)
        Evaluation([dark], [item], PROTOCOL, tmp_path / "r.json").report()
        return dark.seen

    assert (seen(), seen()) == (1, 0)
    iio.imwrite(folder / "2.png", np.full((16, 16, 3), 99, "uint8"))
    assert (seen(), seen()) == (1, 0)


def test_a_damaged_file_is_an_error(items, tmp_path):
    evaluation = Evaluation([Darker("dark", 3)], items, PROTOCOL, tmp_path / "r.json")
    evaluation.report()
    part = next((tmp_path / "r.parts").iterdir())
    part.write_bytes(b"half")
    with pytest.raises(ValueError, match=f"delete the file. Received: path={part}"):
        evaluation.report()


def test_videos_that_cannot_be_scored_are_reported(items, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    protocol = get_protocol("regen").override(size=16, num_frames=5)
    items = [*items, Item("text", str(tmp_path / "text.mp4"))]
    report = Evaluation(
        [Darker("dark", 3)], items, protocol, tmp_path / "r.json", mean_colour()
    ).report()
    (row,) = report["embedders"]
    assert (row["num_videos"], row["num_clips"]) == (1, 1)
    assert row["frechet_video_distance"]["value"] is None
    skipped = {item["video"]: item["reason"] for item in report["skipped"]}
    assert "too short" in skipped["b"] and "not a video" in skipped["text"]


def test_perceptual_distance_and_max_clips(items, tmp_path):
    def levels(reference, video):
        return np.abs(reference.astype(float) - video).mean(axis=(1, 2, 3))

    report = Evaluation(
        [Darker("dark", 2)], items, PROTOCOL, tmp_path / "r.json",
        perceptual=levels, max_clips=1,
    ).report()  # fmt: skip
    (row,) = report["embedders"]
    assert row["num_clips"] == 2
    assert 1 < row["st_lpips"] <= 2


def test_clips_that_a_network_does_not_take_are_left_out(items, tmp_path):
    def levels(reference, video):
        if len(reference) < 6:
            raise ValueError("it is small")
        return np.zeros(len(reference))

    protocol = get_protocol("tokenbench").override(size=16, num_frames=6)
    features, perceptual = mean_colour(), levels
    features.min_frames = 5
    for networks in ((features,), (None, perceptual)):
        report = Evaluation(
            [Darker("dark", 2)], items, protocol, tmp_path / "r.json", *networks
        ).report()
        assert [row["video"] for row in report["videos"]] == ["a"]
        (skipped,) = report["skipped"]
        assert skipped["video"] == "b"
        assert skipped["reason"] in ("it is too short for mean colour", "it is small")


def test_square_frames_for_the_distance(items, tmp_path):
    protocol = get_protocol("tokenbench").override(size=(16, 24), num_frames=4)
    shapes = []
    Evaluation(
        [Darker("dark", 2)], items, protocol, tmp_path / "r.json",
        Features(lambda clips: shapes.append(clips.shape) or clips, "mean colour"),
    ).report()  # fmt: skip
    assert {tuple(shape) for shape in shapes} == {(1, 4, 16, 16, 3)}


def test_bad_arguments(items, tmp_path):
    for embedders, videos in (
        ([], items),
        ([Darker("dark", 1)], []),
        ([Darker("dark", 1), Darker("dark", 2)], items),
    ):
        with pytest.raises(ValueError, match="of different names. Received:"):
            Evaluation(embedders, videos, PROTOCOL, tmp_path / "r.json")
    features = mean_colour()
    features.min_frames = 5
    for networks, message in (
        ((features,), "mean colour needs at least 5 frames. Received: num_frames=4"),
        ((None, functools.partial(psnr)), "a function with a `__name__`. Received: p"),
    ):
        with pytest.raises(ValueError, match=message):
            Evaluation(
                [Darker("dark", 1)], items, PROTOCOL, tmp_path / "r.json", *networks
            )


def test_plots(items, tmp_path):
    embedders = [Darker("dark", 3), Codec("darker", 9)]
    evaluation = Evaluation(embedders, items, PROTOCOL, tmp_path / "r.json")
    report = evaluation.report()
    found = evaluation.frames(embedders[0])
    assert [(video, number) for video, number, *_ in found] == [
        ("a", 0), ("a", 1), ("b", 0)
    ]  # fmt: skip
    frame, decoded = found[0][3:]
    assert frame.shape == decoded.shape == (16, 16, 3)
    assert (frame.astype(int) - decoded).max() == 3
    plot_rate_distortion(report["embedders"], tmp_path / "rate.png")
    sheets = {embedder.name: evaluation.frames(embedder) for embedder in embedders}
    plot_contact_sheet(sheets, tmp_path / "clips.png")
    assert iio.imread(tmp_path / "rate.png").std() > 10
    assert iio.imread(tmp_path / "clips.png").std() > 10
