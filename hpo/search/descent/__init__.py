"""The search that follows a named estimator's hypergradients, with races along them."""
