"""LangGraph: a graph of one node that loops, with its checkpointer."""

from __future__ import annotations

import contextlib
import operator
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph

from bench.load import Load, main


class State(TypedDict):
    """What the graph keeps: how far it is, and the payloads."""

    n: int
    items: Annotated[list[str], operator.add]


@contextlib.contextmanager
def saver(url: str) -> Iterator[Any]:
    """The checkpointer of this database."""
    if url.startswith("sqlite"):
        from langgraph.checkpoint.sqlite import SqliteSaver

        with SqliteSaver.from_conn_string(url.removeprefix("sqlite:///")) as made:
            made.conn.execute("pragma journal_mode=wal")
            made.conn.execute("pragma synchronous=full")
            yield made
    else:
        from langgraph.checkpoint.postgres import PostgresSaver

        with PostgresSaver.from_conn_string(url) as made:
            made.setup()
            yield made


def measure(url: str, load: Load) -> dict[str, float]:
    def step(state: State) -> dict[str, Any]:
        return {"n": state["n"] + 1, "items": [load.text]}

    graph: Any = StateGraph(State)  # type: ignore[bad-specialization]
    graph.add_node("step", step)
    graph.add_edge(START, "step")
    graph.add_conditional_edges("step", lambda state: END if state["n"] >= load.steps else "step")
    with saver(url) as keeper:
        made = graph.compile(checkpointer=keeper)

        def one(run: int) -> None:
            made.invoke(
                {"n": 0, "items": []},
                {"configurable": {"thread_id": str(run)}, "recursion_limit": load.steps + 5},
                durability="sync",
            )

        started = time.perf_counter()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, range(load.runs)))
        took = time.perf_counter() - started
    return {"steps_s": round(load.runs * load.steps / took, 1)}


if __name__ == "__main__":
    main(measure)
