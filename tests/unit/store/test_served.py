"""A store whose server goes away: nothing is lost, nothing is there twice, and the loops go on."""

import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import factories
import pytest
from ladders import World, loop, request
from sqlalchemy import text

from harness.errors import ConfigError, HostError, TransientHostError
from harness.model.bisection import Answer
from harness.model.matrix import Cell, MatrixOutcome, MatrixPlan
from harness.model.run import Parent, RunState, SubrunRole
from harness.store import SqlStore, served
from harness.store.bisections import SqlBisections
from harness.store.copying import Copied
from harness.store.failures import AwayError
from harness.store.matrices import SqlMatrices
from harness.store.served import ServedStore, open_store

pytestmark = pytest.mark.unit

PLAN = MatrixPlan(title="m", cells=(Cell(name="cell", axes={}, experiment=factories.experiment()),))


class Server:
    """A database that answers or does not."""

    def __init__(self, path: Path, outbox: Path) -> None:
        self.path, self.outbox = path, outbox
        self.up = True
        # Whether what it is told last before it goes is stored, and only the answer lost.
        self.last_words = False
        self.notes: list[str] = []

    def _connect(self) -> SqlStore:
        if not self.up:
            raise AwayError("it does not answer")
        store = SqlStore(self.path)
        reading, writing = store.reading, store.writing
        server = self

        class Away(SqlStore):
            def reading(self) -> Any:
                if not server.up:
                    raise AwayError("it does not answer")
                return reading()

            def writing(self) -> Any:
                if not server.up and not server.last_words:
                    raise AwayError("it does not answer")
                return writing()

            def append_trial(self, run_id: str, trial: Any) -> None:
                super().append_trial(run_id, trial)
                self._answer()

            def finish(self, run_id: str, decision: Any) -> None:
                super().finish(run_id, decision)
                self._answer()

            def _answer(self) -> None:
                if server.last_words:
                    server.last_words = False
                    raise AwayError("it went away before it answered")

        store.close()
        return Away(self.path)

    def open(self) -> ServedStore:
        """As a new process does."""
        return ServedStore(self._connect, self.outbox, name="the server", note=self.notes.append)

    def stored(self) -> SqlStore:
        """What is really there."""
        return SqlStore(self.path)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "_FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(served, "_LONGEST_PAUSE_S", 0.0)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "server.sqlite", tmp_path / "outbox" / "x.sqlite")


SOME = factories.blocks(4)


def test_a_server_that_is_always_there(server: Server) -> None:
    with server.open() as store, server.stored() as there:
        store.create_run(factories.run(id="one", digest="d"))
        for trial in SOME:
            store.append_trial("one", trial)
        assert store.unfinished("d") == there.unfinished("d") == store.run("one")
        store.finish("one", factories.decide(SOME))
        assert there.with_artifacts(there.run("one")).trials == SOME
        assert store.decision("one") == there.decision("one")
        assert store.waiting() == served.Waiting()
    assert server.notes == []
    server.open().close()
    with SqlStore(server.outbox) as outbox:
        assert outbox.runs() == [], "what is finished and delivered is not kept twice"
        with outbox.reading() as connection:
            assert connection.execute(text("SELECT count(*) FROM blobs")).scalar() == 0


@pytest.mark.parametrize("away", range(len(SOME) + 2))
@pytest.mark.parametrize("back", [1, 2, 99])
@pytest.mark.parametrize("last_words", [False, True])
def test_away_from_one_call_to_another(server: Server, away: int, back: int, last_words: bool) -> None:
    """Of six calls the server misses some; each run ends, and the server has all of it once."""
    with server.open() as store:
        calls: list[Callable[[], object]] = [
            lambda: store.create_run(factories.run(id="one", digest="d")),
            *(lambda trial=trial: store.append_trial("one", trial) for trial in SOME),
            lambda: store.finish("one", factories.decide(SOME)),
        ]
        for number, call in enumerate(calls):
            if number == away:
                server.up, server.last_words = False, last_words
            if number == away + back:
                server.up, server.last_words = True, False
            call()
            if 0 < number < len(calls) - 1:
                assert [t.spec for t in store.run("one").trials] == [t.spec for t in SOME[:number]]
        assert store.run("one").state is RunState.FINISHED
    server.up = True
    server.open().close()
    with server.stored() as there:
        assert there.with_artifacts(there.run("one")).trials == SOME
        assert there.decision("one") == factories.decide(SOME)
        assert there.run("one").state is RunState.FINISHED
    with server.open() as store:
        assert store.waiting() == served.Waiting()


