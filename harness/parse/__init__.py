"""Text to values: specs, units, fio output, kernel logs, procfs, changelogs. No I/O."""
