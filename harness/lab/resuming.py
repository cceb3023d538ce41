"""Going on with a search: which one, and whether what is asked for is the same."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from harness.config import texts_of
from harness.errors import ConfigError
from harness.lab.searchrequest import SearchRequest
from harness.lab.workspace import Workspace
from harness.model.bisection import BisectionPlan
from harness.model.experiment import Experiment
from harness.model.run import Run
from harness.parse.plainjson import to_plain
from harness.parse.units import fraction_text

_NOT_GIVEN = "not given"


def says_anything(wanted: SearchRequest) -> bool:
    """Whether a search is described at all, besides by what may change while it goes on."""
    request = replace(wanted.experiment, max_boots=None, accelerator=None, connect=None, json=None, html=None)
    return replace(wanted, experiment=request, resume=False, tree=None) != SearchRequest()


def to_resume(workspace: Workspace) -> tuple[Run, BisectionPlan]:
    """The newest unfinished search. Raises ConfigError where there is none."""
    found = workspace.store.bisections.newest(unfinished=True)
    if found is None:
        raise ConfigError(
            "there is no unfinished search to resume", remedy="`kab runs` lists what there is; drop --resume."
        )
    plan = workspace.store.bisections.plan(found)
    assert plan is not None, "it is a bisection"
    return workspace.store.run(found), plan


def refuse_another(stored: tuple[Run, BisectionPlan], experiment: Experiment, plan: BisectionPlan) -> None:
    """Raise ConfigError, with what differs, where the command line asks for another search than the stored one."""
    run, before = stored
    then, now = _options(run.experiment, before), _options(experiment, plan)
    differences = [
        f"{name} {value or _NOT_GIVEN} (now {now[name] or _NOT_GIVEN})"
        for name, value in then.items()
        if value != now[name]
    ]
    # What no option names: the text of a workload, the kernels inside a ladder.
    differences = differences or [
        *_differences(_plain(run.experiment), _plain(experiment), ""),
        *_differences(to_plain(before), to_plain(plan), ""),
    ]
    if differences:
        raise _differs(run.id, differences)


def _plain(experiment: Experiment) -> Any:
    """What an experiment is, wherever its workload's file lies."""
    return to_plain(replace(experiment, workload=replace(experiment.workload, file="")))


def _options(experiment: Experiment, plan: BisectionPlan) -> dict[str, str]:
    """A search in the words of the command line, so that two can be told apart in them."""
    texts = texts_of(experiment)
    # Of a search, its cap may be raised, and its proofs have their own.
    del texts["--max-boots"]
    return {
        "FROM": plan.rungs[0].spec,
        "TO": plan.rungs[-1].spec,
        "the ladder": f"{len(plan.rungs)} kernels",
        **texts,
        "--edges": str(plan.edges),
        "--confidence": fraction_text(plan.confidence),
        "--crash-is-slow": "given" if plan.crash_is_slow else "",
        "--build-fix": " ".join(plan.build_fixes),
    }


def other_conditions(stored: Run, conditions: Mapping[str, str]) -> ConfigError:
    """The error for a host that is not any more as it was when the search was begun."""
    return _differs(stored.id, _differences(stored.conditions, conditions, "host"))


def _differs(run_id: str, differences: list[str]) -> ConfigError:
    shown = differences[:6] + ([f"and {len(differences) - 6} more"] if len(differences) > 6 else [])
    return ConfigError(
        f"search {run_id}, the newest unfinished one, was begun with {'; '.join(shown)}",
        remedy="`kab bisect --resume` alone continues it; without --resume this command is a search of its own.",
    )


def _differences(stored: Any, asked: Any, where: str) -> list[str]:
    return list(_walk(stored, asked, where))


def _walk(stored: Any, asked: Any, where: str) -> Iterator[str]:
    if isinstance(stored, Mapping) and isinstance(asked, Mapping):
        for key in dict.fromkeys((*stored, *asked)):
            yield from _walk(stored.get(key), asked.get(key), f"{where}.{key}" if where else str(key))
    elif isinstance(stored, list) and isinstance(asked, list) and len(stored) != len(asked):
        yield f"{where} of {len(stored)} entries (now {len(asked)})"
    elif isinstance(stored, list) and isinstance(asked, list):
        for index, (one, other) in enumerate(zip(stored, asked, strict=True)):
            yield from _walk(one, other, f"{where}[{index}]")
    elif stored != asked:
        yield f"{where} {stored} (now {asked})"
