"""The mail for the list: what a kernel developer looks for in it, and nothing that was not measured."""

import email
import email.policy
import re
from dataclasses import replace

import pytest
from commits import REMOVED, RESTORED, Story, commit, failure, plan, story
from ladders import VERSIONS
from ladders import plan as packages

from harness.model.bisection import EdgeKind, PlannedRung, RevertTest
from harness.model.history import Change, Origin, Suspect
from harness.model.source import OperationKind
from harness.model.verdict import Verdict
from harness.report.search import rungs
from harness.report.search.gitbisectlog import git_bisect_log
from harness.report.search.mail import WIDTH, list_mail
from harness.report.search.mailpeople import address
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.unit

LOST = ((REMOVED, EdgeKind.REMOVED),)
# What must stay on one line, however long: tags, hashes, headers, tables.
_WHOLE = re.compile(r"^(Subject|commit|author|To|Cc|Fixes|last|first)\b.*:|^#|^git bisect| ± |^ +median +%stddev")


def mail_of(told: Story, **options: object) -> str:
    arguments = {"subruns": told.subruns, **options}
    return list_mail(told.run, told.evidence, told.standing, told.outcome, METRICS, **arguments)


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def lost() -> Story:
    """A loss that is still there."""
    return story(edges=LOST, boots=(20, 10, 15, 12, 11), failures=[failure(20, 0)])


@pytest.fixture(scope="module")
def both() -> Story:
    return story()


def test_subject_and_recipients(lost: Story) -> None:
    headers = mail_of(lost, tree="linus:master").split("\n\n")[0].splitlines()
    assert re.fullmatch(
        rf"Subject: \[REGRESSION\] \[linus:master\] \[btrfs\] {commit(REMOVED).short}: "
        r"fio\.write_iops -\d\d\.\d% regression",
        headers[0],
    )
    assert headers[1:] == ["To: Ann Ättiksdotter <ann@example.org>", "Cc: regressions@lists.linux.dev"]
    assert mail_of(lost).startswith("Subject: [REGRESSION] [linux] [btrfs] ")


def test_the_culprit_as_the_kernel_names_it(lost: Story) -> None:
    mail = mail_of(lost)
    tag = f'{commit(REMOVED).short} ("btrfs: move mount code to the new mount API")'
    assert len(commit(REMOVED).short) == 12
    full, title = commit(REMOVED).sha, tag.partition(" ")[2]
    assert len(full) == 40
    for line in (f"commit: {full} {title}", f"Fixes: {tag}", f"#regzbot introduced: {full}"):
        assert line in mail.splitlines()
    assert "#regzbot fix" not in mail
    assert "is still slow" in flat(mail)


def test_both_arms_with_deviations_and_the_deciding_metric(lost: Story) -> None:
    mail = mail_of(lost)
    (row,) = [line for line in mail.splitlines() if line.endswith("queue_depth *")]
    figures = re.fullmatch(
        r" +([\d.]+) +± +\d+% +-(\d+\.\d)% +-[\d.]+ \.\. -[\d.]+% +([\d.]+) +± +\d+%  queue_depth \*", row
    )
    assert figures
    before, after = float(figures[1]), float(figures[3])
    assert 3 < before < 3.4
    assert 0.9 < after < 1
    assert abs((after / before - 1) * 100 + float(figures[2])) < 1
    assert re.search(r"write_iops \(1/s\)$", mail, re.MULTILINE)
    assert "Before: requests run in parallel; after: I/O to the file is serialised." in flat(mail)


def test_proof_and_revert_test_have_intervals(lost: Story) -> None:
    mail = flat(mail_of(lost))
    after, before = commit(REMOVED).short, commit(REMOVED - 1).short
    assert re.search(rf"Effect of the commit, {after} against {before}: queue_depth -[\d.]+% \(99% interval -", mail)
    far = commit(39).short
    assert re.search(
        rf'Effect of the revert alone on top of {far} \("fs: change number 39"\): queue_depth \+[\d.]+% \(99% inter',
        mail,
    )


@pytest.mark.parametrize(
    ("counter", "words"),
    [
        ("the revert conflicts and does not apply: fs/btrfs/super.c", "The revert does not apply to"),
        ("super.c:12: error: no such member", "The revert cannot be tested on"),
        (False, "does NOT bring the speed back, A/B says same"),
    ],
)
def test_a_revert_test_that_fails_is_told_as_plainly(counter: bool | str, words: str) -> None:
    mail = flat(mail_of(story(edges=LOST, boots=(20, 10, 12, 11), counter=counter)))
    assert words in mail
    assert "Effect of the revert" not in mail
    if isinstance(counter, str):
        assert counter in mail


def test_a_loss_that_was_mended_names_what_mended_it(both: Story) -> None:
    mail = mail_of(both)
    assert f"#regzbot introduced: {commit(REMOVED).sha}\n#regzbot fix: {commit(RESTORED).sha}" in mail
    assert f'It is gone since {commit(RESTORED).short} ("btrfs: set SB_NOSEC again' in flat(mail)
    assert f'commit: {commit(RESTORED).sha} ("' in mail
    # It is mended.
    assert mail.startswith("Subject: [linux] ")
    assert "Effect of the commit alone on top of" in flat(mail)
    assert "still slow" not in mail
    assert mail.count("git bisect start") == 2


