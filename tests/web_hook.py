"""A web address that keeps the JSON that it is sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


@dataclass
class WebHook:
    """Where it listens, and what came."""

    address: str
    received: list[Any] = field(default_factory=list)


@contextmanager
def listening() -> Iterator[WebHook]:
    """Listen on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            hook.received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        hook = WebHook(f"http://127.0.0.1:{server.server_port}/failed")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield hook
        server.shutdown()
