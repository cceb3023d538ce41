"""Text to values: specs, units, kernel logs, changelogs. No I/O."""
