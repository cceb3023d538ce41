"""Folders of kab: what may be thrown away (cache), what may not (state), and what dies with the boot (runtime)."""

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from harness.userpath import user_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Roots of everything that kab writes."""

    # Kernels, images, package lists: can be made again.
    cache: Path
    # The results database, leases, accelerator memory: cannot.
    state: Path

    @property
    def kernels(self) -> Path:
        """Content-addressed kernels."""
        return self.cache / "kernels"

    @property
    def images(self) -> Path:
        """Guest root images by recipe digest."""
        return self.cache / "images"

    @property
    def apt(self) -> Path:
        """The private APT root."""
        return self.cache / "apt"

    @property
    def git(self) -> Path:
        """Repositories of our own beside the user's."""
        return self.cache / "git"

    @property
    def builds(self) -> Path:
        """Work trees and object trees of kernels built from source."""
        return self.cache / "builds"

    @property
    def configs(self) -> Path:
        """Kernel configurations that searches go through, named by their content; small, and never pruned."""
        return self.state / "configs"

    @property
    def database(self) -> Path:
        """The default results database."""
        return self.state / "results.sqlite"

    @property
    def outboxes(self) -> Path:
        """Results that wait for their server, a database for each."""
        return self.state / "outbox"

    @property
    def devices(self) -> Path:
        """What kab wrote to block devices, a note each."""
        return self.state / "devices"

    @property
    def leases(self) -> Path:
        """What live processes of kab own, so that what dead ones owned can be removed."""
        return self.state / "leases"

    @property
    def libvirt(self) -> Path:
        """Root of the embedded libvirt driver."""
        return self.state / "libvirt"

    @property
    def scratch(self) -> Path:
        """Files of guests that run now."""
        return self.state / "scratch"


def default_paths() -> Paths:
    """Folders of this user: ``KAB_CACHE_DIR`` and ``KAB_STATE_DIR``, or the XDG ones."""
    cache = os.environ.get("KAB_CACHE_DIR") or platformdirs.user_cache_dir("kab")
    state = os.environ.get("KAB_STATE_DIR") or platformdirs.user_state_dir("kab")
    return Paths(cache=user_path(cache).absolute(), state=user_path(state).absolute())


def settings_file() -> Path:
    """This user's settings, which need not exist: ``KAB_SETTINGS``, or ``kab/settings.yaml`` in the XDG folder."""
    named = os.environ.get("KAB_SETTINGS")
    path = Path(named) if named else Path(platformdirs.user_config_dir("kab")) / "settings.yaml"
    return user_path(path).absolute()
