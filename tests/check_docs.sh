#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The documentation: the site and the man pages are built with warnings as errors, every page is
# linted, and docs/check_pages.py looks at links, contents, search, figures and sentences. Two
# builds are the same (not with SHORT=1). Run by `make check-docs`.
set -u

cd "${TOP:-$(dirname "$0")/..}" || exit 1
. tests/counts.sh
: "${MAKE:=make}" "${BUILD:=$PWD/build}"
unset MAKEFLAGS MFLAGS MAKELEVEL
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

for tool in doxygen python3 sphinx-build dot mandoc; do
  have $tool || { skip "no $tool (make deps)"; counts_end; exit; }
done

check "builds man pages and site" "$MAKE" -s "BUILD=$BUILD" docs
pages=("$BUILD"/docs/man/man?/* tools/*.[0-9] daemon/*.[0-9] compat/run/*.[0-9])

lint() {
  local said
  said=$(mandoc -T lint "$1" 2>&1)
  echo "$said"
  [ -z "$said" ]
}
check_each "mandoc -T lint" lint "${pages[@]}"

warnings() {
  local said
  said=$(man --warnings -E UTF-8 -l -Tutf8 -Z "$1" 2>&1 >/dev/null)
  echo "$said"
  [ -z "$said" ]
}
if have man && have groff; then
  check_each "man --warnings" warnings "${pages[@]}"
else
  skip "man --warnings: no man-db or groff"
fi

# has SECTION PAGE...: each page has the section.
has() {
  local section=$1 page
  shift
  for page in "$@"; do
    check "$(basename "$page") has $section" grep -qx "\.SH $section" "$page"
  done
}
has "RETURN VALUE" "$BUILD"/docs/man/man3/*
has "SEE ALSO" "${pages[@]}"
check "no page sends its reader elsewhere for an error" \
  sh -c '! grep -nE "^(See|As) .*ashmem_[a-z_]*.*\(3\)\.$" "$@"' sh "$BUILD"/docs/man/man3/*

check "links, contents, search, figures, sentences" python3 -B tests/docs/check_pages.py . \
  "$BUILD/docs/html"

if [ -z "${SHORT-}" ]; then
  "$MAKE" -s "BUILD=$scratch/again" docs >/dev/null 2>&1
  check "two builds of the man pages are the same" diff -r "$BUILD/docs/man" \
    "$scratch/again/docs/man"
  check "two builds of the site are the same" diff -r "$BUILD/docs/html" \
    "$scratch/again/docs/html"
fi

counts_end
