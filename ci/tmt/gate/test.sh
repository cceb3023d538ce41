#!/usr/bin/env bash
# Runs `kab gate` and writes what came of it to results.json, where tmt looks for it (main.fmf: `result: custom`).
#
# Reads KAB_FILE, KAB_BASELINE and KAB_CANDIDATE (empty: what the file says), from the plan or from `tmt run -e`.
set -uo pipefail

readonly DATA=${TMT_TEST_DATA:?is set by tmt}
export PATH=/opt/kab/bin:$PATH

words=()
if [[ -n ${KAB_BASELINE:-} ]]; then words+=("--baseline=$KAB_BASELINE"); fi
if [[ -n ${KAB_CANDIDATE:-} ]]; then words+=("--candidate=$KAB_CANDIDATE"); fi

kab gate "${words[@]}" --json="$DATA/report.json" --html="$DATA/report.html" --junit="$DATA/junit.xml" \
	--progress=lines -- "${KAB_FILE:?names the matrix file}" 2>&1 | tee "$DATA/report.txt"
status=${PIPESTATUS[0]}

python3 "$(dirname "$0")/results.py" "$status" "$DATA" || exit
exit "$status"
