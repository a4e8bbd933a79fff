"""Alembic's way in: it works on the connection that it is handed, or writes the statements down for another driver."""

from __future__ import annotations

from alembic import context

if context.is_offline_mode():
    # Who runs the statements owns their transaction, too.
    context.configure(dialect_name=context.config.attributes["dialect"], transactional_ddl=False)
else:
    context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
