"""Compares two kernels: python3 examples/compare.py debian:6.12 debian:7.2 [OPTION=TEXT...], such as max_boots=10."""

import sys

from harness.lab import Lab, request

baseline, candidate, *options = sys.argv[1:]
asked = request(baseline=baseline, candidate=candidate, **dict(option.split("=", 1) for option in options))
with Lab() as lab:
    run, decision = lab.compare(asked)
    print(lab.report(run.id).text())
sys.exit(decision.verdict.exit_code)
