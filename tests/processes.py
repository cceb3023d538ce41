"""Processes of the guests that tests boot, and of what stands for them."""

import time
from pathlib import Path


def await_words(pid: int, word: str) -> None:
    """Wait for a new process to show its command line: exec(2) closes what Popen waits for before that."""
    deadline = time.monotonic() + 10.0
    while word.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def qemu_of(name: str) -> list[int]:
    """The QEMU processes of the guest `name`."""
    mark = f"guest={name},".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
