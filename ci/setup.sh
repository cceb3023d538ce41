#!/usr/bin/env bash
# All set-up of a host for kab: Debian packages, a QEMU that emulates soundly, and the virtual environment .venv.
# Idempotent; when nothing is to do it says nothing and takes a fraction of a second. Run it as root, or as a user
# who may use sudo. What it changes on the host: packages, and (only where QEMU is too old) one file in
# /etc/apt/sources.list.d that names the release's backports suite, and that may be removed again.
#
# For tests also: a browser, and an sshd and a PostgreSQL that are unpacked into var/programs and not installed, because
# their packages would start services; where root sets up, the user sshd, as whom that sshd guards itself.
#
# Usage: ci/setup.sh [--packages-only|--tests]
set -euo pipefail
cd "$(dirname "$0")/.."

readonly TROUBLE=131
# Bookworm's 7.2 crashes guests of its own under emulation (docs/architecture.md); from 8 on none was seen.
readonly QEMU_LEAST='1:8'
# Guests of x86-64 and of arm64: one of them is the host's own, the other one is emulated.
readonly QEMU_PACKAGES=(qemu-system-x86 qemu-system-arm)
readonly BACKPORTS_FILE=/etc/apt/sources.list.d/kab-backports.sources
readonly LOG=var/setup.log
readonly PROGRAMS=var/programs
readonly KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf '==> %s\n' "$*"; }

fail() {
	printf 'setup: %s\n' "$@" >&2
	exit "$TROUBLE"
}

# Prints the version of a package when it is fully installed, else nothing.
installed_version() {
	{ dpkg-query -W -f='${db:Status-Status} ${Version}\n' "$1" 2>/dev/null || true; } | sed -n 's/^installed //p'
}

# Those that a list names and that are not installed.
missing_packages() {
	local wanted installed
	wanted=$(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1" | sort)
	# dpkg-query fails when it does not know one of them, and tells of the others all the same.
	# shellcheck disable=SC2086
	installed=$({ dpkg-query -W -f='${db:Status-Status} ${Package}\n' $wanted 2>/dev/null || true; } |
		sed -n 's/^installed //p' | sort)
	comm -23 <(printf '%s\n' "$wanted") <(printf '%s\n' "$installed")
}

qemu_is_sound() {
	local package version
	for package in "${QEMU_PACKAGES[@]}"; do
		version=$(installed_version "$package")
		[[ -n $version ]] && dpkg --compare-versions "$version" ge "$QEMU_LEAST" || return 1
	done
}

# Runs a command as root; the words of the command are all that is ever run so.
as_root() {
	if ((EUID == 0)); then
		"$@"
	elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
		sudo "$@"
	else
		fail "packages have to be installed, and that needs root: neither root nor able to use sudo." \
			"Ask the host's administrator to run: $PWD/ci/setup.sh --packages-only" \
			"(it would run: $*)"
	fi
}

apt_install() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
		install --yes --no-install-recommends "$@" </dev/null >"$LOG" 2>&1 || {
		tail -n 20 "$LOG" >&2
		fail "apt-get could not install: $*"
	}
}

apt_update() {
	as_root apt-get -qq -o DPkg::Lock::Timeout=300 update </dev/null || fail "apt-get update failed"
}

# URI and suite of every archive that the host's APT sources name, as "URI SUITE" lines.
apt_sources() {
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
		sed -n 's/ main$//p' | sort -u
}

# Adds the release's backports suite, from the mirror that the host already uses, unless it is there.
add_backports() {
	local codename=$1 uri
	if apt_sources | grep -q " $codename-backports\$"; then
		return
	fi
	uri=$(apt_sources | awk -v codename="$codename" '$2 == codename || $2 ~ /^(old)*stable$/ { print $1; exit }')
	[[ -n $uri ]] || fail "the host's APT sources name no archive of $codename: QEMU cannot be taken from its backports"
	say "adding $codename-backports to the APT sources ($BACKPORTS_FILE)"
	as_root tee "$BACKPORTS_FILE.new" >/dev/null <<-END
		# Written by kab's ci/setup.sh, which needs a newer QEMU than $codename has. May be removed.
		Types: deb
		URIs: $uri
		Suites: $codename-backports
		Components: main
		Signed-By: $KEYRING
	END
	as_root mv "$BACKPORTS_FILE.new" "$BACKPORTS_FILE"
}

install_qemu() {
	local candidate codename
	candidate=$(LC_ALL=C apt-cache policy "${QEMU_PACKAGES[0]}" | sed -n 's/^ *Candidate: //p')
	if dpkg --compare-versions "${candidate:-0}" ge "$QEMU_LEAST"; then
		say "installing ${QEMU_PACKAGES[*]} ($candidate)"
		apt_install "${QEMU_PACKAGES[@]}"
	else
		codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
		[[ -n $codename ]] || fail "/etc/os-release names no release: install QEMU ${QEMU_LEAST#*:} or newer by hand"
		add_backports "$codename"
		apt_update
		say "installing ${QEMU_PACKAGES[*]} from $codename-backports"
		apt_install --target-release "$codename-backports" "${QEMU_PACKAGES[@]}"
	fi
	qemu_is_sound || fail "QEMU is still older than ${QEMU_LEAST#*:}: $(installed_version "${QEMU_PACKAGES[0]}")"
}

