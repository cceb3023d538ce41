"""What runs in a guest and what is read off it: kinds of workloads and probes, each one module, and their registry.

Pure: a kind and a probe give texts (files, shell lines) and read texts; `harness.run.measure` brings them to the guest.
"""
