"""How good a point each tuner has found after so much work: this project, Optuna's samplers and random search."""
