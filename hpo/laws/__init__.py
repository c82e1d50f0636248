"""Scaling laws: counting, fits with intervals, allocation of compute. Needs torch only to count a module."""
