"""What the coordinate check measures at one width: activations, spectral norms, tangent kernel, linearisation."""
