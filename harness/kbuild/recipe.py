"""What a kernel is configured from: a base (micro, localmod, a file) and the fragments on top of it."""

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigError
from harness.kbuild.configfile import read_config
from harness.model.source import LOCALMOD, MICRO, BuildSettings
from harness.parse.fragment import Wanted, parse_fragment
from harness.resources import folder

# What any guest of kab needs, whatever else a configuration has.
_GUEST_FRAGMENTS = ("base", "virtio", "nvme", "null-blk", "filesystems")
# On top of everything.
_LAST_FRAGMENT = "reproducible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A configuration before any kernel tree has seen it."""

    # MICRO, LOCALMOD, or a file's path: for people.
    name: str
    # The .config to begin with; "" for MICRO, which begins with `make tinyconfig`.
    base: str
    # What is laid over it, in order.
    wanted: tuple[Wanted, ...]
    # Loaded modules (as /proc/modules has them), the only ones that LOCALMOD keeps.
    loaded: str = ""

    @property
    def base_digest(self) -> str:
        """Identity of the base alone."""
        kind = self.name if self.name in {MICRO, LOCALMOD} else "file"
        return _digest(kind, self.base, _module_names(self.loaded))

    @property
    def digest(self) -> str:
        """Identity of the whole: the same recipe gives the same .config in the same tree."""
        return _digest(self.base_digest, *(f"{option.line} {option.need}" for option in self.wanted))


def read_recipe(settings: BuildSettings, host_root: Path = Path("/")) -> Recipe:
    """The recipe that `settings` name. Raises ConfigError naming the file (and line) that is not there or not right."""
    wanted: list[Wanted] = []
    base = loaded = ""
    if settings.config == MICRO:
        wanted += _own("micro.config")
    else:
        if settings.config == LOCALMOD:
            base = _host_config(host_root)
            loaded = _loaded(host_root / "proc/modules")
            for name in _GUEST_FRAGMENTS:
                wanted += _own(f"{name}.config")
        else:
            base = read_config(Path(settings.config), hint=f"Give {MICRO}, {LOCALMOD}, or the path of a .config.")
            # A file that is no configuration at all is told before any build.
            parse_fragment(base, name=settings.config)
    for path in settings.fragments:
        options = parse_fragment(read_config(path, hint="Check the path and its permissions."), name=str(path))
        if not options:
            raise ConfigError(f"the fragment {path} sets no option", remedy="Write lines such as CONFIG_NAME=y.")
        wanted += options
    wanted += _own(f"{_LAST_FRAGMENT}.config")
    return Recipe(name=settings.config, base=base, wanted=tuple(wanted), loaded=loaded)


def _own(name: str) -> tuple[Wanted, ...]:
    recipes = folder("kernels") / "configs"
    return parse_fragment((recipes / name).read_text(), name=name, include=lambda other: (recipes / other).read_text())


def _host_config(root: Path) -> str:
    release = platform.release()
    for path in (root / f"boot/config-{release}", root / f"lib/modules/{release}/config"):
        if path.is_file():
            return read_config(path)
    packed = root / "proc/config.gz"
    if not packed.is_file():
        raise ConfigError(
            f"`{LOCALMOD}`: the configuration of this host's kernel {release} is neither in /boot nor in {packed}",
            remedy=f"Name a .config, or {MICRO}.",
        )
    return read_config(packed)


def _loaded(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError as error:
        raise ConfigError(
            f"`{LOCALMOD}`: cannot read which modules this host has loaded, {path}: {error.strerror}",
            remedy=f"Name a .config, or {MICRO}.",
        ) from error


def _module_names(loaded: str) -> str:
    return " ".join(sorted(line.split()[0] for line in loaded.splitlines() if line.strip()))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
