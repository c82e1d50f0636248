"""Certificates: hypergradients and best responses held against finite differences of the job's own runs."""
