"""Short names for the verbs of the ledger, so that a test says what happens and not how it is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from alfred import clock, ids
from alfred.actions import approvals
from alfred.actions.ledger import approvals as approvals_ledger
from alfred.actions.ledger import calls
from alfred.actions.ledger.approvals import Approval, NewCard
from alfred.runs import claims, endings, leases, ledger, rows
from alfred.runs.ledger import Committed
from alfred.runs.rows import Caps, Full, Holder, Item, Lease, NewRun, Run, Step
from alfred.runs.states import Status, Wait
from alfred.store.connect import Store
from alfred.store.statement import Sql
from alfred.store.tx import Tx

LEASE = 30 * clock.SECOND


def roomy(_tenant: str, _agent: str) -> Caps:
    return Caps(total=100, per_agent=100)


def holder(lease_us: int = LEASE) -> Holder:
    return Holder(worker=ids.new(), boot=leases.boot(), lease_us=lease_us)


def intend(tx: Tx, lease: Lease, call: calls.Call, **more: Any) -> None:
    """An intent, as a step writes it: by who holds the run."""
    rows.hold(tx, lease)
    calls.intend(tx, lease, call, **more)


class Core:
    """A ledger, and one worker that asks for nothing."""

    def __init__(self, store: Store):
        self.store = store
        self.do = store.transact
        self.me = holder()

    # ---- rows ----

    def run(self, run_id: str) -> Run:
        with self.store.read() as look:
            found = rows.get(look, run_id)
        assert found is not None
        return found

    def lease_until(self, run_id: str) -> int:
        """The lease of a running run."""
        until = self.run(run_id).lease_until
        assert until is not None
        return until

    def one(self, statement: str, **params: Any) -> Any:
        with self.store.read() as look:
            return look(Sql(statement), **params).scalar()

    def all(self, statement: str, **params: Any) -> list[tuple[Any, ...]]:
        with self.store.read() as look:
            return [tuple(row) for row in look(Sql(statement), **params).all()]

    def write(self, statement: str, **params: Any) -> int:
        """Rows as a test wants them, past every verb."""
        return self.do(lambda tx: tx(Sql(statement), **params).rowcount)

    def events(self, run_id: str) -> list[str]:
        return [
            kind
            for (kind,) in self.all("select kind from events where run_id=:r order by id", r=run_id)
        ]

    # ---- runs ----

    def start(self, **fields: Any) -> str:
        fields = {"id": ids.new(), "workflow": "w", "step": "first", **fields}
        assert self.do(ledger.start, NewRun(**fields))
        return fields["id"]

    def claim(
        self,
        hint: str | None = None,
        *,
        caps: Callable[..., Caps] = roomy,
        by: Holder | None = None,
        **more: Any,
    ) -> tuple[Lease, Run] | Full | None:
        return self.do(claims.claim, by or self.me, caps, hint=hint, **more)

    def held(self, *, by: Holder | None = None, **fields: Any) -> Lease:
        """A fresh run, claimed."""
        return self.take(self.start(**fields), by=by)

    def take(self, run_id: str, *, by: Holder | None = None) -> Lease:
        taken = self.claim(run_id, by=by)
        assert isinstance(taken, tuple) and taken[1].id == run_id, taken
        return taken[0]

    def step(
        self, *writes: Callable[[Tx, int], None], token: str | None = None, **more: Any
    ) -> Step:
        return Step(
            token=token or ids.new(),
            name="s",
            started=clock.now(),
            items=(Item(kind="note", item={"kind": "note", "text": "x"}),),
            writes=writes,
            **more,
        )

    def advance(
        self, lease: Lease, *, step: Step | None = None, seq: int | None = None
    ) -> Committed:
        at = self.run(lease.run_id).seq if seq is None else seq
        return self.do(
            ledger.advance, lease, at, step or self.step(), to="next", lease_us=self.me.lease_us
        )

    def park(
        self,
        lease: Lease,
        wait: Wait,
        *,
        for_us: int = clock.HOUR,
        step: Step | None = None,
        seq: int | None = None,
        **more: Any,
    ) -> Committed:
        at = self.run(lease.run_id).seq if seq is None else seq
        return self.do(
            ledger.park,
            lease,
            at,
            step or self.step(),
            to="next",
            wait=wait,
            for_us=for_us,
            lease_us=self.me.lease_us,
            **more,
        )

    def finish(
        self,
        lease: Lease,
        status: Status = Status.COMPLETED,
        *,
        step: Step | None = None,
        seq: int | None = None,
        **more: Any,
    ) -> Committed:
        at = self.run(lease.run_id).seq if seq is None else seq
        return self.do(
            ledger.finish,
            lease,
            at,
            step or self.step(),
            again="again",
            status=status,
            lease_us=self.me.lease_us,
            **more,
        )

    def child(self, parent: str, **fields: Any) -> str:
        fields = {"id": ids.new(), **fields}
        fields.setdefault("parent_call", f"call:{fields['id']}")
        above = self.run(parent)
        return self.start(
            parent_id=parent,
            root_id=above.root_id,
            depth=above.depth + 1,
            **fields,
        )

    def cancel(self, run_id: str) -> bool:
        return self.do(endings.cancel, run_id, by="me", token=ids.new())

    def message(self, run_id: str, **more: Any) -> Run | None:
        said = {"message_id": ids.new(), "body": "hello", "author": "me", **more}
        return self.do(ledger.message, run_id, **said)

    # ---- calls and cards ----

    def staged(
        self,
        lease: Lease,
        *,
        kinds: Sequence[str] = ("action",),
        parked: bool = True,
        risk: str = "medium",
        effect: str = "blind",
        **card: Any,
    ) -> list[str]:
        """Proposes calls and stages the cards of those that are asked; `none` is a call that is not. The cards' ids."""
        turn = self.run(lease.run_id).turn
        new = [
            calls.NewCall(
                id=ids.new(),
                run_id=lease.run_id,
                turn=turn,
                ordinal=ordinal,
                action="world.act",
                args="{}",
                args_hash="said",
                effect=effect,
            )
            for ordinal in range(len(kinds))
        ]
        cards: list[str] = []

        def write(tx: Tx, _seq: int) -> None:
            calls.propose(tx, new)
            for call, kind in zip(new, kinds, strict=True):
                calls.judge(
                    tx,
                    calls.Judgement(
                        call_id=call.id,
                        status="proposed" if kind == "none" else "staged",
                        action=call.action,
                        effect=effect,
                        risk="none" if kind == "none" else risk,
                        args_hash=f"hash of {call.id}",
                        question=kind == "question",
                    ),
                )
                if kind != "none":
                    cards.append(ids.new())
                    approvals.stage(
                        tx, self.card(lease, call.id, id=cards[-1], kind=kind, risk=risk, **card)
                    )

        if parked:
            self.park(lease, Wait.APPROVAL, step=self.step(write))
        else:
            self.advance(lease, step=self.step(write))
        return cards

    def card(self, lease: Lease, call_id: str, **fields: Any) -> NewCard:
        fields = {
            "id": ids.new(),
            "kind": "action",
            "risk": "medium",
            "args_hash": f"hash of {call_id}",
            **fields,
        }
        return NewCard(
            call_id=call_id,
            run_id=lease.run_id,
            tenant=lease.tenant,
            agent=lease.agent,
            action="world.act",
            title="t",
            preview="p",
            **fields,
        )

    def decide(self, card: str, decision: str = "approve", **more: Any) -> Approval:
        said = {"by": "me", "via": "test", "token": ids.new(), **more}
        return self.do(
            approvals.decide, approvals.Decision(approval_id=card, decision=decision, **said)
        )

    def approval(self, card: str) -> Approval:
        with self.store.read() as look:
            found = approvals_ledger.get(look, card)
        assert found is not None
        return found

    def call(self, call_id: str) -> calls.Call:
        with self.store.read() as look:
            found = calls.get(look, call_id)
        assert found is not None
        return found

    def call_of(self, card: str) -> calls.Call:
        return self.call(self.approval(card).call_id)

    def calls(self, run_id: str) -> list[calls.Call]:
        found = self.all("select id from calls where run_id=:r order by turn,ordinal", r=run_id)
        return [self.call(call_id) for (call_id,) in found]

    def intend(self, lease: Lease, call_id: str) -> None:
        call = self.call(call_id)
        self.do(intend, lease, call, key=f"key {call_id}", content=call.run_args_hash or "")

    def outcome(self, lease: Lease, call_id: str, status: str = "done") -> bool:
        return self.do(calls.outcome, lease, self.call(call_id), status=status, result='"ok"')

    # ---- time ----

    def lapse(self, run_id: str) -> None:
        """The lease of a running run is over."""
        assert self.write(
            "update runs set lease_until=1 where id=:r and status='running'", r=run_id
        )

    def due(self, run_id: str) -> None:
        """The deadline of a parked run has come."""
        assert self.write("update runs set wake_at=1 where id=:r and status='parked'", r=run_id)
