"""An export goes to the hub as it is, and nothing else; the hub stands on this machine, in a thread."""

import base64
import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from llama_gene.cli import model as cli
from llama_gene.errors import LlamaGeneError, ModelError, SettingsError
from llama_gene.model.push import exported_files, push
from nano import tree


@dataclass
class Hub:
    """The hub: what it holds, and how it refuses.

    Attributes:
        address: Where it is.
        private: Of each repository, whether it is.
        files: What was committed, by path.
        refuses: The status of each answer to a path that ends so.
        asked: The paths so far, with the token that came along.
        objects: Large files, by SHA-256.
    """

    address: str = ""
    private: dict[str, bool] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    refuses: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        status = next((status for end, status in self.refuses.items() if path.endswith(end)), None)
        if status is not None:
            return status, {"error": "not this one"}
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            if name in self.private:
                return 409, {"error": "You already created this model repo", "url": f"{self.address}/{name}"}
            self.private[name] = asked["visibility"] == "private"
            return 200, {"url": f"{self.address}/{name}"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path.startswith("/objects/"):
            self.objects[path.removeprefix("/objects/")] = body
            return 200, {}
        if path.endswith(".git/info/lfs/objects/batch"):
            return 200, {"objects": [self._action(one) for one in json.loads(body)["objects"]]}
        if path.endswith("/preupload/main"):
            modes = [self._mode(file["path"]) for file in json.loads(body)["files"]]
            return 200, {"files": modes}
        if path.endswith("/commit/main"):
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    self.files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    self.files[value["path"]] = self.objects[value["oid"]]
            return 200, {"commitUrl": f"{self.address}/me/it/commit/1", "commitOid": "1"}
        name = path.removeprefix("/api/models/").removesuffix("/revision/main")
        if name not in self.private:
            return 404, {"error": "no such thing"}
        return 200, {"id": name, "private": self.private[name], "tags": [], "siblings": []}

    def _mode(self, path: str) -> dict[str, Any]:
        return {"path": path, "uploadMode": "lfs" if path.endswith("safetensors") else "regular", "shouldIgnore": False}

    def _action(self, one: dict[str, Any]) -> dict[str, Any]:
        return {**one, "actions": {"upload": {"href": f"{self.address}/objects/{one['oid']}"}}}


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def _reply(self) -> None:
            path, length = self.path.partition("?")[0], int(self.headers.get("Content-Length", 0))
            hub.asked.append((path, self.headers.get("Authorization")))
            status, answer = hub.answer(path, self.rfile.read(length))
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _reply  # noqa: N815 - the names are those of http.server

    return Handler


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    found = Hub()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(found)) as http:
        found.address = f"http://127.0.0.1:{http.server_port}"
        for name, value in {"ENDPOINT": found.address, "HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True}.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield found
        http.shutdown()


@pytest.fixture
def exported(nano_folder: Path, tmp_path: Path) -> Path:
    """As an export leaves it; the check itself is tested with the export."""
    shutil.copytree(nano_folder, tmp_path / "exported")
    (tmp_path / "exported" / "tasks").mkdir()
    (tmp_path / "exported" / "tasks" / "conform.toml").write_text("a task")
    (tmp_path / "exported" / "README.md").write_text("---\nlicense: mit\n---\n# it\n\n## Checked\n\nYes.\n")
    return tmp_path / "exported"


def test_every_file_arrives_and_nobody_else_sees_it(hub: Hub, exported: Path) -> None:
    assert push(exported, "me/it") == f"{hub.address}/me/it/commit/1"
    assert hub.files == tree(exported)
    assert hub.private == {"me/it": True}
    assert list(hub.objects) == [hashlib.sha256((exported / "model.safetensors").read_bytes()).hexdigest()]
    # Again, into a repository that is there.
    (exported / "tasks" / "conform.toml").write_text("another")
    push(exported, "me/it")
    assert hub.files["tasks/conform.toml"] == b"another"


def test_public_is_said_and_never_by_chance(hub: Hub, exported: Path) -> None:
    hub.private["me/it"] = False
    with pytest.raises(SettingsError, match="me/it is public already\n  add --public"):
        push(exported, "me/it")
    assert hub.files == {}
    push(exported, "me/it", public=True)
    push(exported, "me/other", public=True)
    assert hub.private == {"me/it": False, "me/other": False}


def test_files_and_sizes_are_shown_first_and_a_dry_run_sends_nothing(
    hub: Hub, exported: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    cli.push(exported, "me/it", dry_run=True)
    lines = capsys.readouterr().out.splitlines()
    assert "tasks/conform.toml: 6 B" in lines
    assert lines[-1].startswith(f"{len(tree(exported))} files, ")
    assert lines[-1].endswith(" kB, to me/it (private)")
    assert hub.asked == []
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    cli.push(exported, "me/it")
    assert capsys.readouterr().out.splitlines()[-1] == f"{hub.address}/me/it/commit/1"


@pytest.mark.parametrize("name", ["it", "me/it/too", "me/", "me/-it", "me/it--2", "me/it.git", "me/it me", "m" * 97])
def test_a_name_that_no_repository_has(hub: Hub, exported: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=r"no name of a repository: .*\n  give OWNER/NAME"):
        push(exported, name)
    assert hub.asked == []


def test_what_is_no_export_or_holds_more_is_not_sent(hub: Hub, exported: Path, nano_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"this is no export of a model.*\n  make one: llama-gene model export"):
        push(nano_folder, "me/it")
    for name in (".env", "tasks.csv", "notes/secret.txt", "link.json"):
        path = exported / name
        path.parent.mkdir(exist_ok=True)
        path.symlink_to("/etc/hostname") if name == "link.json" else path.write_text("not for others")
        with pytest.raises(ModelError, match=f"{name} is no part of an export"):
            exported_files(exported)
        with pytest.raises(ModelError):
            push(exported, "me/it")
        path.unlink()
    assert hub.asked == []


@pytest.mark.parametrize(
    ("refuses", "message"),
    [
        ({"/create": 401}, r"me/it: the hub does not take the login\n  log in again: hf auth login"),
        ({"/create": 403, "/me/it": 403}, r"me/it: no right to write there\n  is the owner yourself"),
        ({"/commit/main": 403}, r"me/it: no right to write there"),
        ({"/commit/main": 413}, r"me/it: the hub answers 413 \(.*not this one.*\)\n  nothing was committed"),
    ],
)
def test_what_the_hub_refuses(hub: Hub, exported: Path, refuses: dict[str, int], message: str) -> None:
    hub.refuses = refuses | ({"/me/it": 401} if "/create" in refuses and refuses["/create"] == 401 else {})
    with pytest.raises(ModelError, match=message) as caught:
        push(exported, "me/it")
    assert "hf_secret" not in str(caught.value)
    assert hub.files == {}


def test_nobody_logged_in_and_no_network(hub: Hub, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for endpoint, error, message in (
        ("http://127.0.0.1:9", ModelError, "the hub cannot be reached .*\n  nothing was committed"),
        ("http://hub.example.org", SettingsError, "the login would be sent over http"),
    ):
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        with pytest.raises(error, match=message):
            push(exported, "me/it")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(exported / "none"))
    with pytest.raises(LlamaGeneError, match="nobody is logged in to the hub\n  hf auth login"):
        push(exported, "me/it")
    assert hub.asked == []
