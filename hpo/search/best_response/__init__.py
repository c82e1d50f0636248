"""Searches that tune regularisers by best responses while a proxy trains."""
