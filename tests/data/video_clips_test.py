import collections

import av
import keras
import numpy as np
import pytest

from keras_regen.data import Bucket, VideoClips
from tests.data.clips import digests, frame_numbers, make
from tests.video.videos import CLIP, moving_ramp, read, write


class TestRandom:
    def test_clips_are_consecutive_frames_of_one_video(self, folder):
        clips = make(folder, steps_per_epoch=40)
        numbers = np.concatenate([frame_numbers(chunk) for (chunk,) in clips])
        assert numbers.shape == (80, 5)
        assert np.all(np.diff(numbers, axis=1) == 1)
        first = numbers[:, 0]
        assert set(first) <= {*range(26), *range(100, 108)}
        assert {0, 25} < set(first) or len(set(first)) > 20

    def test_chances(self, folder):
        clips = make(folder, num_frames=1, batch_size=50, steps_per_epoch=20)
        numbers = np.concatenate([frame_numbers(chunk) for (chunk,) in clips])
        share = 12**0.5 / (12**0.5 + 30**0.5)
        assert np.mean(numbers >= 100) == pytest.approx(share, abs=0.05)

    def test_weights(self, folder):
        (folder / "list.csv").write_text("path,weight\na.npy,1\nb.npy,20\n")
        clips = make(folder / "list.csv", batch_size=50, steps_per_epoch=8)
        numbers = np.concatenate([frame_numbers(chunk) for (chunk,) in clips])
        share = 20 * 12**0.5 / (20 * 12**0.5 + 30**0.5)
        assert np.mean(numbers >= 100) == pytest.approx(share, abs=0.05)

    def test_strides(self, folder):
        clips = make(folder, strides=(1, 3, 10), steps_per_epoch=40)
        steps = np.concatenate(
            [np.diff(frame_numbers(chunk), axis=1) for (chunk,) in clips]
        )
        assert np.all(steps == steps[:, :1])
        # Neither video is long enough for stride 10.
        assert set(steps[:, 0]) == {1, 3}

    def test_margin(self, folder):
        clips = make(folder, margin=2, steps_per_epoch=20)
        for chunk, target in clips:
            assert (chunk.shape[1], target.shape[1]) == (5, 9)
            np.testing.assert_array_equal(chunk, target[:, 2:7])
            assert np.all(np.diff(frame_numbers(target), axis=1) == 1)

    def test_images(self, folder):
        clips = make(folder, margin=1, image_share=0.5, steps_per_epoch=30)
        shapes = collections.Counter()
        for chunk, target in clips:
            shapes[chunk.shape] += 1
            if chunk.shape[1] == 1:
                np.testing.assert_array_equal(chunk, target)
                assert len(set(frame_numbers(chunk)[:, 0])) >= 5
        assert set(shapes) == {(2, 5, 16, 16, 3), (10, 1, 16, 16, 3)}
        assert 7 < shapes[(10, 1, 16, 16, 3)] < 23

    def test_zoom_and_crop(self, tmp_path):
        gradient = np.zeros((5, 64, 128, 3), "uint8")
        gradient[..., 0] = np.arange(128)
        gradient[..., 1] = np.arange(64)[:, None]
        write(tmp_path / "video.npy", gradient)
        clips = make(
            tmp_path, size=16, zoom=(1, 4), batch_size=60, steps_per_epoch=1,
            augmentation=(),
        )  # fmt: skip
        chunk = clips[0][0].astype(int)
        # All frames of a clip have the same crop.
        assert np.all(chunk == chunk[:, :1])
        # Pixels of the frame in one pixel of the crop: from 1 to 4.
        spans = (chunk[:, 0, 8, 14, 0] - chunk[:, 0, 8, 1, 0]) / 13
        assert 1 <= spans.min() < 1.2 and 3.3 < spans.max() <= 4.1
        # Uniform in the logarithm.
        assert np.mean(spans > 2) == pytest.approx(0.5, abs=0.2)
        # The same vertically: the aspect ratio is kept.
        down = (chunk[:, 0, 14, 8, 1] - chunk[:, 0, 1, 8, 1]) / 13
        np.testing.assert_allclose(down, spans, atol=0.35)
        left = chunk[:, 0, 8, 0, 0]
        assert left.min() < 10 and left.max() > 80

    def test_default_augmentation_mirrors(self, tmp_path):
        write(tmp_path / "video.mp4", moving_ramp(5, 16, 16))
        plain = make(tmp_path, batch_size=30, augmentation=())[0][0]
        clips = make(tmp_path, batch_size=30)[0][0]
        mirrored = [np.array_equal(c, plain[0, :, :, ::-1]) for c in clips]
        same = [np.array_equal(c, plain[0]) for c in clips]
        assert sum(mirrored) + sum(same) == 30 and 5 < sum(mirrored) < 25

    def test_augmentation_layers(self, folder):
        layer = keras.layers.RandomBrightness(0.5)
        plain = make(folder, steps_per_epoch=3, augmentation=())
        clips = make(folder, steps_per_epoch=3, augmentation=[layer])
        for i in range(3):
            before = plain[i][0].astype(int)
            after = clips[i][0].astype(int)
            # The same for all frames of a clip, different for the next clip.
            change = (after - before)[(after > 0) & (after < 255) & (before > 100)]
            assert change.size == 0 or np.ptp(change) <= 2 * 128
            steps = np.diff(frame_numbers(clips[i][0]), axis=1)
            assert np.all((steps == 1) | (frame_numbers(clips[i][0])[:, 1:] % 255 == 0))
        assert digests(clips) == digests(
            make(folder, steps_per_epoch=3, augmentation=[layer])
        )

    def test_steps_per_epoch(self, folder):
        # 42 frames, 10 in a batch.
        assert len(make(folder)) == 5
        assert len(make(folder, image_share=0.5, batch_size=9)) == 2
        with pytest.raises(IndexError, match="Received: index=5"):
            make(folder)[5]


