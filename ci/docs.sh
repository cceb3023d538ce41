#!/usr/bin/env bash
# The site of docs/ and the manual pages, from the same commands and tables of the code, into build/. A warning is an error.
set -euo pipefail
cd "$(dirname "$0")/.."

# Built from nothing: a page that is gone, or a reference that the code no longer fills, must not hide in what was there.
rm -rf build/docs build/doctrees build/man
.venv/bin/python -m sphinx -q --builder html --nitpicky --fail-on-warning --keep-going -d build/doctrees docs build/docs </dev/null
.venv/bin/python docs/_ext/kab_manpages.py build/man </dev/null
printf 'Site: %s\nManual pages: %s\n' "$PWD/build/docs/index.html" "$PWD/build/man (man -l build/man/kab.1)"
