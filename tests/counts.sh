# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Counting for the check scripts: source it, call pass, fail and skip, end with `counts_end`, whose
# last line is `N passed, N failed, N skipped` and whose status says whether anything failed.

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

# check_each WHAT COMMAND FILE...: `check` for each file, as many at a time as there are processors.
check_each() {
  local what=$1 command=$2 directory file
  shift 2
  directory=$(mktemp -d)
  # shellcheck disable=SC2086 # a command with options
  for file in "$@"; do
    while [ "$(jobs -pr | wc -l)" -ge "$(nproc)" ]; do wait -n; done
    mkdir -p "$directory/$(dirname "$file")"
    { $command "$file" >"$directory/$file" 2>&1 && touch "$directory/$file.passed"; } &
  done
  wait
  for file in "$@"; do
    check "$what $file" sh -c 'cat "$1"; test -e "$1.passed"' sh "$directory/$file"
  done
  rm -rf "$directory"
}

# include_counts WHAT COMMAND...: counts what another script counted, and shows what failed there.
include_counts() {
  local what=$1 output last p f s
  shift
  output=$("$@" 2>&1)
  last=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' <<<"$output" | tail -n 1)
  if [ -z "$last" ]; then
    fail "$what: $(tail -n 20 <<<"$output")"
    return
  fi
  read -r p _ f _ s _ <<<"$last"
  echo "$what: $last"
  grep -E '^(FAIL|skipped): ' <<<"$output"
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

have() {
  command -v "$1" >/dev/null 2>&1
}

counts_end() {
  if [ $((passed + failed + skipped)) = 0 ]; then fail "nothing was checked"; fi
  echo "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" = 0 ]
}
