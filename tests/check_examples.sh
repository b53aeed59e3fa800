#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Every program in examples/, README.md, the guide, the tutorial, porting.md and the headers'
# comments: built with the installed library through pkg-config alone, as its reader would, and run.
# An example that nothing here runs is a failure (bindings/python/check runs those in Python). Run
# by `make check-examples`.
set -u

cd "${TOP:-$(dirname "$0")/..}" || exit 1
. tests/counts.sh
: "${CC:=cc}" "${CXX:=c++}" "${MAKE:=make}" "${PKG_CONFIG:=pkg-config}"
top=$PWD
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if ! have "$PKG_CONFIG"; then skip "no pkg-config (make deps)"; counts_end; exit; fi

unset MAKEFLAGS MFLAGS MAKELEVEL MEMORY_PRESSURE_WATCH MEMORY_PRESSURE_WRITE
export ASHMEM_BACKEND=memfd
cd "$scratch" || exit 1
check "installs" "$MAKE" -s -f "$top/Makefile" "BUILD=$scratch/build" "CC=$CC" install \
  "PREFIX=$scratch/prefix"
export PKG_CONFIG_PATH=$scratch/prefix/lib/pkgconfig LD_LIBRARY_PATH=$scratch/prefix/lib
check "compiles the service manager" "$CC" -std=gnu11 -Wall -Wextra -Werror \
  "$top/tests/examples/manager.c" -o manager

# What an example needs besides.
packages_of() {
  case $1 in
    glib_loop) echo "libashmem glib-2.0" ;;
    *) echo libashmem ;;
  esac
}

# says NAME TEXT COMMAND...: the command succeeds and prints the text.
says() {
  local what=$1 text=$2
  shift 2
  if ! timeout -k 5 120 "$@" >output 2>&1; then
    fail "$what: $(tail -n 5 output)"
  elif grep -qF -- "$text" output; then
    pass "$what"
  else
    fail "$what does not say '$text': $(tail -n 5 output)"
  fi
}

# watched NAME PROGRAM...: the manager's three kinds of watch.
watched() {
  local name=$1
  shift
  check "$name hears by a FIFO" timeout -k 5 120 ./manager fifo "$scratch/$name.fifo" "$@"
  check "$name hears by a socket" timeout -k 5 120 ./manager socket "$scratch/$name.socket" "$@"
}

run() {
  case $1 in
    budget)
      says "budget" "thumbnails: 16 entries unpinned, 16 in all" ./budget
      says "budget refuses" "an area of 65 entries: refused" ./budget
      says "budget keeps the process within" \
        "process with another area: 4 entries unpinned, 64 in all" ./budget
      ;;
    cache_service)
      watched cache_service ./cache_service
      if printf 'some 150000 2000000\0' 2>/dev/null >/proc/pressure/memory; then
        check "cache_service watches the kernel's file" timeout -k 5 120 ./manager file \
          /proc/pressure/memory ./cache_service
      else
        skip "cache_service with the kernel's file: no stall information with triggers here"
      fi
      check "the unit asks for the watch" grep -qx 'MemoryPressureWatch=on' \
        "$top/examples/cache_service/cache-service.service"
      if have systemd-analyze; then
        # Neither program nor manual are installed where the unit says.
        sed -e "s|^ExecStart=.*|ExecStart=$scratch/cache_service|" -e '/^Documentation=/d' \
          "$top/examples/cache_service/cache-service.service" >cache-service.service
        check "the unit is one" systemd-analyze verify "$scratch/cache-service.service"
      else
        skip "systemd-analyze verify: no systemd here"
      fi
      ;;
    filecache) says "filecache" "OK: 0 mismatches" ./filecache ;;
    glib_loop) watched glib_loop ./glib_loop 20 ;;
    heap_cache)
      says "heap_cache" "1024 pages could go" ./heap_cache
      says "heap_cache gives its share" "words: asked for" ./heap_cache
      if grep -q '^words: asked for [0-9]* pages, freed [1-9]' output; then
        pass "words went"
      else
        fail "no words went"
      fi
      ;;
    tiles)
      says "tiles" "16 tiles drawn" ./tiles
      says "tiles draws what was lost again, and what failed" \
        "20 tiles drawn, the picture is the same" ./tiles
      ;;
    workers)
      says "workers share a cache" "0 wrong bytes, 0 workers killed, 0 clients failed" \
        ./workers 1000
      ;;
    pressure_loop) says "pressure_loop" "20 entries made" ./pressure_loop 20 ;;
    *) fail "tests/check_examples.sh does not run the example $1" ;;
  esac
}

