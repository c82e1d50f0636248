"""The default search: a sampler and hypergradients under one account."""