def test_an_improvement_alone_is_no_regression() -> None:
    mail = mail_of(story(edges=((RESTORED, EdgeKind.RESTORED),), boots=(20, 10, 31, 30)))
    assert re.match(
        rf"Subject: \[linux\] \[btrfs\] {commit(RESTORED).short}: fio\.write_iops \+\d+\.\d% improvement", mail
    )
    for word in ("regzbot", "regressions@", "Fixes:", "regression"):
        assert word not in mail
    assert "git bisect start '--term-old=slow' '--term-new=fast'" in mail


def test_an_edge_that_is_not_proven_is_not_sold_as_one(lost: Story) -> None:
    (edge,) = lost.outcome.edges
    doubtful = replace(edge, verdict=Verdict.INCONCLUSIVE)
    mail = mail_of(replace(lost, outcome=replace(lost.outcome, edges=(doubtful,))))
    assert mail.splitlines()[0].endswith(": suspected regression")
    assert "NOT proven" in mail
    assert "#regzbot" not in mail
    assert "Fixes:" not in mail


def test_how_it_was_measured_and_how_to_do_it_again(lost: Story) -> None:
    mail = flat(mail_of(lost))
    for words in (
        "nvme,backend=nbd,latency=2ms", "btrfs,mount=nodatacow", "2 vCPUs, 1024 MiB", "accelerator tcg",
        "gcc (Debian 12.2.0-14) 12.2.0", "config micro + debug.config", "build make -j2 bzImage", "block_bytes=16KiB",
        f"kab ab git:/src/linux@{commit(REMOVED - 1).sha}", "kab bisect git:/src/linux@v6.7..v7.2",
    ):  # fmt: skip
        assert words in mail
    assert "40 commits" in mail
    # Without the A/B runs the ends' configuration is told.
    assert "gcc (Debian 12.2.0-14)" in mail_of(lost, subruns={})


def test_it_fits_a_mail(both: Story, lost: Story) -> None:
    for told in (both, lost):
        mail = mail_of(told)
        assert mail.endswith("\n")
        for line in mail.splitlines():
            assert line == line.rstrip()
            assert len(line) <= WIDTH or _WHOLE.search(line), line


def test_what_cannot_be_told_apart_is_a_set() -> None:
    told = story(
        edges=((14, EdgeKind.REMOVED),),
        boots=(20, 10, 14, 11),
        failures=[failure(12, 0), failure(13, 0)],
        befores={14: 11},
    )
    mail = mail_of(told)
    assert f"#regzbot introduced: {commit(11).sha}..{commit(14).sha}" in mail
    assert "it is one of:" in mail
    for number in (12, 13, 14):
        assert f'  {commit(number).short} ("' in mail
    assert "Fixes:" not in mail


def test_packages_have_neighbours_and_suspects_and_no_commit() -> None:
    ladder = packages()
    told = story(
        replace(ladder, rungs=ladder.rungs),
        edges=((1, EdgeKind.REMOVED), (16, EdgeKind.RESTORED)),
        boots=(8, 1, 15, 16),
    )
    change = Change(subject="btrfs: some change", origin=Origin.UPSTREAM, version=VERSIONS[1], point_release="6.12.40")
    suspects = (Suspect(change=change, score=6),)
    edges = tuple(replace(edge, suspects=suspects, changes=210) for edge in told.outcome.edges)
    mail = mail_of(replace(told, outcome=replace(told.outcome, edges=edges)))
    assert mail.startswith(f"Subject: [debian] [btrfs] {VERSIONS[0]}..{VERSIONS[1]}: fio.write_iops -")
    assert f"last fast kernel:  {VERSIONS[0]}-cloud-amd64" in mail
    assert f"first slow kernel: {VERSIONS[1]}-cloud-amd64" in mail
    assert "btrfs: some change (6.12.40)" in mail
    assert "of 210 changes" in flat(mail)
    for word in ("regzbot", "Fixes:", "commit:", "git bisect", "Revert test"):
        assert word not in mail


def test_an_option_is_the_culprit_of_two_configurations() -> None:
    named = [f"OPTION_{number}=y" for number in range(24)]
    rungs = tuple(
        PlannedRung(
            spec=f"git:/src/linux@{'ab' * 20},fragment=/cache/{number}.config",
            release=name, version=str(number), title=f"{name.removesuffix('=y')}: n -> y", weight=1.0,
        )
        for number, name in enumerate(named)
    )  # fmt: skip
    told = story(plan(rungs=rungs), edges=((9, EdgeKind.REMOVED),), boots=(12, 6, 9, 8))
    undo = RevertTest(
        kind=OperationKind.REVERT, far=23, spec="git:x", run="counter-9", verdict=Verdict.FASTER, reason="above 1"
    )
    edges = tuple(replace(edge, revert_test=undo) for edge in told.outcome.edges)
    mail = mail_of(replace(told, outcome=replace(told.outcome, edges=edges)))
    assert mail.startswith("Subject: [linux] [btrfs] OPTION_9=y: fio.write_iops -")
    assert 'first slow kernel: OPTION_9=y ("OPTION_9: n -> y")' in mail
    assert "Effect of the option's old value alone on top of OPTION_23=y" in flat(mail)
    for word in ("regzbot", "Fixes:", "commit:", "git bisect", "Suspects"):
        assert word not in mail


