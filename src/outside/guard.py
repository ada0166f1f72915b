"""Where a node may connect to: the internet on a few ports, and what the operator has allowed by name."""

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_network

from src.outside.addresses import Network, read_address, what_is_special
from src.outside.errors import Fault, Refused

Resolver = Callable[[str, int], list[str]]
"""The addresses of a host, as texts. Raises OSError."""
WEB_PORTS = frozenset({80, 443, 8080, 8443})


def look_up(host: str, port: int) -> list[str]:
    """Asks the system. It reads more spellings of an address than anybody should check by hand: 127.1, 0x7f000001."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator allows beyond the internet."""

    places: frozenset[tuple[str, int]] = frozenset()
    """Hosts with a port: whatever that name resolves to."""
    networks: tuple[Network, ...] = ()
    """Addresses, on the ports that are open anyway."""

    @classmethod
    def read(cls, parts: Iterable[str]) -> "Allowed":
        """From `host:port`, `[address]:port` and networks such as `10.2.0.0/16`.

        Raises:
            ValueError: a part is neither.
        """
        places, networks = set(), []
        for part in parts:
            if "/" in part:
                networks.append(ip_network(part))
                continue
            host, colon, port = part.rpartition(":")
            if not (colon and host and port.isdecimal()):
                raise ValueError(f"expected host:port or a network such as 10.2.0.0/16, got {part!r}")
            places.add((plain_host(host), int(port)))
        return cls(frozenset(places), tuple(networks))

    def __or__(self, other: "Allowed") -> "Allowed":
        return Allowed(self.places | other.places, self.networks + other.networks)


class Guard:
    def __init__(
        self, allowed: Allowed | None = None, *, ports: Iterable[int] = WEB_PORTS, resolve: Resolver = look_up
    ) -> None:
        self._allowed = allowed or Allowed()
        self._ports = frozenset(ports)
        self._resolve = resolve

    def addresses(self, host: str, port: int) -> list[str]:
        """Where to connect to for `host`: looked up once, and every one of them looked at. A connection must go to one
        of these and to nothing that is looked up again.

        Raises:
            Refused: a node may not connect there.
            Fault: the name cannot be looked up now.
        """
        host = plain_host(host)
        is_allowed = (host, port) in self._allowed.places
        if not is_allowed and port not in self._ports:
            ports = ", ".join(map(str, sorted(self._ports)))
            raise Refused(f"port {port} of {host} is not open to nodes; these are: {ports} (OUTBOUND_PORTS)")
        addresses = self._looked_up(host, port)
        if not is_allowed:
            for address in addresses:
                self._refuse_special(host, port, address)
        return addresses

    def _looked_up(self, host: str, port: int) -> list[str]:
        try:
            addresses = self._resolve(host, port)
        except (UnicodeError, ValueError) as error:
            raise Refused(f"{host!r} is no name of a host: {error}") from None
        except OSError as error:
            raise Fault(f"{host} cannot be looked up: {error.strerror or error}") from None
        if not addresses:
            raise Fault(f"{host} has no address")
        return addresses

    def _refuse_special(self, host: str, port: int, text: str) -> None:
        address = read_address(text)
        if address is None:
            raise Refused(f"{host} has an address that cannot be read: {text!r}")
        special = what_is_special(address)
        if special is None or any(address in each for each in self._allowed.networks):
            return
        named = host if host == text else f"{host} ({address})"
        allow = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise Refused(f"{named} is a {special} address, which nodes may not reach unless OUTBOUND_ALLOW has {allow}")


def plain_host(host: str) -> str:
    """The one spelling that places are compared in."""
    return host.strip("[]").rstrip(".").lower()
