"""Demonstration: tunes a proxy on digits, transfers to width 1024, trains there, compares and reports."""
