#!/usr/bin/env bash
# A step of action.yml: runs kab, keeps its reports in a folder, shows the summary, and ends with its status.
#
# Reads KAB_VERB, KAB_FILE, KAB_BASELINE, KAB_CANDIDATE, KAB_SHARD, KAB_ARGUMENTS (a word in each line), KAB_REPORTS,
# KAB_CANNOT_TELL (fail or pass) and KAB_MIRROR. They are words of kab and nothing else, whatever is in them.
set -uo pipefail

readonly USAGE=129 CANNOT_TELL=125
# GitHub takes a MiB for all summaries of a step.
readonly SUMMARY_BYTES=200000

refuse() {
	printf '::error title=kab::%s\n' "$1"
	exit "$USAGE"
}

case $KAB_VERB in
gate | run | nightly) ;;
*) refuse 'verb: gate, run or nightly' ;;
esac
case $KAB_CANNOT_TELL in
fail | pass) ;;
*) refuse 'cannot-tell: fail or pass' ;;
esac

words=("$KAB_VERB")
if [[ -n $KAB_BASELINE ]]; then words+=("--baseline=$KAB_BASELINE"); fi
if [[ -n $KAB_CANDIDATE ]]; then words+=("--candidate=$KAB_CANDIDATE"); fi
if [[ -n $KAB_SHARD ]]; then words+=("--shard=$KAB_SHARD"); fi
if [[ -n $KAB_MIRROR ]]; then export KAB_DEBIAN_MIRROR=$KAB_MIRROR; fi
# A secret that a repository lacks is an empty text.
if [[ -z ${KAB_DATABASE:-} ]]; then unset KAB_DATABASE; fi
while IFS= read -r word; do
	if [[ -n $word ]]; then words+=("$word"); fi
done <<<"$KAB_ARGUMENTS"

mkdir -p -- "$KAB_REPORTS" || exit
reports=$(cd -- "$KAB_REPORTS" && pwd) || exit
printf 'reports=%s\n' "${reports//$'\n'/ }" >>"$GITHUB_OUTPUT"
words+=("--json=$reports/report.json" "--html=$reports/report.html" "--junit=$reports/junit.xml")

kab "${words[@]}" --progress=lines -- "$KAB_FILE" >"$reports/report.txt"
status=$?
cat -- "$reports/report.txt"
printf 'status=%d\n' "$status" >>"$GITHUB_OUTPUT"

# An indented block is shown as it is: nothing in the report can end it.
{
	printf '## kab %s: status %d\n\n' "$KAB_VERB" "$status"
	head -c "$SUMMARY_BYTES" -- "$reports/report.txt" | sed 's/^/    /'
	printf '\n'
} >>"$GITHUB_STEP_SUMMARY"

case $status in
0) ;;
1) printf '::error title=kab::Slower, or faulty: see the summary.\n' ;;
"$CANNOT_TELL")
	if [[ $KAB_CANNOT_TELL == pass ]]; then
		printf '::warning title=kab::Cannot tell: not every cell was decided. The job passes, as it was asked to.\n'
		exit 0
	fi
	printf '::error title=kab::Cannot tell: not every cell was decided.\n'
	;;
*) printf '::error title=kab::Nothing is said of a kernel (status %d): see the log.\n' "$status" ;;
esac
exit "$status"
