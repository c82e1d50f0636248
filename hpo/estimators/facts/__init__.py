"""Facts of the estimators: what a hypergradient takes and how a result words it. Imports no torch."""
