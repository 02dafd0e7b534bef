import struct

import av
import keras
import numpy as np
import PIL.Image
import pytest
from av.sidedata.sidedata import Type

from keras_regen.data.crop import Crop, Cropper
from keras_regen.video import RgbConverter, VideoReader, bundled_clip, open_access
from keras_regen.video.colour import YuvConverter
from keras_regen.video.tone_mapping import (
    HLG,
    ONE,
    PQ,
    TO_BT709,
    peak_luminance,
    to_sdr,
)
from tests.video.media import make
from tests.video.videos import read, write

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="the same on every backend"
)

# Shares of 1 that signals of 10 bits in limited range stand for.
BLACK, WHITE = 64, 940


def smooth(height=96, width=128, seed=0):
    """Returns a smooth picture of random colours."""
    rng = np.random.default_rng(seed)
    small = rng.uniform(0, 255, (height // 16, width // 16, 3)).astype("uint8")
    image = PIL.Image.fromarray(small).resize((width, height), PIL.Image.BICUBIC)
    return np.array(image)


def ten_bits(red, green, blue, trc, primaries=9, matrix=9, full=False):
    """Returns a frame of one colour, given by its signals in [0, 1]."""
    kr, kb = {9: (0.2627, 0.0593), 1: (0.2126, 0.0722), 5: (0.299, 0.114)}[matrix]
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    values = [luma, (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)]
    scale = (
        ((1023, 0), (1023, 512), (1023, 512))
        if full
        else (
            (WHITE - BLACK, BLACK),
            (896, 512),
            (896, 512),
        )
    )
    frame = av.VideoFrame(48, 32, "yuv420p10le")
    for plane, value, (size, zero) in zip(frame.planes, values, scale, strict=True):
        samples = np.full(plane.buffer_size // 2, round(value * size + zero), "uint16")
        plane.update(samples.tobytes())
    frame.color_trc, frame.color_primaries = trc, primaries
    frame.colorspace, frame.color_range = matrix, 2 if full else 1
    return frame


class TestExactness:
    @pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p"])
    def test_a_round_trip_does_not_darken(self, pixel_format):
        with VideoReader(bundled_clip()) as reader:
            clip = next(iter(reader))
        for pictures in ([smooth(seed=seed) for seed in range(5)], [clip]):
            to_yuv, to_rgb = YuvConverter(pixel_format), RgbConverter()
            errors = [to_rgb(to_yuv(p)).astype(int) - p for p in pictures]
            assert abs(np.mean(errors)) < 0.1
            assert np.abs(errors).mean() < 1.5

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
    def test_files_do_not_darken_and_are_tagged(self, tmp_path, suffix):
        video = np.stack([smooth(seed=seed) for seed in (0, 0, 0)])
        path = write(tmp_path / f"video{suffix}", video)
        assert abs(np.mean(read(path).astype(int) - video)) < 0.15
        with av.open(str(path)) as container:
            context = container.streams.video[0].codec_context
            tags = (context.colorspace, context.color_primaries, context.color_trc)
            assert (*tags, context.color_range) == (1, 1, 1, 1)

    def test_training_sees_the_same_colours(self, tmp_path):
        path = write(tmp_path / "video.mp4", smooth()[None])
        access = open_access(path)
        [frame] = access.frames([0], access.index())
        np.testing.assert_array_equal(Cropper()(frame, Crop(96, 128)), read(path)[0])
        small = Cropper()(frame, Crop(48, 64)).astype(int)
        assert abs(small.mean() - smooth().mean()) < 0.5
        access.close()


class TestSdr:
    @pytest.mark.parametrize("full", [False, True])
    @pytest.mark.parametrize("matrix", [1, 5])
    def test_ten_bits_ranges_and_matrices(self, matrix, full):
        frame = ten_bits(0.9, 0.4, 0.2, 1, primaries=1, matrix=matrix, full=full)
        rgb = RgbConverter()(frame)
        expected = np.array([0.9, 0.4, 0.2]) * 255
        assert np.abs(rgb - expected).max() < 1.5

    def test_wide_gamut(self):
        grey = RgbConverter()(ten_bits(0.5, 0.5, 0.5, 1))
        assert np.abs(grey.astype(int) - 127.5).max() <= 1
        # The red of BT.709, as BT.2020 has it.
        red = np.linalg.inv(TO_BT709)[:, 0].clip(0) ** (1 / 2.4)
        rgb = RgbConverter()(ten_bits(*red, 1)).astype(int)
        assert np.abs(rgb[0, 0] - [255, 0, 0]).max() <= 12


def signal(level):
    return np.full((1, 1, 3), round(level * ONE), "uint16")


class TestHdr:
    def test_greys_of_hlg(self):
        """Grey cards have 38 % of the signal, and diffuse white 75 % (BT.2408)."""
        card, white = (to_sdr(signal(level), HLG)[0, 0] for level in (0.38, 0.75))
        assert np.ptp(card) == np.ptp(white) == 0
        # 26 of 203 cd/m2 are below the knee of the curve: (26 / 203) ** (1 / 2.4).
        assert abs(int(card[0]) - 109) <= 1
        assert 225 <= white[0] <= 235
        assert np.all(to_sdr(signal(1), HLG) == 255)
        assert np.all(to_sdr(signal(0), HLG) == 0)

    def test_levels_of_pq(self):
        """58 % of PQ's signal are 203 cd/m2, and 75 % are 1000."""
        assert 225 <= to_sdr(signal(0.58), PQ)[0, 0, 0] <= 235
        assert to_sdr(signal(0.752), PQ)[0, 0, 0] >= 254
        # 100 cd/m2 are less if brighter light has to be shown too.
        levels = [
            to_sdr(signal(0.508), PQ, peak)[0, 0, 0] for peak in (150, 1000, 4000)
        ]
        assert levels[0] == round(255 * (100 / 203) ** (1 / 2.4))
        assert levels == sorted(levels, reverse=True) and levels[2] > 150

    @pytest.mark.parametrize("transfer", [HLG, PQ])
    def test_brighter_stays_brighter_and_grey_stays_grey(self, transfer):
        ramp = np.repeat(np.arange(0, ONE + 1, 64, dtype="uint16")[None, :, None], 3, 2)
        shown = to_sdr(ramp, transfer).astype(int)
        assert np.all(np.diff(shown[0, :, 0]) >= 0)
        assert np.ptp(shown, axis=-1).max() <= 1

    def test_blocks_of_rows_are_the_whole(self, monkeypatch):
        rgb = np.random.default_rng(0).integers(0, ONE, (40, 30, 3)).astype("uint16")
        whole = to_sdr(rgb, HLG)
        monkeypatch.setattr("keras_regen.video.tone_mapping._BLOCK", 100)
        np.testing.assert_array_equal(to_sdr(rgb, HLG), whole)

    @pytest.mark.parametrize(
        ("transfer", "name", "signals"),
        [(HLG, "HLG", (0.75, 0.38)), (PQ, "PQ", (0.58, 0.38))],
    )
    def test_files(self, tmp_path, caplog, transfer, name, signals):
        levels = [signals[i % 2] for i in range(4)]
        path = make(
            tmp_path / "v.mp4",
            times=np.arange(4) / 25,
            codec="libx264",
            frames=[ten_bits(level, level, level, transfer) for level in levels],
            pixel_format="yuv420p10le",
            tags={"color_primaries": 9, "color_trc": transfer, "colorspace": 9},
        )
        frames = read(path).astype(int)
        expected = [to_sdr(signal(level), transfer)[0, 0, 0] for level in levels]
        np.testing.assert_allclose(frames.mean((1, 2, 3)), expected, atol=1.5)
        [record] = caplog.records
        assert f"it is HDR video ({name}) and is tone-mapped" in record.getMessage()
        # Training sees the same.
        access = open_access(path)
        [frame] = access.frames([1], access.index())
        np.testing.assert_array_equal(Cropper()(frame, Crop(32, 48)), frames[1])
        access.close()

    def test_peak_luminance(self):
        def peak(**data):
            sides = {getattr(Type, name): value for name, value in data.items()}
            return peak_luminance(type("Frame", (), {"side_data": sides}))

        mastering = bytes(72) + struct.pack("=4i", 40_000_000, 10_000, 0, 1)
        assert peak() == 1000
        assert peak(MASTERING_DISPLAY_METADATA=mastering) == 4000
        light = struct.pack("=2I", 650, 200)
        assert (
            peak(CONTENT_LIGHT_LEVEL=light, MASTERING_DISPLAY_METADATA=mastering) == 650
        )
        assert peak(CONTENT_LIGHT_LEVEL=struct.pack("=2I", 0, 0)) == 1000
        assert peak(CONTENT_LIGHT_LEVEL=struct.pack("=2I", 2**31, 0)) == 10_000
        assert peak(MASTERING_DISPLAY_METADATA=b"x") == 1000


class TestAlpha:
    @pytest.mark.parametrize(
        ("name", "codec", "pixel_format", "shade"),
        [
            ("v.mov", "prores_ks", "yuva444p10le", "black"),
            ("v.webm", "libvpx-vp9", "yuva420p", "black"),
            ("v.mov", "qtrle", "argb", "white"),
            ("v.png", "apng", "rgba", "white"),
        ],
    )
    def test_it_is_said_to_be_lost(
        self, tmp_path, caplog, name, codec, pixel_format, shade
    ):
        rgba = np.full((32, 48, 4), 255, "uint8")
        rgba[..., :3], rgba[:8, :8, 3] = 200, 0
        frame = av.VideoFrame.from_ndarray(rgba, format="rgba")
        path = tmp_path / name
        options = {"profile": "4444"} if codec == "prores_ks" else {}
        with av.open(
            str(path), "w", format="apng" if codec == "apng" else None
        ) as file:
            stream = file.add_stream(codec, 25, options=options)
            stream.height, stream.width, stream.pix_fmt = 32, 48, pixel_format
            for _ in range(2):
                file.mux(stream.encode(frame.reformat(format=pixel_format)))
            file.mux(stream.encode(None))
        frames = read(path).astype(int)
        assert np.abs(frames[:, 2, 2] - (255 if shade == "white" else 0)).max() <= 2
        assert np.abs(frames[:, 20, 30] - 200).max() <= 3
        [record] = caplog.records
        assert record.getMessage().endswith(f"transparent pixels are {shade}")

    def test_images(self, tmp_path, caplog):
        rgba = np.full((16, 16, 4), 100, "uint8")
        rgba[..., 3] = 51
        for number in range(2):
            PIL.Image.fromarray(rgba).save(tmp_path / f"{number}.png")
        assert np.all(read(tmp_path) == round(100 * 0.2 + 255 * 0.8))
        assert len(caplog.records) == 1

    def test_opaque_pictures_are_no_matter(self, tmp_path, caplog):
        write(tmp_path / "video.gif", smooth(32, 48)[None])
        read(tmp_path / "video.gif")
        assert not caplog.records
