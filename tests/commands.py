"""Commands of `kab`, well and badly formed, drawn from the command tree itself, so that a new option is tried too."""

import click
from hypothesis import strategies as st

from harness.cli.app import kab

# What people write where something is expected, and what they should not have.
_KERNELS = (
    "debian:6.12", "debian:7.2", "debian:", "debian:6.12/nope", "debian:../x", "deb:/nonexistent.deb",
    "file:/dev/zero", "file:/etc/passwd", "file:,modules=", "tree:/tmp", "host:x", "git:/tmp@v6.1", "git:@..",
    "git:/tmp@v6.1..v6.2", "6.12", "linux", "git:/nonexistent@HEAD+revert=x", "git:.@v6.1+nope=1", "last",
)  # fmt: skip
_VALUES = (
    "", " ", "-", "--", "0", "1", "-1", "2", "1e9", "9" * 30, "9" * 5000, "0x10", "nan", "inf", "1%", "100%", "5x",
    "1GiB", "-1GiB", "1.5.2", "a=b", "=", "size=0", "size=1GiB", "block_size=0", "nvme", "nvme,latency=2ms", "nvme,,",
    "nvme,size=", "virtio-blk,backend=file,size=99999999GiB", "null-blk,backend=nbd",
    "virtio-blk,backend=block,source=/dev/null", "btrfs", "btrfs,mount=nodatacow", "ext4,mkfs='", "zfs", "shared-dio",
    "btrfs-dio", "./mine.yaml", "/dev/null", "/dev/zero", "/proc/x", "/tmp", "/", "../..", "~", "~nobody-such/x",
    "x" * 300, "\n", "a\nb", "\x1b[31m", "é", "\udcff", "\u202e", "[bold]", "{{ 1 }}", "%s", "$(true)", "auto", "kvm",
    "tcg", "write_iops", "cloud-amd64", "trixie", "last", "2026", "%", "_", "qemu:///nope", "nope://", "embed",
    "http://", "json", "none", "bash", "HEAD", "v6.1..v6.2", "micro", "localmod",
)  # fmt: skip

# Option or argument -> what is right there, so that commands get further than the reading of their words.
_FITTING = {
    "accel": ("auto", "kvm", "tcg"),
    "connect": ("embed", "qemu:///session", "qemu+ssh://127.0.0.1:9/system"),
    "cmdline": ("quiet", "mitigations=off"),
    "confidence": ("95%", "99%"),
    "config": ("micro", "localmod", "/etc/passwd"),
    "disk": ("nvme,latency=2ms", "virtio-blk,backend=file,size=1GiB", "null-blk,latency=2ms,size=1GiB"),
    "error": ("1%", "5%"),
    "file": ("btrfs-dio", "ext4-dio", "btrfs-dio-null-blk"),
    "flavour": ("cloud-amd64", "amd64"),
    "fs": ("btrfs", "ext4", "xfs", "btrfs,mount=nodatacow"),
    "from_run": ("last",),
    "html": ("page.html", "/dev/null", "-"),
    "json": ("result.json", "/dev/null", "-"),
    "ladder": ("debian:6.12.*", "debian:*"),
    "like": ("last",),
    "limit": ("1", "5"),
    "mail": ("mail.txt", "/dev/null", "-"),
    "margin": ("5%", "2%"),
    "max_boots": ("2", "40"),
    "memory": ("1GiB", "2GiB"),
    "on_change": ("true", "cat"),
    "metric": ("write_iops", "auto", "queue_depth"),
    "output": ("results.xml", "/dev/null", "-"),
    "run": ("last", "2026"),
    "seed": ("0", "1"),
    "set": ("runtime=1s", "files=2", "block_size=4KiB"),
    "suites": ("trixie", "stable"),
    "tree": (".",),
    "vcpus": ("1", "2"),
    "workload": ("shared-dio", "database-pages"),
}

words = st.one_of(
    st.sampled_from(_VALUES),
    st.sampled_from(_KERNELS),
    # No NUL: no process can be given one.
    st.text(st.characters(exclude_characters="\0"), max_size=12),
)


def _leaves(
    command: click.Command, path: tuple[str, ...], context: click.Context
) -> list[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        return [(path, command)]
    inside = click.Context(command, parent=context)
    found: list[tuple[tuple[str, ...], click.Command]] = []
    for name in command.list_commands(inside):
        child = command.get_command(inside, name)
        assert child is not None
        found += _leaves(child, (*path, name), inside)
    return found


VERBS = _leaves(kab, (), click.Context(kab))


def _value(draw: st.DrawFn, parameter: click.Parameter) -> str:
    """A word where `parameter` stands, three times of four one that fits."""
    fitting = _FITTING.get(parameter.name or "", _KERNELS if isinstance(parameter, click.Argument) else ())
    if isinstance(parameter.type, click.Choice):
        fitting = tuple(str(choice) for choice in parameter.type.choices)
    return draw(st.sampled_from(fitting) if fitting and draw(st.integers(0, 3)) else words)


@st.composite
def commands(draw: st.DrawFn) -> list[str]:
    """The words of a command after `kab`."""
    path, command = draw(st.sampled_from(VERBS))
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    said: list[str] = []
    for argument in (parameter for parameter in command.params if isinstance(parameter, click.Argument)):
        count = draw(st.integers(0, 3)) if argument.nargs != 1 else draw(st.sampled_from((1, 1, 1, 1, 0, 2)))
        said += [_value(draw, argument) for _ in range(count)]
    for option in draw(st.lists(st.sampled_from(options), max_size=4)) if options else []:
        said.append(draw(st.sampled_from(option.opts)))
        if not option.is_flag and draw(st.integers(0, 20)):
            said += [_value(draw, option) for _ in range(option.nargs)]
    if not draw(st.integers(0, 12)):
        said = list(draw(st.permutations(said)))
    if not draw(st.integers(0, 12)):
        said.insert(draw(st.integers(0, len(said))), draw(words))
    return [*path, *said]
