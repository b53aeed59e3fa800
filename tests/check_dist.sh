#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The release tarball, unpacked where there is no git: the same files as the tree, builds, passes
# the interface's tests, and makes the same tarball again. Run by `make check-dist`.
set -u

cd "${TOP:-$(dirname "$0")/..}" || exit 1
. tests/counts.sh
: "${BUILD:?}" "${VERSION:?}" "${TARBALL:?}" "${MAKE:=make}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

check "make dist" packaging/dist.sh
top=libashmem-$VERSION
foreign=$(tar -tf "$TARBALL" | grep -v "^$top/")
if [ -z "$foreign" ]; then
  pass "everything is below $top/"
else
  fail "outside of $top/: $foreign"
fi
owners=$(tar --numeric-owner -tvf "$TARBALL" | awk '{ print $2 }' | sort -u)
if [ "$owners" = 0/0 ]; then pass "no owner's name is in it"; else fail "owners: $owners"; fi
check "unpacks" tar -C "$scratch" -xf "$TARBALL"
if [ -e .git ]; then
  lost=$(git ls-files | while read -r file; do
    cmp -s "$file" "$scratch/$top/$file" || echo "$file"
  done)
  if [ -z "$lost" ]; then
    pass "has every file of the tree"
  else
    fail "not as in the tree: $lost"
  fi
fi
check "has no generated file" test ! -e "$scratch/$top/build"

cd "$scratch/$top" || exit 1
unset BUILD MAKEFLAGS MFLAGS MAKELEVEL SOURCE_DATE_EPOCH
make_there() {
  GIT_CEILING_DIRECTORIES=$scratch "$MAKE" -s "$@"
}
check "builds" make_there -j2 all contract WERROR=1
if output=$(PLAIN_JOBS=4 timeout -k 5 600 build/contract/contract 2>&1); then
  pass "passes the tests of the interface: $(tail -n 1 <<<"$output")"
else
  fail "its tests: $(tail -n 30 <<<"$output")"
fi
check "installs" make_there install "PREFIX=$scratch/prefix"
check "makes a tarball" make_there dist
check "the same tarball" cmp "$TARBALL" "build/$top.tar.gz"
counts_end
