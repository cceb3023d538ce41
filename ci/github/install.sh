#!/usr/bin/env bash
# A step of action.yml: kab and what it needs on a GitHub runner. KAB_PACKAGE: what pip installs; empty: this checkout.
set -euo pipefail

readonly CHECKOUT=$GITHUB_ACTION_PATH/../..
readonly VENV=$RUNNER_TEMP/kab-venv

"$CHECKOUT/ci/setup.sh" --packages-only
python3 -m venv "$VENV"
# After --, so that no text is an option of pip.
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -- "${KAB_PACKAGE:-$CHECKOUT}"
printf '%s\n' "$VENV/bin" >>"$GITHUB_PATH"
