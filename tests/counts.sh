# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Counting for the check scripts: source it, call pass, fail and skip, end with `counts_end`, whose last line is
# `N passed, N failed, N skipped` and whose status says whether anything failed.

passed=0
failed=0
skipped=0

pass() {
  passed=$((passed + 1))
  if [ -n "${VERBOSE-}" ]; then echo "ok: $*"; fi
}

fail() {
  failed=$((failed + 1))
  echo "FAIL: $*"
}

skip() {
  skipped=$((skipped + 1))
  echo "skipped: $*"
}

# check WHAT COMMAND...: pass if the command succeeds, else fail and show what it printed.
check() {
  local what=$1 output
  shift
  if output=$("$@" 2>&1); then
    pass "$what"
  else
    fail "$what"
    printf '%s\n' "$output" | tail -n 40 | sed 's/^/  | /'
  fi
}

have() {
  command -v "$1" >/dev/null 2>&1
}

counts_end() {
  if [ $((passed + failed + skipped)) = 0 ]; then fail "nothing was checked"; fi
  echo "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" = 0 ]
}
