"""Every trial, in SQL."""

from harness.store.runid import new_run_id
from harness.store.sql import SqlStore

__all__ = ["SqlStore", "new_run_id"]
