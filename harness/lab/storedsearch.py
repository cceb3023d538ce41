"""A stored search, with all that is known of it."""

from harness.bisect.evidence import Evidence
from harness.errors import ConfigError
from harness.lab.lab import StoredSession
from harness.model.run import Run
from harness.run.evidence import stored_evidence


def stored_search(session: StoredSession, run_id: str | None) -> tuple[Run, Evidence]:
    """A stored search, the newest where none is named. Raises ConfigError."""
    store = session.store
    wanted = run_id if run_id not in {None, "last"} else store.bisections.newest()
    if wanted is None:
        raise ConfigError("there is no search yet", remedy="Begin one with `kab bisect FROM TO`.")
    found = store.run(wanted)
    plan = store.bisections.plan(found.id)
    if plan is None:
        raise ConfigError(
            f"run {found.id} is no search but a `kab {found.verb}`", remedy=f"See `kab report {found.id}`."
        )
    return found, stored_evidence(store, store.bisections, found, plan)
