import os

import av
import numpy as np
import PIL.Image
import pytest

from keras_regen.video import VideoReader, bundled_clip, find_conditions, find_videos
from tests.video.videos import moving_ramp, read


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(folder, source):
    return [os.path.relpath(path, folder) for path in find_videos(source)]


def test_folder(tmp_path):
    touch(tmp_path, "b.mp4", "a/z.MKV", "a/deep/er/c.webm", "notes.txt", ".hidden.mp4")
    touch(tmp_path, ".cache/d.mp4", "frames/0.png", "frames/1.png", "a/preview.jpg")
    touch(tmp_path, "e.npy", "f.264", "g_2x2.yuv", "h.h264")
    expected = ["a/deep/er/c.webm", "a/z.MKV", "b.mp4", "e.npy", "f.264", "frames"]
    expected += ["g_2x2.yuv", "h.h264"]
    assert names(tmp_path, tmp_path) == expected
    assert names(tmp_path, str(tmp_path)) == expected
    assert names(tmp_path, tmp_path / "frames") == ["frames"]


@pytest.mark.parametrize(
    ("suffix", "encoder", "pixel_format"),
    [
        (".3g2", "mpeg4", "yuv420p"),
        (".apng", "apng", "rgb24"),
        (".asf", "wmv2", "yuv420p"),
        (".mxf", "mpeg2video", "yuv420p"),
        (".nut", "mpeg4", "yuv420p"),
        (".ogg", "libvpx", "yuv420p"),
        (".y4m", "wrapped_avframe", "yuv420p"),
    ],
)
def test_formats_that_are_read_are_found(tmp_path, suffix, encoder, pixel_format):
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, 25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, pixel_format
        for array in moving_ramp(4, 32, 48):
            frame = av.VideoFrame.from_ndarray(array).reformat(format=pixel_format)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert names(tmp_path, tmp_path) == [path.name]
    assert read(path).shape == (4, 32, 48, 3)


def test_webp(tmp_path):
    images = [PIL.Image.fromarray(frame) for frame in moving_ramp(3, 16, 16)]
    for folder in ("animated", "stills"):
        (tmp_path / folder).mkdir()
    for i in range(2):
        path = tmp_path / "animated" / f"{i}.webp"
        images[0].save(path, save_all=True, append_images=images[1:])
        images[i].save(tmp_path / "stills" / f"{i}.WEBP")
    assert names(tmp_path, tmp_path) == ["animated/0.webp", "animated/1.webp", "stills"]
    assert [len(read(path)) for path in find_videos(tmp_path)] == [3, 3, 2]


def test_links_are_followed_once(tmp_path):
    touch(tmp_path, "there/a.mp4", "here/b.mp4")
    (tmp_path / "here" / "link").symlink_to(tmp_path / "there")
    (tmp_path / "there" / "back").symlink_to(tmp_path / "here")
    assert names(tmp_path, tmp_path / "here") == ["here/b.mp4", "here/link/a.mp4"]


def test_pattern(tmp_path):
    touch(tmp_path, "b.mp4", "a/c.mp4", "a/d.mkv", "frames/0.png")
    assert names(tmp_path, str(tmp_path / "*.mp4")) == ["b.mp4"]
    assert names(tmp_path, str(tmp_path / "**/*.mp4")) == ["a/c.mp4", "b.mp4"]
    assert names(tmp_path, str(tmp_path / "fr*")) == ["frames"]
    # A file name that looks like a pattern.
    touch(tmp_path, "[1].mp4")
    assert names(tmp_path, str(tmp_path / "[1].mp4")) == ["[1].mp4"]


def test_list(tmp_path):
    touch(tmp_path, "b.mp4", "a/c.mp4", "odd.suffix")
    source = [tmp_path / "odd.suffix", str(tmp_path / "a"), tmp_path / "b.mp4"]
    expected = ["a/c.mp4", "b.mp4", "odd.suffix"]
    assert names(tmp_path, source) == expected
    assert names(tmp_path, [*source, *source]) == expected


