"""A package that brings a task with a module of its own, as a user would write it; both checkouts have it on their path."""
