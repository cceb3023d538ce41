"""Values as stored JSON and back."""

import pytest

from harness.model.bisection import Edge, EdgeKind, RevertTest
from harness.model.source import OperationKind
from harness.parse.plainjson import from_plain, to_plain

pytestmark = pytest.mark.unit

TESTED = RevertTest(kind=OperationKind.REVERT, far=7, spec="git:/linux@abc+revert=def", run="r2")


def test_a_field_keeps_the_name_that_it_was_first_stored_under() -> None:
    """Outcomes stored before revert tests were called so are read, and an older kab reads those of now."""
    edge = Edge(before=3, after=4, kind=EdgeKind.REMOVED, revert_test=TESTED)
    plain = to_plain(edge)
    assert plain["counterproof"]["spec"] == TESTED.spec
    assert "revert_test" not in plain
    assert from_plain(Edge, plain) == edge
