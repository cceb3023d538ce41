#!/usr/bin/env bash
# The gates that every change passes, in order; stops at the first that fails, with that gate's own exit status.
#
# Usage: ci/check.sh [GATE...]      without a gate: all of them
#
#   11 format   12 lint   13 types   14 layers   15 docs   21 unit   22 integration   23 guest
set -uo pipefail
cd "$(dirname "$0")/.."

readonly GATES=(format lint types layers docs unit integration guest)
readonly STATIC=(harness tests benchmarks examples docs)
readonly BIN=.venv/bin

run_pytest() {
	"$BIN/python" -m pytest -m "$1" --dist loadfile "${@:2}" </dev/null
}

run_gate() {
	case $1 in
	format) "$BIN/ruff" format --check "${STATIC[@]}" ;;
	lint) "$BIN/ruff" check "${STATIC[@]}" ;;
	types) "$BIN/mypy" ;;
	layers) "$BIN/lint-imports" ;;
	docs) ci/docs.sh ;;
	# A module stays in one worker: its tests share what took long to make.
	unit | integration) run_pytest "$1" --numprocesses auto --maxprocesses 4 ;;
	# A guest that measures mostly waits for its slow disk; more of them would only wait for each other. The longest
	# module is among the first by name.
	guest) run_pytest "$1" --numprocesses 2 --no-loadscope-reorder ;;
	*)
		printf 'check: no gate %s; there are: %s\n' "$1" "${GATES[*]}" >&2
		exit 129
		;;
	esac
}

status_of() {
	case $1 in
	format) echo 11 ;;
	lint) echo 12 ;;
	types) echo 13 ;;
	layers) echo 14 ;;
	docs) echo 15 ;;
	unit) echo 21 ;;
	integration) echo 22 ;;
	guest) echo 23 ;;
	esac
}

summary=()
for gate in "${@:-${GATES[@]}}"; do
	printf '==> %s\n' "$gate"
	begin=$SECONDS
	run_gate "$gate"
	status=$?
	summary+=("$(printf '%-12s %5d s  %s' "$gate" $((SECONDS - begin)) "$([[ $status == 0 ]] && echo ok || echo FAILED)")")
	if ((status != 0)); then
		printf '%s\n' "${summary[@]}"
		exit "$(status_of "$gate")"
	fi
done
printf '%s\n' "${summary[@]}"
