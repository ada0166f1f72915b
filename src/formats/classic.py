"""The older spellings: `name`, `executor`, and the ways out that stand on nodes instead of edges."""

from collections import defaultdict
from collections.abc import Iterable

from src.formats.draft import Draft, Findings, blank, quoted, same

_PYTHON = ("e2b", "static")
_MODEL = ("cached", "ai")
_WAYS_OUT = (("next", None), ("on_true", "true"), ("on_false", "false"))


def read_node(node: Draft, model: tuple[str, str] | None, findings: Findings) -> None:
    """`model` is the workflow's own, with its place: for `llm` nodes which name none."""
    _read_name(node, findings)
    kind = node.fields.get("type")
    if kind in ("action", "decision") or (kind == "llm" and "executor" in node.fields):
        _read_executor(node, findings)
    if node.fields.get("type") == "llm" and blank(node.fields.get("model")) and model:
        node.set("model", *model)


def add_missing_edges(nodes: Iterable[Draft], edges: list[Draft], findings: Findings) -> None:
    """Make edges of `next`, `on_true` and `on_false`, where none says the same. Edges win."""
    leaving: dict[str, list[Draft]] = defaultdict(list)
    for edge in edges:
        if isinstance(edge.fields.get("from"), str):
            leaving[edge.fields["from"]].append(edge)
    for node in nodes:
        node_id = node.fields.get("id")
        known = leaving.pop(node_id, []) if isinstance(node_id, str) else []
        for name, condition in _WAYS_OUT:
            target = node.fields.pop(name, None)
            way = _edge(node, node.where(name), target, condition)
            if not blank(target) and not _is_covered(way, known, findings):
                edges.append(way)
                known.append(way)


def _read_name(node: Draft, findings: Findings) -> None:
    if "name" not in node.fields:
        return
    name, origin = node.fields.pop("name"), node.where("name")
    if blank(node.fields.get("label")):
        node.set("label", name, origin)
    elif not same(node.fields["label"], name):
        findings.warn(origin, 'not carried over: the node has a "label"')


def _read_executor(node: Draft, findings: Findings) -> None:
    fields = node.fields
    written = fields.get("executor")
    executor = written.strip().lower() if isinstance(written, str) else written
    if executor is not None and executor not in _PYTHON + _MODEL:
        return  # the validator names it
    fields.pop("executor", None)
    if executor in _MODEL or fields["type"] == "llm" or _has_only_a_prompt(node):
        _become_llm(node, findings, announced=executor in _MODEL)
        return
    if executor == "e2b" and "network" not in fields:
        node.set("network", True, node.where("executor"))
    _drop_unused(node, findings)


def _has_only_a_prompt(node: Draft) -> bool:
    has = [name for name in ("code", "expression", "prompt") if not blank(node.fields.get(name))]
    return has == ["prompt"]


def _become_llm(node: Draft, findings: Findings, *, announced: bool) -> None:
    fields = node.fields
    if fields["type"] == "decision":
        findings.warn(node.where("type"), 'read as "llm", which chooses no branch: a decision has to follow it')
    elif fields["type"] != "llm" and not announced:
        findings.warn(node.where("type"), f'read as "llm": the {fields["type"]} has a prompt and no code')
    fields["type"] = "llm"
    if "code" in fields:
        _read_code_as_prompt(node, findings)


def _read_code_as_prompt(node: Draft, findings: Findings) -> None:
    code, origin = node.fields.pop("code"), node.where("code")
    if blank(code):
        return
    if not blank(node.fields.get("prompt")):
        findings.warn(origin, "not carried over: an llm node has a prompt and runs no code")
        return
    findings.warn(origin, "read as the prompt: an llm node runs no code")
    node.set("prompt", code, origin)


def _drop_unused(node: Draft, findings: Findings) -> None:
    """Nodes that run code were allowed a prompt and a model, for use with another executor."""
    if blank(node.fields.get("code")):
        return
    for name in ("prompt", "model"):
        if name in node.fields and not blank(node.fields.pop(name)):
            findings.warn(node.where(name), f"not carried over: the {node.fields['type']} runs its code")


def _edge(node: Draft, origin: str, target: object, condition: str | None) -> Draft:
    edge = Draft(origin, {}, origins=dict.fromkeys(("from", "to", "condition"), origin))
    if "id" in node.fields:
        edge.fields["from"] = node.fields["id"]
    edge.fields["to"] = target
    if condition:
        edge.fields["condition"] = condition
    return edge


def _is_covered(way: Draft, known: Iterable[Draft], findings: Findings) -> bool:
    """Whether the edges out of its node say what `way` says, or the contrary."""
    target, condition = way.fields["to"], way.fields.get("condition")
    there = [edge for edge in known if same(edge.fields.get("to"), target)]
    if any(condition in (None, edge.fields.get("condition")) for edge in there):
        return True
    if any(edge.fields.get("condition") == condition for edge in known):
        findings.warn(way.at, f"not followed: the edges lead elsewhere than to {quoted(target)}")
        return True
    return any(_takes_on(edge, way, findings) for edge in there)


def _takes_on(edge: Draft, way: Draft, findings: Findings) -> bool:
    """An edge drawn without a condition gets the one that its node names for the same way."""
    if "condition" in edge.fields:
        return False
    condition = way.fields["condition"]
    edge.set("condition", condition, way.where("condition"))
    findings.warn(edge.at, f"read with the condition {quoted(condition)}, as its node says")
    return True
