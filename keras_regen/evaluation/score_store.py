"""Scores that are done, on disk."""

import hashlib
import json
import pathlib

import numpy as np

from keras_regen.atomic_output import AtomicOutput

ARRAYS = ("frames", "features", "reference_features")


class ScoreStore:
    """A directory with a file for each video and embedder, by all it depends on.

    Args:
        directory: path. Made when the first is written.
    """

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)

    def __contains__(self, key):
        return self._path(key).is_file()

    def write(self, key, clips, reason, frames, features, reference_features):
        """Writes the scores of a video's clips, whole or not at all.

        Args:
            key: dict for JSON.
            clips: list of dict for JSON.
            reason: str or None. Why there are no clips.
            frames: uint8 array of shape `(N, 2, h, w, 3)`.
            features: float32 array of shape `(N, D)`.
            reference_features: as `features`.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self._path(key)
        AtomicOutput.remove_leftovers(path)
        with AtomicOutput(path, "scores") as output:
            np.savez_compressed(
                output.temporary,
                json=json.dumps({"clips": clips, "reason": reason, "key": key}),
                frames=frames,
                features=features,
                reference_features=reference_features,
            )

    def read(self, key):
        """What was written, as a dict.

        Raises:
            ValueError: if the file is not whole.
        """
        path = self._path(key)
        try:
            with np.load(path) as stored:
                arrays = {name: stored[name] for name in ARRAYS}
                return {**json.loads(str(stored["json"])), **arrays}
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f"The scores cannot be read; delete the file. Received: path={path}, "
                f"and {error}"
            ) from error

    def _path(self, key):
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode())
        return self.directory / f"{digest.hexdigest()[:24]}.npz"
