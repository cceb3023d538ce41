"""Signals: recorded, raised where that is safe, never lost, and never in the way of a clean-up."""

import os
import signal
import sys
import threading

import pytest

from harness import interruption

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("taken_signals")]


def send(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", interruption.SIGNALS)
def test_each_of_the_three_raises(number: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        send(number)
    assert interruption.requested()


def test_a_shield_lets_what_was_made_be_noted_first() -> None:
    made: list[str] = []

    def make() -> None:
        with interruption.shielded(), interruption.shielded():
            send()
            made.append("guest")

    with pytest.raises(KeyboardInterrupt):
        make()
    assert made == ["guest"]


def test_what_fails_under_a_request_ends_as_interrupted() -> None:
    def fail(number: int | None) -> None:
        with interruption.shielded():
            if number is not None:
                send(number)
            raise SystemError("returned a result with an exception set")

    with pytest.raises(KeyboardInterrupt) as raised:
        fail(signal.SIGTERM)
    assert isinstance(raised.value.__context__, SystemError)
    interruption.settle()
    interruption.install()
    with pytest.raises(SystemError):
        fail(None)


def test_a_fault_under_a_swallowed_request_is_no_fault() -> None:
    def command(number: int | None) -> None:
        with interruption.goes_first():
            try:
                if number is not None:
                    send(number)
            except KeyboardInterrupt as interrupt:
                raise SystemError("what C makes of it") from interrupt
            raise OSError("a fault")

    with pytest.raises(OSError, match="a fault"):
        command(None)
    with pytest.raises(KeyboardInterrupt):
        command(signal.SIGHUP)


def test_a_swallowed_one_is_raised_again_by_whoever_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Foreign:
        def __del__(self) -> None:
            # As in a destructor of a C library's object: "Exception ignored in".
            send()

    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    Foreign()
    with pytest.raises(KeyboardInterrupt):
        interruption.check()
    # Nobody listened to that one either.
    with pytest.raises(KeyboardInterrupt):
        interruption.check()


def test_a_second_signal_does_not_break_the_clean_up() -> None:
    cleaned: list[str] = []

    def work() -> None:
        try:
            send()
        finally:
            send(signal.SIGINT)
            interruption.check()
            with interruption.shielded():
                send(signal.SIGHUP)
            try:
                raise OSError("a clean-up's own trouble")
            except OSError:
                send()
            cleaned.append("all")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert cleaned == ["all"]


def test_nothing_is_raised_once_the_status_is_decided() -> None:
    interruption.settle()
    send()
    interruption.check()
    assert interruption.requested()


def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interruption.install()
    send(signal.SIGHUP)
    assert not interruption.requested()


def test_other_threads_are_left_alone() -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            interruption.check()
            with interruption.shielded():
                pass
        except KeyboardInterrupt as error:
            errors.append(error)

    with pytest.raises(KeyboardInterrupt):
        send()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
