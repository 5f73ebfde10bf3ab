"""What the server answers, and what it refuses."""

import asyncio
import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("gradio")

from app_pages import ask, header_of_png, upload

from keras_crate.app import server, uploads
from keras_crate.app.page import _uploads_only
from keras_crate_cli import parser_of

pytestmark = pytest.mark.any_backend


def test_listens_on_this_machine_only(served):
    assert served.address.startswith("http://127.0.0.1:")
    assert parser_of("app").parse_args([]).host == "127.0.0.1"
    others = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None)}
    for address in others - {"127.0.0.1", "127.0.1.1", "::1"}:
        with pytest.raises(OSError):
            socket.create_connection((address, urlsplit(served.address).port), timeout=2).close()


def test_no_analytics_and_no_links_out(served):
    status, config = ask(served, "/config")
    config = json.loads(config)
    assert status == 200 and not config["analytics_enabled"]
    assert not config.get("run_history") and config.get("footer_links") == []


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/file=/etc/passwd",
        "//gradio_api/file=/etc/passwd",
        "/gradio_api//file=/etc/passwd",
        "/gradio_api/%66ile=/etc/passwd",
        "/static/../../../../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/assets/..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd",
        "/gradio_api/file=http://127.0.0.1:1/",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/gradio_api/deep_link",
        "/gradio_api/monitoring/summary",
    ],
)
def test_no_other_file_is_served(served, path):
    status, content = ask(served, path)
    assert status in (400, 403, 404, 405), (status, content[:200])
    assert b"root:" not in content


def test_an_uploaded_file_is_not_served_to_anyone(served):
    status, answer = upload(served, "mine.png", b"secret")
    (path,) = json.loads(answer)
    assert status == 200 and Path(path).is_relative_to(served.folder)
    assert Path(path).read_bytes() == b"secret"
    status, content = ask(served, f"/gradio_api/file={path}")
    assert status == 404 and b"secret" not in content


def test_large_uploads_are_refused(served):
    status, _ = upload(served, "large.png", b"0" * (uploads.MOST_BYTES + 1))
    assert status == 413
    assert not [f for f in served.folder.rglob("*") if f.is_file() and f.stat().st_size > 10**7]


def test_an_address_in_place_of_an_upload_is_not_fetched():
    class Component:
        async def async_move_resource_to_block_cache(self, path):
            return path

    checked = _uploads_only(Component())
    assert asyncio.run(checked("/tmp/a.png")) == "/tmp/a.png"
    with pytest.raises(ValueError, match="Only uploaded files"):
        asyncio.run(checked("http://127.0.0.1:1/a.png"))


def test_a_port_that_cannot_be_used(monkeypatch):
    monkeypatch.setattr(server, "Models", None)  # told before a model is opened
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port}: Address already in use. Choose another"):
            server.serve(port=port)
    with pytest.raises(ValueError, match="from 0 to 65535"):
        server.serve(port=70_000)


def test_the_limit_of_pixels_is_checked_by_the_header(tmp_path):
    file = tmp_path / "large.png"
    file.write_bytes(header_of_png(20_000, 20_000))
    with pytest.raises(ValueError, match="too many pixels: at most 50 million"):
        uploads.check_image(file)
    file.write_bytes(header_of_png(6_000, 9_000))  # below Pillow's own limit
    with pytest.raises(ValueError, match="too many pixels"):
        uploads.check_image(file)
    file.write_bytes(header_of_png(5_000, 5_000))
    uploads.check_image(file)
    file.write_bytes(header_of_png(1, 60_000))  # enlarged to 256 pixels of width: 15 GB
    with pytest.raises(ValueError, match="too narrow: one side may have 100 times"):
        uploads.check_image(file)
    file.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(ValueError, match="not an image"):  # Pillow would start Ghostscript
        uploads.check_image(file)
    file.write_text("text")
    with pytest.raises(ValueError, match="not an image"):
        uploads.check_image(file)
    file.unlink()
    with pytest.raises(ValueError, match="no longer here"):
        uploads.check_image(file)