for path in "$top"/examples/*; do
  case $path in *.mk | *.py) continue ;; esac
  name=$(basename "${path%.cpp}" .c)
  compiler=("$CC" -std=gnu11)
  if [ "$path" != "${path%.cpp}" ]; then compiler=("$CXX" -std=c++11); fi
  if ! have "${compiler[0]%% *}"; then
    skip "$name: no C++ compiler $CXX (make deps)"
    continue
  fi
  if [ -d "$path" ]; then sources=("$path"/*.c); else sources=("$path"); fi
  packages=$(packages_of "$name")
  # shellcheck disable=SC2086 # words
  if ! "$PKG_CONFIG" --exists $packages; then
    skip "$name: pkg-config does not know all of: $packages (make deps)"
    continue
  fi
  # shellcheck disable=SC2046,SC2086
  check "$name compiles" "${compiler[@]}" -Wall -Wextra -Werror "${sources[@]}" -o "$name" \
    $("$PKG_CONFIG" --cflags --libs $packages)
  if [ -x "$name" ]; then run "$name"; fi
done

# ---- the pages and the headers: programs in C, C++ and Python, each as its reader copies it

for page in docs/guide docs/tutorial docs/cache docs/porting README; do
  awk -v count=0 -v page="${page##*/}" '
    /^```(c|cpp|python)$/ { count++; suffix = substr($0, 4); if (suffix == "python") suffix = "py"
      file = page "-" count "." suffix; next }
    /^```/ && file != "" { close(file); file = "" }
    /^##* / { title = $0; sub(/^#* /, "", title) }
    file != "" {
      print >file
      if (!(file in titles)) {
        titles[file] = title
        print file, page ", " title >>"program-titles"
      }
    }
  ' "$top/$page.md"
done
for header in "$top"/include/ashmem/*.h "$top"/include/ashmem/*.hpp; do
  awk -v name="$(basename "$header")" '
    /@endcode/ { if (file != "") close(file); file = "" }
    file != "" { sub(/^ \* ?/, ""); print >file }
    /@code\{\.(c|cpp)\}/ { count++; suffix = $0; sub(/.*\{/, "", suffix); sub(/\}.*/, "", suffix)
      file = "recipe-" name "-" count suffix; print file, name >>"program-titles" }
  ' "$header"
done
for name in area.h-1.c budget.h-1.c notice.h-1.c pressure.h-1.c shrinker.h-1.c cache.h-1.c \
  ashmem.hpp-1.cpp; do
  check "${name%-*} has a program" test -s "recipe-$name"
done
while read -r file title; do
  title="$title (${file%.*})"
  case $file in
    *.py)
      if ! have python3; then skip "$title: no python3"; continue; fi
      check "$title runs" timeout -k 5 120 python3 "$file"
      continue
      ;;
    *.cpp)
      if ! have "${CXX%% *}"; then skip "$title: no C++ compiler $CXX"; continue; fi
      compiler=("$CXX")
      ;;
    *) compiler=("$CC") ;;
  esac
  # As the pages say: no option but pkg-config's. Warnings count.
  package=libashmem
  if grep -qE '^#include <(cutils|android)/' "$file"; then package=libashmem-cutils; fi
  # shellcheck disable=SC2046
  check "$title compiles" "${compiler[@]}" -Wall -Wextra -Werror "$file" -o "${file%.*}" \
    $("$PKG_CONFIG" --cflags --libs $package)
  check "$title runs" timeout -k 5 120 "./${file%.*}"
done <program-titles

counts_end
