"""What the stand-in model says: a few characters, chosen by "You are the ..." in the system message."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Messages = list[Json]

LINK = re.compile(r"https?://[^\s,]+")
PHONE = re.compile(r"\+\d[\d ]{6,}\d")
COMPANY = re.compile(r"(?:[A-Z]\w+ )+(?:GmbH|Ltd|Inc|AG)\b")
RESEARCH = re.compile(r"\b(why|report|market|share|analyse|article)\b", re.IGNORECASE)
MAX_TAGS = 3
MIN_WORD = 6


@dataclass(frozen=True)
class Calls:
    """What the model asks its tools."""

    calls: list[tuple[str, Json]]

    @property
    def as_json(self) -> list[Json]:
        return [
            {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for place, (name, arguments) in enumerate(self.calls)
        ]


def asked(messages: Messages) -> str:
    return next(str(each["content"]) for each in reversed(messages) if each["role"] == "user")


def asked_json(messages: Messages) -> Json:
    found: Json = json.loads(asked(messages))
    return found


def echo(messages: Messages) -> str:
    return f"You said: {asked(messages)}"


def copywriter(messages: Messages) -> str:
    product = asked(messages).strip().rstrip(".")
    return json.dumps({"headline": f"{product}: made to last", "body": f"Meet {product}. Simple, sturdy, yours."})


def scanner(messages: Messages) -> str | Calls:
    text, heard = asked(messages), [each["content"] for each in messages if each["role"] == "tool"]
    if not heard:
        kinds = (("scan_link", "link", LINK), ("scan_phone", "phone", PHONE), ("scan_company", "company", COMPANY))
        calls = [(tool, {name: found}) for tool, name, pattern in kinds for found in pattern.findall(text)]
        return Calls(calls) if calls else json.dumps({"verdict": "harmless", "reasons": []})
    findings = [json.loads(each)["finding"] for each in heard if each.startswith("{")]
    reasons = [f"{each['kind']} {each['value']}: {each['why']}" for each in findings if each["risk"] == "high"]
    return json.dumps({"verdict": "suspicious" if reasons else "harmless", "reasons": reasons})


def desk(messages: Messages) -> str:
    question = asked(messages)
    if RESEARCH.search(question):
        return json.dumps({"needs_research": True, "answer": "This takes some research: it is under way."})
    return json.dumps({"needs_research": False, "answer": f"In short: {question.rstrip('?')}? Yes, since 1994."})


def analyst(messages: Messages) -> str:
    question = asked(messages)
    symbol = re.search(r"\b[A-Z]{3,5}\b", question)
    return json.dumps({"search": question.rstrip("?"), "symbol": symbol[0] if symbol else "ACME"})


def author(messages: Messages) -> str:
    found = asked_json(messages)
    days = sorted(found["prices"].items())
    first, last = float(days[0][1]["1. open"]), float(days[-1][1]["4. close"])
    change = round((last - first) / first * 100, 1)
    moved = "rose" if change > 0 else "fell"
    told = " ".join(each["content"] for each in found["sources"])
    headline = f"{found['symbol']} {moved} {abs(change)} percent in {len(days)} days"
    return json.dumps({"headline": headline, "article": f"{headline}. {told}"})


def librarian(messages: Messages) -> str:
    text = asked(messages)
    words = Counter(word for word in re.findall(r"[a-z]+", text.lower()) if len(word) >= MIN_WORD)
    tags = sorted(words, key=lambda word: (-words[word], word))[:MAX_TAGS]
    return json.dumps({"summary": text.partition(".")[0].strip() + ".", "tags": tags})


def synthesist(messages: Messages) -> str:
    items = json.loads(asked(messages))
    counted = Counter(tag for item in items for tag in item["tags"])
    themes = sorted(counted, key=lambda tag: (-counted[tag], tag))[:MAX_TAGS]
    return json.dumps({"themes": themes, "overview": f"{len(items)} pages, mostly about {', '.join(themes)}."})


PERSONAS: dict[str, Callable[[Messages], str | Calls]] = {
    "echo": echo,
    "copywriter": copywriter,
    "scanner": scanner,
    "desk": desk,
    "analyst": analyst,
    "author": author,
    "librarian": librarian,
    "synthesist": synthesist,
}
