# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Building the static programs that run in guests; sourced by tests/vm/check and
# tests/vm/planted, which set $top (the source tree) and $build (where all goes).
#
# The library's objects and the contract tests come from the Makefile, one build
# directory for each architecture; programs/ is compiled here.
#
#   CC        for x86-64 (default gcc)
#   CC_i386   for i386 (default i686-linux-gnu-gcc)
#   CC_arm64  for arm64 (default aarch64-linux-gnu-gcc)
#   CC_ppc64el  for 64-bit little-endian PowerPC (default powerpc64le-linux-gnu-gcc)

: "${top:?}" "${build:?}"

# compiler_for ARCH: its compiler; false if there is none here.
compiler_for() {
  local compiler
  case $1 in
    amd64)
      compiler=${CC:-gcc}
      # shellcheck disable=SC2086 # it may be "ccache gcc"
      [[ $($compiler -dumpmachine 2>/dev/null) == x86_64-* ]] || compiler=x86_64-linux-gnu-gcc
      ;;
    i386) compiler=${CC_i386:-i686-linux-gnu-gcc} ;;
    arm64) compiler=${CC_arm64:-aarch64-linux-gnu-gcc} ;;
    ppc64el) compiler=${CC_ppc64el:-powerpc64le-linux-gnu-gcc} ;;
  esac
  command -v "${compiler%% *}" >/dev/null || return
  printf '%s\n' "$compiler"
}

# build_make ARCH TARGET...: targets of the Makefile, relative to its build directory, linked
# statically.
build_make() {
  local arch=$1 compiler
  shift
  compiler=$(compiler_for "$arch") || return
  env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u CFLAGS -u LDFLAGS -u CROSS_COMPILE -u AR -u OBJCOPY \
    -u NM \
    make -s -f "$top/Makefile" "-j$(nproc)" BUILD="$build/$arch" CC="$compiler" LDFLAGS=-static \
    "${@/#/$build/$arch/}"
}

# library_objects ARCH [NAME]: the library's objects, one a line, but for lib/NAME.c (NAME:
# range/range).
library_objects() {
  local source name
  for source in "$top"/lib/*/*.c; do
    name=${source#"$top/lib/"}
    name=${name%.c}
    [ "$name" = "${2:-}" ] || printf '%s\n' "$build/$1/static/lib/$name.o"
  done
}

# build_program ARCH OUTPUT WORD...: compiles and links what the words say, with the flags of the
# project's tests.
build_program() {
  local arch=$1 output=$2 compiler
  shift 2
  compiler=$(compiler_for "$arch") || return
  # shellcheck disable=SC2086
  $compiler -std=gnu11 -O2 -g -Wall -Wextra -pthread -static -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
    -D_TIME_BITS=64 -I"$top/include" -I"$top/lib" -I"$top/tests" -I"$top/tests/vm/programs" \
    -o "$build/$arch/$output" "$@"
}

# build_library ARCH: the library's objects alone.
build_library() {
  local objects
  mapfile -t objects < <(library_objects "$1")
  build_make "$1" "${objects[@]#"$build/$1/"}"
}

# build_differential ARCH OUTPUT [ENGINE.o...]: the differential test; with objects given, they take
# the place of lib/range/range.c.
build_differential() {
  local arch=$1 output=$2 objects
  shift 2
  mapfile -t objects < <(library_objects "$arch" "${1:+range/range}")
  build_program "$arch" "$output" "$top"/tests/vm/programs/differential*.c \
    "$top/tests/support/model.c" \
    "${objects[@]}" "$@"
}
