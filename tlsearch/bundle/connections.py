"""Connection rules of the HTTP service: a time limit for request heads, and valid host names."""

import asyncio
import ipaddress
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10


class TimedProtocol(H11Protocol):
    """An HTTP/1.1 protocol that closes a connection if a request's head takes over `HEAD_S`.

    uvicorn itself only limits the idle time between two requests.
    """

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the timer for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Stop the timer once a head is complete; start it if the next head is incomplete."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._stop_waiting()
        elif self.cycle is not None and self.cycle.response_complete:
            self._wait()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is not valid HTTP.

        If the body turns out to be invalid while the request is being handled, this is its only
        answer: the handler's own answer is dropped.
        """
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.close()
                return
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:  # a response to HEAD must not have a body
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer of a closed connection."""
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
    """The host names and addresses that the `Host` header of a request may contain.

    This protects against DNS rebinding: a browser that an attacker's host name leads to this
    service sends that name in `Host`. IP addresses cannot be rebound: any loopback address is
    accepted, and any address if the service is bound to all addresses of the machine. A request
    without the header is accepted.
    """

    def __init__(self, bound: str) -> None:
        self._names = {"localhost", bound.lower(), socket.gethostname().lower()}
        address = _address(bound)
        self._any_address = address is not None and address.is_unspecified

    def problem(self, header: str) -> str | None:
        """Return why a request with this `Host` header is refused; None if it is accepted."""
        name = _without_port(header.strip().lower()).removesuffix(".")
        address = _address(name)
        if name in self._names or not header:
            return None
        if address is not None and (self._any_address or address.is_loopback):
            return None
        known = ", ".join(sorted(self._names))
        return f"not the host {name[:100]!r}; send one of these as Host: {known}"


def _without_port(host: str) -> str:
    """Remove the port: `[::1]:80` -> `::1`, `name:80` -> `name`."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.rpartition(":")
    return name if name and port.isdigit() else host


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
