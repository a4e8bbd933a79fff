"""A wire to a server that a test cuts: at once, or when certain bytes come by."""

from __future__ import annotations

import contextlib
import socket
import threading


class SeveredWire:
    """Carries bytes between clients and a server.

    Args:
        host, port: the server.
    """

    def __init__(self, host: str, port: int) -> None:
        self.away = False
        """Whether newcomers are turned away."""
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._mark: bytes | None = None
        self._forward = False
        self._start(self._accept)

    def cut(self) -> None:
        """Break all connections."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def cut_at(self, mark: bytes, *, forward: bool) -> None:
        """Break a connection once a client sends these bytes; `forward`: the server still gets them, the client no
        answer."""
        self._mark, self._forward = mark, forward

    def close(self) -> None:
        """End all threads."""
        self.away = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.away:
                client.close()
                continue
            server = socket.create_connection(self._server)
            self._open += [client, server]
            self._start(self._carry, client, server, True)
            self._start(self._carry, server, client, False)

    def _carry(self, source: socket.socket, target: socket.socket, from_client: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if from_client and self._mark is not None and self._mark in data:
                    self._mark = None
                    if self._forward:
                        source.shutdown(socket.SHUT_WR)
                        target.sendall(data)
                    break
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        source.close()
