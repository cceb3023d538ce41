"""What is said in every report, whatever its form: effects with their intervals, the setting, how to repeat."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath

from harness.model.experiment import Experiment, Place
from harness.model.run import KernelRecord, Run
from harness.model.trial import Trial
from harness.model.verdict import Comparison, Decision, Verdict
from harness.model.workload import Direction, Metric, Parameter
from harness.parse.diskspec import disk_text, filesystem_text
from harness.parse.units import size_text
from harness.report.numbers import interval, level, percent, ratio

# How a witness moved: it shows a mechanism, so neither way is "faster".
_HIGHER, _LOWER = "higher", "lower"
# Options with a value, and flags, that change nothing of what is measured; and the seed, which is said anew.
_OUTPUTS = frozenset({"--seed", "--progress", "--html", "--json", "--junit", "--mail", "--tree"})
_STARTS = frozenset({"--new", "--resume"})


def deciding(decision: Decision | None) -> Comparison | None:
    """The comparison that the verdict rests on, if there is one with a ratio."""
    if decision is None or decision.metric is None:
        return None
    comparison = decision.comparisons.get(decision.metric)
    return comparison if comparison is not None and comparison.ratio is not None else None


def figures(comparison: Comparison) -> str:
    """``write_iops +238 % (x3.38, 99 % interval 3.01 to 3.79) over 4 blocks (8 boots)``."""
    boots = counted(2 * comparison.blocks, "boot")
    return f"{effect(comparison)} over {counted(comparison.blocks, 'block')} ({boots})"


def effect(comparison: Comparison) -> str:
    """``write_iops +238 % (x3.38, 99 % interval 3.01 to 3.79)``."""
    assert comparison.ratio is not None, "see deciding()"
    inside = [ratio(comparison.ratio)]
    if comparison.low is not None and comparison.high is not None:
        inside.append(f"{level(comparison.error)} interval {interval(comparison.low, comparison.high)}")
    return f"{comparison.metric} {percent(comparison.ratio)} ({', '.join(inside)})"


def speed(run: Run, decision: Decision | None, metrics: Mapping[str, Metric]) -> Comparison | None:
    """Where a witness decides, the speed that goes with it: the first of the workload's deciding metrics, or any."""
    leading = deciding(decision)
    if decision is None or leading is None or not _is_witness(leading.metric, metrics):
        return None
    names = (*run.experiment.workload.deciding, *metrics)
    speeds = (decision.comparisons.get(name) for name in names if name in metrics and not _is_witness(name, metrics))
    return next((found for found in speeds if found is not None and found.ratio is not None), None)


def _is_witness(name: str, metrics: Mapping[str, Metric]) -> bool:
    return name in metrics and metrics[name].witness


def counted(count: int, noun: str) -> str:
    """1 block, 2 blocks."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def verdict_word(comparison: Comparison, metric: Metric | None) -> str:
    """What a comparison says of its metric: faster, slower, same, inconclusive; of a witness: higher, lower."""
    if metric is None or not metric.witness or comparison.verdict not in {Verdict.FASTER, Verdict.SLOWER}:
        return str(comparison.verdict)
    better_is_higher = metric.direction is Direction.HIGHER
    return _HIGHER if (comparison.verdict is Verdict.FASTER) == better_is_higher else _LOWER


def shown(decision: Decision | None, metrics: Mapping[str, Metric]) -> list[Comparison]:
    """Those of `ordered` for which any boot gave a value."""
    found = ordered(decision, metrics)
    return [one for one in found if one.baseline is not None or one.candidate is not None]


def ordered(decision: Decision | None, metrics: Mapping[str, Metric]) -> list[Comparison]:
    """Comparisons to show: the deciding one first, then as the catalogue has them, unknown ones last."""
    if decision is None:
        return []
    place = {name: index for index, name in enumerate(metrics)}
    return sorted(
        decision.comparisons.values(),
        key=lambda found: (found.metric != decision.metric, place.get(found.metric, len(place)), found.metric),
    )


def repeat_command(run: Run) -> str:
    """The command that made the run, with the kernels as they were resolved and the seed as it was drawn.

    A night is not made again by its command, which measures what is new: its cells are, by those that its report lists.
    """
    if run.verb == "nightly":
        return shlex.join(["kab", "report", run.id, "--all"])
    words = list(run.command)
    if words:
        program = PurePath(words[0]).name
        words[:1] = ["python3", "-m", "harness"] if program == "__main__.py" else [program]
    place = 0
    for kernel in (run.baseline, run.candidate):
        found = next((index for index in range(place, len(words)) if _names(words[index], kernel, run.verb)), None)
        if found is not None:
            words[found] = resolved_spec(kernel)
            place = found + 1
        elif run.verb == "ab" and "ab" in words:
            # An experiment file named it: what that means moves on, and words of the command go before a file's.
            place = max(place, words.index("ab") + 1)
            words.insert(place, resolved_spec(kernel))
            place += 1
    return shlex.join([*_without_outputs(words), "--seed", str(run.seed)])


def resolved_spec(kernel: KernelRecord) -> str:
    """A spec that names this very kernel, where its source has such names."""
    return kernel.lasting_spec or kernel.spec


def _names(word: str, kernel: KernelRecord, verb: str) -> bool:
    """Whether a word of the command names the kernel: ends of a ladder are stored as the packages that they meant."""
    of_a_list = verb == "bisect" and kernel.lasting_spec is not None
    is_end = of_a_list and word.startswith(f"{kernel.source}:") and not set("*?[") & set(word)
    return word == kernel.spec or is_end


def _without_outputs(words: Sequence[str]) -> Iterator[str]:
    """The words but the seed, and those that change where results go and not what they are."""
    rest = iter(words)
    for word in rest:
        name, equals, _ = word.partition("=")
        if name in _OUTPUTS:
            if not equals:
                next(rest, None)
        elif name not in _STARTS:
            yield word


def setting_lines(experiment: Experiment) -> dict[str, str]:
    """Guest, disk, filesystem and workload in a line each."""
    guest, work = experiment.guest, experiment.workload
    machine = [counted(guest.vcpus, "vCPU"), f"{guest.memory_mib} MiB"]
    if guest.cpu_model:
        machine.append(f"-cpu {guest.cpu_model}")
    if guest.cmdline:
        machine.append(f"command line: {' '.join(guest.cmdline)}")
    parameters = ", ".join(f"{name}={_parameter_text(name, value)}" for name, value in sorted(work.parameters.items()))
    return {
        "guest": ", ".join(machine),
        "disk": disk_text(experiment.disk),
        "filesystem": filesystem_text(experiment.filesystem),
        "workload": f"{work.name}: {parameters}" if parameters else work.name,
        "iterations": f"{work.iterations} x {work.runtime_s:g} s in each boot, after {work.warmup_s:g} s of warm-up",
    }


def _parameter_text(name: str, value: Parameter) -> str:
    return size_text(value) if name.endswith("_bytes") and isinstance(value, int) else str(value)


def common_environment(trials: Sequence[Trial[Place]]) -> dict[str, str]:
    """Facts that every boot which told them told alike; those that differ are the kernels' or the boots' own."""
    told = [trial.environment for trial in trials if trial.environment]
    if not told:
        return {}
    return {key: value for key, value in told[0].items() if all(other.get(key) == value for other in told)}
