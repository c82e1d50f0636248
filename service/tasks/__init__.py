"""Tasks: what can be tuned."""
