"""Compares the hypergradient of this project with those of other libraries: one run, one machine, one environment."""
