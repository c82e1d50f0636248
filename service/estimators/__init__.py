"""Estimators and the hyperparameters that they differentiate."""
