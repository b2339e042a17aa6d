"""A network of hosts on this machine: each has an address and a clock of its own, and can be cut off. Linux, as root.

All of it hangs on open files of this process: it is gone, whatever ends the process. Nothing is left, and nothing was seen
by the machine's own network, from which only the servers are reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from tests.chaos.programs import Program

OURS, NETWORK = "10.88.0.1", "10.88.0.{}/24"
SECONDS_APART = 3
PORTS = {"postgres": 5432, "mysql": 3306, "redis": 6379, "amqp": 5672}
CLONE_NEWNET = 0x40000000
#: After about so many seconds a server learns that a host is gone which could not say so, as scale.md asks for.
KEEPALIVE = {socket.TCP_KEEPIDLE: 2, socket.TCP_KEEPINTVL: 1, socket.TCP_KEEPCNT: 2}


def unshare() -> None:
    """This thread, and those that it starts, are in a new and empty network from now on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise PermissionError(ctypes.get_errno(), "a network of one's own needs root")


def _ip(*arguments: str, within: tuple[str, ...] = ()) -> None:
    subprocess.run([*within, "ip", *arguments], check=True)


class Host:
    """A machine of the network. `enter` stands before a command that is to run there."""

    def __init__(self, number: int, ahead: int, clock: Path) -> None:
        self.name, self.address, self.ahead = f"host{number}", NETWORK.format(10 + number)[:-3], ahead
        self.programs: list[Program] = []
        made = threading.Thread(target=self._make)
        made.start()
        made.join()
        path = f"/proc/{os.getpid()}/fd/{self._file}"
        within = ("nsenter", f"--net={path}")
        _ip("link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", path)
        _ip("link", "set", self.name, "master", "lan", "up")
        _ip("link", "set", "lo", "up", within=within)
        _ip("address", "add", f"{self.address}/24", "dev", "eth0", within=within)
        _ip("link", "set", "eth0", "up", within=within)
        self.enter = [*within, "env", f"LD_PRELOAD={clock}", f"CLOCK_AHEAD={ahead}"]

    def _make(self) -> None:
        unshare()
        self._file = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def take(self, program: Program) -> None:
        """Let it run here."""
        program.command = [*self.enter, *program.command]
        self.programs.append(program)

    def cut_off(self) -> None:
        """No packet reaches it or leaves it; nobody is told."""
        _ip("link", "set", self.name, "down")

    def join(self) -> None:
        _ip("link", "set", self.name, "up")

    def lose_power(self) -> None:
        """From one moment to the next it says nothing more, and nothing of it runs."""
        self.cut_off()
        for program in self.programs:
            program.is_off = True
            program.kill()

    def come_back(self) -> None:
        self.join()
        for program in self.programs:
            program.is_off = False


class Lan:
    """A context manager. This process is part of the network from then on, at `OURS`."""

    def __init__(self, hosts: int, servers: list[str]) -> None:
        self._servers = [(urlsplit(url).hostname or "", _port(url)) for url in servers]
        self._loop = asyncio.new_event_loop()
        # Begun before the network is: what it connects to, it reaches as this process did before.
        self._outside = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._outside.start()
        unshare()
        self._folder = tempfile.TemporaryDirectory(prefix="altegio_lan_")
        clock = Path(self._folder.name) / "ahead.so"
        source = Path(__file__).with_name("ahead.c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", clock, source], check=True)
        _ip("link", "set", "lo", "up")
        _ip("link", "add", "lan", "type", "bridge")
        _ip("address", "add", f"{OURS}/24", "dev", "lan")
        _ip("link", "set", "lan", "up")
        middle = (hosts - 1) // 2
        self.hosts = [Host(n, SECONDS_APART * (n - middle), clock) for n in range(hosts)]
        for server in self._servers:
            self._relay_to(*server)

    def __enter__(self) -> Lan:
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._outside.join()
        self._folder.cleanup()

    def inside(self, url: str) -> str:
        """The address of one of the servers, as the hosts reach it."""
        at = urlsplit(url)
        login, sign, _ = at.netloc.rpartition("@")
        return at._replace(netloc=f"{login}{sign}{OURS}:{_port(url)}").geturl()

    def _relay_to(self, host: str, port: int) -> None:
        listening = socket.create_server(("0.0.0.0", port), backlog=256)

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in KEEPALIVE.items():
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 4000)
            with contextlib.suppress(OSError):
                theirs = await asyncio.open_connection(host, port)
                await asyncio.gather(_copy(reader, theirs[1]), _copy(theirs[0], writer))
            writer.close()

        started = asyncio.start_server(relay, sock=listening)
        asyncio.run_coroutine_threadsafe(started, self._loop).result()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


def _port(url: str) -> int:
    return urlsplit(url).port or PORTS[urlsplit(url).scheme]
