"""Trees of agents that hand work on, each another shape: by a seed, which lies in the home of the life."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alfred.actions.grant import Grant
from alfred.runs import ledger, rows
from alfred.runs.rows import NewRun
from tests.crash import world
from tests.crash.parts import Parts, Scenario

TOP = "01K0000000000000000000TR0P"
SEED = "seed"
USUAL = 27
"""The tree of a home without a seed: two children, and batches that are refused."""

DEEPEST = 2
MOST = 5
"""What a run may start at most, by its own policy."""


@dataclass
class Node:
    """What one agent of a tree does: its effects, then one call for each batch of children, then its answer."""

    brief: str
    depth: int
    effects: list[int]
    batches: list[list[Node]] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    """Sizes of batches that it asks for and must not get."""
    fails: bool = False

    def all(self) -> Iterator[Node]:
        yield self
        for batch in self.batches:
            for child in batch:
                yield from child.all()


def tree(seed: int) -> Node:
    """The tree of a seed."""
    chance, number = random.Random(seed), iter(range(1, 10_000))

    def node(depth: int) -> Node:
        n = next(number)
        made = Node(f"task {n}.", depth, [next(number) for _ in range(chance.randint(0, 2))])
        batches = chance.choice((1, 1, 2)) if depth == 0 else chance.choice((0, 0, 1))
        for _ in range(batches if depth < DEEPEST else 0):
            made.batches.append([node(depth + 1) for _ in range(chance.choice((1, 2, 2, 3, 5)))])
        if depth == DEEPEST and chance.random() < 0.3:
            made.refused.append(1)
        if depth < DEEPEST and chance.random() < 0.3:
            made.refused.append(MOST + 1)
        made.fails = depth > 0 and chance.random() < 0.2
        return made

    return node(0)


def of(home: Path) -> Node:
    """The tree of a life."""
    seed = home / SEED
    return tree(int(seed.read_text()) if seed.exists() else USUAL)


def _turns(node: Node) -> list[dict[str, Any]]:
    effects = [_call("world.keyed", n=n) for n in node.effects]
    noted = _call("scratch.write", path="plan" if node.depth == 0 else "?", value=node.brief)
    turns = [{"say": "I begin.", "calls": [*effects, noted]}]
    for batch in [[child.brief for child in children] for children in node.batches]:
        turns.append({"calls": [_call("agents.delegate", briefs=batch)]})
    for size in node.refused:
        briefs = [f"{node.brief} too much {n}" for n in range(size)]
        turns.append({"calls": [_call("agents.delegate", briefs=briefs)]})
    return turns if node.fails else [*turns, {"say": f"Done with {node.brief}"}]


def _call(tool: str, **args: Any) -> dict[str, Any]:
    return {"tool": tool, "args": args}


def _begin(parts: Parts) -> None:
    script = parts.home / "tree.json"
    if not script.exists():
        runs = [
            {"match": f"^{node.brief}$", "turns": _turns(node)} for node in of(parts.home).all()
        ]
        own = parts.home / f"tree-{os.getpid()}.json"
        own.write_text(json.dumps({"runs": runs}))
        own.replace(script)  # others may begin at the same time
    parts.store.transact(
        ledger.start,
        NewRun(
            id=TOP,
            workflow="agent",
            step="boss-turn",
            brief=of(parts.home).brief,
            model=f"scripted:{script}",
            grants=Grant(
                actions=frozenset({"world.*", "agents.delegate", "scratch.*"}), scratch=""
            ).encode(),
            workspace=json.dumps({"root": str(parts.home), "made": False, "trusted": True}),
            session_id=TOP,
        ),
    )


def _as_planned(parts: Parts) -> list[str]:
    """Every agent that was to be there was there once and ended as it was to, and nobody else."""
    wrong: list[str] = []
    top = of(parts.home)
    found = parts.all("select id,brief,status,depth,parent_id,root_id from runs order by id")
    planned = {node.brief: node for node in top.all()}
    if sorted(row.brief for row in found) != sorted(planned):
        wrong.append(f"{sorted(row.brief for row in found)} worked, not {sorted(planned)}")
    parents = {child.brief: node.brief for node in top.all() for b in node.batches for child in b}
    briefs = {row.id: row.brief for row in found}
    for row in found:
        node = planned.get(row.brief)
        if node is None:
            continue
        status = "failed" if node.fails else "completed"
        if (row.status, row.depth, row.root_id) != (status, node.depth, TOP):
            wrong.append(f"{row.brief} is {row.status} at depth {row.depth}")
        if briefs.get(row.parent_id or "") != parents.get(row.brief):
            wrong.append(f"{row.brief} is a child of {briefs.get(row.parent_id or '')}")
        wrong += _told(parts, row.id, node)
    took = world.took_place(parts.home)
    wanted = {n: 1 for node in top.all() for n in node.effects}
    if dict(took) != wanted:
        wrong.append(f"effects {dict(took)}, not {wanted}")
    names = {row.path for row in parts.all("select path from scratch")}
    answers = {f"{rows.notes_of(r.id)}result" for r in found if r.depth and r.status == "completed"}
    if names != {"plan", *answers}:
        wrong.append(f"the scratch has {sorted(names)}")
    return wrong


def _told(parts: Parts, run_id: str, node: Node) -> list[str]:
    """What an agent was told of those that it has started: of each one, once."""
    said = [
        json.loads(json.loads(row.item)["text"])
        for row in parts.all(
            "select item from transcript where run_id=:id and kind='result' order by n", id=run_id
        )
        if json.loads(row.item)["tool"] == "agents__delegate"
    ]
    answers = [one for one in said if "agents" in one]
    briefs = [[child["brief"] for child in one["agents"]] for one in answers]
    wrong = []
    if briefs != [[child.brief for child in batch] for batch in node.batches]:
        wrong.append(f"{node.brief} was told of {briefs}")
    if len(said) - len(answers) != len(node.refused):
        wrong.append(f"{node.brief} was refused {len(said) - len(answers)} times")
    statuses = [[child["status"] for child in one["agents"]] for one in answers]
    planned = [["failed" if c.fails else "completed" for c in batch] for batch in node.batches]
    if statuses != planned:
        wrong.append(f"{node.brief} was told {statuses}")
    return wrong


AGENTS = Scenario(name="agents", begin=_begin, ends={}, at_most=range(10_000), also=_as_planned)
