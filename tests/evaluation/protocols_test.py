import json
import tracemalloc

import numpy as np
import pytest

from keras_regen.evaluation import PROTOCOLS, get_protocol
from keras_regen.metrics import psnr, ssim
from tests.video.videos import moving_ramp


def save(path, video):
    """Writes an array to disk, which is read unchanged."""
    np.save(path, video)
    return path


def small(name, size=8, num_frames=4):
    return get_protocol(name).override(size, num_frames)


def numbered(num_frames, height=8, width=8):
    """Frames that show their number."""
    frames = np.arange(num_frames, dtype="uint8")[:, None, None, None]
    return np.broadcast_to(frames, (num_frames, height, width, 3))


def numbers(clips):
    return [clip[:, 0, 0, 0].tolist() for clip in clips]


class TestClips:
    @pytest.mark.parametrize(
        ("name", "expected", "repeated", "dropped"),
        [
            ("regen", [[0, 1, 2, 3], [4, 5, 6, 7]], 0, 2),
            ("vidtok", [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 9, 9]], 2, 0),
            ("tokenbench", [[0, 1, 2, 3]], 0, 0),
        ],
    )
    def test_which(self, tmp_path, name, expected, repeated, dropped):
        clips = small(name).clips(save(tmp_path / "video.npy", numbered(10)))
        # A second pass starts the counts again.
        for _ in range(2):
            assert numbers(clips) == expected
            assert clips.num_clips == len(expected)
            assert (clips.num_repeated, clips.num_dropped) == (repeated, dropped)

    @pytest.mark.parametrize(
        ("name", "expected"),
        [("regen", []), ("vidtok", [[0, 1, 2, 2]]), ("tokenbench", [[0, 1, 2]])],
    )
    def test_of_a_short_video(self, tmp_path, name, expected):
        clips = small(name).clips(save(tmp_path / "video.npy", numbered(3)))
        assert numbers(clips) == expected
        assert clips.num_clips == len(expected)

    def test_whole_clips_leave_nothing(self, tmp_path):
        path = save(tmp_path / "video.npy", numbered(8))
        for name in ("regen", "vidtok"):
            clips = small(name).clips(path)
            assert len(list(clips)) == 2
            assert clips.num_repeated == clips.num_dropped == 0

    def test_max_clips(self, tmp_path):
        path = save(tmp_path / "video.npy", numbered(10))
        clips = small("vidtok").clips(path, max_clips=2)
        assert numbers(clips) == [[0, 1, 2, 3], [4, 5, 6, 7]]
        with pytest.raises(ValueError, match="Received: max_clips=0"):
            small("vidtok").clips(path, max_clips=0)

    @pytest.mark.parametrize(
        ("fps", "step"), [(24, 1), (30, 1), (50, 2), (60, 2), (120, 4), (10, 1)]
    )
    def test_frame_rate(self, tmp_path, fps, step):
        path = save(tmp_path / "video.npy", numbered(20))
        clips = small("vidtok").clips(path, fps=fps)
        assert next(iter(clips))[:, 0, 0, 0].tolist() == [i * step for i in range(4)]
        assert clips.fps == fps / step
        clips = small("regen").clips(path, fps=fps)
        assert (numbers(clips)[0], clips.fps) == ([0, 1, 2, 3], fps)

    def test_memory_of_one_clip(self, tmp_path):
        frame = np.zeros((64, 64, 3), "uint8")
        shape = (400, 64, 64, 3)
        path = tmp_path / "long.npy"
        video = np.lib.format.open_memmap(path, "w+", "uint8", shape)
        video[:] = frame
        del video
        clips = iter(small("regen", 64, 8).clips(path))
        next(clips)
        tracemalloc.start()
        assert sum(1 for _ in clips) == 49
        assert tracemalloc.get_traced_memory()[1] < 4 * 8 * frame.nbytes
        tracemalloc.stop()


