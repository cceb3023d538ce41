"""How a database of an older schema version becomes one of the next: Alembic's folder, run by harness.store.migrate.

A migration is one module of `versions`, its revision the schema version that it makes. It names tables as they were at
that time, never those of harness.store.schema, which move on; what it writes runs on every database.
"""
