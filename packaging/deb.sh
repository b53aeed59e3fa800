#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Builds Debian packages, source and binary, from the release tarball and packaging/debian (`make
# deb`), in a directory below the build directory. Takes nothing from the network.
# DEB_BUILD_OPTIONS=nocheck leaves the tests out.
#
#   deb.sh [DIRECTORY]
set -eu
: "${TOP:?}" "${BUILD:?}" "${VERSION:?}" "${TARBALL:?}"

directory=${1:-$BUILD/deb}
if ! command -v dpkg-buildpackage >/dev/null || ! command -v dh >/dev/null; then
  echo "make deb needs dpkg-dev and debhelper (make deps-dist)" >&2
  exit 1
fi

umask 022
"$TOP/packaging/dist.sh"
rm -rf "$directory"
mkdir -p "$directory"
tar -C "$directory" -xf "$TARBALL"
cp "$TARBALL" "$directory/libashmem_$VERSION.orig.tar.gz"
cp -r "$directory/libashmem-$VERSION/packaging/debian" "$directory/libashmem-$VERSION/debian"

# What make was told is meant for our own build, not for the package's.
unset MAKEFLAGS MFLAGS MAKELEVEL BUILD CC CXX NM PKG_CONFIG CPPFLAGS MAKE TOP
cd "$directory/libashmem-$VERSION"
dpkg-buildpackage -us -uc --build=full >"../build.log" 2>&1 ||
  { tail -n 60 ../build.log >&2; exit 1; }
cd ..
printf 'packages in %s:\n' "$directory"
ls -- *.deb *.dsc
