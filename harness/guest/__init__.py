"""Guests: libvirt domains, consoles, SSH, disks."""

import os

# libvirt reads this once, when it is loaded, and would write its warnings to the user's terminal. Where it is set, the
# user wants them; daemons and tools that we start must not inherit what we set.
_LOG_VARIABLE = "LIBVIRT_LOG_OUTPUTS"
_quiet = _LOG_VARIABLE not in os.environ
os.environ.setdefault(_LOG_VARIABLE, "4:file:/dev/null")

import libvirt  # noqa: E402, F401

if _quiet:
    del os.environ[_LOG_VARIABLE]
