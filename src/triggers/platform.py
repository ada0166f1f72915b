"""How long a platform's proxy waits for an answer, and how much of that a run may use."""

LIMITS_SECONDS = {"heroku": 30.0, "cloudflare": 120.0, "railway": 300.0}
"""Heroku's router (H12), Cloudflare's proxy read time-out (524), Railway's edge."""
SHARE = 25 / 30
"""What is left of a limit for the way there and back: 25 s of Heroku's 30, as `INLINE_BUDGET_SECONDS` has it."""


def limit_seconds(platform: str) -> float:
    """The limit of a platform by its name, or a number of seconds. Raises ValueError."""
    known = LIMITS_SECONDS.get(platform)
    try:
        seconds = float(platform) if known is None else known
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"expected {', '.join(sorted(LIMITS_SECONDS))} or a number of seconds, got {platform!r}")
    return seconds
