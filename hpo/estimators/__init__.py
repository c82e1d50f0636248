"""Estimators of the hypergradient: one file each, one protocol. Their costs are in ``hpo.estimators.facts``."""
