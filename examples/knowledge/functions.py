"""The knowledge base's own code: its pages, and the git repository in a folder (`KNOWLEDGE_DATA`) they go to."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

Context = dict[str, Any]
_AUTHOR = ("-c", "user.name=Knowledge", "-c", "user.email=knowledge@example.com", "-c", "commit.gpgsign=false")


def write_index(context: Context) -> Context:
    """The index page, as Markdown, with what every entry says and which others are near it."""
    entries, vectors = context["entries"], context["embed"]
    lines = ["# Knowledge", "", context["synthesise"]["overview"], ""]
    for place, entry in enumerate(entries):
        near = entries[_nearest(place, vectors)]["title"] if len(entries) > 1 else ""
        lines.append(
            f"- [{entry['title']}]({entry['link']}): {entry['summary']} ({', '.join(entry['tags'])}; near: {near})"
        )
    return {"index_page": "\n".join([*lines, ""])}


def publish_to_git(context: Context) -> Context:
    """Commit the pages; nothing is committed where nothing has changed, however often it is called."""
    folder = Path(os.environ.get("KNOWLEDGE_DATA", "data/knowledge"))
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".git").exists():
        _git(folder, "init", "--quiet")
    (folder / "index.md").write_text(context["index_page"], encoding="utf-8")
    entries = json.dumps(context["entries"], ensure_ascii=False, indent=2)
    (folder / "entries.json").write_text(entries, encoding="utf-8")
    _git(folder, "add", "index.md", "entries.json")
    if _git(folder, "status", "--porcelain"):
        _git(folder, *_AUTHOR, "commit", "--quiet", "-m", f"Publish {len(context['entries'])} pages")
    return {"commit": _git(folder, "rev-parse", "HEAD")}


def _nearest(place: int, vectors: list[list[float]]) -> int:
    def distance(other: int) -> float:
        return sum((one - two) ** 2 for one, two in zip(vectors[place], vectors[other], strict=True))

    return min((other for other in range(len(vectors)) if other != place), key=distance)


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()
