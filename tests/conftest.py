"""What holds for every test."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from harness import interruption

# A pipeline may start us with SIGINT ignored, as a shell does with what it runs in the background, or SIGHUP, as nohup
# does, and processes that the tests start would inherit that. A handler is not inherited: they get the default, as on a
# terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """Whatever a test does with signals, the next one finds them as they were, and no request recorded."""
    before = {number: signal.getsignal(number) for number in interruption.SIGNALS}
    yield
    interruption.settle()
    interruption._request.number = None
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def taken_signals() -> None:
    """Signals are taken as the command takes them, also where whoever started the tests ignores them."""
    for number in interruption.SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    interruption.install()


@pytest.fixture
def swallow(taken_signals: None) -> Callable[[], None]:
    """Makes a signal arrive whose exception goes where nobody sees it, as in a destructor."""

    def arrive() -> None:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)

    return arrive
