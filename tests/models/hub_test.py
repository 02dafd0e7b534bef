"""The hub's own client against a server that answers as the hub does."""

import base64
import hashlib
import http.server
import importlib
import json
import re
import threading

import numpy as np
import pytest

import keras_regen
from keras_regen.generation import LatentDiffusion
from keras_regen.models import Regen, preset_directory
from tests.generation.conftest import make_generator
from tests.models.conftest import awaken, make_regen
from tests.test_case import random

pytest.importorskip("huggingface_hub")


class Handler(http.server.BaseHTTPRequestHandler):
    """Repositories of files, each upload a commit, in the memory of the server."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = self.path.partition("?")[0]
        if path == "/api/repos/create":
            name = "/".join(
                filter(None, map(json.loads(body).get, ("organization", "name")))
            )
            self.server.commits.setdefault(name, [])
            return self._answer({"url": f"{self.server.address}/{name}", "id": name})
        if path == "/api/validate-yaml":
            return self._answer({"errors": [], "warnings": []})
        name, action = re.match(
            r"/api/models/(.+?/.+?)/(preupload|commit)/", path
        ).groups()
        if action == "preupload":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return self._answer({"files": files})
        files = {**(self._commit(name, "main")[1])}
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "deletedFile":
                del files[line["value"]["path"]]
            if line["key"] == "file":
                value = line["value"]
                files[value["path"]] = base64.b64decode(value["content"])
        commit = hashlib.sha1(body).hexdigest()
        self.server.commits[name].append((commit, files))
        url = f"{self.server.address}/{name}/commit/{commit}"
        return self._answer({"success": True, "commitOid": commit, "commitUrl": url})

    def do_GET(self):
        path = self.path.partition("?")[0]
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/(.+)", path)
        if match:
            commit, files = self._commit(match[1], match[3])
            if commit is None and match[2] != "tree":
                return self._answer({"error": "no such revision"}, 404)
            if match[2] == "tree":
                return self._answer(
                    [
                        {"type": "file", "path": file, "size": len(data), "oid": "0"}
                        for file, data in files.items()
                    ]
                )
            siblings = [{"rfilename": file} for file in files]
            return self._answer({"id": match[1], "sha": commit, "siblings": siblings})
        name, revision, file = re.fullmatch(
            r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path
        ).groups()
        commit, files = self._commit(name, revision)
        headers = {
            "X-Repo-Commit": commit,
            "ETag": hashlib.sha1(files[file]).hexdigest(),
        }
        return self._send(files[file], "application/octet-stream", headers)

    do_HEAD = do_GET

    def _commit(self, name, revision):
        for commit, files in reversed(self.server.commits.get(name, [])):
            if revision in ("main", commit):
                return commit, files
        return None, {}

    def _answer(self, value, status=200):
        self._send(json.dumps(value).encode(), "application/json", {}, status)

    def _send(self, data, kind, headers, status=200):
        self.send_response(status)
        for key, value in {"Content-Type": kind, **headers}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.commits = {}
        server.address = f"http://127.0.0.1:{server.server_port}"
        constants = importlib.import_module("huggingface_hub.constants")
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", "hf_" + 34 * "a")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def model():
    return awaken(make_regen())


def test_what_is_uploaded_is_loaded(server, model, tmp_path):
    metadata = {"description": "a toy", "licence": "cc0-1.0", "scores": {"psnr": 1.0}}
    model.save_to_preset(tmp_path / "preset", metadata)
    for private in (".env", "notes.txt"):
        (tmp_path / "preset" / private).write_text("a secret")
    url = keras_regen.upload_preset(tmp_path / "preset", "hf://user/toy")
    [(commit, files)] = server.commits["user/toy"]
    assert url.endswith(commit)
    assert sorted(files) == [
        "README.md",
        "config.json",
        "metadata.json",
        "model.weights.h5",
    ]
    card = files["README.md"].decode()
    assert card.startswith('---\nlicense: "cc0-1.0"\nlibrary_name: keras-regen')
    assert 'kr.Regen.from_preset("hf://user/toy")' in card
    assert "## Scores" in card and "| psnr | 1 |" in card
    loaded = Regen.from_preset("hf://user/toy")
    video = random(1, 5, 16, 16, 3)
    np.testing.assert_array_equal(loaded.reconstruct(video), model.reconstruct(video))


def test_a_generator_and_its_captions(server, tmp_path):
    generator = make_generator()
    generator.save_to_preset(tmp_path / "preset", {"codec": "hf://user/codec"})
    # What else the preset of a generator may have.
    (tmp_path / "preset" / "text.h5").write_bytes(b"captions")
    keras_regen.upload_preset(tmp_path / "preset", "hf://user/toy")
    [(_, files)] = server.commits["user/toy"]
    assert files["text.h5"] == b"captions"
    loaded = LatentDiffusion.from_preset("hf://user/toy")
    assert loaded.get_config() == generator.get_config()
    directory = preset_directory("hf://user/toy")
    assert (directory / "text.h5").read_bytes() == b"captions"
    with pytest.raises(ValueError, match="of a `LatentDiffusion`"):
        Regen.from_preset("hf://user/toy")
    # Another generator in its place must not keep the captions.
    (tmp_path / "preset" / "text.h5").unlink()
    keras_regen.upload_preset(tmp_path / "preset", "hf://user/toy")
    assert "text.h5" not in server.commits["user/toy"][-1][1]


def test_a_revision_is_pinned(server, model, tmp_path):
    for seed in (1, 2):
        model.seed = seed
        model.save_to_preset(tmp_path / "preset", {"description": f"number {seed}"})
        keras_regen.upload_preset(tmp_path / "preset", "hf://user/toy")
    first, second = (commit for commit, _ in server.commits["user/toy"])
    assert Regen.from_preset("hf://user/toy").seed == 2
    assert Regen.from_preset(f"hf://user/toy@{first}").seed == 1
    assert Regen.from_preset(f"hf://user/toy@{second}").seed == 2
    with pytest.raises(ValueError, match="hf://user/toy@v9 could not be downloaded"):
        Regen.from_preset("hf://user/toy@v9")


def test_a_network_that_fails(model, tmp_path, monkeypatch):
    hub = importlib.import_module("huggingface_hub")

    def fail(*args, **kwargs):
        raise hub.errors.HTTPError("the server disconnected")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    monkeypatch.setattr(hub.HfApi, "create_repo", fail)
    with pytest.raises(ValueError, match="be downloaded: the server disconnected"):
        Regen.from_preset("hf://user/toy")
    model.save_to_preset(tmp_path)
    with pytest.raises(ValueError, match="hf://user/toy: the server disconnected"):
        keras_regen.upload_preset(tmp_path, "hf://user/toy")


@pytest.mark.parametrize(
    "address", ["hf://user", "hf://user/name@", "user/name", "hf:///x"]
)
def test_an_address_is_checked_first(address, model, tmp_path):
    model.save_to_preset(tmp_path)
    with pytest.raises(ValueError, match="A preset on the hub is hf://user/name or"):
        keras_regen.upload_preset(tmp_path, address)


def test_a_damaged_preset_is_not_uploaded(server, model, tmp_path):
    model.save_to_preset(tmp_path)
    with (tmp_path / "model.weights.h5").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ValueError, match="is damaged"):
        keras_regen.upload_preset(tmp_path, "hf://user/toy")
    assert not server.commits
