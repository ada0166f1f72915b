"""The stand-in service: chat completions, images, embeddings and moderations as OpenAI's API speaks them, search as
SearXNG answers, daily prices as Alpha Vantage writes them, reputations, pages, and a place to notify.
"""

import asyncio
import hashlib
import re
import struct
import time
import zlib
from base64 import b64encode
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response

from examples.services.personas import PERSONAS, Calls
from examples.services.world import ARCHIVE, PAGES, PRICES, reputation

Json = dict[str, Any]
FLAGGED = re.compile(r"\b(weapon|gamble|miracle cure)\w*", re.IGNORECASE)
DIMENSIONS = 8

models = APIRouter(prefix="/v1")
world = APIRouter()


def create_app(*, slow_seconds: float = 0.2) -> FastAPI:
    """`slow_seconds`: what a reputation takes; the real ones take 10 to 30."""
    app = FastAPI(title="Stand-in services")
    app.state.slow_seconds, app.state.notified = slow_seconds, []
    app.include_router(models)
    app.include_router(world)
    return app


@models.post("/chat/completions")
def chat(body: Json) -> Json:
    messages = body["messages"]
    system = " ".join(each["content"] for each in messages if each["role"] == "system")
    persona = re.search(r"You are the (\w+)", system)
    answer = PERSONAS[persona[1] if persona else "echo"](messages)
    return completion(body, answer)


@models.post("/images/generations")
def images(body: Json) -> Json:
    picture = {"b64_json": b64encode(drawn(body["prompt"])).decode()}
    return {"created": int(time.time()), "data": [picture] * int(body.get("n", 1))}


@models.post("/embeddings")
def embeddings(body: Json) -> Json:
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    data = [{"object": "embedding", "index": place, "embedding": vector(text)} for place, text in enumerate(texts)]
    return {"object": "list", "data": data, "model": body["model"], "usage": tokens(" ".join(texts), "")}


@models.post("/moderations")
def moderations(body: Json) -> Json:
    found = FLAGGED.search(str(body["input"]))
    result = {"flagged": bool(found), "categories": {"illicit": bool(found)}}
    return {"id": "modr-1", "model": "stand-in", "results": [result]}


@world.get("/search")
def search(q: str) -> Json:
    wanted = {word for word in re.findall(r"\w+", q.lower()) if len(word) > 3}  # noqa: PLR2004
    found = [each for each in ARCHIVE if wanted & set(re.findall(r"\w+", f"{each['title']} {each['content']}".lower()))]
    return {"query": q, "number_of_results": len(found), "results": found}


@world.get("/query")
def market(symbol: str, function: str = "TIME_SERIES_DAILY") -> Json:
    days = {day: {"1. open": first, "4. close": last} for day, first, last in PRICES.get(symbol, [])}
    return {"Meta Data": {"1. Information": function, "2. Symbol": symbol}, "Time Series (Daily)": days}


@world.get("/reputation")
async def look_up(request: Request, kind: str, value: str) -> Json:
    await asyncio.sleep(request.app.state.slow_seconds)
    return reputation(kind, value)


@world.get("/pages/{name}")
def page(name: str) -> Response:
    if name not in PAGES:
        raise HTTPException(404, f"there is no page {name}")
    return Response(PAGES[name], media_type="text/html")


@world.post("/notify")
def notify(request: Request, body: Json) -> Json:
    request.app.state.notified.append(body)
    return {"count": len(request.app.state.notified)}


@world.get("/notified")
def what_was_notified(request: Request) -> list[Json]:
    found: list[Json] = request.app.state.notified
    return found


def words_of(text: str) -> set[str]:
    return set(re.findall(r"\w{4,}", text.lower()))


def completion(body: Json, answer: str | Calls) -> Json:
    if isinstance(answer, str):
        message: Json = {"role": "assistant", "content": answer}
    else:
        message = {"role": "assistant", "content": None, "tool_calls": answer.as_json}
    said = " ".join(str(each.get("content")) for each in body["messages"])
    return {
        "id": "chatcmpl-" + hashlib.sha256(said.encode()).hexdigest()[:12],
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [
            {"index": 0, "message": message, "finish_reason": "stop" if isinstance(answer, str) else "tool_calls"}
        ],
        "usage": tokens(said, str(message["content"])),
    }


def tokens(said: str, answered: str) -> Json:
    """As a rule of thumb, four letters are one."""
    asked, told = len(said) // 4 + 1, len(answered) // 4 + 1
    return {"prompt_tokens": asked, "completion_tokens": told, "total_tokens": asked + told}


def vector(text: str) -> list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    return [round(byte / 255, 4) for byte in digest[:DIMENSIONS]]


def drawn(prompt: str) -> bytes:
    """A PNG of 16 by 16 in the colour of the prompt."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    row = b"\0" + hashlib.sha256(prompt.encode()).digest()[:3] * 16
    head = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row * 16)) + chunk(b"IEND", b"")
