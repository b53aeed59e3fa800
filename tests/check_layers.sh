#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Checks the order of the library's rooms: an include or a call goes down or stays in its room,
# never up, and the files of one room do not call each other in a circle. Reads the #include lines
# below lib/ and the symbols of the objects that were built from it. Run by `make check-layers` and
# `make check-style`.
#
#   check_layers.sh          checks the tree, and that planted faults are found in a copy of it
#   check_layers.sh list     prints what is wrong, one arrow a line, and nothing else
set -u

cd "${TOP:-$(dirname "$0")/..}" || exit 1
. tests/counts.sh
: "${BUILD:=build}" "${NM:=nm}" "${CC:=gcc}"

# From the bottom to the top. Rooms that share a place stand side by side and may not use each
# other.
rooms='base range memfd,kernel handle purge area pressure cache'
# This file may use every room: it takes every lock of the library before a fork.
excepted=lib/base/fork.c

# facts TREE OBJECTS: what uses what, as lines `include FILE FILE`, `defines FILE SYMBOL`, `uses
# FILE SYMBOL`.
facts() {
  (cd "$1" && grep -H '^ *# *include *"' lib/*/*.[ch]) |
    sed -n 's/^\([^:]*\):.*"\([^"]*\)".*/include \1 lib\/\2/p'
  for source in "$1"/lib/*/*.c; do
    source=${source#"$1"/}
    "$NM" -P -g "$2/${source%.c}.o" |
      awk -v file="$source" '{ print $2 ~ /[Uvw]/ ? "uses" : "defines", file, $1 }'
  done
}

# arrows TREE OBJECTS: each include and call that goes up, and each call that is part of a circle.
arrows() {
  facts "$1" "$2" | awk -v rooms="$rooms" -v excepted="$excepted" '
    function room(file) { split(file, part, "/"); return part[2] }
    # A room that is not in the list is above every other, so that whatever uses it is found.
    function place(file) { return room(file) in height ? height[room(file)] : 99 }
    function is_upward(from, to) {
      return from != excepted && room(from) != room(to) && place(to) >= place(from)
    }
    BEGIN {
      floors = split(rooms, floor, " ")
      for (i = 1; i <= floors; i++) {
        n = split(floor[i], side, ",")
        for (j = 1; j <= n; j++) height[side[j]] = i
      }
    }
    $1 == "include" && is_upward($2, $3) { print $2 " -> " $3 ": #include" }
    $1 == "defines" { owner[$3] = $2 }
    $1 == "uses" { users[$2, $3] }
    END {
      for (pair in users) {
        split(pair, use, SUBSEP)
        from = use[1]
        if (!(use[2] in owner)) continue
        to = owner[use[2]]
        if (is_upward(from, to)) print from " -> " to ": " use[2]
        if (from == to || room(from) != room(to) || from == excepted) continue
        reaches[from, to] = 1
        symbols[from, to] = symbols[from, to] " " use[2]
        file[from]; file[to]
      }
      for (via in file) for (a in file) if ((a, via) in reaches) for (b in file)
        if ((via, b) in reaches) reaches[a, b] = 1
      for (pair in symbols) {
        split(pair, use, SUBSEP)
        if ((use[2], use[1]) in reaches) print use[1] " -> " use[2] ": circle," symbols[pair]
      }
    }' | LC_ALL=C sort
}

objects=$BUILD/static
if [ "${1-}" = list ]; then
  arrows . "$objects"
  exit
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
arrows . "$objects" >"$scratch/now"
while read -r arrow; do fail "$arrow"; done <"$scratch/now"
for source in lib/*/*.[ch]; do
  if [ "${source%.c}" != "$source" ] && [ ! -e "$objects/${source%.c}.o" ]; then
    fail "$source: not built"
  elif ! grep -q "^$source -> " "$scratch/now"; then
    pass "$source uses its own room and lower ones"
  fi
done

# ---- planted faults

cp -r lib "$scratch"
mkdir "$scratch/objects"
cp -r "$objects/lib" "$scratch/objects"
# plant FILE: a source or header, from standard input.
plant() {
  cat >"$scratch/lib/$1"
  case $1 in
    *.c) "$CC" -w -fno-lto -c -o "$scratch/objects/lib/${1%.c}.o" "$scratch/lib/$1" ;;
  esac
}
plant range/up.h <<<'#include "area/planted.h"'
plant memfd/side.h <<<'#include "kernel/planted.h"'
plant area/down.h <<<'#include "range/planted.h"'
plant base/low.c <<<'int planted_high(void); int planted_low(void) { return planted_high(); }'
plant area/high.c <<<'int planted_low(void); int planted_high(void) { return planted_low(); }'
plant purge/one.c <<<'int planted_two(void); int planted_one(void) { return planted_two(); }'
plant purge/two.c <<<'int planted_three(void); int planted_two(void) { return planted_three(); }'
plant purge/three.c <<<'int planted_one(void); int planted_three(void) { return planted_one(); }'
cat >"$scratch/expected" <<'END'
lib/base/low.c -> lib/area/high.c: planted_high
lib/memfd/side.h -> lib/kernel/planted.h: #include
lib/purge/one.c -> lib/purge/two.c: circle, planted_two
lib/purge/three.c -> lib/purge/one.c: circle, planted_one
lib/purge/two.c -> lib/purge/three.c: circle, planted_three
lib/range/up.h -> lib/area/planted.h: #include
END
arrows "$scratch" "$scratch/objects" | comm -13 "$scratch/now" - >"$scratch/found"
for planted in up.h side.h low.c one.c two.c three.c; do
  check "the planted fault in $planted is found" \
    grep -qxF "$(grep "/$planted -> " "$scratch/expected")" "$scratch/found"
done
check "and nothing else" diff "$scratch/expected" "$scratch/found"
counts_end
