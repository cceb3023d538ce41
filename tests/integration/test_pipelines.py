"""The pipelines of ci/ that users copy: read by the linters of those who run them, and their scripts run with a kab
that only says what it was asked for."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from harness.cli.app import kab

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
CI = ROOT / "ci"
ACTION, WORKFLOW = CI / "github/action.yml", CI / "github/workflow.yml"
GITLAB = CI / "gitlab/kab.gitlab-ci.yml"
SERVICE, USER_SERVICE = CI / "systemd/kab-nightly.service", CI / "systemd/user/kab-nightly.service"
TIMER = CI / "systemd/kab-nightly.timer"
BIN = Path(sys.executable).parent
# What is said instead of measured; the words that kab was given are kept one in each line.
STUB = """\
#!/bin/sh
printf '%s\\n' "$@" >"$KAB_STUB_WORDS"
env | grep ^KAB_DEBIAN_MIRROR= >>"$KAB_STUB_WORDS"
for word; do case $word in --junit=*) printf %s "$KAB_STUB_JUNIT" >"${word#*=}" ;; esac; done
echo '```not the end of a block'
exit "$KAB_STUB_STATUS"
"""
HOSTILE = "$(touch pwned) `touch pwned`; touch pwned '\" ${{ github.token }} --seed=1"


def run(*argv: str | Path, env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def wrong(source: Path, folder: Path, old: str, new: str) -> Path:
    """A copy of a file with something wrong in it: a linter that says nothing of it is none."""
    text = source.read_text()
    assert old in text
    copy = folder / source.name
    copy.write_text(text.replace(old, new, 1))
    return copy


class Stub:
    """A kab of this name first in PATH, and what it was given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        program = folder / "bin/kab"
        program.write_text(STUB)
        program.chmod(0o755)

    def run(
        self, *argv: str | Path, status: int = 0, junit: str = "<testsuites/>", **env: str
    ) -> subprocess.CompletedProcess[str]:
        return run(
            *argv,
            cwd=self.folder,
            env={
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                "KAB_STUB_WORDS": str(self.folder / "words"),
                "KAB_STUB_STATUS": str(status),
                "KAB_STUB_JUNIT": junit,
                **env,
            },
        )

    @property
    def words(self) -> list[str]:
        return (self.folder / "words").read_text().splitlines()


@pytest.fixture
def stub(tmp_path: Path) -> Stub:
    return Stub(tmp_path)


# What the linters of others say.


