"""Alembic's migrations of the store's tables; store/schema.py runs them."""
