#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Runs test programs one after the other and adds up what they did. The last line is
# `N passed, N failed, N skipped`; the status is 0 only if nothing failed and something ran.
#
#   MODE=plain|asan|tsan|valgrind LOGS=dir [FILTER=pattern] [TEST_TIMEOUT=seconds] [LEFT_OUT=text]
#   run_criterion.sh PROGRAM...
#
# LEFT_OUT says which program could not be built here, and why: it counts as skipped.
#
# test_* are Criterion programs, all others are plain ones that exit 0 (passed), 77 (skipped) or
# otherwise (failed); one that prints the same last line as this script counts with its numbers.
# Never take Criterion's exit status alone: no tests at all exit 0, and so do leaks, races and
# valgrind's errors, which come to light after the verdict. So the totals are read from the closing
# line, compared with the plan in the TAP report, and what the tools log is a failure of its own.
# Output goes to files: a child that a test leaves behind would hold a pipe open for ever.
set -u

here=$(dirname "$0")
# shellcheck source=tests/counts.sh
. "$here/counts.sh"

mode=${MODE:-plain}

# Tests that valgrind itself breaks, each with what it cannot do. They count as skipped.
valgrind_breaks=(
  map/fixed_noreplace_reports_what_is_there           # MAP_FIXED_NOREPLACE
  map/no_address_space_is_reported                    # living under a limit on memory
  map/unmap_reports_too_many_mappings                 # very many mappings
  better/d4_pin_that_splits_needs_no_memory           # living under a limit on memory
  sockets/too_many_descriptors_under_way_are_reported # living under a limit on descriptors
  backend/set_user_id_programs_ignore_the_environment # set-user-ID programs
)

logs=${LOGS:?LOGS is the directory for logs}/$mode
case $mode in
  asan | tsan) slower=4 ;;
  valgrind) slower=15 ;;
  *) slower=1 ;;
esac
# Against hanging for ever; a loaded machine must not fail a test.
limit=$((${TEST_TIMEOUT:-600} * slower))

# timeout leads a process group of its own; what a program leaves behind in it ends with the
# program, or with us.
group=
end_group() {
  if [ -n "$group" ]; then kill -KILL -- "-$group" 2>/dev/null; fi
  group=
}
trap 'end_group; exit 143' TERM INT HUP

run() {
  local result
  timeout -k 5 "$limit" "$@" &
  group=$!
  wait "$group"
  result=$?
  end_group
  return $result
}

# run_program OUTPUT TOOL_LOG_PREFIX PROGRAM [ARGUMENT...]
run_program() {
  local output=$1 log=$2
  shift 2
  case $mode in
    plain)
      run "$@"
      ;;
    asan)
      ASAN_OPTIONS=log_path=$log.asan:handle_segv=0:detect_leaks=1${ASAN_OPTIONS:+:$ASAN_OPTIONS} \
        UBSAN_OPTIONS=log_path=$log.ubsan:print_stacktrace=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS} run \
        "$@"
      ;;
    tsan)
      PLAIN_JOBS=4 TSAN_OPTIONS=log_path=$log.tsan:halt_on_error=0${TSAN_OPTIONS:+:$TSAN_OPTIONS} \
        run "$@"
      ;;
    valgrind)
      run valgrind -q --trace-children=yes --leak-check=full --show-leak-kinds=definite --vgdb=no \
        --suppressions="$here/valgrind.supp" --log-file="$log.%p" "$@"
      ;;
    *)
      echo "unknown MODE=$mode"
      return 2
      ;;
  esac >"$output" 2>&1 </dev/null
}

# number LABEL: the number behind LABEL in Criterion's closing line.
number() {
  sed -n "s/.*Synthesis: .*$1: \([0-9]*\).*/\1/p" "$output" | tail -n 1
}