@pytest.mark.parametrize(
    ("schema", "path"),
    [("github-actions", ACTION), ("github-workflows", WORKFLOW), ("gitlab-ci", GITLAB)],
    ids=["action", "workflow", "gitlab"],
)
def test_files_are_what_their_schemas_want(schema: str, path: Path, tmp_path: Path) -> None:
    def check(path: Path) -> subprocess.CompletedProcess[str]:
        return run(BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", path)

    done = check(path)
    assert done.returncode == 0, done.stdout + done.stderr
    bad = {ACTION: ("  using: composite", "  uses: composite"), WORKFLOW: ("runs-on:", "run-on:")}
    done = check(wrong(path, tmp_path, *bad.get(path, ("parallel: 4", "parallel: none"))))
    assert done.returncode == 1, done.stdout


def test_nothing_of_the_github_files_is_unsafe(tmp_path: Path) -> None:
    """Templates in shell lines, unpinned actions, needless rights, kept credentials: zizmor knows them all."""

    def audit(*paths: Path) -> subprocess.CompletedProcess[str]:
        return run(BIN / "zizmor", "--offline", "--no-config", "--no-progress", "--persona=pedantic", *paths)

    done = audit(ACTION, WORKFLOW)
    assert done.returncode == 0, done.stdout + done.stderr
    safe = "run: '\"$GITHUB_ACTION_PATH/install.sh\"'"
    done = audit(wrong(ACTION, tmp_path, safe, "run: pip install ${{ inputs.package }}"))
    assert done.returncode != 0
    assert "template-injection" in done.stdout


def test_actions_are_pinned_by_what_cannot_move() -> None:
    used = [
        line for path in (ACTION, WORKFLOW) for line in path.read_text().splitlines() if re.search(r"- ?uses:", line)
    ]
    used += [line for line in ACTION.read_text().splitlines() if re.match(r" +uses:", line)]
    assert len(used) >= 6
    assert [line for line in used if not re.search(r"@[0-9a-f]{40} # \S", line) and not line.startswith("#")] == []


def test_shell_scripts_and_shell_lines_are_sound(tmp_path: Path) -> None:
    scripts = [*CI.rglob("*.sh")]
    assert {path.name for path in scripts} >= {"install.sh", "measure.sh", "test.sh", "setup.sh"}
    for number, step in enumerate(yaml.safe_load(ACTION.read_text())["runs"]["steps"]):
        if "run" in step:
            scripts.append(tmp_path / f"action-{number}.sh")
            scripts[-1].write_text("#!/bin/bash\nset -e\n" + step["run"])
    for name, job in yaml.safe_load(GITLAB.read_text()).items():
        if "script" in job or "before_script" in job:
            scripts.append(tmp_path / f"gitlab{name}.sh")
            scripts[-1].write_text("\n".join(["#!/bin/sh -e", *job.get("before_script", []), *job.get("script", [])]))
    # SC2016, SC1091: what is meant where they are (APT's own variables; a file of the host). SC2164: `cd` to a folder
    # that the script itself is in.
    done = run(BIN / "shellcheck", "--exclude=SC2016,SC1091,SC2164", *scripts)
    assert done.returncode == 0, done.stdout
    bad = tmp_path / "bad.sh"
    bad.write_text("#!/bin/sh\nkab $FILE\n")
    assert run(BIN / "shellcheck", bad).returncode == 1


@pytest.mark.parametrize(
    ("service", "program", "scope"),
    [(SERVICE, "/opt/kab/.venv/bin/kab", "--system"), (USER_SERVICE, "%h/.local/bin/kab", "--user")],
    ids=["system", "user"],
)
def test_systemd_reads_the_units(service: Path, program: str, scope: str, tmp_path: Path) -> None:
    def verify(service: Path) -> str:
        done = run(
            "systemd-analyze", "verify", scope, "--man=no", service, timer, env={"XDG_RUNTIME_DIR": str(tmp_path)}
        )
        return done.stdout + done.stderr + (f"status {done.returncode}" if done.returncode else "")

    timer = tmp_path / TIMER.name
    timer.write_text(TIMER.read_text())
    # A program that is there: whether it is is looked at, too.
    unit = wrong(service, tmp_path, program, "/bin/true")
    assert verify(unit) == ""
    unit.write_text(unit.read_text().replace("KillMode=", "KillMood="))
    assert "KillMood" in verify(unit)


def test_tmt_reads_plan_and_test(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    run("cp", "-r", CI / "tmt", tree)
    done = run(BIN / "tmt", "lint", cwd=tree)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"/plan", "/gate"} <= set(done.stdout.split())
    assert not re.search(r"^(fail|warn)", done.stdout, re.MULTILINE), done.stdout
    listed = run(BIN / "tmt", "plan", "show", "--verbose", "/plan", cwd=tree)
    assert "order 80" in listed.stdout, listed.stdout + listed.stderr
    wrong(tree / "gate/main.fmf", tree / "gate", "result: custom", "result: perhaps")
    done = run(BIN / "tmt", "lint", cwd=tree)
    assert done.returncode != 0
    assert "perhaps" in done.stdout + done.stderr


def test_pipelines_install_what_kab_needs_on_its_host() -> None:
    """The list is written where users copy it, so it must not fall behind ci/packages.txt."""
    text = (CI / "packages.txt").read_text()
    blocks = [block for block in re.split(r"\n\n+", text) if not re.match(r"# (Kernels from source|Tests)", block)]
    needed = {line for block in blocks for line in block.splitlines() if line and not line.startswith("#")}
    needed |= {"qemu-system-x86", "gcc", "libc6-dev"}
    [line] = [line for line in yaml.safe_load(GITLAB.read_text())[".kab"]["before_script"] if " install --yes" in line]
    assert {word for word in line.split()[2:] if not word.startswith("-")} - {"install"} == needed
    assert set(yaml.safe_load((CI / "tmt/gate/main.fmf").read_text())["require"]) == needed


# What the scripts do.


def github(folder: Path, **inputs: str) -> dict[str, str]:
    for name in ("output", "summary"):
        (folder / name).write_text("")
    steps = yaml.safe_load(ACTION.read_text())["runs"]["steps"]
    [step] = [step for step in steps if step.get("id") == "kab"]
    declared = yaml.safe_load(ACTION.read_text())["inputs"]
    values = {name: str(about.get("default", "")) for name, about in declared.items()} | inputs
    assert set(values) == set(declared)
    variables = {}
    for name, template in step["env"].items():
        [key] = re.findall(r"^\$\{\{ inputs\.([\w-]+) \}\}$", template)
        variables[name] = values[key]
    return {**variables, "GITHUB_OUTPUT": str(folder / "output"), "GITHUB_STEP_SUMMARY": str(folder / "summary")}


def test_the_action_gives_kab_what_it_was_given(stub: Stub) -> None:
    inputs = {"file": "a b.yaml", "baseline": "debian:6.12", "candidate": "deb:./x.deb", "shard": "2/5"}
    more = {"arguments": "--max-boots\n40\n\n--set=a b\n", "debian-mirror": "http://mirror.invalid/debian"}
    done = stub.run(CI / "github/measure.sh", **github(stub.folder, **inputs, **more))
    assert done.returncode == 0, done.stdout + done.stderr
    reports = stub.folder / "kab-reports"
    assert stub.words == [
        "gate",
        "--baseline=debian:6.12",
        "--candidate=deb:./x.deb",
        "--shard=2/5",
        "--max-boots",
        "40",
        "--set=a b",
        f"--json={reports}/report.json",
        f"--html={reports}/report.html",
        f"--junit={reports}/junit.xml",
        "--progress=lines",
        "--",
        "a b.yaml",
        "KAB_DEBIAN_MIRROR=http://mirror.invalid/debian",
    ]
    assert (stub.folder / "output").read_text() == f"reports={reports}\nstatus=0\n"
    assert (stub.folder / "summary").read_text().splitlines()[2:] == ["    ```not the end of a block", ""]


def test_what_a_stranger_wrote_stays_one_word(stub: Stub) -> None:
    variables = github(stub.folder, file=HOSTILE, baseline=HOSTILE, candidate=HOSTILE, shard=HOSTILE, arguments=HOSTILE)
    done = stub.run(CI / "github/measure.sh", **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [word for word in stub.words if HOSTILE in word] == [
        f"--baseline={HOSTILE}",
        f"--candidate={HOSTILE}",
        f"--shard={HOSTILE}",
        HOSTILE,
        HOSTILE,
    ]
    assert not (stub.folder / "pwned").exists()


@pytest.mark.parametrize(
    ("status", "cannot_tell", "ends", "says"),
    [
        (0, "fail", 0, ""),
        (1, "pass", 1, "::error title=kab::Slower"),
        (125, "fail", 125, "::error title=kab::Cannot tell"),
        (125, "pass", 0, "::warning title=kab::Cannot tell"),
        (131, "pass", 131, "::error title=kab::Nothing is said of a kernel (status 131)"),
    ],
)
def test_the_action_ends_as_kab_did(stub: Stub, status: int, cannot_tell: str, ends: int, says: str) -> None:
    variables = github(stub.folder, file="f.yaml", **{"cannot-tell": cannot_tell})
    done = stub.run(CI / "github/measure.sh", status=status, **variables)
    assert done.returncode == ends
    annotations = [line for line in done.stdout.splitlines() if line.startswith("::")]
    assert len(annotations) == bool(says)
    assert "".join(annotations).startswith(says)
    assert f"status={status}\n" in (stub.folder / "output").read_text()


@pytest.mark.parametrize("inputs", [{"verb": "shell"}, {"cannot-tell": "perhaps"}])
def test_the_action_refuses_what_it_does_not_know(stub: Stub, inputs: dict[str, str]) -> None:
    done = stub.run(CI / "github/measure.sh", **github(stub.folder, file="f.yaml", **inputs))
    assert done.returncode == 129
    assert not (stub.folder / "words").exists()


def gitlab(stub: Stub, job: str, **variables: str) -> list[str]:
    pipeline = yaml.safe_load(GITLAB.read_text())
    (stub.folder / "reports").mkdir(exist_ok=True)
    values = {name: str(value) for name, value in pipeline["variables"].items()} | variables
    for line in pipeline[job]["script"]:
        done = stub.run("sh", "-ec", line, **values)
        assert done.returncode == 0, done.stderr
    return stub.words


def test_gitlab_shards_by_its_own_numbers(stub: Stub) -> None:
    words = gitlab(stub, "kab-gate", CI_NODE_INDEX="2", CI_NODE_TOTAL="4", KAB_CANDIDATE=HOSTILE)
    assert words[:3] == ["gate", "--shard=2/4", f"--candidate={HOSTILE}"]
    assert words[-2:] == ["--", "kab/gate.yaml"]
    assert not (stub.folder / "pwned").exists()
    job = yaml.safe_load(GITLAB.read_text())
    assert job["kab-gate"]["parallel"] > 1
    assert job[".kab"]["allow_failure"] == {"exit_codes": [125]}
    [pattern] = [job[".kab"]["artifacts"]["reports"]["junit"]]
    assert [path.relative_to(stub.folder).as_posix() for path in stub.folder.glob(pattern)] == ["reports/junit-2.xml"]


JUNIT = """\
<testsuites><testsuite name="gate"><testcase classname="wal/ext4" name="write_iops"/>
<testcase classname="wal/btrfs" name="write_iops"><failure message="9 % slower"/></testcase>
<testcase classname="wal/xfs" name="a b"><skipped message="waived: known"/></testcase>
<testcase classname="wal/f2fs" name="measured"><error>no such kernel</error></testcase>
<testcase classname="wal/nfs" name="measured"><error type="inconclusive" message="40 boots"/></testcase>
</testsuite></testsuites>
"""


def tmt_results(stub: Stub, status: int) -> list[dict[str, Any]]:
    data = stub.folder / "data"
    data.mkdir()
    done = stub.run(
        CI / "tmt/gate/test.sh",
        status=status,
        junit=JUNIT,
        TMT_TEST_DATA=str(data),
        KAB_FILE="gate.yaml",
        KAB_BASELINE="debian:6.12",
    )
    assert done.returncode == status, done.stderr
    results: list[dict[str, Any]] = json.loads((data / "results.json").read_text())
    return results


def test_tmt_gets_a_result_for_each_cell(stub: Stub) -> None:
    results = tmt_results(stub, 1)
    assert stub.words[:2] == ["gate", "--baseline=debian:6.12"]
    assert [(found["name"], found["result"]) for found in results] == [
        ("/", "fail"),
        ("/wal/ext4/write_iops", "pass"),
        ("/wal/btrfs/write_iops", "fail"),
        ("/wal/xfs/a_b", "info"),
        ("/wal/f2fs/measured", "error"),
        ("/wal/nfs/measured", "warn"),
    ]
    assert results[0]["log"] == ["report.txt", "junit.xml"]
    assert results[2]["note"] == ["9 % slower"]


@pytest.mark.parametrize(("status", "result"), [(0, "pass"), (125, "warn"), (129, "error"), (131, "error")])
def test_tmt_is_told_whose_fault_it_is(stub: Stub, status: int, result: str) -> None:
    assert tmt_results(stub, status)[0]["result"] == result


def test_tmt_takes_the_results(stub: Stub) -> None:
    """By the schema that tmt itself reads them with."""
    import jsonschema
    import tmt
    from referencing import Registry
    from referencing.jsonschema import DRAFT7

    schemas = Path(tmt.__file__).parent / "schemas"
    resources = [
        (schema["$id"], DRAFT7.create_resource(schema))
        for schema in (yaml.safe_load((schemas / f"{name}.yaml").read_text()) for name in ("common", "core", "results"))
    ]
    validator = jsonschema.Draft7Validator(resources[-1][1].contents, registry=Registry().with_resources(resources))
    results = tmt_results(stub, 1)
    assert [*validator.iter_errors(results)] == []
    assert [*validator.iter_errors([{**results[0], "result": "perhaps"}])] != []


# What kab says to the words that it would be given.


def parsed(words: list[str]) -> dict[str, Any]:
    """The parameters of a command of kab, by its own tree. Raises click.UsageError for words that it does not take."""
    context = kab.make_context("kab", [*words])
    name, command, rest = kab.resolve_command(context, [*context._protected_args, *context.args])
    assert command is not None
    return {"verb": name, **command.make_context(name, rest, parent=context).params}


def test_kab_takes_the_words_of_the_action(stub: Stub) -> None:
    for verb in ("gate", "run", "nightly"):
        inputs = {"verb": verb, "file": "a.yaml", "shard": "1/2", "arguments": "--only=fs=btrfs"}
        if verb != "nightly":
            inputs |= {"baseline": "debian:6.12", "candidate": "debian:7.2"}
        assert stub.run(CI / "github/measure.sh", **github(stub.folder, **inputs)).returncode == 0
        found = parsed(stub.words)
        assert (found["verb"], found["file"], found["shard"], found["only"]) == (verb, "a.yaml", "1/2", ("fs=btrfs",))
        assert [found[name] for name in ("baseline", "candidate") if name in found] == [
            inputs[name] for name in ("baseline", "candidate") if name in inputs
        ]
        assert str(found["junit"]).endswith("junit.xml")
    with pytest.raises(click.UsageError, match="--baseline"):
        parsed(["nightly", "--baseline=debian:6.12", "a.yaml"])


def test_kab_takes_what_the_workflow_gives_to_the_action() -> None:
    declared = yaml.safe_load(ACTION.read_text())["inputs"]
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"] if "/ci/github@" in step.get("uses", "")]
    assert {step["with"]["verb"] for step in steps} == {"nightly", "gate"}
    for step in steps:
        assert step["with"].keys() <= declared.keys()
        assert {name for name, about in declared.items() if about.get("required")} <= step["with"].keys()


def test_kab_takes_the_words_of_gitlab(stub: Stub) -> None:
    for kernels in ({}, {"KAB_BASELINE": "debian:6.12", "KAB_CANDIDATE": "debian:7.2"}):
        gate = parsed(gitlab(stub, "kab-gate", CI_NODE_INDEX="1", CI_NODE_TOTAL="4", **kernels))
        assert (gate["verb"], gate["shard"], gate["candidate"]) == ("gate", "1/4", kernels.get("KAB_CANDIDATE"))
    night = parsed(gitlab(stub, "kab-nightly"))
    assert (night["verb"], night["file"], str(night["junit"])) == ("nightly", "kab/nightly.yaml", "reports/junit.xml")


def test_kab_takes_the_words_of_tmt(stub: Stub) -> None:
    tmt_results(stub, 0)
    found = parsed(stub.words)
    assert (found["verb"], found["file"], found["baseline"]) == ("gate", "gate.yaml", "debian:6.12")


@pytest.mark.parametrize("path", [SERVICE, USER_SERVICE], ids=["system", "user"])
def test_kab_takes_the_words_of_systemd(path: Path) -> None:
    found = parsed(shlex.split(unit_file(path)["ExecStart"])[1:])
    assert found["verb"] == "nightly"
    assert found["file"].endswith("/nightly.yaml")


@pytest.mark.parametrize("name", ["run-it-every-night.md", "run-it-in-ci.md", "gate-a-release.md"])
def test_kab_takes_the_words_of_the_pages(name: str) -> None:
    """Every line of a block of code in which a verb of kab stands, lines that go on included."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", (ROOT / "docs/howto" / name).read_text(), re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    verbs = "|".join(kab.list_commands(click.Context(kab)))
    commands = [found[1] for line in lines if (found := re.search(rf"(?:^|[\s/])kab ((?:{verbs})\b.*)", line))]
    assert commands or name == "run-it-in-ci.md"
    for command in commands:
        words = shlex.split(command, comments=True)
        stop = next((place for place, word in enumerate(words) if re.match(r"[<>|;&]|2>", word)), len(words))
        parsed(words[:stop])


def unit_file(path: Path) -> dict[str, str]:
    """Keys of a unit; of one that is there more than once the last."""
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if re.match(r"[A-Z]\w+=", line))


@pytest.mark.parametrize("path", [SERVICE, USER_SERVICE], ids=["system", "user"])
def test_a_worse_kernel_is_told_and_not_measured_again(path: Path) -> None:
    unit = unit_file(path)
    assert unit["SuccessExitStatus"].split() == ["125", "130"]
    assert unit["Restart"] == "on-failure"
    again = {"1", "125", "128", "129", "130", "131"} - {*unit["SuccessExitStatus"].split()}
    assert again - {*unit["RestartPreventExitStatus"].split()} == {"131"}
    assert shlex.split(unit["ExecStart"])[1] == "nightly"
