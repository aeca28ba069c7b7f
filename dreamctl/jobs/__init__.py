"""What makes runs: their specification, the worker that trains one, starting and resuming it."""
