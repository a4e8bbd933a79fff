"""Alembic's way in; `cenoby.store.migrate` hands over the connection and owns its transaction."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
