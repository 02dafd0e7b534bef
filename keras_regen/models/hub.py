"""Presets on the Hugging Face hub: `hf://user/name`, or `hf://user/name@revision`."""

import json
import pathlib

from keras_regen.checks import check_whole
from keras_regen.models.config_checks import MAX_COMPRESSION

PREFIX = "hf://"
CARD = "README.md"


def download_preset(address, files):
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
    except (OSError, ValueError) as error:
        raise ValueError(
            f"The preset {address} could not be downloaded: {error}"
        ) from error
    return pathlib.Path(directory)


def upload_directory(directory, address, card, message):
    """Uploads a directory and its model card as one commit; creates the repository.

    Args:
        directory: path.
        address: str, `hf://user/name`, or `hf://user/name@branch` for a branch that
            exists.
        card: str. The model card, in Markdown.
        message: str. The commit's message.

    Returns:
        str. The commit's address on the web.

    Raises:
        ValueError: if the directory cannot be uploaded.
        ImportError: without huggingface_hub.
    """
    name, revision = _parse(address)
    hub = _import_hub()
    api = hub.HfApi()
    contents = {p.name: p for p in pathlib.Path(directory).iterdir() if p.is_file()}
    contents[CARD] = card.encode()
    operations = [
        hub.CommitOperationAdd(path_in_repo=file, path_or_fileobj=content)
        for file, content in sorted(contents.items())
    ]
    try:
        api.create_repo(name, exist_ok=True)
        commit = api.create_commit(
            name, operations, commit_message=message, revision=revision
        )
    except (OSError, ValueError) as error:
        raise ValueError(
            f"The preset could not be uploaded to {address}: {error}"
        ) from error
    return commit.commit_url


def model_card(name, class_name, temporal_compression, metadata):
    """Returns a preset's model card: how to load it, and what its metadata say.

    Args:
        name: str. The preset's address.
        class_name: str. The name of the model's class.
        temporal_compression: int. k.
        metadata: dict. The preset's metadata.

    Raises:
        ValueError: if the class or k is not one that a model has.
    """
    if not class_name.isidentifier():
        raise ValueError(f"Expected the name of a class. Received: {class_name!r}")
    check_whole(1, MAX_COMPRESSION, temporal_compression=temporal_compression)
    front = [
        "library_name: keras-regen",
        "tags: [keras, video, autoencoder, diffusion]",
    ]
    if licence := metadata.get("licence"):
        front.insert(0, f"license: {json.dumps(licence)}")
    parts = [
        "---\n" + "\n".join(front) + "\n---",
        f"# {name.removeprefix(PREFIX)}",
        f"A preset of keras-regen ({metadata.get('description', 'no description')}). "
        f"It encodes {temporal_compression + 1} frames into two latent frames, at an "
        "eighth of the height and the width, and generates the video from them.",
        "```python\nimport keras_regen as kr\n\n"
        f'model = kr.{class_name}.from_preset("{name}")\n'
        "latents = model.encode(video)\nvideo = model.decode(latents)\n```",
    ]
    for key, value in metadata.items():
        if key not in ("description", "licence"):
            title = key.replace("_", " ").capitalize()
            parts.append(f"## {title}\n\n{_markdown(value)}")
    return "\n\n".join(parts) + "\n"


def _markdown(value):
    if isinstance(value, (dict, list)):
        return f"```json\n{json.dumps(value, indent=1)}\n```"
    return str(value)


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
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            f"{PREFIX} presets need huggingface_hub: pip install keras-regen[hub]"
        ) from error
    return huggingface_hub
