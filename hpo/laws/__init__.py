"""Scaling laws: counting, fits with intervals, allocation of compute. numpy and scipy; no torch but to look at a module."""