def test_killed_while_it_is_away(server: Server) -> None:
    """Nothing is closed or delivered in order; the next process goes on, with the server and without."""
    store = server.open()
    store.create_run(factories.run(id="one", digest="d"))
    store.append_trial("one", SOME[0])
    server.up = False
    store.append_trial("one", SOME[1])
    second = server.open()
    found = second.unfinished("d")
    assert found is not None
    assert [t.spec for t in found.trials] == [t.spec for t in SOME[:2]]
    second.append_trial("one", SOME[2])
    assert second.waiting().trials == 2
    server.up = True
    third = server.open()
    assert any("delivered to the server: 2 boots" in note for note in server.notes)
    found = third.unfinished("d")
    assert found is not None
    third.append_trial("one", SOME[3])
    with server.stored() as there:
        assert [t.spec for t in there.run("one").trials] == [t.spec for t in SOME[:4]]
    for one in (store, second, third):
        one.close()


def test_a_run_is_made_while_it_is_away(server: Server) -> None:
    server.up = False
    with server.open() as store:
        assert store.unfinished("d") is None
        store.create_run(factories.run(SOME[:1], id="one", digest="d"))
        store.append_trial("one", SOME[1])
        assert [run.id for run in store.runs()] == ["one"]
        assert (store.waiting().runs, store.waiting().trials) == (1, 2)
        with pytest.raises(AwayError):
            store.deliver()
        server.up = True
        assert store.deliver() == Copied(runs=1, trials=2)
        assert store.deliver() == Copied()
    assert [note for note in server.notes if "results are kept in" in note]


def test_searches_go_on_without_it(server: Server) -> None:
    """A search with its runs inside, away at every third boot."""
    world = World()

    class Sometimes:
        def __call__(self, *words: Any) -> Any:
            server.up = len(world.made) % 3 != 0
            return world(*words)

    with server.open() as store:
        run, outcome = loop(store, Sometimes()).execute(request())
        assert outcome.answer is Answer.FOUND
    server.up = True
    server.open().close()
    with server.stored() as there, SqlStore(server.path.with_name("other.sqlite")) as other:
        again, expected = loop(other, World()).execute(request())
        assert outcome == expected
        for one in other.runs(100):
            found, known = there.run(one.id), other.run(one.id)
            assert [t.samples for t in found.trials] == [t.samples for t in known.trials]
            assert there.bisections.subruns(run.id) == other.bisections.subruns(again.id)
        assert there.bisections.outcome(run.id) == expected


def test_a_matrix_goes_on_without_it(server: Server) -> None:
    with server.open() as store:
        store.matrices.create(factories.run(id="matrix", verb="run"), PLAN)
        server.up = False
        parent = Parent(run_id="matrix", role=SubrunRole.CELL, place="cell")
        store.create_run(factories.run(SOME, id="cell", parent=parent))
        assert store.matrices.cells("matrix") == {"cell": "cell"}
        store.finish("cell", factories.decide(SOME))
        store.matrices.finish("matrix", MatrixOutcome(cells=()))
        with pytest.raises(AwayError):
            store.history.nights(metric="write_iops")
    server.up = True
    with server.open() as store, server.stored() as there:
        assert there.matrices.outcome("matrix") == MatrixOutcome(cells=())
        assert len(store.history.nights(metric="write_iops")) == 1


def test_a_run_of_another_host_is_gone_on_with(server: Server) -> None:
    with server.stored() as there:
        there.create_run(factories.run(SOME[:2], id="one", digest="d"))
    with server.open() as store:
        assert store.unfinished("d") is not None
        server.up = False
        store.append_trial("one", SOME[2])
        assert len(store.run("one").trials) == 3
    with server.open() as store, pytest.raises(AwayError):
        store.append_trial("another", SOME[2])


def test_what_another_host_did_meanwhile_is_refused_and_kept(server: Server) -> None:
    with server.open() as store:
        store.create_run(factories.run(id="one"))
        server.up = False
        store.append_trial("one", SOME[0])
        with server.stored() as there:
            there.append_trial("one", replace(SOME[0], duration_s=1.0))
        server.up = True
        # It is heard of, and other runs are not held up.
        store.create_run(factories.run(id="two"))
        assert store.waiting().refused == ("one",)
    assert any("another run one" in note for note in server.notes)
    with server.stored() as there:
        assert there.run("two").id == "two"
        assert there.run("one").trials[0].duration_s == 1.0
    with SqlStore(server.outbox) as outbox:
        assert outbox.run("one").trials[0].duration_s == SOME[0].duration_s


