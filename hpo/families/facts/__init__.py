"""Facts of each family of models, known without building it; one family a file. Nothing here imports torch."""
