"""Transfer plans: what was tuned on a small proxy, carried to a large model. Imports no torch."""
