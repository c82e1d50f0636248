"""Numbers known before a job runs: sizes, bytes, and counts of runs in its searches and measurements. Imports no torch."""
