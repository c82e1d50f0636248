"""The numerics: hypergradients of small muP proxies. Needs torch and nothing else of ours but the wire types."""
