"""Run by Alembic: migrates over the connection, and in the transaction, that store/schema.py hands over."""

from alembic import context

from store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
context.run_migrations()
