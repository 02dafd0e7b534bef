import json

import h5py
import numpy as np
import pytest

from keras_regen import Latents, Regen, VideoCodec
from keras_regen.latents import LatentDataset, LatentsWriter
from keras_regen.text import KerasHubTextEncoder, TextEmbeddings
from keras_regen.video import VideoReader
from tests.cli.conftest import assert_user_error
from tests.models.conftest import awaken, make_regen
from tests.text.encoders import LettersEncoder
from tests.video.videos import moving_ramp, write

K = 4


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    (folder / "more").mkdir(parents=True)
    write(folder / "a.mp4", moving_ramp(7, 18, 26))
    write(folder / "more" / "a.mkv", moving_ramp(12, 16, 16))
    write(folder / "more" / "b.mp4", moving_ramp(3, 16, 16))
    return folder


def stored(folder):
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*")}


def test_every_video_has_its_latents(run, preset, videos):
    status, stdout, stderr = run(
        "encode", "--dataset", videos, "-o", "z", "--preset", preset
    )
    assert (status, stderr) == (0, "")
    words = " ".join(stdout.split())
    assert "3/3 videos" in words and "videos 3 encoded, 0 there" in words
    # Those that are not padded, or alone.
    assert "latents 3 files, 4 chunks" in words
    codec = VideoCodec(Regen.from_preset(preset))
    arrays = []
    for name in ("a.mp4", "more/a.mkv", "more/b.mp4"):
        latents = Latents.load(f"z/{name}.h5")
        expected = codec.encode(videos / name)
        np.testing.assert_allclose(latents.array, expected.array, atol=5e-3)
        with VideoReader(videos / name) as reader:
            assert len(latents) == len(list(reader))
        full = latents.chunks(0, max(1, len(latents) // (K + 1)))
        arrays.append(full.astype("float64").reshape(-1, 2, *expected.array.shape[1:]))
    with open("z/index.json") as file:
        index = json.load(file)
    assert [row["num_frames"] for row in index["files"]] == [7, 12, 3]
    # Every value has the same weight, in videos of any size.
    values = np.concatenate(
        [a.transpose(0, 2, 3, 1, 4).reshape(-1, 2, 8) for a in arrays]
    )
    statistics = index["latent_statistics"]
    np.testing.assert_allclose(statistics["mean"], values.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(statistics["std"], values.std(axis=0), rtol=1e-6)


def test_existing_latents_stay(run, preset, videos, tmp_path):
    arguments = ("encode", "--dataset", videos, "-o", "z", "--preset", preset)
    run(*arguments, "--shard", "1/2")
    before = stored(tmp_path / "z")
    assert "more/a.mkv.h5" in before and "a.mp4.h5" not in before
    status, stdout, _ = run(*arguments)
    assert status == 0 and "2 encoded, 1 there" in stdout
    after = stored(tmp_path / "z")
    assert after["more/a.mkv.h5"] == before["more/a.mkv.h5"]
    assert {"a.mp4.h5", "more/b.mp4.h5"} <= set(after)


def test_the_last_shard_writes_the_index(run, preset, videos, tmp_path):
    codec = VideoCodec(Regen.from_preset(preset))
    (videos / "broken.mp4").write_bytes(b"no video")
    index = tmp_path / "z" / "index.json"

    def encode(directory, shard):
        dataset = LatentDataset(codec, videos, tmp_path / directory, shard=shard)
        list(dataset.encode())
        return dataset.finish()

    # A shard of other videos is none of these.
    for shard in ((2, 3), (0, 3), (1, 4), (0, 10**12)):
        assert encode("z", shard) is None
        assert not index.exists()
    last, whole = encode("z", (1, 3)), encode("whole", (0, 1))
    assert last["temporal_compression"] == K and len(last["files"]) == 3
    for name in ("mean", "std"):
        np.testing.assert_allclose(
            last["latent_statistics"].pop(name),
            whole["latent_statistics"].pop(name),
            rtol=1e-9,
        )
    assert last == whole
    # Every shard that sees all the others writes the same.
    before = index.read_bytes()
    encode("z", (2, 3))
    assert index.read_bytes() == before
    # With one more video, the others have more to do.
    write(videos / "0.mp4", moving_ramp(3, 16, 16))
    assert encode("z", (2, 3)) is None
    index.unlink()
    status, stdout, _ = run("encode", "--dataset", videos, "-o", "z", "--index")
    assert status == 0 and "3 files, 4 chunks" in stdout and "encoded" not in stdout
    assert json.loads(index.read_text())["files"] == whole["files"]


def test_a_part_of_an_earlier_run_is_no_part_of_this(preset, videos, tmp_path):
    codec = VideoCodec(Regen.from_preset(preset))

    def encode(shard):
        dataset = LatentDataset(codec, videos, tmp_path, shard=(shard, 2))
        list(dataset.encode())
        return dataset.finish()

    assert encode(0) is None
    index = encode(1)
    for path in tmp_path.rglob("*.h5"):
        path.unlink()
    # The other's part is there, but its files are not.
    assert encode(0) is None
    assert encode(1) == index
    # They are, of another chunking.
    codec.chunking = "shared"
    for path in ("a.mp4.h5", "more/b.mp4.h5"):
        (tmp_path / path).unlink()
    assert encode(0) is None


def test_files_of_other_videos_are_left_out(run, preset, videos, tmp_path, caplog):
    arguments = ("-o", "z", "--preset", preset)
    for source in (videos / "more", videos / "a.mp4"):
        assert run("encode", "--dataset", source, *arguments)[0] == 0
    (message,) = [text for text in caplog.messages if "leaves out" in text]
    assert "2 files of other videos, such as z/a.mkv.h5" in message

    def listed():
        index = json.loads((tmp_path / "z" / "index.json").read_text())
        return [file["latents"] for file in index["files"]]

    assert listed() == ["a.mp4.h5"]
    assert run("encode", "--dataset", videos, "-o", "z", "--index")[0] == 0
    assert listed() == ["a.mkv.h5", "a.mp4.h5", "b.mp4.h5"]


def test_latents_of_another_video_are_not_taken(preset, videos, tmp_path):
    codec = VideoCodec(Regen.from_preset(preset))
    more, others = videos / "more", tmp_path / "others"
    others.mkdir()
    for name in ("a.mkv", "b.mp4", "folder"):
        write(others / name, moving_ramp(1, 16, 24))
    write(more / "folder", moving_ramp(2, 16, 16))
    assert all(frames for _, frames in LatentDataset(codec, more, "z").encode())
    before = stored(tmp_path / "z")
    with pytest.raises(ValueError, match="another video of this name.*a.mkv.h5"):
        list(LatentDataset(codec, others, "z").encode())
    for name in ("b.mp4", "folder"):
        dataset = LatentDataset(None, others / name, "z")
        with pytest.raises(ValueError, match="another video of this name"):
            dataset.write_index()
    # Their common folder moves, and with it the place of their latents.
    with pytest.raises(ValueError, match="rename the file to z/more/a.mkv.h5"):
        list(LatentDataset(codec, videos, "z").encode())
    assert stored(tmp_path / "z") == before
    # The folder may move with them; files of earlier versions do not tell.
    more.rename(tmp_path / "moved")
    with h5py.File(tmp_path / "z" / "b.mp4.h5", "r+") as file:
        del file.attrs["video"]
    dataset = LatentDataset(codec, tmp_path / "moved", "z")
    assert not any(frames for _, frames in dataset.encode())


def test_texts_and_labels(run, preset, videos, tmp_path, monkeypatch):
    rows = ["path,text,label", "a.mp4,a red  seven,up", "a.mp4,a seven,", "", ""]
    rows[3:] = ["more/a.mkv,two,down", "more/b.mp4,,up"]
    (videos / "list.csv").write_text("\n".join(rows))
    encoder = LettersEncoder()
    monkeypatch.setattr(KerasHubTextEncoder, "from_preset", lambda preset: encoder)
    arguments = ("encode", "--dataset", videos / "list.csv", "--preset", preset)
    stdout = run(*arguments, "-o", "plain")[1]
    assert "of 2 videos, not embedded" in stdout and "of 3 videos" in stdout
    for i in (1, 0):
        shard = (*arguments, "--shard", f"{i}/2", "--text-encoder", "letters")
        status, stdout, _ = run(*shard, "-o", "z")
        assert status == 0 and ("the last shard will write it" in stdout) == (i == 1)
        # By one shard alone.
        assert len(encoder.embedded) == 3 * (i == 0)
    assert "not embedded" not in stdout
    with open("z/index.json") as file:
        index = json.load(file)
    assert index["labels"] == ["down", "up"]
    found = [(f["latents"], f.get("texts"), f["label"]) for f in index["files"]]
    assert found == [
        ("a.mp4.h5", ["a red seven", "a seven"], 1),
        ("more/a.mkv.h5", ["two"], 0),
        ("more/b.mp4.h5", None, 1),
    ]
    assert TextEmbeddings.load("z/text.h5").texts == ["a red seven", "a seven", "two"]
    # The same videos without a CSV keep them.
    again = LatentDataset(None, videos, tmp_path / "z").write_index()
    assert again["labels"] == index["labels"] and again["files"] == index["files"]
    encoder.encoder_id = "other"
    result = run(*arguments, "-o", "z", "--index", "--text-encoder", "other")
    assert_user_error(result, "Another text encoder")
    with pytest.raises(ValueError, match="in the column `text`"):
        LatentDataset(None, videos, tmp_path / "z").embed_texts(encoder)


def test_one_label_and_a_name_that_is_taken(videos, tmp_path):
    (videos / "list.csv").write_text("path,label\na.mp4,up\na.mp4,down\n")
    with pytest.raises(ValueError, match=r"one label. .*\['up', 'down'\] for .*a.mp4"):
        LatentDataset(None, videos / "list.csv", tmp_path / "z")
    with pytest.raises(ValueError, match="codec=None"):
        next(LatentDataset(None, videos, tmp_path / "z").encode())
    (videos / "text").mkdir()
    (videos / "text" / "0.png").touch()
    with pytest.raises(ValueError, match="another name. Received: .*text"):
        LatentDataset(None, videos, tmp_path / "z")


def test_unreadable_videos_are_skipped(run, preset, videos, caplog):
    (videos / "broken.mp4").write_bytes(b"no video")
    status, stdout, _ = run(
        "encode", "--dataset", videos, "-o", "z", "--preset", preset
    )
    assert status == 0
    words = " ".join(stdout.split())
    assert "3 encoded, 0 there skipped 1, which cannot be read" in words
    assert [r for r in caplog.messages if "broken.mp4" in r]


def test_an_interrupted_video_is_encoded_again(preset, videos, tmp_path, monkeypatch):
    codec = VideoCodec(Regen.from_preset(preset))
    dataset = LatentDataset(codec, videos, tmp_path / "z")

    def interrupted(writer, piece):
        write(writer, piece)
        if piece.first_chunk == 1:
            raise KeyboardInterrupt

    write = LatentsWriter.write
    monkeypatch.setattr(LatentsWriter, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(dataset.encode())
    assert not [p for p in (tmp_path / "z").rglob("*") if p.is_file()]
    monkeypatch.undo()
    assert [frames for _, frames in dataset.encode()] == [7, 12, 3]
    assert [frames for _, frames in dataset.encode()] == [0, 0, 0]


def test_another_encoder(run, preset, videos, tmp_path):
    run("encode", "--dataset", videos, "-o", "z", "--preset", preset)
    other = awaken(make_regen(K))
    other.encoder.weights[0].assign(other.encoder.weights[0] + 1)
    other.save_to_preset(tmp_path / "other")
    result = run("encode", "--dataset", videos, "-o", "z", "--preset", "other")
    assert_user_error(result, "another encoder,")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--chunking", "shared"), "chunking=shared, but disjoint in z/more/a.mkv.h5"),
        (("--dtype", "float32"), "dtype=float32, but float16 in z/more/a.mkv.h5"),
    ],
)
def test_what_exists_is_checked_first(run, preset, videos, options, message):
    arguments = ("encode", "--dataset", videos, "-o", "z", "--preset", preset)
    assert run(*arguments, "--shard", "1/2")[0] == 0
    before = stored(videos.parent / "z")
    assert_user_error(run(*arguments, *options), message)
    assert stored(videos.parent / "z") == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["encode"], "a video or --dataset DIR"),
        (["encode", "a.mp4", "--dataset", "d", "-o", "z"], "neither IN"),
        (["encode", "--dataset", "d"], "OUT=None"),
        (["encode", "--dataset", "d", "-o", "z", "--shard", "2/2"], "shard=2/2"),
        (["encode", "--dataset", "d", "-o", "z", "--shard", "x"], "shard=x"),
        (["encode", "--dataset", "nothing", "-o", "z"], "nothing"),
        (["encode", "a.mp4", "--index"], "are for a --dataset"),
        (["encode", "a.mp4", "--shard", "3/4"], "Received: shard=3/4"),
    ],
)
def test_errors(run, arguments, message):
    assert_user_error(run(*arguments), message)


def test_latents_stay_in_the_directory(run, preset, videos, tmp_path):
    (videos / "list.csv").write_text("path\nmore/b.mp4\nmore/../../secret.npy\n")
    np.save(tmp_path / "secret.npy", np.zeros((5, 16, 16, 3), "uint8"))
    arguments = ("encode", "--dataset", videos / "list.csv", "-o", "out/z")
    assert run(*arguments, "--preset", preset)[0] == 0
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.h5")} == {
        "out/z/secret.npy.h5",
        "out/z/videos/more/b.mp4.h5",
    }


def test_absolute_and_relative_paths(run, preset, videos, tmp_path):
    result = run(
        *("encode", "--dataset", videos / "a.mp4", "--dataset", "videos/more"),
        *("-o", "z", "--preset", preset),
    )
    assert_user_error(result, f"{videos / 'a.mp4'} and videos/more/")
    assert not (tmp_path / "z").exists()
