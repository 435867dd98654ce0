"""The steps from an empty database to today's tables: `versions/<number>_<what>.py`, run by `store.migrate`.

A step has `revision` (four digits, one more than the last), `down_revision` and `upgrade()`, written with
Alembic's `op` or with plain statements for each database. It never imports `store.schema`: that one moves on,
a step that has been released does not. There is no way down; the way back is the backup that was made before.

Each step runs in one transaction together with the new `meta.schema`, on SQLite with foreign keys unwatched
(a table is rebuilt by making it anew) and checked before the commit. A rebuild is written out, never left to
Alembic's batch mode, which forgets CHECK constraints.
"""
