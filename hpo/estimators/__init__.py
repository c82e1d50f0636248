"""Estimators of the hypergradient: one file each, one protocol. What they take is in ``hpo.estimators.facts``."""
