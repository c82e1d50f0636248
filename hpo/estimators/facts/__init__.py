"""Facts of the estimators: what a hypergradient costs and how a result describes it. Imports no torch."""
