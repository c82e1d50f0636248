"""The hypergradient of this project beside those of other libraries: one run, one machine, one environment."""