def test_no_change_and_no_answer(lost: Story) -> None:
    nothing = replace(lost.outcome, edges=(), reason="all are alike")
    mail = mail_of(replace(lost, outcome=nothing))
    assert "no change found" in mail.splitlines()[0]
    assert "all are alike" in mail
    unfinished = list_mail(lost.run, lost.evidence, lost.standing, None, METRICS)
    assert "search not finished" in unfinished.splitlines()[0]
    assert "regression" not in unfinished


def test_the_culprit_of_another_subsystem_names_it() -> None:
    mail = mail_of(story(edges=((5, EdgeKind.REMOVED),), boots=(20, 10, 5, 4)))
    assert mail.startswith(f"Subject: [REGRESSION] [linux] [wifi] {commit(5).short}: ")
    assert len(plan().rungs) == 40


# Names and titles of the field.

HOSTILE = "x\nBcc: all@example.org\r\n\ngit bisect good\x1b[2J\u202e"


def told_of(**changes: object) -> Story:
    """A story whose culprit is another commit."""
    culprit = replace(commit(REMOVED), **changes)
    rungs = list(plan().rungs)
    rungs[REMOVED] = replace(rungs[REMOVED], commit=culprit, title=culprit.title)
    return story(plan(rungs=tuple(rungs)), edges=LOST, boots=(20, 10, 15, 12, 11))


def test_those_who_signed_it_off_are_told_and_stable_where_it_went_there() -> None:
    signers = (
        "Ann Ättiksdotter <ANN@example.org>", "Last, First <first@example.org>", "no address", "A. B. <a>, evil@x>",
        "Bob <bob@example.org>", "Bob <bob@example.org>",
    )  # fmt: skip
    told = told_of(author='Other, "Ann"', email="ann@example.org", signers=signers, stable=True)
    headers = mail_of(told).split("\n\n")[0].splitlines()
    assert headers[1:] == [
        'To: "Other, \\"Ann\\"" <ann@example.org>',
        'Cc: "Last, First" <first@example.org>,',
        " Bob <bob@example.org>,",
        " regressions@lists.linux.dev,",
        " stable@vger.kernel.org",
    ]
    parsed = email.message_from_string(mail_of(told), policy=email.policy.default)
    assert [one.addr_spec for one in parsed["Cc"].addresses] == [
        "first@example.org", "bob@example.org", "regressions@lists.linux.dev", "stable@vger.kernel.org"
    ]  # fmt: skip
    assert parsed["To"].addresses[0].display_name == 'Other, "Ann"'


def test_foreign_text_makes_no_headers_and_no_statements(lost: Story) -> None:
    told = told_of(title=HOSTILE, author=HOSTILE, email="a@b.c\nBcc: x@y.z", signers=(f"{HOSTILE} <s@b.c>",))
    mail = mail_of(told, tree=HOSTILE)
    headers = email.message_from_string(mail)
    assert list(headers) == ["Subject", "Cc"]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", mail)
    assert not re.search(r"^(Bcc|git bisect good)", mail, re.MULTILINE)
    # What is fit to be shown stays as it is.
    assert mail_of(lost).count("\\x") == 0


def test_a_bisect_log_holds_no_statement_of_a_title() -> None:
    told = told_of(title=HOSTILE)
    (edge,) = told.outcome.edges
    log = git_bisect_log(told.evidence, told.standing, edge, told.outcome.edges)
    statements = {line.split()[2] for line in log.splitlines() if not line.startswith("# ")}
    assert statements == {"start", "fast", "slow"}
    assert "\x1b" not in log
    assert r"x\x0aBcc: all@example.org\x0d\x0a\x0agit bisect good\x1b[2J\u202e" in log
    assert rungs.full_name(told.evidence.plan.rungs[REMOVED]).isprintable()


@pytest.mark.parametrize(
    ("name", "address_", "header"),
    [
        ("Ann Ö", "a@b.c", "Ann Ö <a@b.c>"),
        ("Last, First", "a@b.c", '"Last, First" <a@b.c>'),
        ("J. R. Hacker", "a@b.c", '"J. R. Hacker" <a@b.c>'),
        ('A "B" \\C', "a@b.c", '"A \\"B\\" \\\\C" <a@b.c>'),
        ("", "a@b.c", "<a@b.c>"),
        ("x", "", ""),
        ("x", "a@b.c, d@e.f", ""),
        ("x", "a@b.c\nBcc: y", ""),
    ],
)
def test_addresses(name: str, address_: str, header: str) -> None:
    assert address(name, address_) == header
