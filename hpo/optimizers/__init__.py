"""Optimizers: one rule a file, and the registry of them."""
