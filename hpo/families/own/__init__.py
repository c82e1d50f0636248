"""Modules of one's own: asked for their roles, watched, refused where they cannot be trained, and run as a population."""
