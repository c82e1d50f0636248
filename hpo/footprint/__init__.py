"""Numbers that follow from a job before it runs: sizes, bytes, runs of its searches and measurements. Imports no torch."""
