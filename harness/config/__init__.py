"""YAML to experiments, workloads and settings; the only user of yaml."""
