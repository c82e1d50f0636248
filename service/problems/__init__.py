"""Refusals and failures: pydantic's errors in the words of the API, and every error as a problem (RFC 9457)."""
