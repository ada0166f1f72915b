"""What a run may use and nothing that is kept may show: the values of its client, by key."""

from collections.abc import Collection

from src.core.masking import Mask
from src.core.outcome import Context


class Credentials:
    """Flat values: a key is found in `context` while a node runs, unless the context has such a key of its own.

    Args:
        plain: keys whose values are no secrets, such as the name of a host: nothing looks for those.
    """

    def __init__(self, values: Context, plain: Collection[str] = ()) -> None:
        self.values = values
        self.mask = Mask({key: value for key, value in values.items() if key not in plain})

    def __repr__(self) -> str:
        return f"<Credentials: {len(self.values)} values>"

    def under(self, context: Context) -> Context:
        """What a node sees: the context, with these values where it has none."""
        return {**self.values, **context} if self.values else context

    def not_inherited(self, output: Context, context: Context) -> Context:
        """`output` without what the node only had from here: code that answers all it has seen has changed nothing."""
        if not self.values:
            return output
        return {key: value for key, value in output.items() if key in context or not self._has(key, value)}

    def _has(self, key: str, value: object) -> bool:
        return key in self.values and self.values[key] == value


NO_CREDENTIALS = Credentials({})
