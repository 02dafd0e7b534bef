import dataclasses
import hashlib
import itertools
import json

import h5py
import numpy as np
import pytest

from keras_regen.latents import ChunkLayout, InvertedNoise, Latents, LatentsWriter


def make(
    num_frames=40, chunking="disjoint", k=8, height=21, width=34, fps=29.97, **kwargs
):
    count = 2 * ChunkLayout(k, chunking).count(num_frames)
    array = np.random.default_rng(0).normal(size=(count, 3, 5, 8)).astype("float32")
    return Latents(array, num_frames, height, width, fps, k, chunking, **kwargs)


def pieces(latents):
    """Splits latents into pieces as the codec yields them."""
    layout = ChunkLayout(latents.temporal_compression, latents.chunking)
    start = 0
    for i in range(latents.num_chunks):
        stop = min(layout.start(i) + layout.temporal_compression + 1, latents.stop)
        yield dataclasses.replace(
            latents,
            array=latents.chunks(i, i + 1),
            num_frames=stop - start,
            start=start,
            first_chunk=i,
        )
        start = stop


def assert_equal(a, b):
    assert a.header == b.header
    np.testing.assert_array_equal(a.array, b.array)


class TestSlices:
    @pytest.mark.parametrize("chunking", ["disjoint", "shared"])
    @pytest.mark.parametrize(("start", "stop"), [(0, 40), (0, 1), (39, 40), (12, 30)])
    def test_hold_what_their_frames_need(self, chunking, start, stop):
        latents = make(chunking=chunking)
        part = latents[start:stop]
        assert len(part) == part.num_frames == stop - start
        assert (part.start, part.stop) == (start, stop)
        first, last = part.first_chunk, part.first_chunk + part.num_chunks
        np.testing.assert_array_equal(part.array, latents.array[2 * first : 2 * last])
        # At most one neighbour is held on either side.
        layout = ChunkLayout(8, chunking)
        assert first >= start // layout.stride - 1
        assert last <= (stop - 1) // layout.stride + 2

    def test_of_slices(self):
        latents = make()
        assert_equal(latents[5:35][3:20], latents[8:25])
        assert_equal(latents[-10:], latents[30:40])
        assert_equal(latents[:], latents)

    @pytest.mark.parametrize("index", [3, slice(0, 10, 2), (0, 1)])
    def test_that_are_none(self, index):
        with pytest.raises(TypeError, match=r"latents\[a:b\]"):
            make()[index]

    @pytest.mark.parametrize("index", [slice(5, 5), slice(40, 50), slice(9, 3)])
    def test_without_frames(self, index):
        with pytest.raises(ValueError, match="must hold at least one"):
            make()[index]


def test_repr():
    assert repr(make(preset="small")) == (
        "Latents(40 frames of 21x34 pixels, 29.97 fps, k=8, array=(10, 3, 5, 8) "
        "float32, preset='small')"
    )


