"""Workflows that meet the world, and what is done to them while they run. How they end must not depend on where."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.end_to_end.fleet import PATIENCE_SECONDS
from tests.runtime.building import call, eventually, graph

Json = dict[str, Any]
OWN = ("effects", "gate")
"""Keys of the context that say where a run leaves its lines, and nothing of how it ends."""


class Place(NamedTuple):
    """Where a scenario is played: a server, and a folder that its runs see."""

    call: Callable[[str, Json | None], Json]
    """A path, and a body to POST, if any; answers the body of the answer."""
    folder: Path
    is_behind: bool
    """Runs go straight into the queue."""


@dataclass
class Play:
    """A run of a scenario, and what can be done to it."""

    place: Place
    name: str
    execution_id: int = 0

    @property
    def gate(self) -> Path:
        return self.place.folder / f"gate of {self.name}"

    @property
    def effects(self) -> Path:
        return self.place.folder / f"effects of {self.name}"

    def begin(self, definition: Json, context: Json) -> None:
        saved = self.place.call("/workflows", {"name": self.name, "graph_definition": definition})
        given = {**context, "effects": str(self.effects), "gate": str(self.gate)}
        query = "?async_mode=true" if self.place.is_behind else ""
        self.execution_id = self.place.call(f"/workflows/{saved['id']}/execute{query}", {"initial_context": given})[
            "id"
        ]

    def look(self, path: str = "") -> Json:
        return self.place.call(f"/executions/{self.execution_id}{path}", None)

    def do(self, what: str, body: Json | None = None) -> None:
        self.place.call(f"/executions/{self.execution_id}/{what}", body or {})

    def wait_until(self, what: str, is_so: Callable[[Json], bool]) -> None:
        eventually(lambda: is_so(self.look()), seconds=PATIENCE_SECONDS, what=f"{self.name}: {what}")

    def wait_for_effect(self, node_id: str) -> None:
        def is_there() -> bool:
            return self.effects.exists() and f"/{node_id}\n" in self.effects.read_text()

        eventually(is_there, seconds=PATIENCE_SECONDS, what=f"{self.name}: {node_id}")

    def end(self) -> Json:
        """How it ended, and those that it has started; without what says where, and when."""
        self.wait_until("its end", lambda seen: seen["completed_at"] is not None)
        return self._told(self.execution_id)

    def _told(self, execution_id: int) -> Json:
        seen = self.place.call(f"/executions/{execution_id}", None)
        chain = self.place.call(f"/executions/{execution_id}/chain", None)["entries"]
        below = self.place.call(f"/executions?parent_id={execution_id}", None)["executions"]
        children = sorted(below, key=lambda child: (child["parent_node_id"], child["parent_item"]))
        error = seen["error"] or {}
        return {
            "status": seen["status"],
            "result": seen["result"] and {key: value for key, value in seen["result"].items() if key not in OWN},
            "error": {name: error.get(name) for name in ("type", "class", "node_id", "message")},
            "chain": [(entry["node_id"], entry["status"], entry["attempt"]) for entry in chain],
            "children": [self._told(child["id"]) for child in children],
        }


def answer_the_review(play: Play) -> None:
    play.wait_until("the question", lambda seen: bool(seen["waiting_for"] == "review"))
    play.do("nodes/ask/review", {"decision": "approve", "comment": "fine", "output": {"words": 7}})


def pause_and_resume(play: Play) -> None:
    play.wait_for_effect("hold")
    play.do("pause")
    play.gate.touch()
    play.wait_until("the pause", lambda seen: bool(seen["status"] == "paused"))
    play.do("resume")


def stop(play: Play) -> None:
    play.wait_for_effect("hold")
    play.do("stop")
    play.gate.touch()


@dataclass(frozen=True)
class Scenario:
    ends_as: str
    definition: Json
    context: Json = field(default_factory=dict)
    acts: Sequence[Callable[[Play], None]] = ()
    others: Json = field(default_factory=dict)
    """Workflows that it calls, by name."""

    def play(self, name: str, place: Place) -> Json:
        """From its beginning to its end; answers that."""
        for other, definition in self.others.items():
            place.call("/workflows", {"name": other, "graph_definition": definition})
        play = Play(place, name)
        play.begin(self.definition, self.context)
        for act in self.acts:
            act(play)
        assert (play.look()["mode"] == "celery") == place.is_behind
        return play.end()


SOON = {"max_attempts": 3, "interval_seconds": 0.01, "jitter": "none"}
LINE = graph("start -> first, first -> hold, hold -> last, last -> end",
    first=call("work"), hold=call("hold"), last=call("work"))  # fmt: skip
FORM = {"type": "object", "required": ["words"]}
DOUBLE = graph(
    "start -> double, double -> end", double={"type": "transform", "set": {"double": "{{ context.item * 2 }}"}}
)

STUCK = {"type": "action", "code": "while True: pass", "timeout": 0.2, "retry": {"max_attempts": 1}}
REST = {"type": "wait", "seconds": 0.4}

SCENARIOS = {
    "a retry that succeeds": Scenario(
        "completed", graph("start -> shaky, shaky -> end", shaky=call("fail_first") | {"retry": SOON})
    ),
    "a retry in vain": Scenario(
        "failed",
        graph("start -> shaky, shaky -> end", shaky=call("fail_first") | {"retry": SOON | {"max_attempts": 2}}),
    ),
    "an error edge": Scenario(
        "completed",
        graph(
            "start -> broken, broken -error-> mend, broken -> never, mend -> end, never -> end",
            broken=call("refuse"),
            mend={"type": "transform", "set": {"why": "{{ context.error.message }}"}},
            never=call("work"),
        ),
        {"order": 1},
    ),
    "a review": Scenario(
        "completed",
        graph(
            "start -> ask, ask -approve-> publish, ask -reject-> drop, publish -> end, drop -> end",
            ask={"type": "review", "title": "Publish {{ context.order }}?", "form": FORM},
            publish={"type": "transform", "set": {"words": "{{ context.ask.output.words }}"}},
            drop=call("work"),
        ),
        {"order": 1},
        [answer_the_review],
    ),
    "a wait": Scenario(
        "completed",
        graph("start -> rest, rest -> work, work -> end", rest={"type": "wait", "seconds": 0.7}, work=call("work")),
        {"order": 1},
    ),
    "a pause": Scenario("completed", LINE, {"order": 1}, [pause_and_resume]),
    "a stop": Scenario("stopped", LINE, {"order": 1}, [stop]),
    "children": Scenario(
        "completed",
        graph(
            "start -> call, call -> each, each -> count, count -> end",
            call={"type": "workflow", "workflow": "twice", "context": {"item": "{{ context.order }}"}},
            each={"type": "map", "items": "[3, 1, 2]", "graph": DOUBLE, "concurrency": 2},
            count={"type": "transform", "set": {"sum": "{{ context.call.double + context.each[2].double }}"}},
        ),
        {"order": 1},
        others={"twice": DOUBLE},
    ),
    "a node that takes too long": Scenario(
        "failed", graph("start -> work, work -> stuck, stuck -> end", work=call("work"), stuck=STUCK), {"order": 1}
    ),
    "a run that takes too long": Scenario(
        "failed",
        graph("start -> rest, rest -> work, work -> end", rest=REST, work=call("work")) | {"timeout": 0.2},
        {"order": 1},
    ),
}
