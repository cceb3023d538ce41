"""The mail of a matrix: what fails comes first, whose a waiver is, and nothing that breaks a mail."""

import email
import email.policy
import re

import matrices
import pytest

from harness.parse.foreign import printable
from harness.report.matrix.mail import WIDTH, matrix_mail

pytestmark = pytest.mark.unit

# What must stay on one line, however long.
_WHOLE = re.compile(r"^Subject: |^  kab ")


def flat(text: str) -> str:
    return " ".join(text.split())


def test_what_fails_comes_first_and_has_its_figures() -> None:
    mail = matrix_mail(matrices.gate())
    heads = re.findall(r"^(\w[\w ]+) \((\d)\)$", mail, re.MULTILINE)
    assert heads == [("Fails", "2"), ("Waived", "1"), ("Not measured", "2"), ("Cannot tell", "1"), ("Good", "2")]
    fails = flat(mail[mail.index("Fails (2)") : mail.index("Waived (1)")])
    assert "shared-dio/btrfs/virtio: slower" in fails
    assert "write_iops -24 % (x0.76" in fails
    assert "crashed: 2 of 3 boots of the candidate" in fails
    waived = flat(mail[mail.index("Waived (1)") : mail.index("Not measured")])
    assert "until 2027-01-31 by storage@distribution.example: known since 7.1" in waived
    assert "budget of boots is spent" in flat(mail)


def test_the_subject_says_it_all() -> None:
    assert matrix_mail(matrices.gate()).splitlines()[0] == (
        "Subject: [kab] gate release gate: FAILED (2 of 8 cells), "
        "7.2.12+deb13-cloud-amd64 against 6.12.107+deb13-cloud-amd64"
    )
    assert "release gate: open," in matrix_mail(matrices.unfinished()).splitlines()[0]
    passed = matrices.gate([matrices.NOT_WORSE] * 8)
    assert "release gate: passed," in matrix_mail(passed).splitlines()[0]


@pytest.mark.parametrize(
    "make", [matrices.gate, matrices.matrix_run, matrices.unfinished, matrices.alone, matrices.hostile]
)
def test_lines_fit_and_a_mail_reader_finds_one_header(make) -> None:
    mail = matrix_mail(make())
    read = email.message_from_string(mail, policy=email.policy.default)
    assert read.keys() == ["Subject"]
    assert read.defects == []
    assert len(read["Subject"]) < 200
    for line in mail.splitlines():
        words = max(map(len, line.split()), default=0)
        assert len(line) <= WIDTH or _WHOLE.match(line) or words > WIDTH - 8, line
        assert line == printable(line)
