"""Starts the page's server."""

import os
import signal
import socket
import tempfile
from collections.abc import Sequence

from keras_crate.app.examples import example_images
from keras_crate.app.models import Models
from keras_crate.app.page import HERE, build_page
from keras_crate.app.uploads import MOST_BYTES
from keras_crate.checks import names_arguments
from keras_crate.extras import needed

HOST, PORT = "127.0.0.1", 7860
LOOPBACK = ("127.0.0.1", "localhost", "::1")
WAITING = 64  # requests in the queue
SESSIONS = 32  # users whose pictures are kept
# Routes of Gradio that the page does not use: they serve or fetch files, or record.
CLOSED = ("/file=", "/file/", "/proxy=", "/stream/", "/runs", "/run-history", "/vibe-",
          "/undo-vibe-", "/process_recording", "/deep_link", "/monitoring")  # fmt: skip


@names_arguments
def serve(
    models: Sequence[str] = (),
    host: str = HOST,
    port: int = PORT,
    block: bool = True,
    any_model: bool | None = None,
):
    """Starts the page that looks inside models.

    It makes no request to another host, except to open a model that a user names by an
    `hf://` address.

    Args:
        models: Further models to pick from: files, folders or `hf://` addresses.
        host: Address to listen at. With the default, only this machine reaches the page.
        port: Port to listen at; 0 for any free one.
        block: Whether to return only when the server is stopped (Ctrl+C).
        any_model: Whether users may open models by a path or an address. By default, if
            only this machine reaches the page.

    Returns:
        The address of the page, and a function that stops the server.

    Raises:
        OSError: If the port is taken, or a model cannot be fetched.
        ValueError: If there is no such port, or a model cannot be opened.
        ImportError: If Gradio is not installed.

    Example:

    ```python
    address, stop = keras_crate.app.serve(port=0, block=False)
    ```
    """
    port = _free_port(host, port)
    folder = tempfile.TemporaryDirectory(prefix="keras-crate-app-")
    # Gradio reads these when it is imported or launched.
    os.environ |= {
        "GRADIO_TEMP_DIR": folder.name,
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "GRADIO_ALLOWED_PATHS": "",
    }
    with needed("gradio", "The page needs"):
        import gradio as gr
    from starlette.middleware import Middleware

    ready = Models(models, host in LOOPBACK if any_model is None else any_model)
    # The first user does not wait for a program to compile.
    ready.look(ready.open(ready.first), example_images()[0])
    page = build_page(ready)
    page.queue(max_size=WAITING, default_concurrency_limit=2, api_open=False)
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        inbrowser=False,
        prevent_thread_lock=True,
        show_error=False,
        allowed_paths=[],
        max_file_size=MOST_BYTES,
        state_session_capacity=SESSIONS,
        app_kwargs={"middleware": [Middleware(_Closed)], "docs_url": None, "redoc_url": None},
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        ssr_mode=False,
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
        css_paths=[HERE / "page.css"],
    )

    def stop() -> None:
        page.close(verbose=False)
        folder.cleanup()

    if block:
        print(f"Look inside models at {address} (Ctrl+C stops)", flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops as Ctrl+C does
        try:
            page.block_thread()
        finally:
            stop()
    return address, stop


class _Closed:
    """Middleware that answers 404 for the routes in `CLOSED`."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and path.removeprefix("/gradio_api").startswith(CLOSED):
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b"not found"})
            return
        await self.app(scope, receive, send)


def _free_port(host: str, port: int) -> int:
    """Returns the port, or any free one for 0. An error is raised if it is taken."""
    if port not in range(65536):
        raise ValueError(f"`port` must be from 0 to 65535. Received: port={port!r}")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            found.bind((host, port))
        except OSError as error:
            raise OSError(
                f"The page cannot listen at {host}, port {port}: {error.strerror}. Choose another "
                "port, or 0 for any."
            ) from error
        return found.getsockname()[1]
