"""Runs jobs: the dispatcher finds them, a supervisor holds the lease, a process of its own does the computing."""
