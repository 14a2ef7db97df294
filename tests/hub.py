"""A stand-in for the Hugging Face Hub on loopback: as much of its interface as an upload and a download ask for."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hub(ThreadingHTTPServer):
    """The server.

    Attributes:
        models: {owner/name: {file: content}} as last committed.
        private: {owner/name: whether it was made private}.
        large: {SHA-256: content} of the files that come beside a commit.
        asked: (method, path, authorization) of every request.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def commit(self, name: str) -> str:
        return hashlib.sha1(repr(sorted(self.models[name].items())).encode()).hexdigest()


@contextmanager
def running_hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, value: Any = None, *, status: int = 200, body: bytes | None = None, **headers: str) -> None:
        body = json.dumps(value).encode() if body is None else body
        self.send_response(status)
        for key, one in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key.replace("_", "-"), one)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def content(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def note(self) -> str:
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, path, self.headers.get("Authorization")))
        return path

    def do_POST(self) -> None:
        path, body, models = self.note(), self.content(), self.server.models
        name = "/".join(path.split("/")[3:5])
        if self.headers.get("Authorization") is None:
            self.answer({"error": "Invalid username or password."}, status=401)
        elif path == "/api/validate-yaml":
            text = json.loads(body)["content"]
            good = text.startswith("---\n") and "\n---\n" in text
            self.answer({"errors": [] if good else [{"message": "no metadata"}], "warnings": []})
        elif path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            there = name in models
            models.setdefault(name, {})
            self.server.private.setdefault(name, asked.get("visibility") == "private" or bool(asked.get("private")))
            self.answer({"url": f"{self.server.address}/{name}"}, status=409 if there else 200)
        elif "/preupload/" in path:
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            self.answer({"files": files})
        elif path.endswith("/objects/batch"):
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.server.address}/large/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            self.answer({"transfer": "basic", "objects": objects})
        elif "/commit/" in path:
            for line in body.splitlines():
                row = json.loads(line)
                value = row["value"]
                if row["key"] == "file":
                    models[name][value["path"]] = base64.b64decode(value["content"])
                elif row["key"] == "lfsFile":
                    models[name][value["path"]] = self.server.large[value["oid"]]
            oid = self.server.commit(name)
            self.answer({"commitUrl": f"{self.server.address}/{name}/commit/{oid}", "commitOid": oid})
        else:
            self.answer({"error": "not there"}, status=404)

    def do_PUT(self) -> None:
        path, body = self.note(), self.content()
        oid = path.rpartition("/")[2]
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.large[oid] = body
        self.answer({})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, models = self.note(), self.server.models
        parts = path.split("/")[1:]
        if parts[:2] == ["api", "models"] and (name := "/".join(parts[2:4])) in models:
            files = models[name]
            if parts[4] == "revision":
                listed = [{"rfilename": file} for file in files]
                self.answer({"id": name, "sha": self.server.commit(name), "siblings": listed})
            elif parts[4] == "tree":
                self.answer(
                    [
                        {"type": "file", "path": file, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                        for file, data in files.items()
                    ]
                )
        elif len(parts) == 5 and parts[2] == "resolve" and (name := "/".join(parts[:2])) in models:
            data = models[name][parts[4]]
            headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X_Repo_Commit": self.server.commit(name)}
            self.answer(body=data, **headers)
        else:
            headers = {"X_Error_Code": "RepoNotFound", "X_Error_Message": "Repository not found"}
            self.answer({"error": "Repository not found"}, status=404, **headers)
