"""A server for one folder of the lab: this machine only, these files only, no other site's page may ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from reverie.errors import ReverieError
from reverie.files.atomic import read_bytes

LOOPBACK = "127.0.0.1"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; style-src 'self'; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

ELSEWHERE = """
The lab answers to its own address alone, http://localhost:{port}/, so that no other site's page can ask it.
Through a tunnel, forward the same port number:  ssh -L {port}:localhost:{port} SERVER  and open that address; with
`reverie lab RUN --no-browser --port N` you choose the number. Behind a proxy, in a Codespace or under another path:
`reverie lab RUN --export DIR` writes static files for a web server of yours.
"""


class LabServer(ThreadingHTTPServer):
    """Serves the files that `folder` holds when it starts, and nothing else: a request names one or gets 404."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0) -> None:
        """port: 0 takes a free one. Raises ReverieError where the port is taken."""
        self.files = {f"/{path.relative_to(folder).as_posix()}": path for path in _files(folder)}
        self.files["/"] = folder / "index.html"
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            raise ReverieError(f"cannot listen on port {port} ({error}); choose another with --port") from None
        self.hosts = {f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost")}

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is no event."""


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


class _Handler(BaseHTTPRequestHandler):
    server: LabServer
    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds that a silent connection keeps its thread
    server_version, sys_version = "reverie", ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        if not self._is_from_here():
            self._refuse(HTTPStatus.FORBIDDEN, ELSEWHERE.format(port=self.server.server_port))
            return
        file = self.server.files.get(self.path.partition("?")[0])
        if file is None:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        try:
            body = read_bytes(file)
        except ReverieError:  # removed since, or a link put in its place
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        self._head(HTTPStatus.OK, TYPES.get(file.suffix, "application/octet-stream"), len(body))
        if with_body:
            self.wfile.write(body)

    def _is_from_here(self) -> bool:
        """Whether the request names this server: another site's page, or a name made to point here, does not."""
        origins, named = self.headers.get_all("Origin") or [], self.headers.get_all("Host") or []
        return (
            len(named) == 1
            and named[0].lower() in self.server.hosts
            and all(origin.lower().removeprefix("http://") in self.server.hosts for origin in origins)
            and not self._is_of_another_page()
        )

    def _is_of_another_page(self) -> bool:
        """Whether a browser says that another site's page asks (for a picture, say, which takes no Origin).

        To be opened from a link there is fine.
        """
        opened = (self.headers.get("Sec-Fetch-Mode"), self.headers.get("Sec-Fetch-Dest")) == ("navigate", "document")
        return self.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site") and not opened

    def _refuse(self, status: HTTPStatus, why: str = "") -> None:
        body = f"{status.value} {status.phrase}\n{why}".encode()
        self._head(status, "text/plain; charset=utf-8", len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: HTTPStatus, kind: str, length: int) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not worth a line each."""


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[LabServer]:
    """A server at work in a thread of its own for the length of a `with` block."""
    from threading import Thread

    server = LabServer(folder, port)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
