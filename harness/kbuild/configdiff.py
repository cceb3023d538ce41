"""The line between two configurations as kernels to build: fragments in files, and what an edge's step did.

Both are resolved by kconfig in the tree first, for what a minimal configuration leaves out has a value, too. The first
rung's fragment sets all that the good one resolves to, so that nothing but the steps changes from there on.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import ConfigError
from harness.history.configline import effect_of, order_changes
from harness.host.files import write_atomically
from harness.kbuild.configfile import read_config
from harness.model.bisection import PlannedRung
from harness.model.kconfig import MAY_BE_LOST, UNSET, ConfigOption, OptionChange, OptionEffect
from harness.model.source import MICRO, GitSpec
from harness.parse.gitspec import git_text
from harness.parse.kconfig import diff_configs, found_out, parse_config, render_config

# Given a spec and texts of configurations: what each of them resolves to in that tree, below the spec's fragments.
Resolve = Callable[[GitSpec, Sequence[str]], Sequence[str]]


def plan_config_line(
    good: Path, bad: Path, spec: GitSpec, *, folder: Path, resolve: Resolve
) -> tuple[PlannedRung, ...]:
    """The rungs from the configuration `good` to `bad`, both included, of the one revision that `spec` names.

    The good configuration and the fragments are written to `folder`, named by their content, so that a search goes
    on from there whatever becomes of the user's files. Raises ConfigError (not configurations; no difference; a spec
    with a configuration of its own), and as `resolve`.
    """
    if spec.build.config != MICRO or spec.build.builder is not None:
        raise ConfigError(
            f"`{git_text(spec)}` names a configuration or a builder of its own",
            remedy="With --config-diff the configurations are the two files alone; leave it out of the spec.",
        )
    texts = [read_config(path) for path in (good, bad)]
    alike = ConfigError(
        f"{good} and {bad} set every option alike, once kconfig has resolved them",
        remedy="Name two configurations that differ in an option of this tree.",
    )
    as_written = [parse_config(text, name=str(path)) for path, text in zip((good, bad), texts, strict=True)]
    if as_written[0] == as_written[1]:
        raise alike
    build = replace(spec.build, config=str(keep_config(texts[0], folder)))
    resolved = [parse_config(text) for text in resolve(replace(spec, build=build), texts)]
    steps = order_changes(diff_configs(*resolved))
    if not steps:
        raise alike
    build = replace(build, fragments=(*build.fragments, keep_config(_start(*resolved), folder)))
    base = replace(spec, build=build)
    rungs = [
        PlannedRung(spec=git_text(base), release=good.name, version="0", title=f"as {good.name} has it", weight=1.0)
    ]
    for count, step in enumerate(steps, start=1):
        fragment = keep_config(_fragment(steps[:count]), folder)
        stepped = replace(base, build=replace(build, fragments=(*build.fragments, fragment)))
        rungs.append(
            PlannedRung(spec=git_text(stepped), release=step.short, version=str(count), title=str(step), weight=1.0)
        )
    return tuple(rungs)


def counter_spec(after: GitSpec, far: GitSpec, *, folder: Path) -> GitSpec:
    """The rung `far` of the line without the step to the rung `after`, or with it where `far` comes before.

    Raises ConfigError where `after` is no rung of a line, HostError.
    """
    step = _steps(after)[-1]
    steps = _steps(far) if _has_steps(far, after) else []
    others = [other for other in steps if other.name != step.name]
    # The good value is written out, for fragments of the user's may have another.
    value = step.good if len(others) < len(steps) else step.bad
    fragment = render_config([*((other.name, other.bad) for other in others), (step.name, value)], comment=MAY_BE_LOST)
    own = far.build.fragments[: len(after.build.fragments) - 1]
    return replace(far, build=replace(far.build, fragments=(*own, keep_config(fragment, folder))))


def effect_at(after: GitSpec, resulting: tuple[Path, Path]) -> OptionEffect:
    """What the step to the rung `after` did, from the resulting configurations of the rung before and of itself.

    Raises ConfigError where `after` is no rung of a line, or a file is gone.
    """
    steps = _steps(after)
    before, there = (parse_config(read_config(path), name=str(path)) for path in resulting)
    return effect_of(steps, len(steps) - 1, before, there)


def _steps(rung: GitSpec) -> list[OptionChange]:
    """The steps to a rung, in their order, read back from its fragment."""
    if not rung.build.fragments:
        raise ConfigError(f"`{git_text(rung)}` is no step from one configuration to another")
    *before, fragment = rung.build.fragments
    good: dict[str, ConfigOption] = {}
    for path in (Path(rung.build.config), *before):
        good |= parse_config(read_config(path), name=str(path))
    return [
        OptionChange(name=wish.name, good=good[wish.name].value if wish.name in good else UNSET, bad=wish.value)
        for wish in parse_config(read_config(fragment), name=str(fragment)).values()
    ]


def _start(good: Mapping[str, ConfigOption], bad: Mapping[str, ConfigOption]) -> str:
    """All that the good configuration resolves to, and what the bad one unsets that cannot be seen in the good one.

    Else an option that both have by different defaults, or that a step brings into sight, would take another value.
    What is found out about the compiler is left out: another compiler is no other search.
    """
    unseen = [(name, UNSET) for name, option in bad.items() if name not in good and option.value == UNSET]
    known = [(name, option.value) for name, option in good.items() if not found_out(name)]
    return render_config([*known, *unseen], comment=MAY_BE_LOST)


def _has_steps(rung: GitSpec, other: GitSpec) -> bool:
    """Whether a rung of the same line has steps: the first has only the user's fragments."""
    return len(rung.build.fragments) == len(other.build.fragments)


def _fragment(steps: Sequence[OptionChange]) -> str:
    return render_config(((step.name, step.bad) for step in steps), comment=MAY_BE_LOST)


def keep_config(text: str, folder: Path) -> Path:
    """The file of this content below `folder`, made where it is missing: what a search builds with does not change.

    Raises HostError.
    """
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.config"
    if not path.exists():
        write_atomically(path, text.encode())
    return path
