"""Source of the built-in families' models, for the exported PyTorch file; one family a file."""
