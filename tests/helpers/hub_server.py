"""A Hub on loopback: accounts, repositories, large files and commits, as huggingface_hub speaks to it."""

import base64
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

TOKEN = "hf_of_the_tests"


class Hub:
    """
    What the server keeps, to be read by tests.

    Attributes:
        requests: Method and path of each.
        repositories: Files by name, of each repository by its name; that of a data set begins with "datasets/".
        private: Of each repository as it was created.
        commits: Of each repository the names of the files that each commit changed.
        objects: Large files by their SHA-256.
        hold: While it is set, a large file that begins to arrive is never answered.
        arriving: Set when a large file begins to arrive.
        full: The storage refuses large files.
        refusal: Status and body of every answer to a change of a repository; None accepts changes.
        xet: Folder that hf_xet uses as its storage, in place of one on the network.
    """

    def __init__(self):
        self.requests: list[str] = []
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.commits: dict[str, list[list[str]]] = {}
        self.objects: dict[str, bytes] = {}
        self.hold, self.arriving = threading.Event(), threading.Event()
        self.full = False
        self.refusal: tuple[int, dict] | None = None
        self.xet: Path | None = None

    def __enter__(self) -> "Hub":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def create(self, request: dict) -> tuple[int, dict]:
        kind = request.get("type", "model")
        name = ("datasets/" if kind == "dataset" else "") + f"{request['organization']}/{request['name']}"
        if request["organization"] != "tester":
            return 403, {"error": f"You don't have the rights to create a {kind} under this namespace"}
        if name in self.repositories:
            return 409, {"error": f"You already created this {kind} repo", "url": f"{self.endpoint}/{name}"}
        self.repositories[name] = {".gitattributes": b"*.safetensors filter=lfs\n"}
        self.private[name] = request.get("visibility") == "private"
        self.commits[name] = []
        return 200, {"url": f"{self.endpoint}/{name}", "name": name}

    def branch(self, name: str, branch: str) -> None:
        """Begin a branch with the files of the main one."""
        key = f"{name}@{branch}"
        self.repositories[key], self.private[key] = dict(self.repositories[name]), self.private[name]
        self.commits[key] = []

    def preupload(self, name: str, request: dict) -> dict:
        """Large files are those that git would not diff well, as on the Hub."""
        kept = self.repositories[name]
        files = []
        for file in request["files"]:
            large = file["path"].endswith((".safetensors", ".gguf", ".jsonl"))
            content = kept.get(file["path"])
            oid = None if content is None else (_sha256(content) if large else _git_hash(content))
            mode = "lfs" if large else "regular"
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return {"files": files}

    def batch(self, request: dict) -> dict:
        """Git LFS: where to put the objects that are not there."""
        objects = []
        for wanted in request["objects"]:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.objects:
                answer["actions"] = {"upload": {"href": f"{self.endpoint}/objects/{wanted['oid']}"}}
            objects.append(answer)
        return {"transfer": "basic", "objects": objects}

    def commit(self, name: str, lines: list[dict]) -> dict:
        """All changes of a commit, or none."""
        assert lines[0]["key"] == "header" and lines[0]["value"]["summary"]
        files, changed = dict(self.repositories[name]), []
        for line in lines[1:]:
            value = line["value"]
            changed.append(value["path"])
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                # What is in Xet's storage stands here by its hash.
                files[value["path"]] = value["oid"].encode() if self.xet else self.objects[value["oid"]]
            else:
                assert line["key"] == "deletedFile"
                del files[value["path"]]
        self.repositories[name] = files
        self.commits[name].append(changed)
        return {"commitUrl": f"{self.endpoint}/{name}/commit/{self.revision(name)}", "commitOid": self.revision(name)}

    def revision(self, name: str) -> str:
        return hashlib.sha1(str(len(self.commits[name])).encode()).hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _content(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _handle(self) -> None:
        hub, path = self.hub, urlsplit(self.path).path
        if path == "/api/agent-harnesses":  # Asked for at times, to describe the caller.
            return self._answer(404, {})
        hub.requests.append(f"{self.command} {path}")
        if self.command == "PUT":  # The address is the permission, as with the Hub's storage.
            hub.arriving.set()
            if hub.hold.is_set():
                self.close_connection = True
                while hub.hold.is_set():
                    time.sleep(0.01)
                return
            content = self._content()
            if hub.full:
                return self._answer(403, {"error": "the storage is full"})
            assert path == f"/objects/{_sha256(content)}"
            hub.objects[_sha256(content)] = content
            return self._answer(200, {})
        content = self._content()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer(401, {"error": "Invalid username or password."})
        parts = path.strip("/").split("/")
        if path == "/api/whoami-v2":
            return self._answer(200, {"name": "tester", "type": "user"})
        if path == "/api/repos/create":
            return self._answer(*hub.create(json.loads(content)))
        if path == "/api/validate-yaml":
            return self._answer(200, {"errors": [], "warnings": []})
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._answer(200, hub.batch(json.loads(content)))
        if parts[2:3] == ["resolve"]:
            return self._file("/".join(parts[:2]), "/".join(parts[4:]))
        assert parts[0] == "api" and parts[1] in ("models", "datasets"), path
        name, rest = ("datasets/" if parts[1] == "datasets" else "") + "/".join(parts[2:4]), parts[4:]
        if name not in hub.repositories:
            return self._answer(404, {"error": "Repository not found"})
        if self.command == "POST" and hub.refusal is not None:
            return self._answer(*hub.refusal)
        if rest[:1] == ["branch"]:
            hub.branch(name, rest[1])
            return self._answer(200, {})
        if rest[1:] and rest[1] not in ("main", hub.revision(name)):
            # A branch is kept like a repository of its own.
            name, rest = f"{name}@{rest[1]}", [rest[0], "main"]
        if rest == ["preupload", "main"]:
            return self._answer(200, hub.preupload(name, json.loads(content)))
        if rest == ["commit", "main"]:
            return self._answer(200, hub.commit(name, [json.loads(line) for line in content.splitlines()]))
        if rest[:1] == ["tree"]:
            entries = [
                {"type": "file", "path": path, "size": len(kept), "oid": _git_hash(kept)}
                for path, kept in hub.repositories[name].items()
            ]
            return self._answer(200, entries)
        if rest == ["xet-write-token", "main"]:
            expiration = int(time.time()) + 3600
            return self._answer(200, {"casUrl": f"local://{hub.xet}", "accessToken": "token", "exp": expiration})
        assert self.command == "GET" and rest[:1] in ([], ["revision"]), path
        self._answer(200, {"id": name, "sha": hub.revision(name), "siblings": [], "private": hub.private[name]})

    def _file(self, name: str, path: str) -> None:
        """Answer with a file of the main branch, or its headers."""
        content = self.hub.repositories.get(name, {}).get(path)
        if content is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if name in self.hub.repositories else "RepoNotFound")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(200)
        self.send_header("ETag", f'"{_sha256(content)}"')
        self.send_header("X-Repo-Commit", self.hub.revision(name))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET = do_POST = do_PUT = _handle

    def log_message(self, *_) -> None:
        """Nothing on standard error."""
