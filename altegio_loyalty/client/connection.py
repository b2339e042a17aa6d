"""Connections that know what urllib3 does not: whether a byte of the request left, how long is left, and the secrets.

A request whose first byte never left is certainly not done; any other without an answer is in doubt. A read timeout bounds
only the silence between two bytes: here no read gets more time than the whole call has left. requests, urllib3 and
http.client see neither the tokens nor a login: these join the request on its way into the socket.
"""

import contextlib
import http.client
import io
import socket
import struct
from collections.abc import Iterator
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from altegio_loyalty.client.exchange import current

#: SO_LINGER, on, with 0 seconds.
_DROP_UNSENT = struct.pack("ii", 1, 0)


class _DeadlineReader(io.RawIOBase):
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._read_timeout = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if current.exchange is not None:
            left = current.exchange.seconds_left()
            self._sock.settimeout(left if self._read_timeout is None else min(left, self._read_timeout))
        size = self._raw.readinto(buffer)
        if current.exchange is not None and size:
            current.exchange.count(size)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_DeadlineReader(sock))

    def begin(self) -> None:
        super().begin()
        # urllib3 logs what it cannot parse of the headers, with whatever the server put there.
        self.msg.defects.clear()
        self.msg.set_payload("")


class _UntilTheEnd(list[Any]):
    """Options of a socket. urllib3 asks for them before each address of a host: after the total time none is tried."""

    def __iter__(self) -> Iterator[Any]:
        if current.exchange is not None:
            current.exchange.seconds_left()
        return super().__iter__()


class _Watched:
    """Marks the exchange as sent with the first byte of the request; a proxy's CONNECT is none of it."""

    sock: socket.socket | None
    socket_options: Any
    _is_tunnelling = False
    response_class: Any = _DeadlineResponse

    def _new_conn(self) -> socket.socket:
        self._watch()
        self.socket_options = _UntilTheEnd(self.socket_options or ())
        opened: socket.socket = super()._new_conn()  # type: ignore[misc]
        return opened

    def _tunnel(self) -> None:
        self._is_tunnelling = True
        try:
            super()._tunnel()  # type: ignore[misc]
        finally:
            self._is_tunnelling = False

    def close(self) -> None:
        if self.sock is not None and current.exchange is not None:
            # Closed in the middle of a call, as after a timeout: an ordinary close would have the system go on
            # delivering what the server has not taken yet, for minutes, and so make an effect come late.
            with contextlib.suppress(OSError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP_UNSENT)
        super().close()  # type: ignore[misc]

    def _watch(self) -> None:
        if current.exchange is not None:
            current.exchange.is_watched = True

    def send(self, data: Any) -> None:
        self._watch()
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]  # before the mark: a connection that fails has sent nothing
        exchange = current.exchange
        if exchange is None or self._is_tunnelling:
            super().send(data)  # type: ignore[misc]
            return
        exchange.check_may_send()
        is_head, exchange.is_sent = not exchange.is_sent, True
        self.sock.sendall(exchange.fill(data, is_head=is_head))  # type: ignore[union-attr]


class _WatchedHTTPConnection(_Watched, HTTPConnection): ...


class _WatchedHTTPSConnection(_Watched, HTTPSConnection): ...


class _WatchedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTPConnection


class _WatchedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPSConnection


_POOLS = {"http": _WatchedHTTPPool, "https": _WatchedHTTPSPool}


class _WatchedAdapter(HTTPAdapter):
    """Sends over watched connections and, as adapters do unless told otherwise, repeats nothing by itself."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class Session(requests.Session):
    """Over watched connections. Knows no redirects: requests would read the whole body of one, without a bound."""

    #: OSError: requests' own are such. ValueError: http.client's and urllib3's for headers and URLs beyond repair.
    failures = HTTPError, http.client.HTTPException, OSError, ValueError
    #: What a connection ends with, and whatever stands in for ours, such as a mock in a host's tests.
    of_connections = HTTPError, requests.RequestException

    def __init__(self) -> None:
        super().__init__()
        self.mount("https://", _WatchedAdapter())
        self.mount("http://", _WatchedAdapter())

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - requests hands it over
        return None
