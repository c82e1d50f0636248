"""Measurements of the coordinate check at one width: activations, spectral norms, tangent kernel, linearisation."""
