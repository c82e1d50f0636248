"""Scaling laws: fits of tables of runs, and allocations of a budget."""
