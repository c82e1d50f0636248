"""Webhooks: make, list, read, delete, test; and the loop that sends what their outbox holds."""
