"""Estimates of what a job takes before anything is spent: memory, work, seconds. Arithmetic alone; imports no torch."""
