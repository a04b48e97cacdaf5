"""Where Alembic enters: migrates on the connection that `orrery.store.schema` hands over.

That connection is inside a transaction already, so that a migration happens whole or not at all
and two processes that open a new store at once do not both migrate it.
"""

from alembic import context

from orrery.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
