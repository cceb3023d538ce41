"""Processes of the guests that tests boot."""

from pathlib import Path


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
