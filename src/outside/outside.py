"""What an installation lends to the nodes that call something outside."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from src.outside.breaker import Breakers
from src.outside.bridge import Bridge
from src.outside.guard import WEB_PORTS, Allowed, Guard, Resolver, look_up
from src.outside.models import Models

if TYPE_CHECKING:
    from src.outside.http import HttpClient


@dataclass(frozen=True)
class Outside:
    """Opens nothing before it is used."""

    allowed: Allowed = field(default_factory=Allowed)
    ports: Iterable[int] = WEB_PORTS
    max_bytes: int = 4 * 1024 * 1024
    breakers: Breakers = field(default_factory=Breakers)
    models: Models = field(default_factory=Models)
    resolve: Resolver = look_up

    @cached_property
    def http(self) -> "HttpClient":
        return self._http(self.allowed)

    @cached_property
    def bridge(self) -> Bridge:
        return Bridge(self)

    @cached_property
    def models_http(self) -> "HttpClient":
        """For the operator's own models alone, wherever they are."""
        return self._http(self.allowed | self.models.allowed)

    def _http(self, allowed: Allowed) -> "HttpClient":
        from src.outside.http import HttpClient  # noqa: PLC0415 -- its libraries take a while to import

        guard = Guard(allowed, ports=self.ports, resolve=self.resolve)
        return HttpClient(guard, self.breakers, max_bytes=self.max_bytes)
