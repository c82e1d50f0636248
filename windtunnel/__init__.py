"""Windtunnel: tune small, fly large. What a user touches: wire types, client, command line, figures."""

__version__ = "0.1.0"