def test_csv(tmp_path):
    (tmp_path / "list.csv").write_text(
        "label,path,weight\ncat,b.mp4,2.5\ndog,sub/a.mp4,\nnone,,\ncow,/c.mp4,0\n"
    )
    assert find_videos(tmp_path / "list.csv") == {
        "/c.mp4": 0.0,
        str(tmp_path / "b.mp4"): 2.5,
        str(tmp_path / "sub/a.mp4"): 1.0,
    }
    (tmp_path / "list.csv").write_text("\ufeffpath\nb.mp4\n", encoding="utf-8")
    assert list(find_videos(tmp_path / "list.csv").values()) == [1.0]


def test_texts_and_labels(tmp_path):
    (tmp_path / "list.csv").write_text(
        "label,path,text\n1,a.mp4,a red  seven\n1,a.mp4,a seven\n,b.mp4,\n2,/c.mp4,\n"
    )
    assert find_conditions([tmp_path, str(tmp_path / "list.csv")]) == {
        str(tmp_path / "a.mp4"): {"text": ["a red seven", "a seven"], "label": ["1"]},
        str(tmp_path / "b.mp4"): {"text": [], "label": []},
        "/c.mp4": {"text": [], "label": ["2"]},
    }
    (tmp_path / "list.csv").write_text("path\na.mp4\n")
    assert find_conditions(tmp_path / "list.csv") == {}


def test_a_video_has_one_path(tmp_path):
    touch(tmp_path, "a.mp4", "sub/b.mp4", "far/away/c.mp4", "far/d.mp4")
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    source = tmp_path / "list.csv"
    source.write_text("path,text\na.mp4,one\nsub/../a.mp4,two\n./a.mp4,one\n")
    assert names(tmp_path, source) == ["a.mp4"]
    assert find_conditions(source) == {
        str(tmp_path / "a.mp4"): {"text": ["one", "two"]}
    }
    assert names(tmp_path, [f"{tmp_path}/sub/../sub", f"{tmp_path}//sub/"]) == [
        "sub/b.mp4"
    ]
    # What follows a link is not in its folder.
    beyond = f"{tmp_path}/link/../d.mp4"
    assert list(find_videos(beyond)) == [beyond]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file\na.mp4\n", r"a column `path`. Received: .*columns=\['file'\]"),
        ("path,weight\na.mp4,much\n", "weight=much in .*line 2"),
        ("path,weight\na.mp4,-1\n", "weight=-1"),
        ("path\n", "There must be a video"),
        (None, "there is no such file"),
    ],
)
def test_bad_csv(tmp_path, text, message):
    if text is not None:
        (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        find_videos(tmp_path / "list.csv")


@pytest.mark.parametrize("source", ["", "*.mp4", []])
def test_no_videos(tmp_path, source):
    touch(tmp_path, "notes.txt")
    source = str(tmp_path / source) if source != [] else []
    with pytest.raises(ValueError, match=r"There must be a video.*Received: source="):
        find_videos(source)


class TestBundledClips:
    @pytest.mark.parametrize("name", ["bunny", "steel"])
    def test_what_they_are(self, name):
        path = bundled_clip(name)
        assert path.stat().st_size < 1_000_000
        with VideoReader(path) as reader:
            assert (reader.fps, reader.num_frames) == (24.0, 36)
        frames = read(path).astype(int)
        assert frames.shape == (36, 240, 424, 3)
        # There is motion in every frame, but no cut.
        change = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
        assert 3 < change.min() and change.max() < 20

    def test_every_clip_has_a_licence(self):
        folder = bundled_clip().parent
        text = (folder / "ATTRIBUTION.md").read_text()
        clips = sorted(path.name for path in folder.iterdir() if path.suffix != ".md")
        assert clips == ["bunny.mp4", "steel.mp4"]
        _, *sections = text.split("\n## ")
        assert [section.splitlines()[0] for section in sections] == clips
        assert all("creativecommons.org/licenses/" in section for section in sections)

    def test_no_such_clip(self):
        with pytest.raises(ValueError, match="bunny, steel. Received: name='city'"):
            bundled_clip("city")
