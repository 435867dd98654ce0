"""Tables and dialects: where rows live, how a transaction begins, and what differs between the two databases."""
