#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Each public header alone, as C99, C11 and C++11, with every compiler at hand; and the rules that
# keep the interface callable from other languages: no types whose size varies, no varargs, no
# structs by value, no inline functions. *.hpp are C++ only and may do what C may not: each alone as
# C++11 and C++20, and a program that uses all of them as every C++ from 11 to 20, with and without
# exceptions and run-time types. Run by `make check-headers`.
set -u

cd "${TOP:-$(dirname "$0")/..}" || exit 1
. tests/counts.sh

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

strict=(-pedantic -Wall -Wextra -Werror -fsyntax-only -Iinclude)

# compile COMPILER LANGUAGE STANDARD HEADER; included twice, to see its guard work.
compile() {
  printf '#include <%s>\n#include <%s>\nextern int not_empty;\n' "${4#include/}" "${4#include/}" |
    "$1" -x "$2" "-std=$3" "${strict[@]}" -
}

strict_cxx=("${strict[@]}" -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast \
  -Woverloaded-virtual -Wnon-virtual-dtor -Weffc++)

# compile_cxx COMPILER STANDARD SOURCE OPTION...
compile_cxx() {
  "$1" -x c++ "-std=$2" "${strict_cxx[@]}" "${@:4}" "$3"
}

# The compilers that make was told to use, and the usual ones.
mapfile -t c_compilers < <(printf '%s\n' "${CC:-gcc}" gcc clang | sort -u)
mapfile -t cxx_compilers < <(printf '%s\n' "${CXX:-g++}" g++ clang++ | sort -u)

for compiler in "${c_compilers[@]}"; do
  if ! have "$compiler"; then skip "no $compiler"; continue; fi
  for header in include/ashmem/*.h; do
    for standard in c99 c11; do
      check "$header as $standard with $compiler" compile "$compiler" c $standard "$header"
    done
  done
done

for compiler in "${cxx_compilers[@]}"; do
  if ! have "$compiler"; then skip "no $compiler"; continue; fi
  for header in include/ashmem/*.h; do
    check "$header as c++11 with $compiler" compile "$compiler" c++ c++11 "$header"
  done
  for standard in c++14 c++17; do
    check "C++ as $standard with $compiler" compile_cxx "$compiler" $standard \
      tests/consumers/consumer.cpp
  done
  for standard in c++11 c++20; do
    for header in include/ashmem/*.hpp; do
      printf '#include <%s>\n#include <%s>\n' "${header#include/}" "${header#include/}" \
        >"$scratch/alone.cpp"
      check "$header as $standard with $compiler" compile_cxx "$compiler" $standard \
        "$scratch/alone.cpp"
    done
    for option in -fexceptions -fno-exceptions -fno-rtti -DASHMEM_HPP_EXCEPTIONS=0; do
      check "C++ as $standard with $compiler $option" compile_cxx "$compiler" $standard \
        tests/consumers/consumer.cpp $option
    done
  done
done

# What must not be dropped is not dropped without a word, in C as in C++.
dropped='create(0, 0, 0, &a) set_prot(a, 1) map(a, 0, 1, 1, 1, &p) read(a, p, 1) pread(a, p, 1, 0)
  pin(a, 0, 0) pin_lost(a, 0, 0, &e, 1, &n) hold(a, 0, 0) find_unpinned(a, 0, &o, &l, &n) fd(a)
  export(a) export_early(a)
  export_read_only(a) seal(a) find(0, &a) fd_kind(0) is_materialised(a)
  import(0, &a) recv(0, &a) budget_create(0, &b)'
kept='unpin(a, 0, 0) release(a, 0, 0, 0) populate(p, 1) purge_all() shrink(1)'

# calls COMPILER LANGUAGE CALL: compile it with its result dropped.
calls() {
  printf '#include <ashmem/ashmem.h>\n
    void f(struct ashmem_area *a, struct ashmem_budget *b, void *p,
    struct ashmem_extent e, uint32_t n, uint64_t o, uint64_t l);\n
    void f(struct ashmem_area *a, struct ashmem_budget *b, void *p,
    struct ashmem_extent e, uint32_t n, uint64_t o, uint64_t l)
    { (void)a, (void)b, (void)p, (void)e, (void)n, (void)o, (void)l; ashmem_%s; }\n' "$3" |
    "$1" -x "$2" "${strict[@]/-fsyntax-only/-c}" -o /dev/null -
}
warns() {
  calls "$@" 2>&1 | grep -q 'unused-result'
}
for compiler in "${c_compilers[@]}" "${cxx_compilers[@]}"; do
  if ! command -v "$compiler" >/dev/null; then continue; fi
  case $compiler in *++*) language=c++ ;; *) language=c ;; esac
  while read -r call; do
    check "$compiler warns of ashmem_$call" warns "$compiler" $language "$call"
  done < <(tr '\n' ' ' <<<"$dropped" | sed 's/) */)\n/g' | grep .)
  while read -r call; do
    check "$compiler lets ashmem_$call be" calls "$compiler" $language "$call"
  done < <(tr '\n' ' ' <<<"$kept" | sed 's/) */)\n/g' | grep .)
done

# The code of a header: no comments, no preprocessor lines, one declaration a line.
code() {
  "${CC:-gcc}" -fpreprocessed -dD -E -P -x c "$1" 2>/dev/null |
    sed -e ':more' -e '/\\$/{N;s/\\\n//;b more' -e '}' | grep -v '^ *#' |
    tr '\n\t' '  ' | sed 's/[;{}]/&\n/g'
}

# without WHAT REGULAR_EXPRESSION HEADER: the header's code has no such thing.
without() {
  local found
  found=$(code "$3" | grep -E -- "$2")
  if [ -z "$found" ]; then pass "$3: no $1"; else fail "$3: $1: $found"; fi
}

for header in include/ashmem/*.h; do
  without 'types whose size varies' \
    '\b(long|short|off_t|off64_t|ssize_t|time_t|bool|_Bool|wchar_t|float|double)\b' "$header"
  without 'varargs' '\.\.\.|\bva_list\b' "$header"
  without 'structs by value' '\b(struct|union) +[a-z_0-9]+ +[a-z_0-9]*[,)(]' "$header"
  without 'functions that return structs' \
    '^ *(extern +)?(const +)?(struct|union) +[a-z_0-9]+ +[a-z_0-9]+ *\(' "$header"
  without 'inline functions' '\b(static|inline|__inline|__inline__)\b' "$header"
  without 'enums and bit fields' '\benum\b|^ *[a-z_0-9 ]+ [a-z_0-9]+ *: *[0-9]' "$header"

  # An FFI reads numbers and strings; a macro with arguments it can't call.
  macros=$(grep -E '^# *define +[A-Za-z_0-9]+\(' "$header")
  if [ -z "$macros" ]; then
    pass "$header: no function-like macros"
  else
    fail "$header: $macros"
  fi
done

# One include serves.
for header in include/ashmem/*.h; do
  name=${header#include/}
  if [ "$name" = ashmem/ashmem.h ] || grep -q "#include <$name>" include/ashmem/ashmem.h; then
    pass "$header through ashmem.h"
  else
    fail "$header is not included by ashmem.h"
  fi
done

counts_end
