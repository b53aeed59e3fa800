#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Puts the release tarball and an APKBUILD with its checksum into build/alpine (`make apkbuild`),
# for `abuild -r` there.
set -eu
: "${TOP:?}" "${BUILD:?}" "${TARBALL:?}"
"$TOP/packaging/dist.sh"
rm -rf "$BUILD/alpine"
mkdir -p "$BUILD/alpine"
cp "$TARBALL" "$BUILD/alpine/"
cd "$BUILD/alpine"
sum=$(sha512sum ./*.tar.gz | sed 's|\./||')
awk -v sum="$sum" '/^sha512sums=""$/ { printf "sha512sums=\"\n%s\n\"\n", sum; next } { print }' \
  "$TOP/packaging/alpine/APKBUILD" >APKBUILD
echo "in $BUILD/alpine: APKBUILD and tarball"
