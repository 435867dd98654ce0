"""The rows of the gate, and all of its SQL: `calls`, and the cards of `approvals` with their notices."""
