"""What a broker says of itself. Asked for by `python -m src doctor` alone."""

from dataclasses import dataclass
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError, ResponseError


@dataclass(frozen=True, slots=True)
class BrokerState:
    address: str
    """Without its password."""
    version: str
    eviction_policy: str | None
    """What happens to keys when its memory is full; None where it does not tell, as with some hosts."""


def ask_broker(app: Celery) -> BrokerState:
    """Raises ConnectionError where it does not answer."""
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
            client = connection.default_channel.client
            return BrokerState(connection.as_uri(), client.info("server")["redis_version"], _eviction_policy(client))
    except (OperationalError, RedisError, OSError) as error:
        raise ConnectionError(str(error)) from None


def _eviction_policy(client: Any) -> str | None:
    try:
        return str(client.config_get("maxmemory-policy")["maxmemory-policy"])
    except (ResponseError, KeyError):  # CONFIG is forbidden there
        return None
