"""depmod's text files, and the modules that a wanted module needs, in load order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from harness.errors import KernelError

# Suffixes of module files, compressed or not.
MODULE_SUFFIXES = (".ko", ".ko.xz", ".ko.zst", ".ko.gz")


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftDependency:
    """Modules to load before and after another one, if they exist; names may be aliases."""

    pre: tuple[str, ...] = ()
    post: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleIndex:
    """What depmod says about one kernel's modules. Module names are written with ``_``."""

    # Name -> path relative to lib/modules/RELEASE.
    files: Mapping[str, str]
    # Name -> names of the modules it cannot be loaded without.
    hard: Mapping[str, tuple[str, ...]]
    soft: Mapping[str, SoftDependency] = field(default_factory=dict)
    # Alias without wildcards -> names of all modules that claim it.
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    builtin: frozenset[str] = frozenset()

    def closure(self, wanted: Sequence[str], *, kernel: str) -> tuple[str, ...]:
        """Paths (relative to lib/modules/RELEASE) of `wanted` and all they need, each after what it needs.

        Built-in modules are left out. A name with a leading ``?`` is optional. Raises KernelError naming `kernel` and
        the wanted modules that it has neither as files nor built in.
        """
        order = _LoadOrder(self)
        missing = [name for name in wanted if not order.add(name.removeprefix("?")) and not name.startswith("?")]
        if missing:
            raise KernelError(
                f"the kernel {kernel} has no module {', '.join(missing)}, neither loadable nor built in",
                remedy="Choose another kernel or flavour, or build it with that option.",
            )
        return tuple(self.files[name] for name in order.names)


class _LoadOrder:
    """Depth-first walk; mutable, one per closure."""

    def __init__(self, index: ModuleIndex) -> None:
        self._index = index
        self._seen: set[str] = set()
        self.names: list[str] = []

    def add(self, text: str) -> bool:
        """Add a module by name or alias and all it needs; False if the kernel has none such."""
        name = canonical_name(text)
        if name in self._index.files:
            self._visit(name)
            return True
        if name in self._index.builtin:
            return True
        # Several modules may claim an alias (crypto-crc32c: an accelerated and a generic one); modprobe loads all.
        claimed = self._index.aliases.get(name, ())
        for module in claimed:
            self._visit(module)
        return bool(claimed)

    def _visit(self, name: str) -> None:
        if name in self._seen or name not in self._index.files:
            return
        self._seen.add(name)
        soft = self._index.soft.get(name, SoftDependency())
        for text in soft.pre:
            self.add(text)
        # depmod lists the whole closure, the deepest last.
        for needed in reversed(self._index.hard.get(name, ())):
            self._visit(needed)
        self.names.append(name)
        for text in soft.post:
            self.add(text)


def parse_module_index(*, dep: str, softdep: str = "", alias: str = "", builtin: str = "") -> ModuleIndex:
    """The index from the contents of modules.dep, modules.softdep, modules.alias and modules.builtin."""
    files: dict[str, str] = {}
    hard: dict[str, tuple[str, ...]] = {}
    for line in dep.splitlines():
        path, colon, needed = line.partition(":")
        if colon:
            name = module_name(path)
            files[name] = path
            hard[name] = tuple(module_name(item) for item in needed.split())
    return ModuleIndex(
        files=files,
        hard=hard,
        soft=_soft_dependencies(softdep),
        aliases=_aliases(alias),
        builtin=frozenset(module_name(line) for line in builtin.splitlines() if line.strip()),
    )


def module_name(path: str) -> str:
    """``kernel/fs/btrfs/btrfs.ko.xz`` -> ``btrfs``; ``-`` becomes ``_``, as the kernel itself does."""
    return canonical_name(PurePosixPath(path.strip()).name.partition(".ko")[0])


def canonical_name(name: str) -> str:
    """Module names are the same with ``-`` and ``_``."""
    return name.replace("-", "_")


def _soft_dependencies(text: str) -> dict[str, SoftDependency]:
    found: dict[str, dict[str, list[str]]] = {}
    for words in _words(text, "softdep"):
        kinds = found.setdefault(canonical_name(words[0]), {"pre": [], "post": []})
        kind = ""
        for word in words[1:]:
            if word in ("pre:", "post:"):
                kind = word[:-1]
            elif kind:
                kinds[kind].append(word)
    return {name: SoftDependency(pre=tuple(k["pre"]), post=tuple(k["post"])) for name, k in found.items()}


def _aliases(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for words in _words(text, "alias"):
        # Wildcards match the device identifiers of buses; no module and no user asks for those by name.
        if len(words) == 2 and not any(char in words[0] for char in "*?["):
            modules = found.setdefault(canonical_name(words[0]), [])
            name = canonical_name(words[1])
            if name not in modules:
                modules.append(name)
    return {name: tuple(modules) for name, modules in found.items()}


def _words(text: str, keyword: str) -> Iterable[list[str]]:
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == keyword:
            yield words[1:]
