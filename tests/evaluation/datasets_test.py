import numpy as np
import PIL.Image
import pytest

from keras_regen.evaluation import Item, open_dataset
from keras_regen.evaluation.datasets import dataset_name
from keras_regen.video import VideoReader

FRAME = bytes(16 * 16 * 3 // 2)


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(FRAME)


def found(root, items):
    return [(item.name, str(item.path).removeprefix(f"{root}/")) for item in items]


class TestMclJcv:
    def test_one_item_for_each_source(self, tmp_path):
        raw = "MCL_JCV/1080P/YUV_source"
        touch(
            tmp_path,
            f"{raw}/videoSRC02_16x16_25.yuv",
            f"{raw}/videoSRC01_16x16_30.yuv",
            "MCL_JCV/0720P/YUV_source/videoSRC01_16x8_30.yuv",
            "MCL_JCV/1080P/JND_raw_samples/videoSRC01_JND1.yuv",
            "MCL_JCV/1080P/h264/videoSRC01_16x16_30/videoSRC01_16x16_30_qp_00.264",
            "MCL_JCV/readme.txt",
        )
        items = open_dataset(tmp_path)
        assert dataset_name(tmp_path) == "mcl_jcv"
        assert found(tmp_path, items) == [
            ("videoSRC01", f"{raw}/videoSRC01_16x16_30.yuv"),
            ("videoSRC02", f"{raw}/videoSRC02_16x16_25.yuv"),
        ]
        assert [item.fps for item in items] == [30.0, 25.0]
        with VideoReader(items[1].path) as reader:
            assert (reader.fps, len(list(reader))) == (25.0, 1)

    def test_the_least_quantised_file_is_used(self, tmp_path):
        names = [f"videoSRC03_16x16_24_qp_{qp:02}.264" for qp in (51, 0, 10)]
        touch(tmp_path, *(f"videoSRC03_16x16_24/{name}" for name in names))
        touch(tmp_path, "videoSRC03_16x16_24/videoSRC03_16x16_24_qp_20.yuv")
        [item] = open_dataset(str(tmp_path))
        assert item.path.endswith("videoSRC03_16x16_24_qp_00.264")
        touch(tmp_path, "a/videoSRC03_16x16_24.264")
        touch(tmp_path, "b/videoSRC03_16x16_24.yuv")
        [item] = open_dataset(tmp_path)
        assert item == Item("videoSRC03", f"{tmp_path}/b/videoSRC03_16x16_24.yuv", 24.0)

    def test_among_other_videos(self, tmp_path):
        touch(tmp_path, "videoSRC01_16x16_30.yuv", "holiday.mp4")
        assert dataset_name(tmp_path) == "videos"
        assert len(open_dataset(tmp_path)) == 2
        assert len(open_dataset(tmp_path, "mcl_jcv")) == 1

    def test_nothing(self, tmp_path):
        touch(tmp_path, "holiday.mp4")
        with pytest.raises(ValueError, match="videoSRC01_1920x1080_30.yuv. Received"):
            open_dataset(tmp_path, "mcl_jcv")


class TestDavis:
    def make(self, root, listed, size="480p", list_name="2017/val.txt"):
        for sequence in ("bear", "bike-packing", "blackswan"):
            folder = root / "JPEGImages" / size / sequence
            folder.mkdir(parents=True)
            for i in range(2):
                image = np.full((8, 12, 3), 100 * i, "uint8")
                PIL.Image.fromarray(image).save(folder / f"{i:05}.jpg")
        (root / "ImageSets" / list_name).parent.mkdir(parents=True)
        (root / "ImageSets" / list_name).write_text(listed)
        return root

    @pytest.mark.parametrize("above", [False, True])
    def test_the_validation_list(self, tmp_path, above):
        root = self.make(tmp_path / "DAVIS", "blackswan\nbike-packing\n")
        (root / "ImageSets/2017/train.txt").write_text("bear\n")
        path = tmp_path if above else root
        assert dataset_name(path) == "davis"
        items = open_dataset(path)
        assert found(root, items) == [
            ("bike-packing", "JPEGImages/480p/bike-packing"),
            ("blackswan", "JPEGImages/480p/blackswan"),
        ]
        with VideoReader(items[0].path, items[0].fps) as reader:
            assert (reader.fps, len(list(reader)), reader.width) == (24.0, 2, 12)

    def test_2016_lists_images(self, tmp_path):
        pair = "/JPEGImages/480p/{0}/{1:05}.jpg /Annotations/480p/{0}/{1:05}.png \n"
        lines = [pair.format(name, i) for name in ("blackswan", "bear") for i in (0, 1)]
        self.make(tmp_path, "".join(lines), list_name="480p/val.txt")
        assert [item.name for item in open_dataset(tmp_path)] == ["bear", "blackswan"]

    def test_with_other_data_sets(self, tmp_path):
        (tmp_path / "davis").mkdir()
        davis = self.make(tmp_path / "davis", "bear\n")
        # A folder of videos would have the masks too, and each file of a source.
        mask = davis / "Annotations/480p/bear/00000.png"
        mask.parent.mkdir(parents=True)
        PIL.Image.fromarray(np.zeros((8, 12), "uint8")).save(mask)
        source = "mcl/videoSRC03_16x16_24"
        touch(tmp_path, *(f"{source}_qp_{qp}.264" for qp in (10, 20)))
        touch(tmp_path, "a/x.mp4", "b/bear.mp4")
        paths = [tmp_path / name for name in ("a", "davis", "mcl", "b")]
        items = open_dataset(paths)
        expected = ["bear", "videoSRC03", "a/x.mp4", "b/bear.mp4"]
        assert [item.name for item in items] == expected
        assert [item.fps for item in items] == [24.0, 24.0, None, None]
        with pytest.raises(ValueError, match="have an item bear: .* Received: path="):
            open_dataset([davis, tmp_path / "davis"])

    @pytest.mark.parametrize("size", ["Full-Resolution", "1080p"])
    def test_other_sizes(self, tmp_path, size):
        self.make(tmp_path, "bear", size, "2016/val.txt")
        assert found(tmp_path, open_dataset(tmp_path)) == [
            ("bear", f"JPEGImages/{size}/bear")
        ]

    def test_all_sequences(self, tmp_path):
        self.make(tmp_path, "bear")
        items = open_dataset(tmp_path / "JPEGImages/480p")
        names = ["bear", "bike-packing", "blackswan"]
        assert [item.name for item in items] == names

    @pytest.mark.parametrize(
        ("listed", "message"),
        [
            ("bear\ncamel\n", "camel is listed but has no images"),
            ("empty\n", "empty is listed but has no images"),
            ("\n", "The list of sequences is empty"),
        ],
    )
    def test_missing_sequences(self, tmp_path, listed, message):
        self.make(tmp_path, listed)
        (tmp_path / "JPEGImages/480p/empty").mkdir()
        with pytest.raises(ValueError, match=f"{message}.*Received: "):
            open_dataset(tmp_path)

    def test_layouts_that_are_wrong(self, tmp_path):
        with pytest.raises(ValueError, match="must have a folder JPEGImages. Received"):
            open_dataset(tmp_path, "davis")
        (tmp_path / "JPEGImages").mkdir()
        with pytest.raises(ValueError, match="must have a folder 480p or .*Received"):
            open_dataset(tmp_path)
        (tmp_path / "JPEGImages/480p").mkdir()
        with pytest.raises(ValueError, match="must have a list ImageSets/2017.*Receiv"):
            open_dataset(tmp_path)


class TestVideos:
    def test_folder_pattern_and_list(self, tmp_path):
        touch(tmp_path, "b.mp4", "a/c.mp4", "a/d.mkv")
        expected = [("a/c.mp4", "a/c.mp4"), ("a/d.mkv", "a/d.mkv"), ("b.mp4", "b.mp4")]
        assert found(tmp_path, open_dataset(tmp_path)) == expected
        assert all(item.fps is None for item in open_dataset(tmp_path))
        items = open_dataset(str(tmp_path / "a/*.mkv"))
        assert found(tmp_path, items) == [("d.mkv", "a/d.mkv")]
        items = open_dataset([tmp_path / "b.mp4", tmp_path / "a"])
        assert [item.name for item in items] == ["a/c.mp4", "a/d.mkv", "b.mp4"]

    def test_csv(self, tmp_path):
        touch(tmp_path, "b.mp4", "a.mp4")
        (tmp_path / "list.csv").write_text("path,weight\nb.mp4,2\na.mp4,0\n")
        items = open_dataset(tmp_path / "list.csv")
        assert [item.name for item in items] == ["b.mp4"]
        (tmp_path / "list.csv").write_text("path,weight\nb.mp4,2\ngone.mp4,1\n")
        with pytest.raises(ValueError, match=r"are missing: .*gone\.mp4. Received"):
            open_dataset(tmp_path / "list.csv")

    def test_errors(self, tmp_path):
        with pytest.raises(ValueError, match="There must be a video"):
            open_dataset(tmp_path)
        with pytest.raises(ValueError, match=r"missing: .*gone\.mp4. Received"):
            open_dataset(tmp_path / "gone.mp4")
        with pytest.raises(ValueError, match="one of mcl_jcv, davis, videos. Rec"):
            open_dataset(tmp_path, "ucf101")
