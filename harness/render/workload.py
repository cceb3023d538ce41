"""Workloads as they come into a guest: templates of the catalogue and of the user's own, rendered."""

from collections.abc import Mapping
from pathlib import Path

from harness import resources
from harness.errors import ConfigError
from harness.model.workload import Parameter, Workload
from harness.parse.foreign import printable
from harness.render.sandbox import render_untrusted
from harness.workloads.kinds import GuestJob
from harness.workloads.registry import kind_of

# The line by which guest scripts (templates/guest) end the text of a file.
END_OF_FILE = "KAB-END-OF-FILE"


class WorkloadTemplates:
    """Templates of the catalogue, or of the user's own by their path: both are files that a user may edit."""

    def render(self, template: str, values: Mapping[str, Parameter]) -> str:
        """See `harness.workloads.kinds.Templates`."""
        path = catalogue_folder() / template
        text = render_untrusted(path, values)
        check_lines(text, f"{path}:", "the job that it makes")
        return text

    def source(self, template: str) -> bytes | None:
        """See `harness.workloads.kinds.Templates`."""
        path = catalogue_folder() / template
        return path.read_bytes() if path.is_file() else None


def guest_job(workload: Workload, *, directory: str, seed: int) -> GuestJob:
    """What the workload's kind runs in `directory` of a guest. Raises ConfigError."""
    return kind_of(workload).job(workload, WorkloadTemplates(), directory=directory, seed=seed)


def check_jobs(workload: Workload) -> None:
    """Raise ConfigError for a template that cannot be rendered, and for jobs that cannot work on any kernel."""
    kind_of(workload).check(workload, guest_job(workload, directory="/", seed=0))


def check_lines(text: str, place: str, what: str) -> None:
    """Raise ConfigError for a text (`what`, at `place`) that no script can bring to a guest."""
    for number, line in enumerate(text.split("\n"), 1):
        # The scripts end a file by such a line, and a shell loses other controls.
        if line == END_OF_FILE or not line.replace("\t", " ").isprintable():
            raise ConfigError(f"{place} line {number} of {what} cannot be in a job: {printable(line, limit=80)!r}")


def catalogue_folder() -> Path:
    """Where the templates that ship with kab are."""
    return resources.folder("configs") / "workloads"
