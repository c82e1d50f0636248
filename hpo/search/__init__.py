"""Searches: how a job moves its hyperparameters, and what it may spend on that."""
