"""Compares the best point of each tuner over cost: this project, Optuna's samplers and random search."""
