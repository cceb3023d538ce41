"""Connections to a PostgreSQL server, which are never waited for without end."""

import time
from collections.abc import Generator
from functools import partial
from typing import Any

from sqlalchemy import Engine, event

# For a first answer of the server, unless the URL says another `connect_timeout`.
_CONNECT_TIMEOUT_S = 10
# A statement that waits for another's lock is ended by the server; one that it does not end either is answered no more.
_GRACE_S = 5.0


def prepare_server(engine: Engine, busy_timeout_s: float) -> None:
    """Bound every wait: for a connection, for a lock (`busy_timeout_s`), and for any answer (a little longer)."""
    # Nobody else needs the driver.
    import psycopg

    class Bounded(psycopg.Connection[Any]):
        """Fails as one whose server closed it, where no statement is answered in time.

        A server that is stopped, or behind a network that swallows everything, closes nothing: the kernel waits for
        hours, and a socket of this host for ever.
        """

        def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
            return super().wait(self._bounded(gen), *arguments, **options)

        def _bounded(self, steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
            limit_s = busy_timeout_s + _GRACE_S
            deadline = time.monotonic() + limit_s
            step = partial(next, steps)
            while True:
                try:
                    asked = step()
                except StopIteration as done:
                    return done.value
                ready = yield asked
                if not ready and time.monotonic() >= deadline:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer within {limit_s:g} s")
                step = partial(steps.send, ready)

    @event.listens_for(engine, "do_connect")
    def connecting(_dialect: Any, _record: Any, words: Any, options: dict[str, Any]) -> Any:
        options.setdefault("connect_timeout", _CONNECT_TIMEOUT_S)
        options.setdefault("application_name", "kab")
        return Bounded.connect(*words, **options)

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {round(busy_timeout_s * 1000)}")
        connection.commit()
