"""The lab's server gives its own files to this machine's own pages, and nothing else to anyone."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from reverie.errors import ReverieError
from reverie.lab.server import LabServer, serving

SECRET = "not for the lab"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LabServer]:
    folder = tmp_path / "lab"
    (folder / "a").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "main.js").write_text("export {};")
    (folder / "a" / "data.bin").write_bytes(b"\0" * 1000)
    (tmp_path / "secret.txt").write_text(SECRET)
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "up").symlink_to(tmp_path)
    with serving(folder) as running:
        yield running


def ask(server: LabServer, request: bytes) -> bytes:
    """What comes back for these very bytes."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=60) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def get(server: LabServer, path: str, *headers: str, method: str = "GET") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(headers or (f"Host: 127.0.0.1:{server.server_port}",)), "Connection: close"]
    return ask(server, "\r\n".join([*lines, "", ""]).encode("latin-1"))


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_serves_its_files_with_a_strict_policy(server: LabServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    for path, kind in (
        ("/", "text/html; charset=utf-8"),
        ("/main.js?1", "text/javascript; charset=utf-8"),
        ("/a/data.bin", "application/octet-stream"),
    ):
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        assert (answer.status, answer.getheader("Content-Type")) == (200, kind)
        assert len(body) == int(answer.getheader("Content-Length") or 0) > 0
        policy = answer.getheader("Content-Security-Policy") or ""
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-inline" not in policy
        assert "http" not in policy
        assert answer.getheader("X-Content-Type-Options") == "nosniff"
    connection.close()


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/a/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/a/..\\..\\secret.txt",
        "//secret.txt",
        "/link.txt",
        "/up/secret.txt",
        "secret.txt",
        "../secret.txt",
        "/a",
        "/a/",
        "/index.html\0.js",
    ],
)
def test_no_path_leads_out_of_the_folder(server: LabServer, path: str) -> None:
    answer = get(server, path)
    assert status(answer) in (400, 404)
    assert SECRET.encode() not in answer


def test_an_absolute_path_is_no_way_out(server: LabServer, tmp_path: Path) -> None:
    for path in (f"{tmp_path}/secret.txt", f"/{tmp_path}/secret.txt", f"file://{tmp_path}/secret.txt"):
        assert SECRET.encode() not in get(server, path)


def test_foreign_hosts_and_origins_are_refused(server: LabServer) -> None:
    port = server.server_port
    here = f"Host: 127.0.0.1:{port}"
    refused = [
        ["Host: evil.example"],
        [f"Host: evil.example:{port}"],
        ["Host: 127.0.0.1"],
        [f"Host: 127.0.0.1:{port + 1}"],
        ["Accept: */*"],  # no Host at all
        [here, f"Host: evil.example:{port}"],
        [here, "Origin: http://evil.example"],
        [here, "Origin: null"],
        [here, f"Origin: https://127.0.0.1:{port}.evil.example"],
        [here, f"Origin: http://127.0.0.1:{port}", "Origin: http://evil.example"],
        [here, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"],
        [here, "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"],
    ]
    for headers in refused:
        assert status(get(server, "/", *headers)) == 403, headers
    welcome = [
        [here],
        [f"Host: localhost:{port}"],
        [here, f"Origin: http://127.0.0.1:{port}"],
        [here, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors"],
        [here, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"],  # a link to it
    ]
    for headers in welcome:
        assert status(get(server, "/", *headers)) == 200, headers


def test_the_policy_allows_its_own_files_and_nothing_else(server: LabServer) -> None:
    """Only the WebAssembly of the runtime may be compiled; no other address, no inline code, no frame, no form."""
    head = get(server, "/", method="HEAD").decode()
    policy = next(line for line in head.splitlines() if line.startswith("Content-Security-Policy: ")).partition(": ")[2]
    directives = {words[0]: words[1:] for words in (directive.split() for directive in policy.split(";"))}
    assert directives.pop("script-src") == ["'self'", "'wasm-unsafe-eval'"]
    assert directives.pop("img-src") == ["'self'", "data:"]
    for name in ("default-src", "base-uri", "form-action", "frame-ancestors"):
        assert directives.pop(name) == ["'none'"]
    assert directives == {"worker-src": ["'self'"], "connect-src": ["'self'"], "style-src": ["'self'"]}


def test_a_link_put_in_the_place_of_a_file_is_not_followed(server: LabServer, tmp_path: Path) -> None:
    for path in ("/main.js", "/a/data.bin"):
        file = tmp_path / "lab" / path[1:]
        file.unlink()
        file.symlink_to(tmp_path / "secret.txt")
        answer = get(server, path)
        assert status(answer) == 404
        assert SECRET.encode() not in answer
    (tmp_path / "lab" / "later.js").write_text(SECRET)  # what was not there when it started is not served
    assert status(get(server, "/later.js")) == 404


def test_only_reading_is_possible(server: LabServer) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert status(get(server, "/", method=method)) == 501
    answer = get(server, "/main.js", method="HEAD")
    assert status(answer) == 200
    assert answer.endswith(b"\r\n\r\n")
    assert status(get(server, "/nothing", method="HEAD")) == 404


def test_garbage_does_not_stop_it(server: LabServer) -> None:
    for request in (
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"G" * 70_000,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n",
    ):
        ask(server, request)
    assert status(get(server, "/")) == 200


def test_listens_on_this_machine_only_and_says_where_a_port_is_taken(server: LabServer, tmp_path: Path) -> None:
    assert server.server_address[0] == "127.0.0.1"
    with pytest.raises(OSError, match=r"refused|[Tt]imed out|unreachable|assign"):  # not even on all of the loopback
        socket.create_connection(("127.0.0.2", server.server_port), timeout=60).close()
    assert server.address == f"http://127.0.0.1:{server.server_port}/"
    expected = rf"cannot listen on port {server.server_port} \(.+\); choose another with --port"
    with pytest.raises(ReverieError, match=expected):
        LabServer(tmp_path / "lab", server.server_port)
    with pytest.raises(ReverieError, match="cannot listen on port 99999"):
        LabServer(tmp_path / "lab", 99999)
