"""The operator's language models: where they answer, with which key, and what their tokens cost. No I/O here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from src.outside.guard import Allowed
from src.outside.messages import SCHEMES

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Models:
    """What `llm`, `agent` and `image` nodes use where they name nothing themselves."""

    base_url: str = ""
    api_key: str = field(default="", repr=False)
    """Sent to `base_url` and nowhere else."""
    model: str = ""
    image_model: str = ""
    prices: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Model -> US dollars for a million tokens in, and out."""

    @property
    def allowed(self) -> Allowed:
        """The operator's own endpoint may be on this machine, for these nodes alone."""
        url = urlsplit(self.base_url)
        if not url.hostname or url.scheme not in SCHEMES:
            return Allowed()
        return Allowed(frozenset({(url.hostname, url.port or SCHEMES[url.scheme])}))

    def cost_usd(self, model: str, tokens_in: int, tokens_out: int) -> float | None:
        """None where nobody has said what it costs."""
        price = self.prices.get(model)
        return None if price is None else (tokens_in * price[0] + tokens_out * price[1]) / MILLION


def read_prices(text: str) -> dict[str, tuple[float, float]]:
    """From `model=0.15/0.60`, with commas between.

    Raises:
        ValueError: that is not how it is written.
    """
    prices = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        model, equals, pair = part.rpartition("=")
        price_in, slash, price_out = pair.partition("/")
        if not (model and equals and slash):
            raise ValueError(f"expected model=dollars in/dollars out for a million tokens, got {part!r}")
        prices[model.strip()] = (float(price_in), float(price_out))
    return prices
