"""The newsroom's own code: an archive of what was published, as files in a folder (`NEWSROOM_DATA`)."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

Context = dict[str, Any]


def query_archive(context: Context) -> Context:
    """What was published about the same symbol before."""
    symbol = context["analyst"]["symbol"]
    articles = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(_folder().glob("*.json"))]
    return {"earlier": [each["headline"] for each in articles if each["symbol"] == symbol]}


def publish_article(context: Context) -> Context:
    """Write the article into the archive, under a name that is the same however often it is called."""
    article = context["article"]
    headline = (context["editor"].get("output") or {}).get("headline") or article["headline"]
    name = hashlib.sha256(context["question"].encode()).hexdigest()[:16]
    path = _folder() / f"{name}.json"
    kept = {"headline": headline, "article": article["article"], "symbol": context["analyst"]["symbol"]}
    path.write_text(json.dumps(kept, ensure_ascii=False, indent=2), encoding="utf-8")
    return {"published_as": path.name, "article": {**article, "headline": headline}}


def _folder() -> Path:
    folder = Path(os.environ.get("NEWSROOM_DATA", "data/newsroom"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
