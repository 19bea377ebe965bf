#!/usr/bin/env bash
# Says at once everything that this machine lacks, and installs what it may.
#
#   deploy/need.sh build    Go, make, npm                     (make build, make demo)
#   deploy/need.sh test     and a C compiler for the race detector, Java 17, Maven, curl
#   deploy/need.sh interop  what build needs, and Node 20, Python 3.10 with venv, Chromium
#
# On Debian and Ubuntu, as root or with sudo that asks for no password, missing packages
# are installed; TRIBUTARY_NO_INSTALL=1 forbids that. Otherwise the line to type is
# printed. Go is never installed: distributions have older ones than go.mod asks for.
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-build}
case $what in
build | test | interop) ;;
*)
	echo "usage: deploy/need.sh build|test|interop" >&2
	exit 2
	;;
esac

has() { command -v "$1" >/dev/null 2>&1; }

java_major() {
	local line
	line=$(java -version 2>&1) || return 1
	[[ $line =~ version\ \"(1\.)?([0-9]+) ]] && echo "${BASH_REMATCH[2]}"
}

# look fills missing (for people) and packages (for apt-get).
look() {
	missing=() packages=() java=
	has make || { missing+=("make") && packages+=(make); }
	has npm || { missing+=("npm") && packages+=(npm); }
	if [ "$what" = interop ]; then
		has node || { missing+=("Node 20 or later") && packages+=(nodejs); }
		python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
			{ missing+=("Python 3.10 or later, with venv") && packages+=(python3 python3-venv); }
		has chromium || { missing+=("Chromium, as the command chromium") && packages+=(chromium); }
	fi
	[ "$what" = test ] || return 0
	has cc || has gcc || { missing+=("a C compiler (for go test -race)") && packages+=(gcc libc6-dev); }
	has curl || { missing+=("curl") && packages+=(curl ca-certificates); }
	if ! has java || [ "$(java_major || echo 0)" -lt 17 ]; then
		missing+=("Java 17 or later") && java=wanted
	fi
	has mvn || { missing+=("Maven") && packages+=(maven); }
}

# go_wanted is the version in go.mod; go_line says how to get it, or is empty.
go_wanted=$(sed -n 's/^go //p' go.mod)
look_for_go() {
	go_line=
	local have
	if has go && have=$(go env GOVERSION 2>/dev/null) && [ -n "$have" ] && go list -m >/dev/null 2>&1; then
		return 0
	fi
	local os arch
	os=$(uname -s | tr '[:upper:]' '[:lower:]')
	case $(uname -m) in x86_64 | amd64) arch=amd64 ;; aarch64 | arm64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
	if has go && have=$(cd / && go env GOVERSION 2>/dev/null) && [[ $have =~ ^go1\.(2[1-9]|[3-9][0-9]) ]]; then
		go_line="export GOTOOLCHAIN=auto"
		missing+=("Go $go_wanted or later (here is $have, which can fetch it)")
	else
		go_line="curl -fsSL https://go.dev/dl/go$go_wanted.$os-$arch.tar.gz | ${sudo}tar -C /usr/local -xz && export PATH=/usr/local/go/bin:\$PATH"
		missing+=("Go $go_wanted or later")
	fi
}

sudo=
[ "$(id -u)" = 0 ] || sudo="sudo "

# java_package is the nearest to 17 that apt-get has.
java_package() {
	local p
	for p in openjdk-17-jre-headless openjdk-21-jre-headless openjdk-25-jre-headless; do
		if [ -n "$(apt-cache policy "$p" 2>/dev/null | sed -n 's/^ *Candidate: \([^(].*\)/\1/p')" ]; then
			echo "$p"
			return
		fi
	done
	echo default-jre-headless
}

may_install() {
	has apt-get && [ -z "${TRIBUTARY_NO_INSTALL:-}" ] && { [ "$(id -u)" = 0 ] || { has sudo && sudo -n true 2>/dev/null; }; }
}

look
look_for_go
[ ${#missing[@]} -gt 0 ] || exit 0

{
	echo "tributary: to ${what} it, this machine lacks:"
	printf '  %s\n' "${missing[@]}"
} >&2

if [ ${#packages[@]} -gt 0 ] || [ -n "$java" ]; then
	if may_install; then
		echo "tributary: installing by apt-get" >&2
		as_root=()
		[ "$(id -u)" = 0 ] || as_root=(sudo -n)
		"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null >&2
		[ -z "$java" ] || packages+=("$(java_package)")
		"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" </dev/null >&2
		hash -r
		look
		[ -z "$java" ] || packages+=("Java 17")
		if [ ${#packages[@]} -gt 0 ]; then
			echo "tributary: still missing after apt-get: ${packages[*]}" >&2
			exit 1
		fi
	else
		[ -z "$java" ] || packages+=(openjdk-17-jre-headless)
		{
			echo "tributary: type this, then try again (package names are those of Debian and Ubuntu):"
			echo "  ${sudo}apt-get install -y ${packages[*]}"
		} >&2
		[ -z "$go_line" ] || printf '  %s\n' "$go_line" >&2
		exit 1
	fi
fi

if [ -n "$go_line" ]; then
	printf 'tributary: type this, then try again:\n  %s\n' "$go_line" >&2
	exit 1
fi
