"""The host: processes, paths, locks, leases, probes."""
