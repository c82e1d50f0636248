"""Searches of a job: each moves the hyperparameters, one outer step at a time, and books what it spends."""