class TestJoin:
    @pytest.mark.parametrize("chunking", ["disjoint", "shared"])
    @pytest.mark.parametrize("num_frames", [1, 8, 9, 10, 40])
    def test_pieces_make_the_whole(self, chunking, num_frames):
        latents = make(num_frames, chunking)
        assert_equal(Latents.join(pieces(latents)), latents)

    @pytest.mark.parametrize("chunking", ["disjoint", "shared"])
    @pytest.mark.parametrize("num_frames", [2, 9, 10, 40])
    def test_slices_make_the_whole(self, tmp_path, chunking, num_frames):
        whole = make(num_frames, chunking, times=np.arange(num_frames + 1) ** 1.5)
        array = np.random.default_rng(1).normal(size=(whole.num_chunks, 1, 9, 2, 2, 3))
        noise = InvertedNoise(array.astype("float32"), 0, 64, 1, "uniform", "")
        whole = dataclasses.replace(whole, noise=noise)
        for cut in range(1, num_frames):
            # One of three may hold no chunk that the others do not.
            for end in {num_frames, min(cut + 3, num_frames)}:
                bounds = sorted({0, cut, end, num_frames})
                parts = [whole[a:b] for a, b in itertools.pairwise(bounds)]
                joined = Latents.join(parts)
                assert_equal(joined, whole)
                np.testing.assert_array_equal(joined.times, whole.times)
                np.testing.assert_array_equal(joined.noise.array, noise.array)
            with LatentsWriter(tmp_path / "z.h5", "float32") as writer:
                for part in parts:
                    writer.write(part)
            stored = Latents.load(tmp_path / "z.h5")
            assert stored.content_hash == whole.content_hash
            np.testing.assert_array_equal(stored.noise.array, noise.array)

    def test_slices_that_differ(self, tmp_path):
        first, second = make()[:10], make()[10:]
        second.array[3] += 1
        with pytest.raises(ValueError, match="unchanged. Received: a piece with other"):
            Latents.join([first, second])
        with (
            pytest.raises(ValueError, match="unchanged. Received: a piece with other"),
            LatentsWriter(tmp_path / "z.h5") as writer,
        ):
            writer.write(first)
            writer.write(second)

    def test_a_piece_is_missing(self):
        first, second, third, *_ = pieces(make())
        with pytest.raises(ValueError, match="start = 9. Received: 18"):
            Latents.join([first, third])
        # It starts in the right place, with a chunk before the first.
        second = dataclasses.replace(second, num_frames=1)
        with pytest.raises(ValueError, match="first_chunk = 1. Received: 0"):
            Latents.join([second, make()[10:]])

    def test_a_piece_of_another_video(self):
        first, second, *_ = pieces(make())
        second = dataclasses.replace(second, preset="other")
        with pytest.raises(ValueError, match="preset = None. Received: other"):
            Latents.join([first, second])

    def test_nothing(self):
        with pytest.raises(ValueError, match="no pieces"):
            Latents.join([])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_frames": 0}, "num_frames=0"),
        ({"num_frames": 46}, "Received: frames 0 to 45"),
        ({"start": 6}, "Received: frames 6 to 45"),
        ({"first_chunk": 1}, "hold frames 9 to 53. Received: frames 0 to 39"),
        ({"fps": 0.0}, "fps=0.0"),
        ({"height": 25}, r"\(2n, 4, 5, C\). Received: array.shape=\(10, 3, 5, 8\)"),
        ({"array": np.zeros((9, 3, 5, 8))}, r"\(9, 3, 5, 8\)"),
        ({"array": np.zeros((0, 3, 5, 8))}, r"\(0, 3, 5, 8\)"),
        ({"dtype": "int32"}, "dtype=int32"),
        ({"chunking": "other"}, "'other'"),
    ],
)
def test_contradictions(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(make(), **changes)


class TestFile:
    @pytest.mark.parametrize("lazy", [False, True])
    @pytest.mark.parametrize("dtype", ["float16", "float32"])
    def test_round_trip(self, tmp_path, dtype, lazy, monkeypatch):
        latents = make(preset="regen", encoder_id="0123", dtype="float32")
        latents.save(tmp_path / "z.h5", dtype)
        loaded = Latents.load(tmp_path / "z.h5", lazy)
        assert isinstance(loaded.array, np.ndarray) != lazy
        assert loaded.array.dtype == dtype
        assert loaded.array.shape == latents.array.shape
        assert loaded.header == latents.header
        tolerance = 0 if dtype == "float32" else 1e-3
        stored = np.asarray(loaded.array)
        np.testing.assert_allclose(stored, latents.array, rtol=tolerance)
        assert isinstance(loaded[3:20].array, np.ndarray) != lazy
        whole = dataclasses.replace(loaded, array=stored)
        assert_equal(loaded[3:20], whole[3:20])
        assert_equal(loaded[13:30][3:5], whole[16:18])
        np.testing.assert_array_equal(loaded.array[1, 2], stored[1, 2])
        if lazy:
            part = loaded.array[2:6]
            with monkeypatch.context() as patched:
                # One row is read, not all.
                patched.delattr(type(part), "__array__")
                for row in (0, np.int64(3), -4):
                    np.testing.assert_array_equal(part[row], stored[2:6][row])
                for row in (4, -5):
                    with pytest.raises(IndexError):
                        part[row]
        assert loaded.content_hash == whole.content_hash

    def test_numbers_of_numpy(self, tmp_path):
        plain = make(num_frames=7, fps=24)
        fields = "num_frames", "height", "width", "fps", "temporal_compression"
        values = {name: np.int64(getattr(plain, name)) for name in fields}
        of_numpy = dataclasses.replace(plain, **values, pixel_aspect=(np.int8(1), 1))
        noise = np.zeros((1, 1, 9, 24, 40, 3), "float32")
        noise = InvertedNoise(noise, np.int64(0), np.int8(64), np.int64(3), "", "")
        dataclasses.replace(of_numpy, noise=noise).save(tmp_path / "z.h5", "float32")
        loaded = Latents.load(tmp_path / "z.h5")
        # Files that were written with a whole rate keep their hash.
        assert loaded.content_hash == plain.content_hash
        assert loaded.noise.header == noise.header

    def test_piece_by_piece_is_the_same_file(self, tmp_path):
        latents = make()
        latents.save(tmp_path / "whole.h5")
        with LatentsWriter(tmp_path / "pieces.h5") as writer:
            for piece in pieces(latents):
                writer.write(piece)
        whole, joined = (
            Latents.load(tmp_path / f"{n}.h5") for n in ("whole", "pieces")
        )
        assert_equal(whole, joined)
        assert whole.content_hash == joined.content_hash

    def test_compressed(self, tmp_path):
        latents = dataclasses.replace(make(400), array=np.zeros((90, 3, 5, 8), "f4"))
        latents.save(tmp_path / "z.h5")
        assert (tmp_path / "z.h5").stat().st_size < latents.array.nbytes / 2

    def test_hash_is_of_all(self):
        latents = make()
        hashes = {latents.content_hash}
        changed = latents.array.copy()
        changed[3, 1, 2, 5] += 1
        for changes in ({"array": changed}, {"fps": 30.0}, {"num_frames": 39}):
            hashes.add(dataclasses.replace(latents, **changes).content_hash)
        assert len(hashes) == 4
        assert make().content_hash == latents.content_hash

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_an_error_leaves_the_destination_alone(self, tmp_path, error):
        path = tmp_path / "z.h5"
        path.write_bytes(b"what was there")
        with pytest.raises(error), LatentsWriter(path) as writer:
            writer.write(make())
            raise error
        assert path.read_bytes() == b"what was there"
        assert list(tmp_path.iterdir()) == [path]

    def test_nothing_written(self, tmp_path):
        with (
            pytest.raises(ValueError, match="there are none"),
            LatentsWriter(tmp_path / "z.h5"),
        ):
            pass
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("value", [1e6, np.nan])
    def test_values_that_cannot_be_stored(self, tmp_path, value):
        latents = make()
        latents.array[2, 1, 1, 1] = value
        with pytest.raises(ValueError, match="not finite as float16"):
            latents.save(tmp_path / "z.h5")
        assert list(tmp_path.iterdir()) == []

    def test_dtype(self, tmp_path):
        with pytest.raises(ValueError, match="dtype='int8'"):
            make().save(tmp_path / "z.h5", "int8")

    @pytest.mark.parametrize("name", ["z.npz", "z", "z.h5.gz"])
    def test_another_suffix(self, tmp_path, name):
        with pytest.raises(ValueError, match=r"ends in .h5 or .hdf5. Received: path="):
            make().save(tmp_path / name)
        assert not list(tmp_path.iterdir())

    def test_another_suffix_of_hdf5(self, tmp_path):
        make().save(tmp_path / "z.HDF5")
        assert len(Latents.load(tmp_path / "z.HDF5")) == 40

    def test_no_directory(self, tmp_path):
        with pytest.raises(ValueError, match="Cannot write the latents"):
            make().save(tmp_path / "nowhere" / "z.h5")


def test_a_file_in_the_format_of_version_1(tmp_path):
    """Every name that is stored, and the hash, as in files written before."""
    values = np.arange(2 * 2 * 3 * 8, dtype="float16").reshape(2, 2, 3, 8) / 8
    header = {
        "num_frames": 4,
        "height": 15,
        "width": 17,
        "fps": 12.5,
        "temporal_compression": 4,
        "chunking": "shared",
        "dtype": "uint8",
        "preset": "regen_small_8x8x8",
        "encoder_id": "0123456789abcdef",
        "start": 9,
        "first_chunk": 2,
    }
    digest = hashlib.sha256(values.astype("<f2").tobytes())
    digest.update(json.dumps(header, sort_keys=True).encode())
    with h5py.File(tmp_path / "z.h5", "w") as file:
        file["latents"] = values
        file.attrs["format"] = "keras-regen latents"
        file.attrs["version"] = 1
        file.attrs["header"] = json.dumps(header)
        file.attrs["content_hash"] = digest.hexdigest()
    latents = Latents.load(tmp_path / "z.h5")
    np.testing.assert_array_equal(latents.array, values)
    assert latents.header == header
    latents.save(tmp_path / "again.h5")
    with h5py.File(tmp_path / "again.h5") as again:
        assert again.attrs["version"] == 1
        assert json.loads(again.attrs["header"]) == header
        assert again.attrs["content_hash"] == latents.content_hash == digest.hexdigest()


class TestTimesAndPixelAspect:
    TIMES = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.2, 41))

    def test_round_trip(self, tmp_path):
        latents = make(times=self.TIMES, pixel_aspect=(4, 3))
        assert latents.duration == pytest.approx(self.TIMES[-1] - self.TIMES[0])
        latents.save(tmp_path / "z.h5", "float32")
        for lazy in (False, True):
            loaded = Latents.load(tmp_path / "z.h5", lazy)
            assert loaded.pixel_aspect == (4, 3)
            np.testing.assert_array_equal(loaded.times, self.TIMES)
            assert loaded.content_hash == latents.content_hash
            assert_equal(loaded, latents)
            part = loaded[7:9][1:]
            np.testing.assert_array_equal(part.times, self.TIMES[8:10])
            assert part.pixel_aspect == (4, 3)

    def test_pieces_of_which_the_first_have_a_constant_rate(self, tmp_path):
        latents = make()
        times = np.arange(41) / latents.fps
        times[20:] += 0.5
        whole = dataclasses.replace(latents, times=times)
        parts = [
            dataclasses.replace(
                piece,
                times=None if i < 2 else times[piece.start : piece.stop + 1],
            )
            for i, piece in enumerate(pieces(latents))
        ]
        np.testing.assert_allclose(Latents.join(parts).times, times)
        with LatentsWriter(tmp_path / "z.h5") as writer:
            for part in parts:
                writer.write(part)
        loaded = Latents.load(tmp_path / "z.h5")
        np.testing.assert_allclose(loaded.times, whole.times)

    def test_pieces_of_another_pixel_aspect(self):
        first, second, *_ = pieces(make(pixel_aspect=(4, 3)))
        second = dataclasses.replace(second, pixel_aspect=(1, 1))
        with pytest.raises(ValueError, match="pixel_aspect = .4, 3.. Received: None"):
            Latents.join([first, second])

    def test_constant_rates_and_squares_are_stored_as_before(self, tmp_path):
        make().save(tmp_path / "z.h5")
        with h5py.File(tmp_path / "z.h5") as file:
            assert list(file) == ["latents"]
            assert "pixel_aspect" not in json.loads(file.attrs["header"])

    @pytest.mark.parametrize(
        "times",
        [
            np.arange(40.0),
            np.arange(41.0)[::-1],
            np.zeros(41),
            np.arange(41.0) - 1,
            np.append(np.arange(40.0), np.nan),
            np.arange(41) * 1e9,
            ["a"] * 41,
        ],
    )
    def test_times_that_are_none(self, times):
        with pytest.raises(ValueError, match="`times` must be 41 ascending numbers"):
            make(times=times)

    @pytest.mark.parametrize(
        "pixel_aspect", [(0, 1), (4,), "43", (4, 3, 2), (1.5, 1), None, (2**40, 1)]
    )
    def test_pixel_aspects_that_are_none(self, pixel_aspect):
        with pytest.raises(ValueError, match="pixel_aspect"):
            make(pixel_aspect=pixel_aspect)

    def test_damaged_times(self, tmp_path):
        path = tmp_path / "z.h5"
        make(times=self.TIMES).save(path)
        for values in (np.arange(40.0), np.arange(41), np.zeros((41, 1)), "text"):
            with h5py.File(path, "a") as file:
                del file["times"]
                file["times"] = values
            TestBadFiles.assert_refused(path, "its `times` are not 41 of float64")
        for values in (np.zeros(41), np.full(41, np.inf), self.TIMES + 0.1):
            with h5py.File(path, "a") as file:
                del file["times"]
                file["times"] = values
            TestBadFiles.assert_refused(path, "`times` must be|does not have the hash")
        with h5py.File(path, "a") as file:
            del file["times"]
        TestBadFiles.assert_refused(path, "does not have the hash")


