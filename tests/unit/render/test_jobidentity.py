"""What a workload's templates render to is a part of a run's identity; their names are not."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from harness import resources
from harness.config.workloads import load_workload, load_workloads
from harness.errors import ConfigError
from harness.lab import bench
from harness.model.experiment import Experiment
from harness.model.workload import Workload
from harness.plan import JOB_CONDITION, experiment_digest
from harness.render.jobidentity import job_condition, job_digest

pytestmark = pytest.mark.unit

OWN = """\
name: mine
title: t
stands_for: s
template: mine.fio.j2
parameters: {bs: 4KiB}
deciding: [write_iops]
disk: 1MiB
"""
JOB = "{{ common }}\n[{{ name }}]\nrw=write\nbs={{ bs }}\n"


def own(folder: Path, job: str = JOB) -> Workload:
    folder.mkdir(exist_ok=True)
    (folder / "mine.yaml").write_text(OWN, encoding="utf-8")
    (folder / "mine.fio.j2").write_text(job, encoding="utf-8")
    return load_workload(folder / "mine.yaml")


def digest(workload: Workload) -> str:
    experiment = Experiment(baseline="a", candidate="b", workload=workload)
    return experiment_digest(
        experiment, baseline_digest="a", candidate_digest="b", conditions={"qemu": "10", **job_condition(workload)}
    )


@pytest.mark.parametrize("name", sorted(load_workloads()))
def test_kabs_own_templates_as_they_were_first_leave_the_identity_as_it_was(name):
    assert job_condition(load_workloads()[name]) == {}


@pytest.fixture
def catalogue(tmp_path, monkeypatch):
    """A copy of kab's own catalogue, to be edited."""
    folder = tmp_path / "configs"
    shutil.copytree(resources.folder("configs"), folder)
    monkeypatch.setattr(resources, "folder", lambda name: folder)
    return folder / "workloads"


@pytest.mark.parametrize("name", ["shared-file.fio.j2", "common.fio.j2", "layout.fio.j2", "verify.fio.j2"])
def test_an_edited_template_of_the_catalogue_is_another_run(catalogue, name):
    workload = load_workloads()["shared-dio"]
    before = digest(workload)
    path = catalogue / name
    path.write_text(path.read_text(encoding="utf-8") + "\nloops=2\n", encoding="utf-8")
    assert load_workloads()["shared-dio"] == workload, "its name alone told nothing"
    assert digest(workload) != before
    edited = digest(workload)
    path.write_text(path.read_text(encoding="utf-8") + "\nloops=3\n", encoding="utf-8")
    assert len({before, edited, digest(workload)}) == 3


def test_a_changed_template_of_the_users_own_is_another_run(tmp_path):
    one, other = digest(own(tmp_path)), digest(own(tmp_path, JOB.replace("rw=write", "rw=randwrite")))
    assert one != other
    assert digest(own(tmp_path)) == one


def test_what_is_rendered_counts_and_not_the_template(tmp_path):
    one = own(tmp_path / "a")
    assert digest(own(tmp_path / "b")) == digest(one), "another place"
    assert digest(own(tmp_path / "c", JOB.replace("{{ bs }}", "{{ 4 * 1024 }}"))) == digest(one), "other words"
    assert digest(replace(one, parameters={"bs": 8192})) != digest(one)


def test_an_included_file_counts(tmp_path):
    (tmp_path / "part").write_text("direct=1\n", encoding="utf-8")
    workload = own(tmp_path, JOB + "{% include 'part' %}")
    before = digest(workload)
    (tmp_path / "part").write_text("direct=0\n", encoding="utf-8")
    assert digest(workload) != before


def test_a_template_that_is_gone_is_told(tmp_path):
    workload = own(tmp_path)
    Path(workload.template).unlink()
    with pytest.raises(ConfigError, match="no template"):
        job_condition(workload)
    with pytest.raises(ConfigError, match="no template"):
        job_digest(workload)


def test_the_condition_is_short_enough_to_be_shown(tmp_path):
    assert len(job_condition(own(tmp_path))[JOB_CONDITION]) == 16


def test_a_template_that_changes_between_two_boots_ends_the_run(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(bench, "run_trial", lambda *asked: made.append(asked))
    experiment = Experiment(baseline="a", candidate="b", workload=own(tmp_path))
    trial = partial(bench._same_job_trial, None, {}, experiment, None, None)
    trial()
    trial()
    own(tmp_path, JOB.replace("write", "randwrite"))
    with pytest.raises(ConfigError, match="changed while it was measured"):
        trial()
    assert len(made) == 2
