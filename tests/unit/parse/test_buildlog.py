"""Output of kernel builds: the first error, and whose fault it is, in lines as kbuild, gcc, ld and sh write them."""

from pathlib import Path

import pytest

from harness.kbuild.configure import failure_of
from harness.parse.buildlog import Blame, first_failure, step_of

pytestmark = pytest.mark.unit

PARALLEL = """\
  CC      fs/btrfs/super.o
  CC      fs/btrfs/ctree.o
In file included from ../source/fs/btrfs/super.c:12:
../source/include/linux/fs.h:99:1: warning: 'x' defined but not used [-Wunused-variable]
../source/fs/btrfs/super.c: In function 'btrfs_init':
../source/fs/btrfs/super.c:104:9: error: implicit declaration of function 'foo'; did you mean 'for'? [-Werror=...]
  104 |         foo();
      |         ^~~
cc1: some warnings being treated as errors
make[5]: *** [../source/scripts/Makefile.build:289: fs/btrfs/super.o] Error 1
make[5]: *** Waiting for unfinished jobs....
  CC      drivers/pci/probe.o
make[4]: *** [../source/scripts/Makefile.build:546: fs/btrfs] Error 2
make[3]: *** [../source/scripts/Makefile.build:546: fs] Error 2
make: *** [Makefile:248: __sub-make] Error 2
"""


UNDEFINED = """\
  LD      .tmp_vmlinux1
ld: vmlinux.o: in function `btrfs_mount':
super.c:(.text+0x1f): undefined reference to `btrfs_gone'
make[2]: *** [../source/scripts/Makefile.vmlinux:72: vmlinux.unstripped] Error 1
"""
NO_RULE = """\
make[4]: *** No rule to make target 'fs/btrfs/gone.o', needed by 'fs/btrfs/btrfs.o'.  Stop.
make[3]: *** [../source/scripts/Makefile.build:546: fs/btrfs] Error 2
"""
JOINED = """\
  CC      fs/btrfs/a.o  CC      fs/btrfs/b.o
../source/fs/btrfs/b.c:3:10: fatal error: gone.h: No such file or directory
compilation terminated.
"""
WARNING = """\
../source/fs/x.c:1:2: warning: error: is a word here
make: *** [Makefile:7: all] Error 1
"""
MODPOST = 'ERROR: modpost: "gone" [fs/btrfs/btrfs.ko] undefined!'


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (PARALLEL, PARALLEL.splitlines()[5]),
        (UNDEFINED, "super.c:(.text+0x1f): undefined reference to `btrfs_gone'"),
        (NO_RULE, NO_RULE.splitlines()[0]),
        (JOINED, JOINED.splitlines()[1]),
        (WARNING, "make: *** [Makefile:7: all] Error 1"),
        (f"{MODPOST}\nmake[2]: *** [x/Makefile.modpost:147: Module.symvers] Error 1\n", MODPOST),
        ("", "it said nothing"),
    ],
)
def test_the_code_is_to_blame(log, line):
    failure = first_failure(log)
    assert failure.line == line
    assert failure.blame is Blame.CODE


@pytest.mark.parametrize(
    "line",
    [
        "fs/btrfs/Kconfig:7: syntax error",
        "fs/btrfs/Kconfig:3:error: recursive dependency detected!",
    ],
)
def test_the_configuration_is_to_blame(line):
    failure = first_failure(f"  GEN     Makefile\n{line}\nmake[2]: *** [x/Makefile:85: olddefconfig] Error 1\n")
    assert (failure.blame, failure.line) == (Blame.CONFIGURATION, line)


@pytest.mark.parametrize(
    ("line", "blame", "told"),
    [
        ("/tmp/ccX.s: Fatal error: can't write 8 bytes to section .text: 'No space left on device'", Blame.DISK, ""),
        ("sh: 1: echo: echo: I/O error\ncat: write error: No space left on device", Blame.DISK, ""),
        ("gcc: internal compiler error: Killed (signal terminated program cc1)", Blame.MEMORY, ""),
        ("gcc: fatal error: Killed signal terminated program cc1", Blame.MEMORY, ""),
        ("collect2: fatal error: ld terminated with signal 9 [Killed]", Blame.MEMORY, ""),
        ("/bin/sh: 1: flex: not found", Blame.TOOL, "flex"),
        ("/bin/sh: line 1: bc: command not found", Blame.TOOL, "bc"),
        ("make[1]: bison: No such file or directory", Blame.TOOL, "bison"),
        ("elf.h:10:10: fatal error: gelf.h: No such file or directory", Blame.TOOL, "gelf.h"),
        ("a.c:23:10: fatal error: openssl/bio.h: No such file or directory", Blame.TOOL, "openssl/bio.h"),
    ],
)  # fmt: skip
def test_the_host_is_to_blame_whatever_else_it_made_fail(line, blame, told):
    failure = first_failure(f"{PARALLEL}{line}\nmake[5]: *** [x.o] Error 1\n")
    assert failure.blame is blame
    assert failure.line == (told or failure.line)
    assert failure.line in line


def test_steps():
    assert step_of("  CC      fs/btrfs/super.o") == "fs/btrfs/super.o"
    assert step_of("  CC [M]  fs/btrfs/super.o") == "fs/btrfs/super.o"
    assert step_of("  HOSTCC  scripts/basic/fixdep") == "scripts/basic/fixdep"
    assert step_of("make[1]: Entering directory '/x'") is None
    assert step_of("  104 |         foo();") is None


def test_what_a_build_says_is_shown_made_printable():
    """The line comes from the tree that is built: anybody's."""
    line, trouble = failure_of("\x1b]0;x\x07fatal error: libelf.h: No such file or directory\n", Path("/builds/x"))
    assert line == "libelf.h"
    assert trouble is not None
    _, full = failure_of("cc1: \x1b[2Jwrite: No space left on device" + "x" * 9000 + "\n", Path("/builds/x"))
    assert full.message.isprintable()
    assert len(full.message) < 1000
