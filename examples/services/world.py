"""What the stand-in service knows: an archive, prices, pages, and who has a bad name."""

from typing import Any

ARCHIVE: list[dict[str, str]] = [
    {
        "title": "ACME opens a second plant",
        "url": "https://news.example/acme-plant",
        "content": "ACME opened a second plant in October, which doubles what it can make.",
    },
    {
        "title": "Copper gets cheaper",
        "url": "https://news.example/copper",
        "content": "Copper fell to its lowest price since spring, to the relief of those who share a market with ACME.",
    },
    {
        "title": "Ferries are on time again",
        "url": "https://news.example/ferries",
        "content": "After a stormy month the ferries keep to their timetable.",
    },
]
PRICES: dict[str, list[tuple[str, str, str]]] = {
    "ACME": [
        ("2026-11-16", "100.0000", "101.5000"),
        ("2026-11-17", "101.5000", "104.0000"),
        ("2026-11-18", "104.0000", "103.2000"),
        ("2026-11-19", "103.2000", "108.4000"),
    ]
}
_PAGE = "<html><head><title>{}</title></head><body><p>{}</p></body></html>"
PAGES: dict[str, str] = {
    "durable": _PAGE.format(
        "Durable runs",
        "Durable workflows write a checkpoint after every step. A checkpoint lets a workflow go on after a crash.",
    ),
    "queues": _PAGE.format(
        "Rows as queues",
        "Databases make good queues for most teams. A workflow in the queue is a row, its checkpoint is another.",
    ),
    "sandbox": _PAGE.format(
        "Walls around code",
        "Sandboxes keep strangers away from secrets. Kernel filters refuse what a sandbox does not need.",
    ),
}
BAD_NAMES = ("secure-login", "verify-account", "+49 900", "Quick Wins")


def reputation(kind: str, value: str) -> dict[str, Any]:
    bad = next((each for each in BAD_NAMES if each in value), None)
    why = f"{bad!r} has been reported before" if bad else "nothing is known against it"
    return {"kind": kind, "value": value, "risk": "high" if bad else "low", "why": why}
