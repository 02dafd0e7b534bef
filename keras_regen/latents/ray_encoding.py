"""Encoding of a set of videos by actors of Ray, on one machine or a cluster."""

import contextlib
import copy
import json
import logging
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_regen.atomic_output import OutputError
from keras_regen.checks import check_whole
from keras_regen.latents.dataset_index import PartialIndex
from keras_regen.latents.latent_dataset import LatentDataset

if TYPE_CHECKING:
    from keras_regen.codec import VideoCodec

# Beyond, several videos are handed to an actor at a time.
_MAX_BLOCKS = 4096
logger = logging.getLogger("keras_regen")


def encode_with_ray(
    dataset: LatentDataset,
    make_codec: Callable[[], "VideoCodec"],
    num_actors: int,
) -> Iterator[tuple[str, int]]:
    """Encodes a dataset's videos by Ray Data, with a pool of actors.

    It does what `LatentDataset.encode` does, and actors also read what the index needs.
    Each actor holds a codec, and one GPU if
    Ray knows of any; Ray places the actors. All machines must see the videos and the
    directory under the same paths. A running cluster is used, if `ray.init` has been
    called or `RAY_ADDRESS` is set, and this machine otherwise.

    Args:
        dataset: a `LatentDataset`, whose codec may be None.
        make_codec: callable that returns the `VideoCodec`; called once by each actor.
        num_actors: int. Actors at a time.

    Yields:
        As `LatentDataset.encode`, in the order in which videos are done.

    Raises:
        ImportError: without Ray.
        ValueError: as for `LatentDataset.encode`.

    Example:

    ```python
    dataset = LatentDataset(None, "videos/", "latents/")
    preset = "regen_small_8x8x8"
    for video, frames in encode_with_ray(
        dataset, lambda: VideoCodec(Regen.from_preset(preset)), num_actors=8
    ):
        print(video)
    dataset.finish()  # the index
    ```
    """
    check_whole(1, 2**16, num_actors=num_actors)
    dataset.check_places()
    if not dataset.videos:
        dataset.part = PartialIndex.merged([])
        return
    ray = _import_ray()
    # Imported here, because the command line first chooses the backend.
    import keras

    if not ray.is_initialized():
        ray.init(logging_level=logging.WARNING)
    has_gpus = ray.cluster_resources().get("GPU", 0) > 0
    # Each actor makes a codec of its own.
    shared = copy.copy(dataset)
    shared.codec = None
    videos = ray.data.from_items(
        [{"video": video} for video in dataset.videos],
        override_num_blocks=min(len(dataset.videos), _MAX_BLOCKS),
    )
    done = videos.map_batches(
        _Actor,
        fn_constructor_args=(
            shared,
            make_codec,
            keras.config.backend(),
            os.getcwd(),
        ),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=num_actors),
        num_gpus=int(has_gpus),
    )
    parts = []
    for row in done.iter_rows():
        if row["error"]:
            raise OutputError(row["error"])
        if row["skipped"]:
            dataset.skipped[row["video"]] = row["skipped"]
            logger.warning("%s", row["skipped"])
        if row["part"]:
            parts.append(PartialIndex.from_values(json.loads(row["part"])))
        yield row["video"], int(row["frames"])
    parts.sort(key=lambda part: part.files[0]["latents"])
    dataset.part = PartialIndex.merged(parts)


class _Actor:
    """Encodes videos one by one, in a process of its own."""

    def __init__(self, dataset, make_codec, backend, working_directory):
        # Before anything imports Keras.
        os.environ["KERAS_BACKEND"] = backend
        # Paths may be relative.
        os.chdir(working_directory)
        dataset.codec = make_codec()
        self._dataset = dataset
        # For as long as the process lives.
        self._fixed = contextlib.ExitStack()
        self._fixed.enter_context(dataset.codec.fixed_weights())

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        dataset, video = self._dataset, str(batch["video"][0])
        frames, part, error = 0, "", ""
        try:
            frames = dataset.encode_video(video)
            if video not in dataset.skipped:
                read = PartialIndex.read(dataset.directory, [dataset.path(video)])
                part = json.dumps(read.values)
        except ValueError as problem:
            # As a value: Ray would repeat what raised, and wrap the error.
            error = str(problem)
        skipped = dataset.skipped.get(video, "")
        row = {"video": video, "frames": frames, "part": part}
        row |= {"skipped": skipped, "error": error}
        return {name: [value] for name, value in row.items()}


def _import_ray():
    # It is told to send nothing anywhere.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError(
            'Encoding with Ray needs it: pip install "keras-regen[ray]".'
        ) from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    return ray
