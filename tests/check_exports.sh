#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Exports = version script = headers, checked both ways, for the shared and the static library. ld
# drops an export that no object defines, and one that the script does not list, without a word. Run
# by `make check-exports`.
set -u

cd "${TOP:-$(dirname "$0")/..}" || exit 1
. tests/counts.sh
: "${BUILD:=build}" "${NM:=nm}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if ! have ctags; then skip "no ctags (make deps)"; counts_end; exit; fi

ctags -x --c-kinds=p --language-force=C include/ashmem/*.h | awk '{ print $1 }' |
  sort >"$scratch/headers"
sed -n 's/^[[:space:]]*\([a-z][a-z0-9_]*\);.*/\1/p' lib/libashmem.map | sort >"$scratch/map"
"$NM" -D --defined-only "$BUILD/libashmem.so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
  sort >"$scratch/shared"
"$NM" -g --defined-only "$BUILD/libashmem.a" | awk 'NF == 3 { print $3 }' | sort >"$scratch/static"

# missing FILE WHAT FILE WHAT: what the first has and the second lacks.
missing() {
  local lost
  lost=$(comm -23 "$scratch/$1" "$scratch/$3" | tr '\n' ' ')
  if [ -z "$lost" ]; then
    pass "every function of $2 is in $4"
  else
    fail "in $2, not in $4: $lost"
  fi
}

if [ -s "$scratch/headers" ]; then
  pass "headers declare functions"
else
  fail "no prototypes found"
fi
for list in map:"the version script" shared:libashmem.so static:libashmem.a; do
  missing headers "the headers" "${list%%:*}" "${list#*:}"
  missing "${list%%:*}" "${list#*:}" headers "the headers"
done

# What holds for every call is tested with a piece of work for each.
sed -n 's/^CALL(\([a-z0-9_]*\))$/\1/p' tests/support/every_call.c | sort >"$scratch/every"
missing headers "the headers" every tests/support/every_call.c

foreign=$(cat "$scratch/headers" "$scratch/shared" "$scratch/static" | grep -v '^ashmem_')
if [ -z "$foreign" ]; then
  pass "every name begins with ashmem_"
else
  fail "foreign names: $foreign"
fi

# Each export carries a version; the node of the first release holds for good.
unversioned=$("$NM" -D --defined-only "$BUILD/libashmem.so" |
  awk '$2 != "A" && $3 !~ /@@LIBASHMEM_[0-9.]+$/ { print $3 }')
if [ -z "$unversioned" ]; then
  pass "every export has a version"
else
  fail "without version: $unversioned"
fi

needed=$(readelf -dW "$BUILD/libashmem.so" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
  grep -Ev '^(lib(c|pthread|gcc_s)|ld)[.-]')
if [ -z "$needed" ]; then pass "libc is the only dependency"; else fail "depends on $needed"; fi

soname=$(readelf -dW "$BUILD/libashmem.so" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
case $soname in
  libashmem.so.[0-9]*) pass "soname $soname" ;;
  *) fail "soname '$soname'" ;;
esac

# dlclose must not take code away that the pressure thread runs in, nor leave memory each time.
if readelf -dW "$BUILD/libashmem.so" | grep -q 'FLAGS_1.*NODELETE'; then
  pass "dlclose does not unload it"
else
  fail "dlclose unloads it: no -z nodelete"
fi

# Constructors run in every program that links the library, wanted or not; the code of the contract
# has none. (gcc and clang put their own frame_dummy into .init_array, in every shared object: one
# entry.)
entries=$(readelf -SW "$BUILD/libashmem.so" |
  sed -n 's/.* \.init_array *INIT_ARRAY *[0-9a-f]* [0-9a-f]* \([0-9a-f]*\) .*/\1/p')
word=$(readelf -hW "$BUILD/libashmem.so" | awk '/Class:/ { print $2 == "ELF64" ? 8 : 4 }')
if [ $((16#${entries:-0})) -le "$word" ]; then
  pass "no constructors"
else
  fail ".init_array has 0x$entries bytes"
fi

counts_end
