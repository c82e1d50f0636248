"""Writes the parts of the documentation that the code knows itself: `make reference`."""
