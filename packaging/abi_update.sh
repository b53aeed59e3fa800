#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Writes down the interface as it is now (`make abi-update`), for `make check-abi` and the Debian
# packages to compare with:
#
#   packaging/abi/libashmem.abi.xml          types and functions, as abidw sees them (x86-64)
#   packaging/debian/libashmem1.symbols      symbols with the version that brought them; those that
#                                            are there stay as they are
#   tests/abi/MAJOR.MINOR/include            the C headers, once the changelog gives MAJOR.MINOR.0 a
#                                            date: then it is about to be tagged
#
# Look at what `git diff` shows before you commit it.
set -eu
cd "${TOP:?}"
: "${BUILD:?}" "${VERSION:?}" "${SONAME:?}" "${NM:=nm}"
export LC_ALL=C

release=${VERSION%.*}
if [ "$VERSION" = "$release.0" ] && grep -m 1 '^## \[' CHANGELOG.md |
  grep -qE "^## \[$release\.0\] - [0-9-]+$"; then
  rm -rf "tests/abi/$release/include"
  mkdir -p "tests/abi/$release/include/ashmem"
  cp include/ashmem/*.h "tests/abi/$release/include/ashmem/"
fi

symbols=packaging/debian/libashmem1.symbols
{
  echo "$SONAME libashmem${SONAME##*.} #MINVER#"
  echo '* Build-Depends-Package: libashmem-dev'
  "$NM" -D --defined-only "$BUILD/libashmem.so" |
    sed -n -e 's/.* A \(.*\)/\1@\1/p' -e 's/.* [^A] \([^ ]*\)@@\(.*\)/\1@\2/p' |
    sort | while read -r symbol; do
      since=$(sed -n "s/^ $symbol //p" $symbols 2>/dev/null || :)
      echo " $symbol ${since:-$VERSION}"
    done
} >$symbols.new
mv $symbols.new $symbols

if command -v abidw >/dev/null && [ "$(uname -m)" = x86_64 ]; then
  abidw --headers-dir include --drop-private-types --no-corpus-path --no-comp-dir-path \
    --no-show-locs --type-id-style hash \
    --out-file packaging/abi/libashmem.abi.xml "$BUILD/libashmem.so"
else
  echo "packaging/abi/libashmem.abi.xml stays as it is: needs abidw (make deps-dist) and x86-64" >&2
fi
git status --short packaging tests/abi 2>/dev/null || :
