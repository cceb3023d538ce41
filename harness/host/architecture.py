"""The architecture of this host: guests of it may run under KVM, and its kernels are meant where none is named."""

import platform

from harness.model.arch import ARCHITECTURES, X86_64, Architecture


def host_architecture(machine: str | None = None) -> Architecture:
    """That of `machine` (``uname -m``), by default this host's. A host of another kind can only emulate: x86-64."""
    machine = machine or platform.machine()
    return next((found for found in ARCHITECTURES if found.machine == machine), X86_64)
