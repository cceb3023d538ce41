"""The migrations, oldest first. Alembic loads them by their files."""
