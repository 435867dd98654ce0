"""The durable core: runs as rows that a worker claims, drives one step at a time, and commits after each.

A run is one piece of work, and it is a row. Its life:

    queued -> running -> queued | parked | completed | failed | cancelled
    parked -> queued | cancelled | failed          queued -> cancelled | failed

What holds, whatever dies:

1. One holder. Claiming raises `attempt`, which never falls: the fencing token. Every commit of a step is
   guarded by id, `attempt`, `seq` and `running`; 0 rows mean that the run belongs to somebody else or is over,
   and whatever was being done is dropped.
2. A step is committed once. `run_steps` has the key (run, seq) and a token of the committer's; after a cut
   connection the token is read, the commit is never repeated blindly.
3. Lock, then look. A verb locks its run rows first, root to leaf, in statements of their own, and reads other
   tables in later statements: at READ COMMITTED a guard that reads another table sees an old snapshot.
4. A parked run holds nothing but its row: no process, no memory, no connection. It always has a reason
   (`wait`) and a deadline (`wake_at`), so a lost signal costs time, never the run.
5. Whatever wakes a run is guarded by what it waits for, so a late wake cannot wake a later park.
6. The queue carries a run's id and nothing else. It may lose, repeat and reorder: the sweep repairs, and the
   ledger alone decides what happened.
7. What is known is recorded: the outcome of an effect and the cost of a model call are settled by their own
   ids, also when the run was cancelled or taken over meanwhile.
8. A finished run has exactly one terminal event, no pending card, no open intent, and its parent knows.

Read `states` (the words), `ledger` (the transitions), `workflow` (what a step may do), `execute` (how one run
is driven), `worker` and `sweep` (who drives and who repairs).
"""
