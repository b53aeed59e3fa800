#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The interface is what was written down: its types and functions as abidiff sees them, its symbols,
# its soname; and a program of each release, built with the headers of that release, runs with
# today's library, and with one whose structures have all grown.
# Run by `make check-abi`.
set -u

cd "${TOP:-$(dirname "$0")/..}" || exit 1
. tests/counts.sh
: "${BUILD:?}" "${VERSION:?}" "${CC:=cc}" "${NM:=nm}" "${MAKE:=make}"
export LC_ALL=C
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
dump=packaging/abi/libashmem.abi.xml
symbols=packaging/debian/libashmem1.symbols
advice="if that is meant, run \`make abi-update\` and commit what it changes"
advice+="; RELEASING.md says what may change"

# ---- types and functions

if ! have abidiff; then
  skip "types: no abidiff (make deps-dist)"
elif [ "$(uname -m)" != x86_64 ]; then
  skip "types: $dump is of x86-64"
elif ! readelf -SW "$BUILD/libashmem.so" | grep -q ' \.debug_info '; then
  skip "types: built without -g"
else
  output=$(abidiff --headers-dir2 include --drop-private-types "$dump" "$BUILD/libashmem.so" 2>&1)
  status=$?
  # Bits of the status: 1 error, 2 usage, 4 a change, 8 a change that breaks programs.
  # At 0 it may still count what it left out: inner parts of opaque types.
  if [ $status = 0 ]; then
    pass "abidiff sees no change"
  elif [ $((status & 8)) != 0 ]; then
    fail "the ABI changed in a way that breaks programs built before; $advice: $output"
  elif [ $((status & 3)) = 0 ]; then
    fail "the ABI grew; $advice: $output"
  else
    fail "abidiff (status $status): $output"
  fi
fi

# ---- symbols

"$NM" -D --defined-only "$BUILD/libashmem.so" |
  sed -n -e 's/.* A \(.*\)/\1@\1/p' -e 's/.* [^A] \([^ ]*\)@@\(.*\)/\1@\2/p' |
  sort >"$scratch/now"
sed -n 's/^ \([^ ]*\) .*/\1/p' $symbols | sort >"$scratch/listed"
check "symbols are listed" test -s "$scratch/listed"
gone=$(comm -13 "$scratch/now" "$scratch/listed" | tr '\n' ' ')
new=$(comm -23 "$scratch/now" "$scratch/listed" | tr '\n' ' ')
if [ -z "$gone" ]; then pass "no symbol went"; else fail "gone from the library: $gone- $advice"; fi
if [ -z "$new" ]; then pass "no symbol is new"; else fail "not in $symbols: $new- $advice"; fi
soname=$(readelf -dW "$BUILD/libashmem.so" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
check "soname $soname" test "$soname" = "$(sed -n '1s/ .*//p' $symbols)"

# ---- programs built before

# The code of a header, without comments.
code() {
  "$CC" -fpreprocessed -dD -E -P -x c "$1" 2>/dev/null
}

# A library of the future: every structure that begins with struct_size has more members at its end.
grown=$scratch/grown
mkdir "$grown"
cp -r Makefile packaging include lib pkgconfig cmake "$grown"
for header in "$grown"/include/ashmem/*.h; do
  awk '/^struct ashmem_[a-z_]* \{$/ { grows = 0 }
    /^\tsize_t struct_size;/ { grows = 1 }
    /^\};$/ { if (grows) print "\tuint64_t grown[4]; /**< Not known to older programs. */"; grows \
      = 0 }
    { print }' "$header" >"$scratch/header" && mv "$scratch/header" "$header"
done
if [ "$(cat "$grown"/include/ashmem/*.h | grep -c 'uint64_t grown\[4\];')" = \
  "$(cat include/ashmem/*.h | grep -c '^	size_t struct_size;')" ]; then
  pass "every structure with struct_size grew"
else
  fail "not every structure with struct_size grew"
fi
check "the library with grown structures builds" env -u MAKEFLAGS -u MAKELEVEL "$MAKE" -s \
  -f "$grown/Makefile" "BUILD=$grown/build" \
  "CC=$CC" CFLAGS=-O1 "$grown/build/libashmem.so"

# The C headers of a release are kept from the commit that is tagged (`make abi-update`, after the
# changelog has its date). C++ headers are not: they compile into the program, so today's library
# never meets an old one but through the C functions.
release=${VERSION%.*}
kept=tests/abi/$release/include/ashmem
if [ "$VERSION" = "$release.0" ] && grep -m 1 '^## \[' CHANGELOG.md |
  grep -qE "^## \[$release\.0\] - [0-9-]+$"; then
  # Comments may still change.
  differ=$(for header in include/ashmem/*.h "$kept"/*.h; do
    diff -q <(code "include/ashmem/${header##*/}") <(code "$kept/${header##*/}") >/dev/null ||
      echo "${header##*/}"
  done | sort -u | tr '\n' ' ')
  if [ -z "$differ" ]; then
    pass "the kept headers of $release are today's"
  else
    fail "headers that are not kept for $release as they are: $differ- $advice"
  fi
fi

compgen -G 'tests/abi/*/include' >/dev/null || skip "headers of an earlier release: no release yet"
for program in tests/abi/*/*.c; do
  old=${program%/*}
  name=${old##*/}-$(basename "$program" .c)
  # Until its release, a program is compiled with the headers that the release will have.
  headers=$old/include
  [ -d "$headers" ] || headers=include
  check "$name compiles with $headers" "$CC" -std=c99 -D_GNU_SOURCE -Wall -Wextra -Werror \
    -I"$headers" \
    "$program" -o "$scratch/$name" -pthread -L"$BUILD" -lashmem
  check "$name runs with today's library" env "LD_LIBRARY_PATH=$BUILD" timeout -k 5 120 \
    "$scratch/$name"
  check "$name runs with a library whose structures have grown" env "LD_LIBRARY_PATH=$grown/build" \
    timeout -k 5 120 "$scratch/$name"
done
counts_end