def test_a_server_that_was_taken_back_from_a_copy(server: Server) -> None:
    """It lacks the matrix that a cell is inside of."""
    with server.open() as store:
        store.matrices.create(factories.run(id="matrix", verb="run"), PLAN)
        server.up = False
        parent = Parent(run_id="matrix", role=SubrunRole.CELL, place="cell")
        store.create_run(factories.run(SOME, id="cell", parent=parent))
        with server.stored() as there, there.writing() as connection:
            connection.execute(text("DELETE FROM runs"))
        server.up = True
        store.deliver()
    with server.stored() as there:
        assert there.matrices.cells("matrix") == {"cell": "cell"}


def test_what_the_server_refuses_is_no_reason_to_keep_it(server: Server) -> None:
    with server.open() as store:
        store.create_run(factories.run(SOME[:1], id="one"))
        with pytest.raises(HostError, match="already"):
            store.append_trial("one", SOME[0])
        with pytest.raises(HostError, match="already"):
            store.create_run(factories.run(id="one"))
        with pytest.raises(ConfigError, match="no run"):
            store.append_trial("nobody", SOME[0])
        assert store.waiting() == served.Waiting()


def test_readers_do_not_take_the_outbox_for_all_there_is(server: Server) -> None:
    with server.stored() as there:
        there.create_run(factories.run(id="one"))
    server.up = False
    with server.open() as store:
        for read in (store.runs, lambda: store.run("last"), lambda: store.run("one"), store.bisections.newest):
            with pytest.raises(AwayError):
                read()
    assert not server.outbox.exists()


def test_another_process_delivers(server: Server) -> None:
    server.up = False
    with server.open() as store:
        store.create_run(factories.run(id="one"))
        server.up = True
        with store._delivering() as locked:
            assert locked
            with pytest.raises(TransientHostError, match="another process delivers"), server.open() as other:
                other.deliver()
        store.deliver()


def test_a_server_that_does_not_answer_is_left_alone_for_a_while(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "_FIRST_PAUSE_S", 1000.0)
    monkeypatch.setattr(served, "_LONGEST_PAUSE_S", 1000.0)
    with server.open() as store:
        store.create_run(factories.run(id="one"))
        server.up = False
        store.append_trial("one", SOME[0])
        server.up = True
        store.append_trial("one", SOME[1])
        assert store.waiting().trials == 2
        assert store.deliver() == Copied(extended=1, trials=2)
        store.append_trial("one", SOME[2])
        assert store.waiting().trials == 0


def test_a_kab_that_was_killed_before_its_copy_was_written(server: Server) -> None:
    """The server has a boot that the outbox lacks: who goes on looks at both once more, before the server goes."""
    with server.open() as store, server.stored() as there:
        store.create_run(factories.run(id="one", digest="d"))
        store.append_trial("one", SOME[0])
        there.append_trial("one", SOME[1])
    with server.open() as store:
        assert len(store.unfinished("d").trials) == 2
        server.up = False
        store.append_trial("one", SOME[2])
    with server.open() as store:
        assert [trial.spec for trial in store.unfinished("d").trials] == [trial.spec for trial in SOME[:3]]
        server.up = True
        store.deliver()
    with server.stored() as there:
        assert [trial.spec for trial in there.run("one").trials] == [trial.spec for trial in SOME[:3]]


@pytest.mark.parametrize("part", [SqlBisections, SqlMatrices])
def test_every_call_that_writes_is_known_to_write(part: type) -> None:
    """One that was taken to read would be lost while the server is away."""
    for name, method in inspect.getmembers(part, inspect.isfunction):
        if not name.startswith("_"):
            assert ("_writing()" in inspect.getsource(inspect.unwrap(method))) == (name in served.WRITES), name


def test_a_file_has_no_outbox(tmp_path: Path) -> None:
    with open_store(tmp_path / "x.sqlite", outboxes=tmp_path / "outbox", note=print) as store:
        store.create_run(factories.run())
    with suppress(FileNotFoundError):
        assert list((tmp_path / "outbox").iterdir()) == []
