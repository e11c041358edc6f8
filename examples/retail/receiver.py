"""Whoever wants to be called: takes webhooks on loopback, as any program would. Nothing of riverrun is used here.

They are signed as Standard Webhooks say: HMAC-SHA256 of `id.timestamp.body`. What is not signed so is refused.
"""

import base64
import hashlib
import hmac
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PREFIX = "whsec_"
POLL_S = 0.05
"""Between looks whether it is to stop."""


class Receiver:
    """Listens from the start on; `taken`: id and body of each request that was signed, in the order of coming."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self.secret = PREFIX + base64.b64encode(self._key).decode()
        self.taken: list[tuple[str, bytes]] = []
        self.refused = 0
        self._server = _Server(("127.0.0.1", 0), _Request)
        self._server.receiver = self
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_S,), name="receiver", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/alerts"

    def stop(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, id_: str, sent: str, signatures: str, body: bytes) -> bool:
        """False: it was not signed with the secret."""
        mac = hmac.new(self._key, f"{id_}.{sent}.".encode() + body, hashlib.sha256).digest()
        if not hmac.compare_digest(signatures.encode(), b"v1," + base64.b64encode(mac)):
            self.refused += 1
            return False
        self.taken.append((id_, body))
        return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # connections that are kept open end with the processes on the other side
    receiver: Receiver

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever called was killed in the middle of it; it comes again."""


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        is_right = self.server.receiver.take(*(self.headers.get(name, "") for name in names), body)
        self.send_response(204 if is_right else 401)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""
