"""An HTTP proxy on loopback for tests: it knows where names lead to, which no name server does."""

import base64
import contextlib
import http.server
import select
import socket
import threading
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit


class _Handler(http.server.BaseHTTPRequestHandler):
    server: "ForwardProxy"

    def do_CONNECT(self) -> None:
        self._forward(self.path, b"")

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path = parts._replace(scheme="", netloc="").geturl()
        kept = [f"{name}: {value}" for name, value in self.headers.items() if not name.lower().startswith("proxy-")]
        kept = [line for line in kept if not line.lower().startswith("connection:")]
        head = "\r\n".join([f"{self.command} {path} HTTP/1.1", *kept, "Connection: close", "", ""])
        self._forward(parts.netloc, head.encode())

    do_HEAD = do_GET

    def _forward(self, place: str, head: bytes) -> None:
        self.close_connection = True
        self.server.log.append(f"{self.command} {self.path}")
        shown = self.headers.get("Proxy-Authorization", "")
        if self.server.login and shown != f"Basic {base64.b64encode(self.server.login.encode()).decode()}":
            self.send_error(407)
        elif place not in self.server.hosts:
            self.send_error(502, "no such host")
        else:
            host, _, port = self.server.hosts[place].rpartition(":")
            with socket.create_connection((host, int(port)), timeout=10) as there:
                if self.command == "CONNECT":
                    self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                there.sendall(head)
                _pump(self.connection, there)

    def log_message(self, *_: object) -> None:
        pass


def _pump(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while ready := select.select([one, other], [], [], 30)[0]:
            for end in ready:
                data = end.recv(1 << 16)
                if not data:
                    return
                (other if end is one else one).sendall(data)


class ForwardProxy(http.server.ThreadingHTTPServer):
    """``hosts`` says where ``name:port`` (as it is asked for) leads; ``login`` is ``user:password``; ``log`` has what
    was asked."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, hosts: Mapping[str, str], login: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hosts = hosts
        self.login = login
        self.log: list[str] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


@contextlib.contextmanager
def proxy(hosts: Mapping[str, str], login: str = "") -> Iterator[ForwardProxy]:
    """Serve from a thread."""
    made = ForwardProxy(hosts, login)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        thread.join(10)
        made.server_close()
