"""Checks of a job's spec that involve several of its parts."""
