"""Training proxies: the inner problem, its coefficients, losses, evaluation and memory."""