class TestFrames:
    @pytest.mark.parametrize("name", ["regen", "vidtok"])
    @pytest.mark.parametrize("size", [(36, 64), (64, 36), (20, 20), (16, 100)])
    def test_short_side_then_centre(self, tmp_path, name, size):
        """A ramp stays a ramp, and its middle stays in the middle."""
        height, width = size
        y, x = np.mgrid[:height, :width] + 0.5
        ramp = np.stack([2 * x, 2 * y, 0 * x], axis=-1)
        path = save(tmp_path / "video.npy", np.rint(ramp)[None].astype("uint8"))
        [clip] = get_protocol(name).override(16, 1).clips(path)
        assert clip.shape == (1, 16, 16, 3)
        scale = min(height, width) / 16
        expected = (np.arange(16) - 7.5) * scale * 2
        # Two roundings of half a level, and half a pixel for even sizes.
        tolerance = 1.1 + scale
        row, column = clip[0, 8, :, 0].astype(float), clip[0, :, 8, 1].astype(float)
        inner = slice(2, -2)
        np.testing.assert_allclose(
            (row - width)[inner], expected[inner], atol=tolerance
        )
        np.testing.assert_allclose(
            (column - height)[inner], expected[inner], atol=tolerance
        )

    @pytest.mark.parametrize("name", ["regen", "vidtok"])
    def test_antialiased(self, tmp_path, name):
        stripes = np.zeros((1, 64, 64, 3), "uint8")
        stripes[:, :, ::2] = 255
        path = save(tmp_path / "video.npy", stripes)
        [clip] = get_protocol(name).override(16, 1).clips(path)
        assert np.abs(clip.astype(float) - 127.5).max() < 40

    def test_tokenbench_only_shrinks(self, tmp_path):
        protocol = get_protocol("tokenbench")
        small = moving_ramp(3, 20, 30)
        [clip] = protocol.clips(save(tmp_path / "video.npy", small))
        np.testing.assert_array_equal(clip, small)
        large = save(tmp_path / "large.npy", moving_ramp(1, 1200, 1601))
        [clip] = protocol.clips(large)
        assert clip.shape == (1, 1080, 1441, 3)

    def test_a_wide_crop_is_covered(self, tmp_path):
        path = save(tmp_path / "video.npy", moving_ramp(1, 40, 40))
        protocol = get_protocol("vidtok").override(num_frames=1)
        [wide] = protocol.override((16, 32)).clips(path)
        [high] = protocol.override((32, 16)).clips(path)
        [square] = protocol.override(32).clips(path)
        np.testing.assert_array_equal(wide, square[:, 8:24])
        np.testing.assert_array_equal(high, square[:, :, 8:24])

    @pytest.mark.parametrize("name", ["regen", "vidtok"])
    def test_small_frames_are_enlarged(self, tmp_path, name):
        path = save(tmp_path / "video.npy", moving_ramp(1, 10, 12))
        [clip] = get_protocol(name).override(16, 1).clips(path)
        assert clip.shape == (1, 16, 16, 3)
        assert np.abs(np.diff(clip[0].astype(int), axis=0)).max() < 20

    def test_sizes_round_as_torchvision_does(self, tmp_path):
        protocol = get_protocol("vidtok").override(num_frames=1)
        clips = protocol.clips(tmp_path)
        assert clips._size(1080, 1920) == (256, 455)
        assert clips._size(360, 720) == (256, 512)
        assert clips._size(161, 322) == (256, 512)
        assert clips._size(854, 480) == (455, 256)


class TestScores:
    REFERENCE = moving_ramp(5, 24, 30)
    VIDEO = np.clip(
        REFERENCE
        + np.random.default_rng(0).normal(
            0, np.array([0, 2, 5, 20, 60])[:, None, None, None], REFERENCE.shape
        ),
        0,
        255,
    ).astype("uint8")

    def scores(self, name, video=VIDEO):
        return get_protocol(name).scores(self.REFERENCE, video)

    def test_each_as_defined(self):
        frames = psnr(self.REFERENCE, self.VIDEO)
        assert frames[0] == np.inf
        regen, vidtok, tokenbench = map(self.scores, PROTOCOLS)
        assert regen["psnr"] == pytest.approx((60 + frames[1:].sum()) / 5)
        assert vidtok["psnr"] == pytest.approx((80 + frames[1:].sum()) / 5)
        clip = psnr(self.REFERENCE, self.VIDEO, per="clip")
        assert tokenbench["psnr"] == pytest.approx(float(clip))
        gaussian = ssim(self.REFERENCE, self.VIDEO).mean()
        assert regen["ssim"] == vidtok["ssim"] == pytest.approx(gaussian)
        uniform = ssim(self.REFERENCE, self.VIDEO, window="uniform").mean()
        assert tokenbench["ssim"] == pytest.approx(uniform)
        assert abs(uniform - gaussian) > 1e-3
        changes = {scores["temporal_consistency"] for scores in (regen, vidtok)}
        assert changes == {tokenbench["temporal_consistency"]} and len(changes) == 1

    @pytest.mark.parametrize("name", PROTOCOLS)
    def test_equal_clips_are_finite(self, name):
        scores = self.scores(name, self.REFERENCE)
        limit = get_protocol(name).psnr_limit
        assert scores["psnr"] == scores["temporal_consistency"] == limit
        assert scores["ssim"] == pytest.approx(1)
        json.dumps(scores, allow_nan=False)

    def test_floats_are_rounded(self):
        unit = (self.VIDEO / 127.5 - 1).astype("float32") + 1e-3
        assert self.scores("vidtok", unit) == self.scores("vidtok")

    def test_a_single_frame_does_not_change(self):
        scores = get_protocol("vidtok").scores(self.REFERENCE[1:2], self.VIDEO[1:2])
        assert set(scores) == {"psnr", "ssim"}


class TestProtocol:
    def test_override_lists_its_changes(self):
        protocol = get_protocol("vidtok")
        assert protocol.changed == () and protocol.to_dict()["changed"] == ()
        assert protocol.override() == protocol.override(256, 17) == protocol
        longer = protocol.override(num_frames=33)
        assert longer.to_dict()["changed"] == ("num_frames",)
        both = longer.override((128, 192))
        assert (both.short_side, both.crop, both.num_frames) == (128, (128, 192), 33)
        assert both.changed == ("crop", "num_frames", "short_side")
        whole = get_protocol("tokenbench").override(64)
        assert whole.changed == ("crop", "enlarge", "short_side")
        assert json.loads(json.dumps(both.to_dict()))["crop"] == [128, 192]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"size": 0}, r"sizes must be ints above 0. Received: .*crop=\(0, 0\)"),
            ({"size": (64, 0.5)}, r"crop=\(64, 0.5\)"),
            ({"num_frames": 0}, "Received: num_frames=0"),
        ],
    )
    def test_override_that_is_wrong(self, change, message):
        with pytest.raises(ValueError, match=message):
            get_protocol("regen").override(**change)

    def test_unknown_name(self):
        names = "regen, vidtok, tokenbench. Received: name='magvit'"
        with pytest.raises(ValueError, match=names):
            get_protocol("magvit")

    @pytest.mark.parametrize("name", PROTOCOLS)
    def test_names(self, name):
        assert get_protocol(name).name == name
