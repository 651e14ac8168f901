"""A hub of one dataset on this machine, with the few requests that `huggingface_hub` and `datasets` make."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class SmallHub:
    """What is there, and what was asked for."""

    name: str
    files: Mapping[str, bytes]
    gated: bool = False
    delay: float = 0
    url: str = ""
    requests: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, query: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        time.sleep(self.delay)
        self.requests.append(f"{method} {path}")
        api, pages = f"/api/datasets/{self.name}", f"/datasets/{self.name}/resolve/"
        if not path.startswith((f"{api}/", pages)) and path != api:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        if self.gated:
            return 403, {"X-Error-Code": "GatedRepo"}, b""
        if path.startswith(pages):
            return self._file(*path.removeprefix(pages).split("/", 1))
        verb, _, rest = path.removeprefix(api).strip("/").partition("/")
        revision, _, folder = rest.partition("/")
        if revision not in ("", "main", COMMIT):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        return self._listing(verb, folder, body, recursive="recursive=true" in query.lower())

    def _file(self, revision: str, name: str) -> tuple[int, dict[str, str], bytes]:
        if name not in self.files:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        content = self.files[name]
        etag = hashlib.sha256(content).hexdigest()
        return 200, {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"'}, content

    def _listing(self, verb: str, folder: str, body: bytes, *, recursive: bool) -> tuple[int, dict[str, str], bytes]:
        entries = [
            {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            for name, content in self.files.items()
        ]
        folders = {name.rpartition("/")[0] for name in self.files} - {""}
        entries += [{"type": "directory", "path": name, "size": 0, "oid": "0" * 40} for name in sorted(folders)]
        if verb == "paths-info":
            wanted = json.loads(body)["paths"]
            return _json([one for one in entries if one["path"] in wanted])
        if verb == "tree":
            inside = [one for one in entries if str(one["path"]).startswith(f"{folder}/" if folder else "")]
            depth = folder.count("/") + 1 if folder else 0
            return _json([one for one in inside if recursive or str(one["path"]).count("/") == depth])
        siblings = [{"rfilename": name} for name in self.files]
        return _json({"id": self.name, "sha": COMMIT, "siblings": siblings, "gated": False, "private": False})


@contextlib.contextmanager
def serving(hub: SmallHub) -> Iterator[SmallHub]:
    """Serve it while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path, _, query = urllib.parse.unquote(self.path).partition("?")
            status, headers, content = hub.answer(self.command, path, query, body)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

        do_GET = do_HEAD = do_POST = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _json(content: object) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()
