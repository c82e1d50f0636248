"""Model families whose width and depth can be chosen. Weights are left to the parametrization to initialise."""
