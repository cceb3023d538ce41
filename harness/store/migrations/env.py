"""Alembic runs this for each of its commands: on the connection, and in the transaction, of harness.store.migrate."""

from alembic import context

from harness.store.schema import metadata


def run() -> None:
    """Migrate the connection that the configuration holds."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=metadata,
        # SQLite alters hardly anything: a table is made anew there, and its rows copied.
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


run()
