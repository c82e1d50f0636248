"""Optimizers that torch has no class for. Each file needs torch alone, for exported files hold its text."""
