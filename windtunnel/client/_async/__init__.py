"""The client, written once: ``tools/sync_client.py`` writes the blocking modules beside this folder from these."""