class TestDense:
    @pytest.mark.parametrize("shuffle", [False, True])
    def test_every_frame_once(self, folder, shuffle):
        clips = make(folder, sampling="dense", batch_size=3, shuffle=shuffle)
        assert len(clips) == 3
        for _ in range(2):
            batches = [frame_numbers(clips[i][0]) for i in range(len(clips))]
            assert [len(batch) for batch in batches] == [3, 3, 2]
            numbers = np.concatenate(batches)
            assert np.all(np.diff(numbers, axis=1) == 1)
            # All but the last 2 frames of the second video.
            assert sorted(numbers.ravel()) == [*range(30), *range(100, 110)]
            assert shuffle == (list(numbers[:, 0]) != sorted(numbers[:, 0]))
            clips.epoch += 1

    def test_new_order_every_epoch(self, folder):
        clips = make(folder, sampling="dense", shuffle=True)
        first = digests(clips)
        clips.epoch += 1
        second = digests(clips)
        clips.epoch = 0
        assert digests(clips) == first != second

    def test_stride_and_margin(self, folder):
        clips = make(folder, sampling="dense", strides=(2, 1), margin=1, num_frames=3)
        numbers = np.concatenate([frame_numbers(y) for _, y in clips])
        expected = [[0, 2, 4, 6, 8], [6, 8, 10, 12, 14], [12, 14, 16, 18, 20]]
        expected += [[18, 20, 22, 24, 26], [100, 102, 104, 106, 108]]
        np.testing.assert_array_equal(numbers, expected)

    def test_centre_crop(self, tmp_path):
        video = moving_ramp(5, 48, 16)
        write(tmp_path / "video.npy", video)
        [(chunk,)] = make(tmp_path, sampling="dense")
        np.testing.assert_array_equal(chunk[0], video[:, 16:32])

    def test_containers(self, tmp_path):
        for i, suffix in enumerate((".mp4", ".mkv", ".webm", ".gif")):
            write(tmp_path / f"{i}{suffix}", moving_ramp(11, 16, 16))
        clips = make(tmp_path, sampling="dense", batch_size=8)
        [(chunk,)] = clips
        expected = [
            read(path)[:10].reshape(2, 5, 16, 16, 3)
            for path in sorted(tmp_path.iterdir())
        ]
        np.testing.assert_array_equal(chunk, np.concatenate(expected))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sampling": "all"}, "sampling='all'"),
        ({"num_frames": 0}, "num_frames=0"),
        ({"margin": -1}, "margin=-1"),
        ({"seed": -1}, "seed=-1"),
        ({"steps_per_epoch": 0}, "steps_per_epoch=0"),
        ({"cache_bytes": -1}, "cache_bytes=-1"),
        ({"strides": ()}, r"strides=\(\)"),
        ({"strides": (0,)}, r"strides=\(0,\)"),
        ({"zoom": (0.5, 1)}, r"zoom=\(0.5, 1\)"),
        ({"zoom": (2, 1)}, r"zoom=\(2, 1\)"),
        ({"image_share": 1.5}, "image_share=1.5"),
        ({"shuffle": True}, "shuffle=True"),
        ({"size": 20}, "height=20"),
        ({"image_share": 0.5, "steps_per_epoch": 1}, "steps_per_epoch=1"),
        ({"sampling": "dense", "zoom": (1, 2)}, r"zoom=\(1, 2\)"),
        ({"sampling": "dense", "image_share": 0.5}, "image_share=0.5"),
        ({"sampling": "dense", "steps_per_epoch": 5}, "steps_per_epoch=5"),
        ({"sampling": "dense", "size": [Bucket(8, 8, 1)] * 2}, "size="),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=f"Received: {message}"):
        make(CLIP, **arguments)


def test_clips_of_raw_video(tmp_path):
    ramp = moving_ramp(9, 32, 32)
    for name in ("a_32x32_25.yuv", "b_32x32_25.264"):
        with av.open(str(tmp_path / name), "w") as container:
            codec = "rawvideo" if name.endswith(".yuv") else "libx264"
            stream = container.add_stream(codec, 25)
            stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
            for array in ramp:
                frame = av.VideoFrame.from_ndarray(array, format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    clips = VideoClips(tmp_path, 4, 32, batch_size=4, sampling="dense", workers=1)
    [(batch,)] = [clips[i] for i in range(len(clips))]
    assert batch.shape == (4, 4, 32, 32, 3) and not clips.skipped
    for clip, start in zip(batch, (0, 4, 0, 4), strict=True):
        error = clip.astype(int) - ramp[start : start + 4]
        assert np.abs(error).mean() < 8
