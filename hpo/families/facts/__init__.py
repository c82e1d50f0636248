"""What each family of models tells about itself without being built; one family a file. Nothing here imports torch."""
