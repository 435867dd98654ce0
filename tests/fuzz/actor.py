"""One process of the fuzz: random verbs against one database, as workers, people, timers and zombies would.

Usage: python -m tests.fuzz.actor URL SEED SECONDS

It crashes by abandoning what it holds, sleeps past its lease, decides, edits, cancels, forks, sends messages, sweeps.
What an effect does is written to a file of the outside world, whose lines are the oracle of doubled effects.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from alfred import clock, errors, ids
from alfred.actions import approvals, card_clock, editing
from alfred.actions.editing import Editing
from alfred.actions.ledger import approvals as approvals_ledger
from alfred.actions.ledger import calls
from alfred.actions.ledger.approvals import Approval, NewCard
from alfred.actions.pipeline import Judged
from alfred.actions.registry import Registry
from alfred.actions.surroundings import Surroundings
from alfred.config_schema import Settings
from alfred.runs import budget, claims, endings, forks, leases, ledger, rows, stop, sweep, triggers
from alfred.runs.ledger import Committed
from alfred.runs.rows import Caps, Full, Holder, Item, Lease, NewRun, Run, Step
from alfred.runs.states import Status, Wait
from alfred.store import connect
from alfred.store.statement import Sql
from tests.ledger.core import intend

CAP = 4
LEASE_US = 400_000
LIVE = Sql("select id from runs where status in('queued','running','parked') order by id limit 60")


STEPS = Sql("select run_id, seq from run_steps order by ended desc limit 40")


class Actor:
    def __init__(self, url: str, seed: int, world: Path):
        self.chance = random.Random(seed)
        self.store = connect.open_store(url)
        self.world = os.open(world, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.holder = Holder(worker=ids.new(), boot=leases.boot(), lease_us=LEASE_US)
        self.counts: dict[str, int] = {}
        settings = Settings.model_validate({"timezone": "UTC"})
        self.editing = Editing(
            self.store,
            Registry(),
            Surroundings(
                home=lambda tenant: world.parent,
                settings=lambda tenant: settings,
                secrets=lambda tenant, name: None,
            ),
        )
        if self.store.pg:
            from alfred.runs.dispatcher import Dispatcher
            from alfred.runs.procrastinate import PostgresDelivery

            self.store.deliver = PostgresDelivery(url, Dispatcher()).deliver

    def count(self, what: str, by: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + by

    def live(self) -> list[str]:
        with self.store.read() as look:
            return [row.id for row in look(LIVE).all()]

    # ---- verbs of people and clocks ----

    def start(self) -> None:
        self.store.transact(
            ledger.start,
            NewRun(
                id=ids.new(),
                workflow="w",
                step="boss",
                agent=f"a{self.chance.randint(0, 1)}",
                singleton_key="only" if self.chance.random() < 0.1 else None,
                session_id=f"s{self.chance.randint(0, 3)}" if self.chance.random() < 0.2 else None,
            ),
        )

    def decide(self) -> None:
        with self.store.read() as look:
            open_cards = approvals_ledger.listed(look, "main", limit=20)
        if not open_cards:
            return
        card = self.chance.choice(open_cards)
        self.store.transact(approvals.delivered, card.id, low_after_us=200_000)
        if card.kind == "action" and self.chance.random() < 0.3:
            self.edit(card)
            return
        decision = self.chance.choice(
            {
                "action": ("approve", "approve", "approve", "reject", "reject_and_end"),
                "question": ("answer", "answer", "reject"),
                "outcome": ("happened", "retry", "skip"),
            }[card.kind]
        )
        try:
            self.store.transact(
                approvals.decide,
                approvals.Decision(
                    approval_id=card.id,
                    decision=decision,
                    by="me",
                    via="fuzz",
                    token=ids.new(),
                    args_hash=card.args_hash,
                ),
            )
            self.count("decided")
        except (errors.AlreadyDecided, errors.StaleHash):
            self.count("second")

    def edit(self, card: Approval) -> None:
        """As a person who changes a call; sometimes to one that risks more, which is asked about again."""
        said = json.dumps({"edit": ids.new()})
        judged = Judged(
            judgement=calls.Judgement(
                call_id=card.call_id,
                status="staged",
                action=card.action,
                effect=card.action.removeprefix("world."),
                risk=self.chance.choice(("low", "medium", "high")),
                args=said,
                args_hash=ids.new(),
            ),
            title="t",
            preview="p",
        )
        wanted = editing.Edit(args_hash=card.args_hash, by="me", via="fuzz", token=ids.new())
        try:
            done = self.editing.edit(card, judged, wanted)
            self.count("edited" if done.status == "edited" else "asked_again")
        except (errors.AlreadyDecided, errors.StaleHash):
            self.count("second")

    def fork(self) -> None:
        with self.store.read() as look:
            found = look(STEPS).all()
        if not found:
            return
        run_id, at = self.chance.choice(found)

        def branch(tx: connect.Tx) -> bool:
            return forks.fork(
                tx,
                forks.point(tx, run_id, at),
                new_id=ids.new(),
                step="boss",
                state={},
                items=(Item(kind="note", item={"kind": "note", "text": "a branch"}),),
                title="t",
                model=None,
                by="me",
            )

        try:
            self.store.transact(branch)
            self.count("forked")
        except errors.UsageError:
            self.count("no_past")

    def cancel(self) -> None:
        found = self.live()
        if found and self.store.transact(
            endings.cancel, self.chance.choice(found), by="me", token=ids.new()
        ):
            self.count("cancelled")

    def message(self) -> None:
        found = self.live()
        if found:
            run_id = self.chance.choice(found)
            self.store.transact(ledger.message, run_id, message_id=ids.new(), body="x", author="me")
            self.count("messages")

    def sweep(self) -> None:
        sweep.beat(
            self.store,
            free_slots=2,
            others=(
                lambda store: card_clock.expire_beat(store, ids.new),
                lambda store: card_clock.auto_beat(store, ids.new),
                lambda store: (store.transact(budget.lapse), None)[1],
                lambda store: triggers.beat(store),
            ),
        )
        self.count("sweeps")

    def stop(self) -> None:
        self.store.transact(stop.switch, "main", by="me")
        self.store.transact(stop.stop, "main", by="me", token=ids.new())
        time.sleep(0.02)
        self.store.transact(stop.resume, "main", by="me", token=ids.new())
        self.count("stops")

    # ---- a worker ----

    def work(self) -> bool:
        taken = self.store.transact(
            claims.claim,
            self.holder,
            lambda tenant, agent: Caps(total=2 * CAP, per_agent=CAP),
            hint=self.chance.choice(self.live() or [None]) if self.chance.random() < 0.3 else None,  # type: ignore[list-item]
        )
        if taken is None or isinstance(taken, Full):
            return False
        self.count("claims")
        try:
            self.drive(*taken)
        except errors.LeaseLost:
            self.count("lost")
            self.store.transact(endings.honour_cancel, taken[0].run_id)
        return True

    def drive(self, lease: Lease, run: Run) -> None:
        self.store.transact(calls.enter, lease)
        seq = run.seq
        while True:
            dice = self.chance.random()
            if dice < 0.05:
                self.count("abandoned")
                return
            if dice < 0.07:
                time.sleep(LEASE_US / 1_000_000 + 0.1)
                self.count("zombies")
            done = self.settle(lease, seq)
            if done is None:
                return
            if isinstance(done, Committed):
                if done.status is not Status.RUNNING:
                    return
                seq = done.seq
                continue
            committed = self.step(lease, seq)
            if committed is None or committed.status is not Status.RUNNING:
                return
            seq = committed.seq

    def settle(self, lease: Lease, seq: int) -> Committed | bool | None:
        """Executes the decided prefix; parks when a card is open. True: nothing is open. None: abandoned."""
        while True:
            with self.store.read() as look:
                open_calls = look(
                    Sql(
                        "select id from calls where run_id=:r and status in('proposed','staged','approved','executing','unknown')"
                        " order by turn, ordinal"
                    ),
                    r=lease.run_id,
                ).all()
                head = calls.get(look, open_calls[0].id) if open_calls else None
                last = approvals_ledger.newest(look, head.id) if head else None
            if head is None:
                return True
            if head.status == "staged" or (
                last is not None and last.kind == "outcome" and last.status == "pending"
            ):
                return self.park(lease, seq, Wait.APPROVAL, 4_000_000)
            if head.status == "executing":
                self.store.transact(calls.unknown, lease, head)
                continue
            if head.status == "unknown" and head.effect == "blind":
                retried = (
                    last is not None
                    and last.decision == "retry"
                    and (last.decided_at or 0) > (head.intent_at or 0)
                )
                if not retried:
                    card = self.card(lease, head, "outcome", head.args_hash, head.risk or "high")
                    return self.park(
                        lease,
                        seq,
                        Wait.OPERATOR,
                        4_000_000,
                        lambda tx, _seq, card=card: approvals.stage(tx, card),
                    )
            if self.execute(lease, head) is None:
                return None

    def execute(self, lease: Lease, call: calls.Call) -> bool | None:
        key = f"key-{call.id}"
        self.store.transact(intend, lease, call, key=key, content=call.run_args_hash or "")
        self.count("intents")
        if self.chance.random() < 0.05:
            return None
        with self.store.read() as look:
            if not rows.fence(look, lease):
                raise errors.LeaseLost("lost before the send")
        told = f"{call.effect} {call.id} {key} {call.run_args_hash}\n"
        os.write(self.world, told.encode())
        if self.chance.random() < 0.05:
            return None

        def record(tx: connect.Tx) -> None:
            rows.lock(tx, call.run_id)
            if calls.outcome(tx, lease, call, status="done", result='"ok"'):
                approvals_ledger.known(tx, call.id)
                ledger.wake_decided(tx, call.run_id)

        self.store.transact(record)
        return True

    def step(self, lease: Lease, seq: int) -> Committed | None:
        dice = self.chance.random()
        if dice < 0.35:
            return self.propose(lease, seq)
        if dice < 0.45:
            return self.spawn(lease, seq)
        if dice < 0.62:
            status = self.chance.choice(
                (Status.COMPLETED, Status.COMPLETED, Status.COMPLETED, Status.FAILED)
            )
            return self.store.transact(
                ledger.finish,
                lease,
                seq,
                self.written(consume=self.chance.random() < 0.7, lease=lease),
                again="boss",
                status=status,
                result="fine",
                error={"code": "x", "detail": "y"} if status is Status.FAILED else None,
                dead_man_us=1_000_000,
                lease_us=LEASE_US,
            )
        if dice < 0.67:
            return self.park(lease, seq, Wait.TIMER, self.chance.randint(1, 300_000))
        if dice < 0.7:
            self.store.transact(claims.release, lease, delay_us=10_000)
            return None
        if dice < 0.85:
            self.spend(lease, seq)
        return self.store.transact(
            ledger.advance, lease, seq, self.written(lease=lease), to="boss", lease_us=LEASE_US
        )

    def propose(self, lease: Lease, seq: int) -> Committed:
        new = []
        for ordinal in range(self.chance.randint(1, 3)):
            effect = self.chance.choice(("keyed", "blind"))
            new.append(
                calls.NewCall(
                    id=ids.new(),
                    run_id=lease.run_id,
                    turn=seq,
                    ordinal=ordinal,
                    action=f"world.{effect}",
                    effect=effect,
                    args="{}",
                    args_hash="raw",
                    tool_call_id="call_0",
                )
            )
        judged = []
        for call in new:
            gated = self.chance.random() < 0.7
            question = gated and self.chance.random() < 0.1
            judged.append(
                calls.Judgement(
                    call_id=call.id,
                    status="staged" if gated else "proposed",
                    action=call.action,
                    effect="blind" if question else call.effect,
                    risk=self.chance.choice(("low", "medium")) if gated else "none",
                    args_hash=ids.new(),
                    question=question,
                )
            )

        def write(tx: connect.Tx, _seq: int) -> None:
            calls.propose(tx, new)
            for call, one in zip(new, judged, strict=True):
                calls.judge(tx, one)
                if one.status == "staged":
                    kind = "question" if one.question else "action"
                    stored = calls.get(tx, call.id)
                    assert stored is not None
                    approvals.stage(tx, self.card(lease, stored, kind, one.args_hash, one.risk))

        step = self.written(lease=lease, write=write)
        if judged[0].status == "staged":
            return self.store.transact(
                ledger.park,
                lease,
                seq,
                step,
                to="tools",
                wait=Wait.APPROVAL,
                for_us=4_000_000,
                lease_us=LEASE_US,
            )
        return self.store.transact(ledger.advance, lease, seq, step, to="tools", lease_us=LEASE_US)

    def card(self, lease: Lease, call: calls.Call, kind: Any, args_hash: str, risk: str) -> NewCard:
        return NewCard(
            id=ids.new(),
            call_id=call.id,
            run_id=lease.run_id,
            tenant="main",
            agent=lease.agent,
            kind=kind,
            action=call.action,
            args_hash=args_hash,
            risk=risk,
            title="t",
            preview="p",
            auto_ok=risk == "low" and kind == "action",
            expire_us=self.chance.choice((700_000, 60_000_000)),
            low_after_us=200_000,
            counts_from_staging=self.chance.random() < 0.5,
        )

    def spawn(self, lease: Lease, seq: int) -> Committed:
        with self.store.read() as look:
            run = rows.get(look, lease.run_id)
        depth = run.depth if run else 9
        wanted = [] if depth >= 2 else [ids.new() for _ in range(self.chance.randint(1, 3))]

        def write(tx: connect.Tx, _seq: int) -> None:
            for child in wanted:
                ledger.start(
                    tx,
                    NewRun(
                        id=child,
                        workflow="w",
                        step="boss",
                        agent=f"a{self.chance.randint(0, 1)}",
                        parent_id=lease.run_id,
                        parent_call=f"{seq}:{child}",
                        root_id=run.root_id if run else None,
                        depth=depth + 1,
                    ),
                )

        return self.store.transact(
            ledger.park,
            lease,
            seq,
            self.written(lease=lease, write=write),
            to="boss",
            wait=Wait.CHILDREN,
            for_us=1_000_000,
            lease_us=LEASE_US,
        )

    def park(self, lease: Lease, seq: int, wait: Wait, for_us: int, write: Any = None) -> Committed:
        return self.store.transact(
            ledger.park,
            lease,
            seq,
            self.written(lease=lease, write=write),
            to="boss",
            wait=wait,
            for_us=for_us,
            lease_us=LEASE_US,
        )

    def spend(self, lease: Lease, seq: int) -> None:
        reservation = ids.new()
        day = "2026-11-21"
        try:
            self.store.transact(
                budget.reserve,
                id=reservation,
                tenant="main",
                run_id=lease.run_id,
                attempt=lease.attempt,
                seq=seq,
                day=day,
                amount=100,
                scopes=[
                    budget.Scope("day", day, 20_000),
                    budget.Scope(f"agent:{lease.agent}", day, 15_000),
                ],
                expires_us=300_000,
            )
        except budget.BudgetFull:
            self.count("budget_full")
            return
        if self.chance.random() < 0.9:
            self.store.transact(budget.settle, reservation, self.chance.randint(0, 100))
        self.count("spent")

    def written(self, *, lease: Lease, consume: bool = False, write: Any = None) -> Step:
        writes = [write] if write else []
        if consume:
            with self.store.read() as look:
                writes.append(ledger.consume([m[0] for m in ledger.messages(look, lease.run_id)]))
        return Step(
            token=ids.new(),
            name="s",
            started=clock.now(),
            items=(Item(kind="note", item={"kind": "note", "text": "x"}),),
            writes=writes,
        )

    # ---- the loop ----

    def play(self, seconds: float, *, quiet: float = 3.0) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            busy = time.monotonic() < end - quiet
            dice = self.chance.random()
            try:
                if dice < 0.10 and busy:
                    self.start()
                elif dice < 0.35:
                    self.decide()
                elif dice < 0.38 and busy:
                    self.cancel()
                elif dice < 0.46:
                    self.sweep()
                elif dice < 0.50 and busy:
                    self.message()
                elif dice < 0.503 and busy:
                    self.stop()
                elif dice < 0.52 and busy:
                    self.fork()
                elif not self.work():
                    time.sleep(0.003)
            except errors.StoreUnavailable as problem:
                self.count(f"away: {problem.detail[:60]}")


if __name__ == "__main__":
    url, seed, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    actor = Actor(url, seed, Path(sys.argv[4]))
    actor.play(seconds)
    print(json.dumps(actor.counts))
