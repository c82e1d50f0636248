"""Estimates: what a job would take."""