set_up_packages() {
	local missing
	command -v apt-get >/dev/null || fail "this is no Debian: install what ci/packages.txt lists, and QEMU 8 or newer"
	missing=$(missing_packages ci/packages.txt)
	if [[ -z $missing ]] && qemu_is_sound; then
		return
	fi
	say "reading the APT sources"
	apt_update
	if [[ -n $missing ]]; then
		say "installing ${missing//$'\n'/ }"
		# shellcheck disable=SC2086
		apt_install $missing
	fi
	qemu_is_sound || install_qemu
}

has_daemons() {
	[[ -x /usr/sbin/sshd || -x $PROGRAMS/usr/sbin/sshd ]] || return
	compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
		compgen -G "$PROGRAMS/usr/lib/postgresql/*/bin/initdb" >/dev/null
}

# Unpacks what would start a service when it is installed, and installs the libraries that it needs.
unpack_daemons() {
	local folder postgres deb libraries
	postgres=$(LC_ALL=C apt-cache depends postgresql | sed -n 's/^ *Depends: //p' | head -n 1)
	[[ -n $postgres ]] || fail "the host's APT sources offer no postgresql"
	say "unpacking openssh-server and $postgres into $PROGRAMS"
	rm -rf "$PROGRAMS.new"
	mkdir -p "$PROGRAMS.new/debs"
	folder=$PWD/$PROGRAMS.new
	(cd "$folder/debs" && apt-get -qq download openssh-server "$postgres") >"$LOG" 2>&1 || {
		tail -n 20 "$LOG" >&2
		fail "apt-get could not download openssh-server and $postgres"
	}
	# Not LLVM, which PostgreSQL compiles queries with when it is there.
	libraries=$(for deb in "$folder"/debs/*.deb; do dpkg-deb -f "$deb" Depends && echo; done | sed 's/[,|]/\n/g' |
		sed -n 's/^ *\(lib[a-z0-9.+-]*\).*/\1/p' | grep -v '^libllvm' | sort -u)
	# shellcheck disable=SC2086
	apt_install $libraries
	for deb in "$folder"/debs/*.deb; do
		dpkg-deb -x "$deb" "$folder"
	done
	rm -rf "$folder/debs" "$PROGRAMS"
	mv "$folder" "$PROGRAMS"
}

set_up_test_programs() {
	local missing
	missing=$(missing_packages ci/packages-tests.txt)
	if [[ -n $missing ]] || ! has_daemons; then
		say "reading the APT sources"
		apt_update
	fi
	if [[ -n $missing ]]; then
		say "installing ${missing//$'\n'/ }, for tests"
		# shellcheck disable=SC2086
		apt_install $missing
	fi
	has_daemons || unpack_daemons
	if ((EUID == 0)) && ! getent passwd sshd >/dev/null; then
		useradd --system --no-create-home --home-dir /run/sshd --shell /usr/sbin/nologin sshd
	fi
}

# The first Python that is new enough and can make a virtual environment.
find_python() {
	local python
	for python in ${PYTHON:+"$PYTHON"} python3 /usr/bin/python3; do
		if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
			echo "$python"
			return
		fi
	done
	fail "no Python 3.11 or newer with its venv module was found"
}

# What a Python is: its version, and where it comes from. Nothing when it does not run.
identity_of() {
	"$1" -c 'import sys; print(sys.version, sys.base_prefix)' 2>/dev/null || true
}

set_up_venv() {
	local python identity stamp
	python=$(find_python)
	identity=$(identity_of "$python")
	stamp=$({ echo "$identity" && pwd && cat pyproject.toml; } | sha256sum)
	# The interpreter is run: a folder that was copied, or whose Python is gone, has the stamp all the same.
	if [[ $(identity_of .venv/bin/python) != "$identity" ]]; then
		say "making the virtual environment .venv with $("$python" --version)"
		"$python" -m venv --clear .venv
	elif [[ -e .venv/setup-stamp && $(<.venv/setup-stamp) == "$stamp" ]]; then
		return
	fi
	say "installing kab and its dependencies into .venv"
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,docs]' </dev/null ||
		fail "pip could not install kab and its dependencies into .venv"
	printf '%s\n' "$stamp" >.venv/setup-stamp
}

# Two at once (make test beside make demo) take turns.
mkdir -p var
exec 9>var/setup.lock
flock 9

set_up_packages
[[ ${1:-} == --tests ]] && set_up_test_programs
[[ ${1:-} == --packages-only ]] || set_up_venv
