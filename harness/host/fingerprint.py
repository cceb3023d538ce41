"""What a host is and how busy it is, stored with each run: the reader of a report must know what was measured on."""

import re
from pathlib import Path

from harness.host.probes import read


def fingerprint(root: Path = Path("/")) -> dict[str, str]:
    """Names and values for people, those that the host does not tell left out. No host name: reports travel."""
    cpuinfo = read(root / "proc/cpuinfo")
    meminfo = _match(r"^MemTotal:\s+(\d+) kB", read(root / "proc/meminfo"))
    cpu = root / "sys/devices/system/cpu"
    facts = {
        "cpu": _match(r"^model name\s*:\s*(.+)$", cpuinfo),
        "cpus": str(len(re.findall(r"^processor\s*:", cpuinfo, re.MULTILINE)) or ""),
        "microcode": _match(r"^microcode\s*:\s*(\S+)", cpuinfo),
        "virtual": "yes" if re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE) else "no",
        "memory": f"{int(meminfo) // 1024} MiB" if meminfo else "",
        "distribution": _match(r'^PRETTY_NAME="?([^"\n]*)', read(root / "etc/os-release")),
        "kernel": read(root / "proc/sys/kernel/osrelease"),
        "governor": ", ".join(sorted({read(path) for path in cpu.glob("cpu*/cpufreq/scaling_governor")} - {""})),
        "turbo": _turbo(cpu),
        "smt": {"1": "on", "0": "off"}.get(read(cpu / "smt/active"), ""),
        "clocksource": read(root / "sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "load": " ".join(read(root / "proc/loadavg").split()[:3]),
    }
    return {name: value for name, value in facts.items() if value}


def _match(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1].strip() if match else ""


def _turbo(cpu: Path) -> str:
    no_turbo, boost = read(cpu / "intel_pstate/no_turbo"), read(cpu / "cpufreq/boost")
    return {"0": "on", "1": "off"}.get(no_turbo) or {"1": "on", "0": "off"}.get(boost, "")
