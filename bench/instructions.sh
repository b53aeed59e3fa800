#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Counts the instructions of hot paths, which do not depend on how busy the machine is, and compares
# them with recorded bounds.
#
# usage: bench/instructions.sh [--update] [BENCH]
#
# BENCH is the benchmark (default: build/bench/bench below the directory this is run in). Valgrind
# runs its `--loop` twice, with different counts; the difference of the two, divided by that of the
# counts, is what one operation takes.
# Exit status: 0; 1 if something takes over 5 % more than its bound; 77 if valgrind is missing; 2 if
# it cannot be measured.
set -u

bounds=$(dirname "$0")/instruction-bounds.txt
few=20000 many=60000 # not so few that which ranges come up makes a difference
update=
if [ "${1-}" = --update ]; then
  update=1
  shift
fi
bench=${1-build/bench/bench}

if ! command -v valgrind >/dev/null; then
  echo "skipped: no valgrind"
  exit 77
fi
# Another compiler makes other instructions.
compiler="$(uname -m) $(${CC:-gcc} -dumpfullversion -dumpversion 2>/dev/null)"
recorded_for=$(sed -n 's/^# compiler: //p' "$bounds")
if [ -z "$update" ] && [ "$compiler" != "$recorded_for" ]; then
  echo "skipped: the bounds are for $recorded_for, and this is $compiler"
  exit 77
fi
if [ ! -x "$bench" ]; then
  echo "instructions.sh: no program $bench (make build/bench/bench)" >&2
  exit 2
fi

# instructions LOOP: of one whole run, the least of three. (Now and then the library reads the real
# clock; how often depends on the time, and so on what else the machine does.)
instructions() {
  local log
  for _ in 1 2 3; do
    log=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bench" --loop "$1" 2>&1) || {
      echo "$log" >&2
      return 1
    }
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p' <<<"$log"
  done | sort -n | head -n 1
}

status=0
recorded=()
printf '%-20s %14s %8s\n' operation instructions bound
while read -r operation ranges bound; do
  case $operation in '' | '#'*) continue ;; esac
  first=$(instructions "$operation,$ranges,$few")
  second=$(instructions "$operation,$ranges,$many")
  if [ -z "$first" ] || [ -z "$second" ]; then
    echo "instructions.sh: $operation,$ranges could not be counted" >&2
    exit 2
  fi
  count=$(awk "BEGIN { printf \"%.1f\", ($second - $first) / ($many - $few) }")
  verdict=
  if awk "BEGIN { exit !($count > $bound * 1.05) }"; then
    verdict='  exceeds the bound by over 5 %'
    [ -n "$update" ] || status=1
  elif awk "BEGIN { exit !($count < $bound * 0.95) }"; then
    verdict='  below it: lower the bound with --update'
  fi
  printf '%-20s %14s %8s%s\n' "$operation at $ranges" "$count" "$bound" "$verdict"
  recorded+=("$(printf '%-16s %8s %8s' "$operation" "$ranges" "$count")")
done <"$bounds"

if [ -n "$update" ]; then
  {
    grep '^#' "$bounds" | sed "s|^# compiler: .*|# compiler: $compiler|"
    printf '%s\n' "${recorded[@]}"
  } >"$bounds.new" && mv "$bounds.new" "$bounds" && echo "recorded in $bounds"
fi
exit $status
