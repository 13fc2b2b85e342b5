#!/bin/sh
# See to it that the foreign SIP programs named below are here: `make test` and `make sipp` hold us against them.
# Installs what is missing if we are root on a Debian; else says in one line what to run, and fails.
#
#   foreign_programs.sh [PROGRAM...]     all of them if none is named
set -eu

[ $# -gt 0 ] || set -- sipp baresip kamailio tshark strace prometheus chromium

missing=
for program; do
  # Who drives chromium for the tests brings a program of its own, which needs this library.
  [ "$program" != chromium ] || /sbin/ldconfig -p | grep -q 'libatomic\.so\.1' || missing="$missing libatomic1"
  command -v "$program" >/dev/null 2>&1 && continue
  case $program in
    sipp) missing="$missing sip-tester" ;;
    baresip) missing="$missing baresip-core" ;;
    kamailio) missing="$missing kamailio kamailio-tls-modules" ;;
    *) missing="$missing $program" ;;
  esac
done
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "sipshop: programs are missing; as root: $install (or only: .venv/bin/pytest -m 'not wire')" >&2
  exit 1
fi

echo "Installing$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# A fresh machine has no package lists, or old ones: then the first try fails at once.
$install >"$log" 2>&1 ||
  { apt-get update -q >"$log" 2>&1 && $install >>"$log" 2>&1; } ||
  { tail -n 5 "$log" >&2 && exit 1; }
