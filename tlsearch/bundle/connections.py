"""Who may connect to the service, under which name, and how long a request may take to begin."""

import asyncio
import ipaddress
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10


class TimedProtocol(H11Protocol):
    """Closes a connection that does not send the head of its request in time.

    uvicorn itself only limits the wait between two requests.
    """

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Stop waiting once a request has begun, and wait again for the rest of a next one."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._stop_waiting()
        elif self.cycle is not None and self.cycle.response_complete:
            self._wait()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is no HTTP; one whose body turns out to be none while it is in
        work gets its answer here too, and the work gives none any more.
        """
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.close()
                return
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:  # an answer to HEAD has no body
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEAD_S, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class Hosts:
    """The names and addresses of the machine that a service is bound to, as `Host` may say them.

    A browser that was led here under a name of a stranger (DNS rebinding) says that name. An
    address says no name, so that any is taken where the service is bound to all of the machine's.
    """

    def __init__(self, bound: str) -> None:
        self._names = {"localhost", bound.lower(), socket.gethostname().lower()}
        address = _address(bound)
        self._any_address = address is not None and address.is_unspecified

    def problem(self, header: str) -> str | None:
        """Why a request with this `Host` is refused, None where it is not."""
        name = _without_port(header.strip().lower()).removesuffix(".")
        address = _address(name)
        if name in self._names or not header:
            return None
        if address is not None and (self._any_address or address.is_loopback):
            return None
        known = ", ".join(sorted(self._names))
        return f"not the host {name[:100]!r}; send one of these as Host: {known}"


def _without_port(host: str) -> str:
    """`[::1]:80` -> `::1`, `name:80` -> `name`."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.rpartition(":")
    return name if name and port.isdigit() else host


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
