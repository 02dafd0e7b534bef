import os
import pathlib
import subprocess
import sys

import h5py
import numpy as np
import pytest

import keras_regen
from keras_regen.hdf5_file import Hdf5Writer, check_stored, open_hdf5

ROOT = pathlib.Path(keras_regen.__file__).parents[1]
# Writes values and many groups, in one file of at most 8 KiB.
PROCESS = """
import resource, sys
import numpy as np
from keras_regen.hdf5_file import Hdf5Writer
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
values = np.random.default_rng(0).random(int(sys.argv[1]))
try:
    with Hdf5Writer("a.h5") as file:
        file.create_dataset("x", data=values, chunks=True, compression="gzip")
        for i in range(int(sys.argv[2])):
            file.create_group(f"g{i}").attrs["a"] = "b" * 50
except OSError as error:
    print(error.strerror)
"""


@pytest.fixture(autouse=True)
def working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def test_hdf5_reads_it():
    values = np.random.default_rng(0).random(50000)
    with Hdf5Writer("a.h5") as file:
        file["old"] = values
        dataset = file.create_dataset(
            "x", (0,), "f4", maxshape=(None,), compression="gzip"
        )
        dataset.resize(50000, axis=0)
        dataset[:] = values
        file.create_group("group").attrs["name"] = "value"
        del file["old"]
        # Read before it is closed.
        np.testing.assert_array_equal(file["x"], values.astype("f4"))
    with h5py.File("a.h5") as file:
        np.testing.assert_array_equal(file["x"], values.astype("f4"))
        assert file["group"].attrs["name"] == "value"
        assert set(file) == {"group", "x"}


@pytest.mark.parametrize(("values", "groups"), [(10**3, 300), (10**5, 0), (10**5, 300)])
def test_a_full_disk(values, groups):
    """In a process of its own: HDF5 would crash it."""
    result = subprocess.run(
        [sys.executable, "-c", PROCESS, str(values), str(groups)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "File too large\n"


class TestReading:
    def test_links(self):
        with h5py.File("other.h5", "w") as file:
            file["x"] = np.arange(5)
        links = {
            "soft": h5py.SoftLink("/x"),
            "external": h5py.ExternalLink("other.h5", "/x"),
        }
        for name, link in links.items():
            with h5py.File(f"{name}.h5", "w") as file:
                file.create_group("group")["x"] = link
            with pytest.raises(ValueError, match="its `group/x` is a link"):
                open_hdf5(f"{name}.h5")

    def test_values_in_another_file(self):
        pathlib.Path("secret").write_bytes(bytes(40))
        with h5py.File("stored.h5", "w") as file:
            file.create_dataset("x", (10,), "f4", external=[("secret", 0, 40)])
        layout = h5py.VirtualLayout((10,), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "x", (10,))
        with h5py.File("virtual.h5", "w") as file:
            file.create_virtual_dataset("x", layout)
        for name in ("stored.h5", "virtual.h5"):
            with pytest.raises(ValueError, match="values of its `x` are in another"):
                open_hdf5(name)

    def test_what_is_no_file(self):
        os.mkfifo("fifo")
        for path in ("fifo", "nothing"):
            with pytest.raises(FileNotFoundError):
                open_hdf5(path)
        with pytest.raises(ValueError, match="it is a directory"):
            open_hdf5(".")

    @pytest.mark.parametrize("compression", [None, "gzip"])
    def test_declared_sizes(self, compression):
        with h5py.File("a.h5", "w") as file:
            for name, value in (("zeros", 0), ("noise", np.random.random(10**6))):
                dataset = file.create_dataset(
                    name, (10**6,), "f8", compression=compression
                )
                dataset[:] = value
            file.create_dataset("sparse", (10**6,), "f4", chunks=(1000,))
        with open_hdf5("a.h5") as file:
            check_stored(file["zeros"])
            check_stored(file["noise"])
            with pytest.raises(ValueError, match="`sparse` declares 4,000,000 bytes"):
                check_stored(file["sparse"])
