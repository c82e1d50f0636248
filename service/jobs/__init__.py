"""Jobs: create, list, get, cancel, events, metrics, result."""
