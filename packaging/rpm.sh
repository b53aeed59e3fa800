#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Builds RPM packages, source and binary, from the release tarball and packaging/libashmem.spec
# (`make rpm`), below the build directory. Build dependencies are not looked up in RPM's database
# (--nodeps), so it works on other distributions too. RPM_OPTIONS are handed to rpmbuild (--nocheck
# leaves the tests out).
set -eu
: "${TOP:?}" "${BUILD:?}" "${TARBALL:?}"

if ! command -v rpmbuild >/dev/null; then
  echo "make rpm needs rpmbuild (make deps-dist)" >&2
  exit 1
fi
"$TOP/packaging/dist.sh"
directory=$BUILD/rpm
rm -rf "$directory"
mkdir -p "$directory/SOURCES"
cp "$TARBALL" "$directory/SOURCES/"
# What make was told is meant for our own build, not for the package's.
unset MAKEFLAGS MFLAGS MAKELEVEL BUILD CC CXX NM PKG_CONFIG CPPFLAGS MAKE
# shellcheck disable=SC2086 # a list of words
rpmbuild --nodeps --define "_topdir $directory" --define "_dbpath $directory/db" ${RPM_OPTIONS-} \
  -ba "$TOP/packaging/libashmem.spec" >"$directory/build.log" 2>&1 ||
  { tail -n 60 "$directory/build.log" >&2; exit 1; }
printf 'packages in %s:\n' "$directory"
cd "$directory" && ls -- RPMS/*/*.rpm SRPMS/*.rpm
