"""alfred: durable runs behind one gate. Nothing is imported here, so that a short command stays short."""