criterion() {
  local ok bad left planned left_out='^$'
  local filter=${FILTER-}
  if [ -n "$filter" ]; then
    left_out='# SKIP test was skipped$'
  elif [ "$mode" = valgrind ]; then
    filter="!($(IFS='|' && echo "${valgrind_breaks[*]}"))"
  fi
  run_program "$output" "$log" "$program" --color=never "--tap=$tap" --timeout "$((limit / 2))" \
    ${filter:+--filter "$filter"}
  status=$?
  ok=$(number Passing)
  bad=$(number Failing)
  # Criterion skips what FILTER leaves out, and gives a reason of its own.
  left=$(grep -a '^ok .*# SKIP' "$tap" 2>/dev/null | grep -acv "$left_out")
  planned=$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' "$tap" 2>/dev/null)
  if [ -z "$ok" ] || [ -z "$bad" ]; then
    problem="did not finish (status $status$([ $status = 124 ] &&
      echo ", timed out after $limit s"))"
    return
  fi
  p=$ok f=$bad s=$left
  if [ $((p + f + s)) != "${planned:-0}" ] && [ -z "${FILTER-}" ]; then
    problem="planned ${planned:-no} tests, accounts for $((p + f + s))"
  elif [ "$f" = 0 ] && [ "$status" != 0 ]; then
    problem="no test failed, but the status is $status"
  elif [ $((p + f + s)) = 0 ] && [ -z "${FILTER-}" ]; then
    problem="has no tests"
  fi
}

plain() {
  local last
  if [ -n "${FILTER-}" ]; then return; fi
  run_program "$output" "$log" "$program"
  status=$?
  case $status in
    0) p=1 ;;
    77) s=1 ;;
    124 | 137) problem="killed after $limit s" ;;
    *) problem="exit status $status" ;;
  esac
  last=$(tail -n 1 "$output" | grep -aE '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$')
  if [ -n "$last" ]; then
    read -r p _ f _ s _ <<<"$last"
    if [ "$f" -gt 0 ] && [ "$status" = 1 ]; then problem=; fi
  fi
}

if [ -n "${LEFT_OUT-}" ]; then skip "$LEFT_OUT"; fi
if [ $# = 0 ] && [ $skipped = 0 ]; then
  if [ "$mode" = tsan ]; then
    skip "no stress or race programs"
  else
    fail "no such test program"
  fi
fi

rm -rf "$logs"
mkdir -p "$logs"
for program in "$@"; do
  case $program in */*) ;; *) program=./$program ;; esac
  name=${program##*/}
  output=$logs/$name.out
  tap=$logs/$name.tap
  log=$logs/$name.log
  p=0 f=0 s=0 problem=
  SECONDS=0
  case $name in
    test_*) criterion ;;
    *) plain ;;
  esac
  found=$(find "$logs" -name "$name.log.*" -size +0 | sort)
  if [ -n "$found" ] && [ -z "$problem" ]; then problem="$mode reports errors"; fi
  # The undefined-behaviour sanitizer writes to stderr when it comes with the address sanitizer.
  if [ "$mode" = asan ] && [ -z "$problem" ] && grep -aq 'runtime error: ' "$output"; then
    problem="undefined behaviour"
  fi
  if [ -n "$problem" ]; then f=$((f + 1)); fi

  echo "$name: $p passed, $f failed, $s skipped ($SECONDS s)${problem:+: $problem}"
  if [ "$f" -gt 0 ]; then
    grep -av '^PASS ' "$output" | tail -n 100 | sed 's/^/  | /'
    # shellcheck disable=SC2086 # a list of files without blanks
    if [ -n "$found" ]; then head -q -n 40 $found | sed 's/^/  ! /'; fi
  elif [ "$s" -gt 0 ]; then
    case $name in
      test_*)
        sed -n 's/^ok - \([^ ]*\) *# SKIP */  skipped: \1: /p' "$tap" |
          if [ "$mode" = valgrind ]; then
            sed 's/test was skipped$/valgrind cannot run it/'
          else
            cat
          fi
        ;;
      *) { grep -a '^SKIP ' "$output" || tail -n 1 "$output"; } |
        sed -e 's/^SKIP //' -e 's/^/  skipped: /' ;;
    esac
  fi
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
counts_end
