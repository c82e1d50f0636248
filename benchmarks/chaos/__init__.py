"""Compares hypergradients at the edge of chaos: every adjoint against evolution strategies."""
