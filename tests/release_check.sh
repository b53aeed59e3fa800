#!/bin/bash
# SPDX-License-Identifier: MIT
#
# May this commit be tagged? Versions agree, the changelog is ready, nothing is uncommitted, ABI,
# manual, tarball and packages hold.
# Run by `make release-check`. Before a release is due, RELEASE=no leaves out what only a release
# needs: a date in the changelog and a tag that is still free.
set -u

cd "${TOP:-$(dirname "$0")/..}" || exit 1
. tests/counts.sh
: "${BUILD:?}" "${VERSION:?}" "${SONAME:?}" "${MAKE:=make}"
abi=${SONAME##*.}

# ---- versions

# says WHERE VALUE
says() {
  if [ "$2" = "$VERSION" ]; then
    pass "$1 says $VERSION"
  else
    fail "$1 says '$2', version.h says '$VERSION'"
  fi
}
top=$(sed -n 's/^## \[\(.*\)\] - .*/\1/p' CHANGELOG.md | head -n 1)
says CHANGELOG.md "$top"
says packaging/libashmem.spec "$(sed -n 's/^Version: *//p' packaging/libashmem.spec)"
says "packaging/libashmem.spec, %changelog" \
  "$(sed -n 's/^\* .* - \(.*\)-[0-9]*$/\1/p' packaging/libashmem.spec | head -n 1)"
says packaging/debian/changelog "$(sed -n '1s/^libashmem (\(.*\)-[^-]*) .*/\1/p' \
  packaging/debian/changelog)"
says packaging/alpine/APKBUILD "$(sed -n 's/^pkgver=//p' packaging/alpine/APKBUILD)"
says meson.build "$(sed -n "s/^  version: '\(.*\)',/\1/p" meson.build)"
says "the pkg-config file" "$(sed -n 's/^Version: //p' "$BUILD/libashmem.pc")"
says "the CMake file" "$(sed -n 's/^set(PACKAGE_VERSION "\([0-9.]*\)")/\1/p' \
  "$BUILD/cmake/ashmem-config-version.cmake")"
says "README.md" "$(sed -n 's/^Version \([0-9.]*[0-9]\)\. .*/\1/p' README.md)"
check "the map has a node for ${VERSION%.*}" grep -q "^LIBASHMEM_${VERSION%.*} {" lib/libashmem.map
check "meson.build has soversion $abi" grep -qx "  soversion: '$abi'," meson.build
check "CMakeLists.txt has SOVERSION $abi" \
  grep -q " VERSION \"$abi\..* SOVERSION $abi " CMakeLists.txt
check "the spec file has soversion $abi" grep -qx "%global soversion $abi" packaging/libashmem.spec
check "Debian's package is libashmem$abi" grep -qx "Package: libashmem$abi" packaging/debian/control

# ---- changelog and tree

entry=$(awk '/^## \[/ { n++ } n == 1' CHANGELOG.md)
check "the changelog says what is new" test "$(grep -c '^- ' <<<"$entry")" -gt 0
if [ "${RELEASE:-yes}" = no ]; then
  skip "date and tag (RELEASE=no)"
else
  if head -n 1 <<<"$entry" | grep -qE '\] - 20[0-9]{2}-[01][0-9]-[0-3][0-9]$'; then
    pass "the changelog gives a date"
  else
    fail "the changelog gives no date: $(head -n 1 <<<"$entry")"
  fi
  if [ ! -e .git ]; then
    skip "tag: no git here"
  elif git rev-parse -q --verify "refs/tags/v$VERSION" >/dev/null; then
    fail "v$VERSION is tagged already"
  else
    pass "v$VERSION is free"
  fi
fi
if [ -e .git ]; then
  changed=$(git status --porcelain)
  if [ -z "$changed" ]; then pass "everything is committed"; else fail "not committed: $changed"; fi
else
  skip "a clean tree: no git here"
fi

# ---- what the other targets check

unset MAKEFLAGS MFLAGS MAKELEVEL
for name in check-abi check-exports check-headers check-install check-consumers check-ffi \
  check-python check-dist check-deb check-rpm check-alpine; do
  include_counts $name "$MAKE" --no-print-directory "BUILD=$BUILD" $name
done
check "the manual builds" "$MAKE" -s "BUILD=$BUILD" docs
if [ -e .git ]; then
  changed=$(git status --porcelain)
  if [ -z "$changed" ]; then
    pass "and left the tree as it was"
  else
    fail "the checks changed: $changed"
  fi
  if [ $failed = 0 ]; then
    echo "v$VERSION would be $(git rev-parse HEAD), $(sha512sum <"$TARBALL" |
      cut -c 1-32)... the tarball's sha512"
  fi
fi
counts_end
