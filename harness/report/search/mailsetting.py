"""What a mail for the list says of the test, its machine and its kernels, and how to do it again."""

import shlex

from harness.model.run import Run
from harness.report import wording
from harness.report.layout import wrap

# Facts of a kernel's origin that belong into a mail, and their names there; those that it has are told.
_ORIGIN = {
    "config": "config",
    "compiler": "compiler",
    "command": "build",
    "builder": "builder",
    "package": "package",
}


def setting_section(run: Run, proof: Run | None, *, width: int) -> list[str]:
    """Test, machine, and how the kernels of `proof` (of the ends, without one) were made."""
    facts = {
        **wording.setting_lines(run.experiment),
        "host": "; ".join(f"{key} {value}" for key, value in run.conditions.items()),
        **_origin(proof or run),
        "kab": f"{run.kab_version}, seed {run.seed}",
    }
    facts["workload"] = f"{facts['workload']} ({run.experiment.workload.title})"
    indent = max(map(len, facts))
    lines = ["Test:"]
    for name, fact in facts.items():
        if fact:
            lines += wrap(f"{name.ljust(indent)}  {fact}", indent="  ", hang=" " * (indent + 4), width=width)
    return lines


def _origin(run: Run) -> dict[str, str]:
    """Configuration and compiler of both kernels; where they differ, both."""
    kernels = (run.baseline, run.candidate)
    facts = {}
    for key, name in _ORIGIN.items():
        values = [kernel.provenance.get(key, "") for kernel in kernels]
        facts[name] = values[0] if values[0] == values[1] else " and ".join(value or "none" for value in values)
    return facts


def repeat_section(run: Run, proof: Run | None, *, width: int) -> list[str]:
    """Commands that compare the neighbours, and that make the search again."""
    lines = ["To repeat:"]
    for one in (proof, run):
        lines += _command(wording.repeat_command(one), width) if one else ()
    return lines


def _command(command: str, width: int) -> list[str]:
    """A shell command over several lines, each continued; an option stays with its value."""
    words: list[str] = []
    for word in (shlex.quote(word) for word in shlex.split(command)):
        if words and words[-1].startswith("-") and " " not in words[-1] and not word.startswith("-"):
            words[-1] += f" {word}"
        else:
            words.append(word)
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + len(word) + 3 <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"{'      ' if lines else '  '}{word}")
    return [*(f"{line} \\" for line in lines[:-1]), lines[-1]]