class TestBadFiles:
    @pytest.fixture
    def path(self, tmp_path):
        make().save(tmp_path / "z.h5", "float32")
        return tmp_path / "z.h5"

    @staticmethod
    def assert_refused(path, reason):
        for lazy in (False, True):
            with pytest.raises(ValueError, match=f"{reason}.*Received: path={path}"):
                Latents.load(path, lazy)

    def test_not_finite(self, path):
        """A file that nobody damaged: its hash is right."""
        with h5py.File(path, "a") as file:
            file["latents"][0, 0, 0, 0] = -np.inf
            digest = hashlib.sha256(file["latents"][()].tobytes())
            digest.update(
                json.dumps(json.loads(file.attrs["header"]), sort_keys=True).encode()
            )
            file.attrs["content_hash"] = digest.hexdigest()
        with pytest.raises(ValueError, match="NaN or infinite.*Received: path="):
            Latents.load(path)

    def test_missing(self, tmp_path):
        self.assert_refused(tmp_path / "z.h5", "there is no such file")
        self.assert_refused(tmp_path, "it is a directory")

    @pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
    def test_truncated(self, path, share):
        data = path.read_bytes()
        path.write_bytes(data[: int(share * len(data))])
        self.assert_refused(path, "it is truncated")

    def test_empty(self, path):
        path.write_bytes(b"")
        self.assert_refused(path, "it is not HDF5")

    def test_another_kind_of_file(self, path):
        path.write_bytes(b"not HDF5" * 100)
        self.assert_refused(path, "it is not HDF5")

    def test_other_hdf5(self, path):
        with h5py.File(path, "w") as file:
            file["latents"] = np.zeros((2, 3, 5, 8))
        self.assert_refused(path, "it does not hold latents of keras-regen")

    def test_another_version(self, path):
        with h5py.File(path, "a") as file:
            file.attrs["version"] = 99
        self.assert_refused(path, "it is of version 99, not 1")

    def test_a_changed_value(self, path):
        with h5py.File(path, "a") as file:
            file["latents"][1, 1, 1, 1] += 0.1
        self.assert_refused(path, "its content does not have the hash")

    def test_a_changed_header(self, path):
        with h5py.File(path, "a") as file:
            header = file.attrs["header"]
            file.attrs["header"] = header.replace("29.97", "25.0")
        self.assert_refused(path, "its content does not have the hash")

    def test_no_header(self, path):
        with h5py.File(path, "a") as file:
            del file.attrs["header"]
        self.assert_refused(path, "its header is damaged")

    def test_damaged_block(self, path):
        data = bytearray(path.read_bytes())
        with h5py.File(path) as file:
            block = file["latents"].id.get_chunk_info(0)
        for i in range(block.byte_offset, block.byte_offset + block.size, 7):
            data[i] ^= 0xFF
        path.write_bytes(data)
        self.assert_refused(path, "it is damaged")

    def test_damaged_table_of_names(self, path):
        data = bytearray(path.read_bytes())
        # The place of the name of the first object, in the heap of names.
        start = data.index(b"SNOD") + 8
        data[start : start + 4] = b"\xff" * 4
        path.write_bytes(data)
        self.assert_refused(path, "it is damaged")

    @pytest.mark.parametrize(
        "header",
        [
            "[" * 10**5,
            "[]",
            "null",
            *(
                json.dumps({**make().header, name: value})
                for name in make().header
                for value in ([1], {}, 1e400, "x" if name != "preset" else 5, True)
                if (name, value) != ("encoder_id", "x")
            ),
        ],
    )
    def test_a_header_of_other_types(self, path, header):
        with h5py.File(path, "a") as file:
            file.attrs.create("header", header, dtype=h5py.string_dtype())
        self.assert_refused(path, "its header is damaged")

    @pytest.mark.parametrize("name", ["format", "version", "header", "content_hash"])
    def test_attributes_of_other_types(self, path, name):
        with h5py.File(path, "a") as file:
            file.attrs[name] = np.arange(3)
        self.assert_refused(path, "it (does not|is of)|its (header|content)")

    @pytest.mark.parametrize("shape", [(2 * 10**9, 1, 1, 8), (2, 18000, 9000, 8)])
    def test_declared_shapes(self, path, shape):
        with h5py.File(path, "a") as file:
            del file["latents"]
            file.create_dataset("latents", shape, "f2", chunks=(2, 1, 1, 8))
        self.assert_refused(path, "declares .* bytes of values")

    def test_other_values(self, path):
        for values in (np.zeros((2, 3, 5, 8), "i4"), np.zeros(3), "text"):
            with h5py.File(path, "a") as file:
                del file["latents"]
                file["latents"] = values
            self.assert_refused(path, "it has no array|its values are of dtype")

    def test_links(self, path):
        with h5py.File(path, "a") as file:
            del file["latents"]
            file["latents"] = h5py.ExternalLink("other.h5", "/latents")
        self.assert_refused(path, "its `latents` is a link")

    def test_limit_of_memory(self, path):
        # 890 rows of 480 bytes, which are compressed 131 KB at a time.
        make(4000).save(path, "float32")
        with pytest.raises(ValueError, match="load them lazily, or give more.*path="):
            Latents.load(path, max_memory="200KB")
        assert len(Latents.load(path, max_memory="500KB")) == 4000
        assert len(Latents.load(path, lazy=True, max_memory="200KB")) == 4000
        with pytest.raises(ValueError, match="GB: give more.*path="):
            Latents.load(path, lazy=True, max_memory="100KB")
