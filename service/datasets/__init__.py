"""Data sets: uploaded, read by a child process with limits, kept by their content."""
