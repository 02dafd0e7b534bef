"""Presets on the Hugging Face hub: `hf://user/name`, or `hf://user/name@revision`."""

import pathlib
from collections.abc import Sequence

PREFIX = "hf://"
CARD = "README.md"


def download_preset(address: str, files: Sequence[str]) -> pathlib.Path:
    """Downloads a preset to the hub's cache.

    Args:
        address: str, `hf://user/name` or `hf://user/name@revision`: a branch, tag or
            commit.
        files: list of str. Names of the files to download.

    Returns:
        Path of the directory.

    Raises:
        ValueError: if the preset cannot be downloaded.
        ImportError: without huggingface_hub.
    """
    name, revision = _parse(address)
    hub = _import_hub()
    try:
        directory = hub.snapshot_download(
            name, revision=revision, allow_patterns=list(files)
        )
    # Failures of the network are HTTPErrors; those that the hub tells are OSErrors.
    except (OSError, ValueError, hub.errors.HTTPError) as error:
        raise ValueError(
            f"The preset {address} could not be downloaded: {error}"
        ) from error
    return pathlib.Path(directory)


def upload_preset(
    directory: pathlib.Path,
    files: Sequence[str],
    address: str,
    card: str,
) -> str:
    """Uploads a preset and its model card as one commit; creates the repository.

    Args:
        directory: path.
        files: list of str. Names of the files that a preset may have. Those that this
            one has not are deleted where an earlier one had them.
        address: str, `hf://user/name`, or `hf://user/name@branch` for a branch that
            exists.
        card: str. The model card, in Markdown.

    Returns:
        str. The commit's address on the web.

    Raises:
        ValueError: if the files cannot be uploaded.
        ImportError: without huggingface_hub.
    """
    name, revision = _parse(address)
    hub = _import_hub()
    api = hub.HfApi()
    paths = {file: directory / file for file in files if (directory / file).is_file()}
    contents = {**paths, CARD: card.encode()}
    operations = [
        hub.CommitOperationAdd(path_in_repo=file, path_or_fileobj=content)
        for file, content in sorted(contents.items())
    ]
    try:
        api.create_repo(name, exist_ok=True)
        stale = set(api.list_repo_files(name, revision=revision)) & set(files) - set(
            paths
        )
        operations += [hub.CommitOperationDelete(file) for file in sorted(stale)]
        commit = api.create_commit(
            name,
            operations,
            commit_message=f"Preset {directory.name}",
            revision=revision,
        )
    except (OSError, ValueError, hub.errors.HTTPError) as error:
        raise ValueError(
            f"The preset could not be uploaded to {address}: {error}"
        ) from error
    return commit.commit_url


def _parse(address):
    """Returns the repository's name and the revision or None."""
    name, _, revision = address.removeprefix(PREFIX).partition("@")
    is_complete = len(name.split("/")) == 2 and all(name.split("/"))
    if not address.startswith(PREFIX) or not is_complete or address.endswith("@"):
        raise ValueError(
            f"A preset on the hub is {PREFIX}user/name or {PREFIX}user/name@revision. "
            f"Received: {address}"
        )
    return name, revision or None


def _import_hub():
    try:
        import huggingface_hub.errors
    except ImportError as error:
        raise ImportError(
            f"{PREFIX} presets need huggingface_hub: pip install keras-regen[hub]"
        ) from error
    return huggingface_hub
