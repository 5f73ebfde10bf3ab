"""Starts the page's server in a process of its own."""

import http.client
import os
import struct
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

START = "from keras_crate_cli import run; run('app', ['--port', '0'])"


@dataclass
class Served:
    """A server: its address, the folder that its temporary files are in, and its errors."""

    address: str
    folder: Path
    log: Path
    process: subprocess.Popen


def start(command: list[str], home: Path, **environment: str) -> Served:
    """Starts a server that prints its address, and waits for that."""
    home.mkdir(exist_ok=True)
    log = home / "errors.txt"
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "TMPDIR": str(home), **environment},
        )
    line = process.stdout.readline()
    assert " at http://" in line, log.read_text()[-2000:]
    return Served(line.split(" at ")[1].split()[0].rstrip("/"), home, log, process)


def stop(served: Served) -> None:
    """Stops it, as `kill` does."""
    served.process.terminate()
    served.process.communicate(timeout=30)


def ask(served, path, method="GET", body=None, headers=None):
    """Sends a path as it is, which other clients would normalise."""
    where = urlsplit(served.address)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in {**(headers or {}), "Content-Length": len(body or b"")}.items():
        connection.putheader(name, str(value))
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def upload(served, name, content):
    boundary = "limit"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
        "Content-Type: image/png\r\n\r\n"
    ).encode() + content
    body += f"\r\n--{boundary}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return ask(served, "/gradio_api/upload", "POST", body, kind)


def header_of_png(width: int, height: int) -> bytes:
    """A PNG whose header states a size, without its pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
