"""Wiring of ``--tree``: suspects from a clone of Linux, for edges between packages."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import ConfigError, KabError
from harness.git.releases import list_commits
from harness.git.repository import Repository
from harness.lab.workspace import Workspace
from harness.model.bisection import BisectionOutcome, BisectionPlan
from harness.model.experiment import Experiment
from harness.model.history import Change, TreeListing
from harness.run.answer import TreeLister, with_tree


def tree_lister(workspace: Workspace, tree: Path | None) -> TreeLister | None:
    """What lists commits from `tree`, else from that of the settings; None where neither is named.

    Later trouble is told in the listing: a search does not fail for it. Raises ConfigError where `tree` is no git
    repository; HostError.
    """
    if tree is not None:
        Repository.open(tree, workspace.paths.git)
    chosen = tree or workspace.settings.tree
    if chosen is None:
        return None

    def list_(older: str, newer: str, paths: Sequence[str]) -> tuple[TreeListing, Sequence[Change]]:
        try:
            return list_commits(Repository.open(chosen, workspace.paths.git), older, newer, paths)
        except KabError as error:
            return TreeListing(tree=str(chosen), notes=(f"{error.message}. {error.remedy}".strip(),)), ()

    return list_


def check_packages(plan: BisectionPlan, tree: Path | None) -> None:
    """Raise ConfigError where `tree` is named, but the kernels of `plan` have commits of their own."""
    if tree is not None and plan.built:
        raise ConfigError(
            "--tree is for searches over packages; one over a git tree has its commits", remedy="Leave --tree out."
        )


def with_suspects(
    plan: BisectionPlan,
    experiment: Experiment,
    outcome: BisectionOutcome | None,
    tree: Path | None,
    lister_of: Callable[[Path | None], TreeLister | None],
) -> BisectionOutcome | None:
    """A stored outcome with what `tree` lists at each edge; without one, what that of the settings lists where no tree
    has been asked. Raises ConfigError (no git repository, no packages), HostError.
    """
    check_packages(plan, tree)
    lister = lister_of(tree)
    if lister is None or outcome is None or plan.built:
        return outcome
    edges = [
        with_tree(edge, plan, experiment, lister) if tree is not None or edge.tree is None else edge
        for edge in outcome.edges
    ]
    return replace(outcome, edges=tuple(edges))
