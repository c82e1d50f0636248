"""Hypergradients at the edge of chaos: every adjoint against evolution strategies, on runs that no adjoint was made for."""
