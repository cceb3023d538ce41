"""What each key of a file means, in words: the reference documents are made of these tables.

The keys themselves, and what reads them, are in `experiment`, `workloads` and `settings`; a test holds both together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.config.workloads import OWN_KEYS
from harness.model.workload import FIRST_KIND
from harness.workloads.registry import KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """One key for people; texts are Markdown of one line."""

    says: str
    # What holds without the key, as a file would write it; empty: see `otherwise`.
    default: str = ""
    # What happens without the key, where that is no value; empty: nothing is there.
    otherwise: str = ""
    needed: bool = False


def _table(**meanings: Meaning) -> Mapping[str, Meaning]:
    return MappingProxyType(meanings)


EXPERIMENT_MEANINGS = _table(
    baseline=Meaning(says="kernel spec of the kernel to compare with", needed=True),
    candidate=Meaning(says="kernel spec of the kernel in question", needed=True),
    workload=Meaning(
        says="name of a workload, or path of a workload file (it holds a `/` or ends in `.yaml`)",
        default="shared-dio",
    ),
    set=Meaning(
        says="mapping of the workload's parameters to other values; also its `warmup`, `runtime` and `iterations`"
    ),
    disk=Meaning(says="the test disk, see [disk](#disk)", default="nvme,backend=nbd,latency=2ms,size=1GiB"),
    fs=Meaning(says="the filesystem on it, see [filesystem](#filesystem)", default="btrfs,mount=nodatacow"),
    vcpus=Meaning(says="processors of the guest, a count", default="2"),
    memory=Meaning(says="memory of the guest, a size of 256MiB or more", default="1GiB"),
    cmdline=Meaning(
        says="words for the guest's kernel command line besides those that kab needs; a text or a list of words"
    ),
    cpu_model=Meaning(says="QEMU's name of a CPU model", otherwise="kab chooses for the accelerator"),
    metric=Meaning(
        says="name of the metric that decides, or `auto`: of those that the workload lets decide, the one that "
        "separates the kernels best",
        default="auto",
    ),
    margin=Meaning(says="ratios closer to 1 than this are `same`, a fraction", default="5%"),
    error=Meaning(says="allowed probability of a wrong verdict, a fraction", default="1%"),
    max_boots=Meaning(says="boots of both kernels together, at most; a count of 2 or more", default="40"),
    seed=Meaning(
        says="seed of the order of boots and of the workload's offsets, a count", otherwise="drawn anew, and stored"
    ),
    accel=Meaning(says="`auto` (found out by booting), `kvm` or `tcg` (emulation)", default="auto"),
    connect=Meaning(
        says="whose libvirt starts the guests: a URI, or `embed` for the driver inside kab",
        default="embed",
    ),
    json=Meaning(says="file to write all results to"),
    html=Meaning(says="file to write the report to"),
)

MATRIX_MEANINGS = _table(
    title=Meaning(
        says="name of the matrix, by which its nights are found again; without `/`",
        otherwise="the file's name without its ending",
    ),
    extends=Meaning(
        says="one other file, by its path from this one, or by the name of one that ships with kab: what this file "
        "says goes over it, key by key; axes are replaced one by one, lists whole; the title is not taken over"
    ),
    axes=Meaning(
        says="what cells differ in: a mapping of axes to their labels, see [axes](#axes)",
        otherwise="the file is one cell",
    ),
    exclude=Meaning(says="list of mappings of axes to patterns: cells that match all of one are left out"),
    include=Meaning(
        says="list of further cells, each a mapping with a label of every axis, and keys of an experiment for this "
        "cell alone"
    ),
    adjust=Meaning(
        says="list of mappings with `when` (axes and patterns) and keys of an experiment for the cells that match; "
        "later ones go over earlier ones"
    ),
    gate=Meaning(says="what a candidate must not be, see [gate](#gate)"),
    waivers=Meaning(says="path of a [file of waivers](#waivers), from this file"),
    nightly=Meaning(says="what `kab nightly` follows, see [nightly](#nightly)"),
)

GATE_MEANINGS = _table(
    error=Meaning(
        says="allowed probability, over all cells and metrics together, that anything is called worse that is not; a "
        "fraction",
        default="5%",
    ),
    miss=Meaning(
        says="allowed probability, for each metric of a cell, that it is cleared though it is worse than its margin; a "
        "fraction",
        default="5%",
    ),
    metrics=Meaning(
        says="mapping of metrics that count to how much worse each may be, a fraction; a pattern (`*clat_p99`) means "
        "speeds, a name goes before patterns, and of patterns the first that fits counts",
        otherwise="each speed that the cell's workload lets decide, or the cell's `metric`; at the cell's `margin`",
    ),
    max_boots=Meaning(
        says="boots of all cells together, at most; a count of 2 or more", otherwise="what the cells allow"
    ),
    max_time=Meaning(says="duration after which no further boot is made", otherwise="no limit"),
    fails=Meaning(
        says="what fails the gate whatever the speed, a list: `fault` (the candidate does not boot, crashes or hangs, "
        "or the workload fails on it only), `warning` (new kinds of warnings in the kernel's log), `data` (what is "
        "read back differs)",
        default="[fault, warning, data]",
    ),
)

NIGHTLY_MEANINGS = _table(
    series=Meaning(says="list of kernel specs whose newest kernels are measured, each in all cells", needed=True),
    newest=Meaning(
        says="how many kernels of a series are measured where several are new, the newest ones", default="1"
    ),
)

ADJUST_MEANINGS = _table(
    when=Meaning(says="mapping of axes to patterns of labels; a list of patterns means any of them", needed=True),
)

WAIVER_MEANINGS = _table(
    cells=Meaning(says="pattern of names of cells; `*` takes a `/`, too", needed=True),
    metrics=Meaning(says="pattern of metrics", default="*"),
    bound=Meaning(
        says="how much worse is borne with, a fraction",
        otherwise="however much worse; for all metrics, also crashes and whatever else fails",
    ),
    owner=Meaning(says="who is asked about it", needed=True),
    reason=Meaning(says="why, in a sentence", needed=True),
    until=Meaning(
        says="the last day that it holds (`2027-01-31`), or the first kernel version that it does not hold for "
        "(`v7.4`)",
        needed=True,
    ),
)

DISK_MEANINGS = _table(
    bus=Meaning(
        says="`virtio-blk`, `nvme` (emulated) or `null-blk` (no disk: the guest kernel's own null_blk, in the guest's "
        "memory)",
        needed=True,
    ),
    backend=Meaning(
        says="what is behind `virtio-blk` and `nvme`: `file` (raw, direct I/O), `block` (a block device of the host) "
        "or `nbd` (an export in the host's memory)",
        default="nbd",
    ),
    size=Meaning(
        says="size of the disk, whole MiB; not for `backend=block`, whose device is used whole", default="1GiB"
    ),
    latency=Meaning(
        says="duration added to each request, at most 1s; for `backend=nbd` (whole milliseconds) and `null-blk`"
    ),
    device=Meaning(says="the block device, named in full; needed for `backend=block`, and only there"),
)

FILESYSTEM_MEANINGS = _table(
    type=Meaning(says="`btrfs`, `ext4` or `xfs`", needed=True),
    mount=Meaning(says="mount options: several joined by `+` or in several `mount=`; in a mapping, a list"),
    mkfs=Meaning(says="arguments for mkfs: a text, split as in a shell; in a mapping, a list is taken as it is"),
)

WORKLOAD_MEANINGS = _table(
    name=Meaning(says="lower-case letters, digits and dashes", needed=True),
    kind=Meaning(says=f"what runs it: {', '.join(f'`{name}`' for name in KINDS)}", default=FIRST_KIND),
    title=Meaning(says="what it does, in half a sentence", needed=True),
    stands_for=Meaning(says="the real application that it stands for, in a sentence", needed=True),
    **{key.name: Meaning(says=key.says, needed=key.required) for key in OWN_KEYS.values()},
    parameters=Meaning(
        says="mapping of names to values that the template is rendered with; a size becomes bytes, a duration seconds, "
        "`true` and `false` a truth value, a quoted value stays a text"
    ),
    warmup=Meaning(says="duration that is run and not measured", default="1s"),
    runtime=Meaning(says="measured duration of each iteration", default="4s"),
    iterations=Meaning(says="iterations in one boot; their median is the boot's value", default="3"),
    deciding=Meaning(
        says="metrics that may decide when the user names none, the most telling first",
        needed=True,
    ),
    subsystems=Meaning(says="folders and files of the kernel behind it; suspects of a search are ranked by them"),
    words=Meaning(says="words of commits that may be to blame; suspects are ranked by them, too"),
    modules=Meaning(says="kernel modules that the guest needs besides those of disk and filesystem"),
    disk=Meaning(
        says="size that its files need; grows with the parameters `files` times `file_size` and `jobs` times "
        "`log_size`",
        needed=True,
    ),
)

SETTING_MEANINGS = _table(
    cache_limit=Meaning(
        says="size of the cache of kernels and builds; what was not used for longest goes first", default="20GiB"
    ),
    debian_mirror=Meaning(
        says="URI of the folder that holds `dists/` and `pool/`", otherwise="from the host's APT sources"
    ),
    debian_security_mirror=Meaning(
        says="the same for Debian's security archive", otherwise="from the host's APT sources, or beside the mirror"
    ),
    connect=Meaning(says="libvirt URI, for all experiments that name none", otherwise="`embed`, the driver inside kab"),
    database=Meaning(
        says="URL of the results: `postgresql://USER@HOST/NAME`, `sqlite:////FILE`",
        otherwise="a file in the state folder",
    ),
    tree=Meaning(says="a git clone of Linux, for suspects, as `--tree` of `kab bisect`"),
    kcidb_origin=Meaning(says="who `kab export --format kcidb` speaks for, as agreed with KernelCI", default="kab"),
)
