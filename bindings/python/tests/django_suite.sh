#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Runs Django's own tests of cache backends on ours (tests/django_cache_tests.py). The suite is not
# in Debian's package: apt fetches the source package, once, by the sources that apt has.
#
#   django_suite.sh DIRECTORY    where the suite is kept
#
# Status 77: Django or its suite cannot be had here.
set -eu

directory=$1
here=$(cd "$(dirname "$0")" && pwd)
: "${PYTHON:=/usr/bin/python3}"

unavailable() {
  echo "$1"
  exit 77
}

version=$("$PYTHON" -c 'import django; print(django.__version__)' 2>/dev/null) ||
  unavailable "no Django (make deps-python)"
suite=$directory/django-$version

# Lists of source packages of our own, so that nothing of the system's changes.
fetch() {
  command -v apt-get >/dev/null || unavailable "no apt-get"
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  mkdir -p "$scratch/sources" "$scratch/lists/partial" "$scratch/archive" "$suite"
  shopt -s nullglob
  for file in /etc/apt/sources.list.d/*.sources; do
    sed 's/^Types:.*/Types: deb-src/' "$file" >"$scratch/sources/${file##*/}"
  done
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    if [ -e "$file" ]; then
      sed -n 's/^deb /deb-src /p' "$file" >"$scratch/sources/${file##*/}.list"
    fi
  done
  apt=(apt-get -q -o Dir::Etc::sourcelist=/dev/null "-oDir::Etc::sourceparts=$scratch/sources"
    "-oDir::State::lists=$scratch/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
    -o APT::Sandbox::User=)
  "${apt[@]}" update >"$scratch/log" 2>&1 ||
    unavailable "apt-get update: $(tail -n 1 "$scratch/log")"
  # The packaging may be gone from the archive; the suite is in the upstream tarball.
  (cd "$scratch/archive" &&
    "${apt[@]}" source --download-only python-django >"$scratch/log" 2>&1) || :
  archives=("$scratch/archive"/python-django_*.orig.tar.*)
  [ ${#archives[@]} = 1 ] ||
    unavailable "apt-get source python-django: $(tail -n 1 "$scratch/log")"
  tar -C "$suite" --strip-components=1 --wildcards -xf "${archives[0]}" '*/tests'
}

if [ ! -e "$suite/tests/runtests.py" ]; then
  rm -rf "$suite"
  fetch
fi
cp "$here/django_cache_tests.py" "$suite/tests/cache/test_ashmem.py"
cd "$suite/tests"
exec "$PYTHON" runtests.py --parallel 1 "${@:2}" cache.test_ashmem
