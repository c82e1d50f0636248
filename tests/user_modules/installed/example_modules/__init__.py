"""A package that brings a task of its own, as a user would write it. It is put on the path by the tests."""
