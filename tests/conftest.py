"""What holds for every test."""

import signal

# A pipeline may start us with SIGINT ignored, as a shell does with what it runs in the background, and processes that
# the tests start would inherit that. A handler is not inherited: they get the default, as on a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)
