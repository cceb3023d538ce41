#!/usr/bin/env bash
# The founding case, end to end: two stock kernels, Btrfs direct writes, a verdict and an HTML report.
# Ends with kab's own status: 0 not slower, 1 slower, 125 cannot tell, 128 and more: no verdict.
set -uo pipefail
cd "$(dirname "$0")/.."

report=$PWD/var/demo.html
mkdir -p var
.venv/bin/kab ab -f configs/experiments/btrfs-dio.yaml --html "$report" "$@"
status=$?
if [[ -s $report ]] && ((status < 128)); then
	printf 'Report: %s\n' "$report"
fi
exit "$status"
