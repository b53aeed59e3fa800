#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Static analysis and form, one check for each tool and file: clang-tidy, cppcheck, gcc -fanalyzer,
# the order of the rooms (check_layers.sh), shellcheck, clang-format; lines up to 100 columns,
# licence lines and white space in every file. Run by `make check-style`.
set -u

cd "${TOP:-$(dirname "$0")/..}" || exit 1
. tests/counts.sh

flags=(-Iinclude -Ilib -Itests -Itools -Icompat/cutils/include -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64)
# shellcheck disable=SC2206 # CPPFLAGS is a list of words
flags+=(${CPPFLAGS-})

shopt -s nullglob globstar
# What is installed or shown to users; bench/ and tests/ are for developers, and abound in what
# analysers dislike.
# The hooks of compat/run are tables of libc's functions, which these flags declare otherwise.
sources=(lib/*/*.c compat/cutils/*.c compat/run/[!h]*.c examples/**/*.c tools/**/*.c
  daemon/*.c)
flags+=('-DINSTALLED="/usr/lib/ashmem"')
# An example that needs more than libc: its headers are the system's, or it cannot be looked at.
if glib=$(pkg-config --cflags glib-2.0 2>/dev/null); then
  # shellcheck disable=SC2206
  flags+=(${glib//-I/-isystem})
else
  skip "examples/glib_loop.c: no glib-2.0"
  sources=("${sources[@]/examples\/glib_loop.c/}")
  mapfile -t sources < <(printf '%s\n' "${sources[@]}" | grep .)
fi

# The files of the project: git's view of them, or all but the build directory in a release tarball.
project_files() {
  if git rev-parse --git-dir >/dev/null 2>&1; then
    git ls-files -co --exclude-standard
  else
    find . -type f -not -path './build/*' | sed 's|^\./||'
  fi
}

# What is switched off: bugprone-easily-swappable-parameters and narrowing complain about every
# offset and length; sizeof-expression about every sizeof(*pointer) of a pointer; the padding check
# wants members in an unreadable order; implicit widening about products of small constants; the
# insecureAPI checks about every strcpy, and want memcpy_s, which glibc lacks; reserved-identifier
# dislikes _GNU_SOURCE; concurrency-mt-unsafe every getenv and strerror.
tidy_checks='-*,bugprone-*,cert-*,clang-analyzer-*,concurrency-*,misc-*,performance-*,portability-*'
tidy_checks+=',-bugprone-easily-swappable-parameters,-bugprone-narrowing-conversions'
tidy_checks+=',-bugprone-reserved-identifier'
tidy_checks+=',-bugprone-assignment-in-if-condition,-misc-no-recursion,-misc-unused-parameters'
tidy_checks+=',-concurrency-mt-unsafe'
tidy_checks+=',-cert-dcl37-c,-cert-dcl51-cpp,-cert-dcl03-c,-misc-static-assert,-cert-err33-c'
tidy_checks+=',-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling'
tidy_checks+=',-clang-analyzer-security.insecureAPI.strcpy'
tidy_checks+=',-bugprone-implicit-widening-of-multiplication-result'
tidy_checks+=',-bugprone-sizeof-expression,-performance-no-int-to-ptr'
tidy_checks+=',-clang-analyzer-optin.performance.Padding'

# tidy FILE: what clang-tidy says, without the steps that it took to get there (VERBOSE=1 shows
# them).
tidy() {
  local output status
  output=$(clang-tidy --quiet --warnings-as-errors='*' "--checks=$tidy_checks" "$1" -- -std=gnu11 \
    "${flags[@]}" 2>&1)
  status=$?
  if [ -n "${VERBOSE-}" ]; then echo "$output"; else grep -E ': (error|warning): ' <<<"$output"; fi
  return $status
}

if have clang-tidy; then
  check_each clang-tidy tidy "${sources[@]}"
else
  skip "no clang-tidy (make deps)"
fi

cppcheck_file() {
  cppcheck --quiet --std=c11 --enable=warning,portability,performance --inline-suppr \
    --error-exitcode=1 --suppress=missingIncludeSystem --suppress=unknownMacro "${flags[@]}" "$1"
}

if have cppcheck; then
  check_each cppcheck cppcheck_file "${sources[@]}"
else
  skip "no cppcheck (make deps)"
fi

# gcc 12 loses sight of a copy that is kept in an array grown by realloc, or stored by an atomic.
analyzer_exceptions() {
  case $1 in
    examples/filecache/catalog.c | compat/run/files.c) echo -Wno-analyzer-malloc-leak ;;
  esac
}

analyze() {
  # shellcheck disable=SC2046
  gcc $(analyzer_exceptions "$1") -std=gnu11 -O2 -Wall -Wextra -Werror -fanalyzer \
    "-fdiagnostics-path-format=$([ -n "${VERBOSE-}" ] && echo inline-events || echo none)" \
    -c -o /dev/null "${flags[@]}" "$1"
}

if have gcc; then
  check_each "gcc -fanalyzer" analyze "${sources[@]}"
else
  skip "no gcc"
fi

include_counts "order of the rooms" tests/check_layers.sh

# The shell scripts of the project.
scripts() {
  local file
  project_files | while read -r file; do
    case $file in
      *.sh) echo "$file" ;;
      *)
        if head -c 64 "$file" | head -n 1 | grep -aqE '^#!.*\b(sh|bash|dash)$'; then
          echo "$file"
        fi
        ;;
    esac
  done
}

if have shellcheck; then
  mapfile -t shell_files < <(scripts)
  check_each shellcheck "shellcheck -x -e SC1091,SC2016" "${shell_files[@]}"
else
  skip "no shellcheck (make deps)"
fi

# Headers of past releases stay as they were.
mapfile -t c_files < <(project_files | grep -E '\.(c|h|cpp|hpp)$' | grep -v '^tests/abi/')
if have clang-format; then
  check_each clang-format "clang-format --dry-run -Werror" "${c_files[@]}"
else
  skip "no clang-format (make deps)"
fi

# Prints the lines over 100 columns. Markdown cannot break rows of tables and addresses, and shows
# what programs print (blocks without a language) as it is.
too_wide() {
  local exception='^$' text
  text=$(expand -t 8 "$1")
  case $1 in
    *.md)
      exception='^[0-9]+: *\||https?://'
      text=$(awk '/^ *```/ { open = !open; shown = open && /^ *```$/ }
        { print shown ? "" : $0 }' <<<"$text")
      ;;
  esac
  LC_ALL=C.UTF-8 grep -nE '.{101}' <<<"$text" | grep -vE "$exception" | sed "s|^|$1:|"
}

while read -r file; do
  case $file in
    *.xml | *.svg | *.json | *.png | tests/run/*.txt | packaging/debian/* | tests/abi/*) continue ;;
  esac
  wide=$(too_wide "$file")
  if [ -z "$wide" ]; then pass "width of $file"; else fail "$(head -n 5 <<<"$wide")"; fi
done < <(project_files)

# Files that carry no licence line: texts, data, and formats without comments.
while read -r file; do
  [ -s "$file" ] || continue
  case $file in
    *.md | LICENSE | */LICENSE | .gitignore | .editorconfig | .clang-format) continue ;;
    *.json | *.xml | *.png | *.svg | *.csv | *.txt) continue ;;
    packaging/*) continue ;;
  esac
  if head -n 5 "$file" | grep -q 'SPDX-License-Identifier: MIT'; then
    pass "licence $file"
  else
    fail "$file: no SPDX-License-Identifier line"
  fi
done < <(project_files)

while read -r file; do
  if grep -IqE '[[:blank:]]+$' "$file"; then
    fail "$file: white space at a line's end: $(grep -nE '[[:blank:]]+$' "$file" | head -n 3 |
      tr '\n' ' ')"
  else
    pass "white space $file"
  fi
done < <(project_files | grep -E '\.(c|h|hpp|sh|map|in)$|^Makefile$')

counts_end
