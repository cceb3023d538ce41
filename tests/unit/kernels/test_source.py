"""A source that nobody wrote yet: what it takes to have its kernels listed, laddered, fetched and verified."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from factories import run as make_run

from harness.cli.errors import run_command
from harness.errors import ConfigError, ExitCode, NoKernelError
from harness.host.paths import Paths
from harness.kernels import registry
from harness.kernels.assemble import Pieces
from harness.kernels.cache import SourceRecord, source_key
from harness.kernels.debian.catalogue import Catalogue, DebianKernel, PackageLayout
from harness.kernels.debian.lists import DebianLists
from harness.kernels.library import KernelLibrary
from harness.kernels.source import Surroundings
from harness.model.history import Change, Gap, GapKind, Origin, Step
from harness.model.kernel import AvailableKernel, Kernel, Package
from harness.model.run import KernelRecord
from harness.report.wording import repeat_command

pytestmark = pytest.mark.unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered(AvailableKernel):
    """Kernels that are numbered, two builds of the second: its own way to group and to order them."""

    number: int
    build: int = 1

    @property
    def upstream(self) -> str:
        return str(self.number)


def numbered(number: int, build: int = 1, branch: str = "main") -> Numbered:
    return Numbered(release=f"r{number}-{build}", version=f"r{number}", suites=(branch,), number=number, build=build)


@dataclass
class Shop:
    """A source of kernels that count up. A KernelSource and its Listing in one."""

    around: Surroundings
    name: str = "shop"
    alone: bool = False
    forms: str = "  shop:r9                           a kernel of the shop"
    flavours: tuple[str, ...] = ()
    # As text, r10 would come first.
    stock: tuple[Numbered, ...] = field(
        default=(numbered(2, 1), numbered(2, 2), numbered(9), numbered(10), numbered(11, branch="next"))
    )

    def parse(self, text: str, rest: str) -> str:
        if not rest.startswith("r"):
            raise ConfigError(f"`{text}`: the shop's kernels are r1, r2, ...")
        return rest

    def suggest(self, text: str) -> str | None:
        return f"Did you mean `shop:{text}`?" if text in {kernel.version for kernel in self.stock} else None

    def listing(self, _flavour: str | None = None) -> "Shop":
        return self

    def list(self, *, flavour: str | None = None, suites: Sequence[str] = ()) -> Sequence[Numbered]:
        return [kernel for kernel in self.stock if flavour is None and (not suites or kernel.suites[0] in suites)]

    def flavour_of(self, _spec: str) -> None:
        return None

    def choose(self, spec: str, *, flavour: str | None = None, suites: Sequence[str] = ()) -> Numbered:
        found = [
            kernel for kernel in self.list(flavour=flavour, suites=suites) if spec in {kernel.version, kernel.release}
        ]
        if not found:
            raise NoKernelError(f"the shop has no {spec}")
        return found[-1]

    def matching(self, spec: str) -> Sequence[Numbered]:
        return [kernel for kernel in self.stock if spec in {kernel.version, kernel.release}]

    def is_newer(self, version: str, other: str) -> bool:
        return int(version.removeprefix("r")) > int(other.removeprefix("r"))

    def spec_of(self, kernel: AvailableKernel) -> str:
        return f"shop:{kernel.release}"

    def key_of(self, kernel: AvailableKernel) -> str:
        return source_key("shop", kernel.release)

    def record(self, spec: str) -> SourceRecord | None:
        return self.around.shelf.find(self.key_of(self.choose(spec)))

    def show(self, spec: str, text: str) -> Kernel | AvailableKernel:
        return self.around.shelf.open(self.record(spec), text) or self.choose(spec)

    def fetch(self, spec: str, text: str) -> Kernel:
        chosen = self.choose(spec)
        known = self.around.shelf.sound(self.record(spec), text)
        if known is not None:
            return known
        with self.around.shelf.adding(self.key_of(chosen), text) as place:
            if place.found is not None:
                return place.found
            self.around.note(f"buying {chosen.release}")
            image = place.scratch / "image"
            image.write_bytes(chosen.release.encode().ljust(2048, b"\0"))
            pieces = Pieces(release=chosen.release, version=chosen.version, vmlinuz=image)
            return place.add(
                pieces, version=chosen.version, source="shop", provenance={"till": "3", "spec": self.spec_of(chosen)}
            )

    def changes(self, older: Kernel, newer: Kernel) -> Step:
        change = Change(subject=f"since {older.version}", origin=Origin.UPSTREAM, version=newer.version)
        return Step(older=older.version, newer=newer.version, changes=(change,))


@pytest.fixture
def library(tmp_path):
    paths = Paths(cache=tmp_path / "cache", state=tmp_path / "state")
    with KernelLibrary(paths, sources=(*registry.SOURCES, Shop)) as made:
        yield made


def test_it_is_fetched_once(tmp_path):
    notes = []
    paths = Paths(cache=tmp_path / "cache", state=tmp_path / "state")
    with KernelLibrary(paths, sources=[Shop], note=notes.append) as library:
        kernel = library.resolve("shop:r2")
        assert library.resolve("shop:r2-2").digest == kernel.digest
    assert notes == ["buying r2-2"]
    assert (kernel.source, kernel.spec, kernel.release, kernel.version) == ("shop", "shop:r2", "r2-2", "r2")
    assert kernel.vmlinuz.read_bytes().startswith(b"r2-2\0")
    with KernelLibrary(paths, sources=[Shop], note=notes.append) as library:
        assert library.resolve("shop:r2") == kernel
        assert library.show("shop:r2") == kernel
        assert isinstance(library.show("shop:r9"), AvailableKernel)
    assert len(notes) == 1


def test_a_run_is_repeated_with_the_very_kernels(library):
    older, newer = (library.resolve(spec) for spec in ("shop:r2", "shop:r10"))
    one = make_run(command=("kab", "ab", "shop:r2", "shop:r10"))
    one = replace(one, baseline=record(older), candidate=record(newer))
    assert repeat_command(one).startswith("kab ab shop:r2-2 shop:r10-1 --seed")
    search = replace(one, verb="bisect", command=("kab", "bisect", "shop:r2-1", "shop:r11"))
    assert repeat_command(search).startswith("kab bisect shop:r2-2 shop:r10-1 --seed")
    # One that a user's builder took from there.
    assert record(replace(older, source="git", spec="git:/linux@HEAD")).lasting_spec is None


def record(kernel):
    return KernelRecord(
        spec=kernel.spec,
        release=kernel.release,
        version=kernel.version,
        source=kernel.source,
        digest=kernel.digest,
        provenance=kernel.provenance,
    )


def test_a_damaged_one_is_found_and_made_anew(library):
    kernel = library.resolve("shop:r9")
    kernel.vmlinuz.chmod(0o644)
    kernel.vmlinuz.write_bytes(b"r8".ljust(2048, b"\0"))
    library.close()
    assert [found.damaged for found in library.verify(["shop:r9"])] == [("vmlinuz",)]
    with pytest.raises(ConfigError, match="is not in the cache"):
        next(library.verify(["shop:r9"]))
    assert library.resolve("shop:r9").digest == kernel.digest


def test_its_ladder_is_in_its_own_order(library):
    library.resolve("shop:r10")
    ladder = library.ladder(["shop:r2", "shop:r11"])
    assert [rung.spec for rung in ladder.rungs] == ["shop:r2-2", "shop:r9-1", "shop:r10-1", "shop:r11-1"]
    assert [rung.kernel.cached for rung in ladder.rungs] == [False, False, True, False]
    assert (ladder.flavour, ladder.left_out) == ("", 0)
    every = library.ladder(["shop:r2-1", "shop:r9"], every=True)
    assert [rung.kernel.release for rung in every.rungs] == ["r2-1", "r2-2", "r9-1"]
    assert [rung.kernel.release for rung in library.ladder(["shop:r1*"]).rungs] == ["r10-1", "r11-1"]
    assert [rung.kernel.release for rung in library.ladder(["shop:r*"], suites=["main"]).rungs][-1] == "r10-1"
    for rung in every.rungs:
        assert library.resolve(rung.spec).release == rung.kernel.release


def test_what_is_newest_of_changes_with_the_stock(library):
    library.resolve("shop:r2")
    # Of its two builds the newest.
    series = library.series("shop:r2")
    assert [(rung.spec, rung.kernel.cached) for rung in series.rungs] == [("shop:r2-2", True)]
    assert series.is_newer("r10", "r9")
    assert not series.is_newer("r9", "r9")
    assert library.series("host") is None


@pytest.mark.parametrize(
    ("ends", "options", "said"),
    [
        (["shop:r10", "shop:r2"], {}, "wrong order: shop:r10 is r10 and shop:r2 is r2"),
        (["shop:r10", "shop:r10-1"], {}, "the same kernel"),
        (["shop:r10", "debian:7.3"], {}, "of different sources"),
        (["host", "host"], {}, "nothing lists the kernels"),
        (["tree:/a*"], {}, "no pattern of kernels that a source lists"),
        (["shop:r10", "shop:r12"], {}, "the shop has no r12"),
        (["shop:r10", "shop:r11"], {"suites": ["main"]}, r"the shop has no r11 \(--suite main\)"),
        (["shop:r10", "shop:r11"], {"suites": ["stable"]}, "no kernel is in the suite `stable`"),
        (["shop:r10", "shop:r11"], {"flavour": "amd64"}, "there is no flavour `amd64`"),
        (["shop:r*/amd64"], {}, "matches no kernel: a ladder has two rungs"),
    ],
)
def test_ends_that_make_no_ladder(library, ends, options, said):
    with pytest.raises(ConfigError, match=said):
        library.ladder(ends, **options)


def test_what_came_between_is_the_sources_to_tell(library):
    older, newer = library.resolve("shop:r9"), library.resolve("shop:r10")
    assert [change.subject for change in library.changes(older, newer).changes] == ["since r9"]
    with KernelLibrary(Paths(cache=Path("/nonexistent"), state=Path("/nonexistent")), sources=[]) as other:
        assert other.changes(older, newer).gaps == (Gap(kind=GapKind.NO_CHANGELOG, newer="r10-1"),)


def test_it_is_known_where_specs_are_read(library):
    for text, said in (
        ("shp:r9", "Did you mean `shop:r9`?"),
        ("r9", "Did you mean `shop:r9`?"),
        ("6.12", "Did you mean `debian:6.12`?"),
        ("nothing:x", "shop:r9                           a kernel of the shop"),
        ("shop:9", "a kernel of the shop"),
    ):
        with pytest.raises(ConfigError) as caught:
            library.parse(text)
        assert said in caught.value.remedy


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """The line in the registry, and Debian's suites as they might be."""
    for name in ("STATE", "CACHE"):
        monkeypatch.setenv(f"KAB_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("KAB_SETTINGS", str(tmp_path / "settings.yaml"))
    package = Package(name="linux-image-6.12", version="6.12.1-1", filename="x.deb", size_bytes=5 * 2**20, sha256="0")
    offered = DebianKernel(
        release="6.12.1-cloud-amd64",
        version="6.12.1-1",
        flavour="cloud-amd64",
        suites=("trixie",),
        layout=PackageLayout.SINGLE,
        packages=(package,),
    )
    monkeypatch.setattr(DebianLists, "catalogue", lambda *_: Catalogue(kernels=(offered,)))
    monkeypatch.setattr(registry, "SOURCES", (*registry.SOURCES, Shop))


@pytest.mark.usefixtures("registered")
def test_the_command_line_shows_it(capsys):
    def lines(*words):
        assert run_command(["kernels", *words]) == ExitCode.GOOD
        return [line.split() for line in capsys.readouterr().out.splitlines()]

    assert lines("fetch", "shop:r9")[0][:2] == ["shop:r9", "r9-1"]
    listed = lines("list")
    assert listed[1] == ["6.12.1-1", "debian:6.12.1-cloud-amd64", "trixie", "5"]
    assert listed[2:] == [
        ["r2", "shop:r2-1", "main"],
        ["r2", "shop:r2-2", "main"],
        ["r9", "shop:r9-1", "main", "yes"],
        ["r10", "shop:r10-1", "main"],
        ["r11", "shop:r11-1", "next"],
    ]
    assert [line[1] for line in lines("list", "--flavour", "cloud-amd64")[1:]] == ["debian:6.12.1-cloud-amd64"]
    assert [line[2] for line in lines("ladder", "shop:r9", "shop:r11")[1:]] == ["shop:r9-1", "shop:r10-1", "shop:r11-1"]
    assert dict(line[:2] for line in lines("show", "shop:r9"))["till"] == "3"
    assert lines("show", "shop:r10") == [["release", "r10-1"], ["version", "r10"], ["suites", "main"], ["cached", "no"]]
    assert lines("verify", "shop:r9")[1][2] == "fine"
