"""Schedules: what the learning rate can do over a run."""
