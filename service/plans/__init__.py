"""Transfer plans: make, get, export."""
