#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The programs of tools/ on a process that holds areas. Run by `make check-tools`.
set -u

cd "${TOP:-$(dirname "$0")/..}" || exit 1
. tests/counts.sh
: "${BUILD:?}" "${CC:=cc}"
export LD_LIBRARY_PATH=$BUILD
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A process with areas: says what it has, then waits for its input to end.
cat >"$scratch/holder.c" <<'EOF2'
#include <ashmem/ashmem.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
	/* What is not plainly a visible character: each of these, between letters. */
	static const char *const unclean[] = {
		"\033", "\x7f", "\t", "\\", "\r",
		"\xc2\x80", "\xc2\x85", "\xc2\x9b", "\xc2\x9f", /* C1 controls */
		"\x80", "\x9b", "\xff\xfe", "\xc3", "\xc0\xaf", "\xed\xa0\x80", /* not UTF-8 */
		"\xf4\x90\x80\x80",
		"\xe2\x80\xaa", "\xe2\x80\xab", "\xe2\x80\xac", "\xe2\x80\xad", "\xe2\x80\xae",
		"\xe2\x81\xa6", "\xe2\x81\xa7", "\xe2\x81\xa8", "\xe2\x81\xa9", /* direction */
		"\xe2\x80\x8e", "\xe2\x80\x8f", "\xd8\x9c",
		"\xe2\x80\xa8", "\xe2\x80\xa9", /* separators */
		"\xe2\x80\x8b", "\xe2\x80\x8d", "\xe2\x81\xa0", "\xef\xbb\xbf", "\xc2\xad",
		/* no width */
		"\xcc\x81", "\xef\xb8\x8f", "\xe3\x85\xa4", "\xf3\xa0\x81\x81", "\xee\x80\x80",
	};
	struct ashmem_area *cache = NULL, *odd = NULL;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	void *addr = NULL;
	char byte;

	if (ashmem_backend_select("memfd") < 0 ||
	    ashmem_create("cache", 16 * page - 1, 0, &cache) < 0 ||
		ashmem_map(cache, 0, 16 * page, PROT_READ | PROT_WRITE, MAP_SHARED, &addr) < 0)
		return 1;
	memset(addr, 1, 16 * page);
	if (ashmem_unpin(cache, 2 * page, 2 * page) < 0 || ashmem_shrink(1) != 2 ||
	    ashmem_unpin(cache, 8 * page, page) < 0)
		return 1;
	if (ashmem_create("odd \033[31m", page, 0, &odd) < 0 ||
	    ashmem_set_prot(odd, PROT_READ) < 0 || ashmem_fd(odd) < 0)
		return 1;
	for (unsigned i = 0; i < sizeof unclean / sizeof *unclean; i++) {
		char name[ASHMEM_NAME_LEN];

		snprintf(name, sizeof name, "a%sz", unclean[i]);
		if (ashmem_create(name, page, 0, &odd) < 0 || ashmem_fd(odd) < 0)
			return 1;
	}
	struct ashmem_cache *kept;
	if (ashmem_cache_create("kept", NULL, &kept) < 0 ||
		ashmem_cache_put(kept, "key", 3, "value", 5, 0) < 0)
		return 1;
	/* Counts come in batches of 256: two of hits, one of misses. */
	for (int i = 0; i < 768; i++)
		if ((ashmem_cache_read(kept, i % 3 ? "key" : "no", i % 3 ? 3 : 2, &byte, 1) < 0) !=
			(i % 3 == 0))
			return 1;
	if (ashmem_create("\xc3\xa9t\xc3\xa9 \xe7\x8c\xab", page, 0, &odd) < 0 ||
		ashmem_fd(odd) < 0)
		return 1;
	printf("%llu %d %d\n", (unsigned long long)page, ashmem_fd(cache), dup(ashmem_fd(cache)));
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
EOF2
check "a process to look at" "$CC" -D_GNU_SOURCE -Iinclude "$scratch/holder.c" \
  -o "$scratch/holder" -L"$BUILD" -lashmem
mkfifo "$scratch/in" "$scratch/out"
timeout -k 5 120 "$scratch/holder" <"$scratch/in" >"$scratch/out" &
exec 3>"$scratch/in" 4<"$scratch/out"
read -r -t 60 page fd duplicate <&4
# The child of timeout.
pid=$(pgrep -P $! -x holder)

tool=$BUILD/tools/ashmem-inspect
if ! "$tool" -r "$pid" >"$scratch/shown" 2>"$scratch/errors"; then
  fail "status $?: $(cat "$scratch/errors")"
fi
check "says nothing on stderr" test ! -s "$scratch/errors"
shows() {
  if grep -qxF -- "$1" "$scratch/shown"; then
    pass "shows: $1"
  else
    fail "does not show '$1': $(cat "$scratch/shown")"
  fi
}
check "shows the area once" \
  test "$(grep -cE "^/proc/$pid/fd/($fd|$duplicate): cache$" "$scratch/shown")" = 1
shows "  size: $((16 * page - 1)) bytes, 16 pages; mask rwx"
shows "  unpinned: 3 pages in 2 ranges, of which 1 pages can be purged"
shows "  so far: 2 pages purged, 0 pins found that, 0 recoveries"
shows "    $(printf '%12s + %-12s' $((2 * page)) $((2 * page))) purged"
shows "    $(printf '%12s + %-12s' $((8 * page)) "$page") unpinned"
check "control characters of a name are not printed" grep -qF ': odd \033[31m' "$scratch/shown"
# Octal, so that grep need not know the locale: the printed bytes of the names alone.
names() {
  LC_ALL=$1 "$tool" "$pid" | LC_ALL=C sed -n 's/^[^ ]*: \(a\(.*\)z\)$/\2/p'
}
for locale in C C.UTF-8; do
  check "$locale: all names that are not plain are shown" test "$(names $locale | wc -l)" = 40
  check "$locale: by octal numbers alone" \
    sh -c "! printf '%s\n' '$(names $locale)' | LC_ALL=C grep -qvE '^(\\\\[0-7]{3})+\$'"
done
check "letters of any script are printed in a UTF-8 locale" \
  sh -c "LC_ALL=C.UTF-8 '$tool' $pid | grep -qF ': été 猫'"
check "and as numbers elsewhere" \
  sh -c "LC_ALL=C '$tool' $pid | grep -qF ': \303\251t\303\251 \347\214\253'"
check "a path is cleaned too" \
  sh -c "'$tool' '$(printf 'no\033such')' 2>&1 | grep -qF 'no\033such: '"
check "one descriptor" sh -c "'$tool' /proc/$pid/fd/$fd | grep -q 'cache\$'"
check "ranges only with -r" sh -c "! '$tool' $pid | grep -q ' + '"
check "a process without areas" sh -c "'$tool' $$ | grep -qx 'process $$: no areas'"
fails() {
  local expected=$1
  shift
  "$@" >/dev/null 2>&1
  check "$*: status $expected" test $? = "$expected"
}
fails 1 "$tool" 0
fails 1 "$tool" /dev/null
fails 2 "$tool"
fails 2 "$tool" -x

# ---------------------------------------------------------------- ashmemctl

ctl=$BUILD/tools/ashmemctl
"$ctl" list >"$scratch/list"
check "list: a heading" grep -qE '^ +PID OWNER ' "$scratch/list"
check "list: the area once, with its holder" \
  test "$(grep -cE "^ *$pid [^ ]+ +1 .* cache$" "$scratch/list")" = 1
check "list: names are cleaned" grep -qF 'odd \033[31m' "$scratch/list"
check "list -s name is sorted" sh -c "LC_ALL=C '$ctl' list -s name | sed 1d |
  sed -E 's/^ *[0-9]+ .{8} +[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ //' | grep -E '^cache$|^odd' |
  paste -sd, | grep -q '^cache,odd'"
check "no colours where no terminal is" sh -c "! grep -q '$(printf '\033')\[' '$scratch/list'"
check "--color=always" sh -c "'$ctl' list --color=always | grep -qF '$(printf '\033')[1m'"
"$ctl" show -r "$pid" >"$scratch/shown"
shows "  unpinned: 3 pages in 2 ranges, of which 1 pages can be purged"
shows "    $(printf '%12s + %-12s' $((8 * page)) "$page") unpinned"
shows "    ##__####.#######"
shows "    # pinned  . unpinned  _ purged  % mixed; 1 page each"

# A cache is shown as one: of 768 reads 256 were misses, and batches of 256 are known.
check "list: a cache, with its hits" grep -qE ' kept \(cache, [0-9]+% hits\)$' "$scratch/list"
check "list: what is no cache is not shown as one" sh -c "! grep -qE ' cache \(cache' \
  '$scratch/list'"
check "show: a cache, with its counts" grep -qE \
  '^  cache: 512 hits, [0-9]+ misses, hit ratio [0-9]+ %; 0 misses because of purges; 1 puts; ' \
  "$scratch/shown"

# Each command's JSON can be read, and says the same.
json() {
  local what=$1 program=$2
  shift 2
  if ! have python3; then
    skip "$what: no python3 (make deps-dist)"
    return
  fi
  check "$what" python3 -c "import json, sys
got = json.loads(sys.stdin.buffer.read().decode())
assert $program, got" <<<"$("$@")"
}
mine="[a for a in got if $pid in a['pids']]"
json "list --json" "len([a for a in $mine if a['name'] == 'cache']) == 1" "$ctl" list --json
json "list --json: any name" "all('name' in a for a in $mine)" "$ctl" list --json
json "list --json: caches" "([a['cache']['hits'] for a in $mine if 'cache' in a] == [512]
  and all('cache' not in a or 0 < a['cache']['hit_ratio'] <= 1 for a in $mine))" "$ctl" list --json
json "show --json" "[(r['offset'], r['state']) for a in got if a['name'] == 'cache'
  for r in a['ranges']] == [($((2 * page)), 'purged'), ($((8 * page)), 'unpinned')]" \
  "$ctl" show --json "$pid"
json "show --json: bytes" \
  "got[0]['evictable_bytes'] == $page and got[0]['purged_bytes'] == $((2 * page))" \
  "$ctl" show --json "/proc/$pid/fd/$fd"
json "watch --json" "got['level'] in range(4) and got['source']" "$ctl" watch -n 1 --json
json "doctor --json" "({'memfd', 'kernel', 'proc', 'version', 'cgroup', 'priority'} <=
  {c['check'] for c in got})" \
  "$ctl" doctor --json
if "$ctl" doctor >"$scratch/doctor"; then
  check "doctor: no problem, status 0" grep -qx '0 problems' "$scratch/doctor"
else
  check "doctor: problems, status 1" grep -qE '^[1-9][0-9]* problems?$' "$scratch/doctor"
fi
check "doctor tries areas" grep -qE '^ok +areas can be made, purged and pinned again$' \
  "$scratch/doctor"

# Without a byte for files no area can be made: a problem, in words, and no crash.
check "doctor says whether ashmemd runs" grep -qE '^(ok|note) +ashmemd ' "$scratch/doctor"
check "doctor finds what is missing" sh -c "ulimit -f 0; '$ctl' doctor | grep -q '^problem'"
fails 1 sh -c "ulimit -f 0; exec '$ctl' doctor"

# ------------------------------------------------ each command on a terminal

# on_terminal KEYS COMMAND: types KEYS, then q; what it showed is in $scratch/typescript.
on_terminal() {
  local keys=$1
  shift
  { for key in $keys q; do sleep 0.5; printf '%s' "$key"; done; } |
    TERM=xterm timeout 60 script -qec "$*" "$scratch/typescript" >/dev/null
}
escape=$(printf '\033')
check "top -n 2" test "$("$ctl" top -n 2 -d 10 | grep -c ' areas, .* evictable')" = 2
if have script; then
  on_terminal 'n s' "'$ctl' top"
  check "top on a terminal ends with q" test $? = 0
  for order in name size; do
    check "top on a terminal: a key orders by $order" \
      grep -aq "order: $order" "$scratch/typescript"
  done
  check "top on a terminal: caches are shown as such" grep -aq '(cache, ' "$scratch/typescript"
  check "top on a terminal: leaves the screen as it was" \
    sh -c "tail -c 200 '$scratch/typescript' | grep -aqF '${escape}[?1049l'"
  for command in list "show $pid" 'watch -n 1' doctor; do
    on_terminal '' "'$ctl' $command"
    check "$command on a terminal: status 0" test $? = 0
    check "$command on a terminal: colours" grep -aqF "${escape}[" "$scratch/typescript"
    NO_COLOR=1 on_terminal '' "'$ctl' $command"
    check "$command on a terminal: none with NO_COLOR" \
      sh -c "! grep -aqF '${escape}[' '$scratch/typescript'"
    sh -c "'$ctl' $command" >"$scratch/plain" 2>&1
    check "$command into a file: no colours" sh -c "! grep -qF '$escape' '$scratch/plain'"
  done
  on_terminal '' "'$ctl' nothing"
  check "an error on a terminal: status 2" test $? = 2
  if have strace && strace -o /dev/null true 2>/dev/null; then
    # As if there were very many processes: each look into /proc takes a while.
    slow="strace -o /dev/null -e trace=readlink,readlinkat -e inject=readlink,readlinkat"
    on_terminal '' "$slow:delay_exit=3000 '$ctl' list"
    check "a long search on a terminal tells how far it is" \
      grep -aqE 'processes looked at: [0-9]+' "$scratch/typescript"
    check "and only there" sh -c "! $slow:delay_exit=1000 '$ctl' list 2>&1 |
      grep -q 'looked at'"
  else
    skip "progress: no strace"
  fi
else
  skip "on a terminal: no script (bsdutils)"
fi

# What can be purged is, and nothing else.
check "purge /proc/PID/fd/N" \
  sh -c "'$ctl' purge '/proc/$pid/fd/$fd' | grep -qx 'purged $page bytes in 1 areas'"
json "purge --json: what is held stays, and is not counted" "got['purged_bytes'] == 0" \
  "$ctl" purge --json "$pid"
json "purged pages are counted" "got[0]['purged_bytes'] == $((3 * page))" \
  "$ctl" show --json "/proc/$pid/fd/$fd"
fails 2 "$ctl"
fails 2 "$ctl" nothing
fails 2 "$ctl" list --bytes=1
fails 2 "$ctl" list --sort=colour
fails 2 "$ctl" list --color=sometimes
fails 2 "$ctl" top --delay=soon
fails 2 "$ctl" show
fails 2 "$ctl" purge
fails 2 "$ctl" purge --all "$pid"
fails 2 "$ctl" purge --bytes=1X "$pid"
fails 2 "$ctl" doctor now
fails 1 "$ctl" show 0
fails 1 "$ctl" show /dev/null
fails 1 "$ctl" purge /dev/null
fails 1 "$ctl" watch nothing
fails 1 sh -c "'$ctl' list >/dev/full"
if [ "$(id -u)" = 0 ] && have setpriv; then
  check "another user sees why not" sh -c "setpriv --reuid=65534 --clear-groups '$ctl' list 2>&1 |
    grep -q 'no right to look at [0-9]* processes'"
  fails 1 setpriv --reuid=65534 --clear-groups "$ctl" purge "$pid"
else
  skip "another user: only root can be one"
fi

# Completion, as bash asks for it.
complete_words() {
  bash -c '. tools/completion/ashmemctl
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    compopt() { :; }
    _ashmemctl
    printf "%s\n" "${COMPREPLY[@]}"' bash "$@" | paste -sd ' '
}
check "completes commands" test "$(complete_words ashmemctl wa)" = watch
check "completes options" test "$(complete_words ashmemctl purge --)" = \
  '--json --color= --help --bytes= --all'
check "completes values" test "$(complete_words ashmemctl list --sort = na)" = name
check "completes process ids" sh -c "echo ' $(complete_words ashmemctl show "$pid") ' |
  grep -q ' $pid '"
if have zsh; then
  # The words that the completion offers, from stand-ins for zsh's own functions.
  zsh_words() {
    zsh -fc '_describe() { print -rl -- "${(@P)${@[-1]}}" }
      _arguments() { print -rl -- "$@" }
      words=("$@") CURRENT=$#
      complete() { . tools/completion/_ashmemctl }
      complete' zsh "$@"
  }
  check "zsh completes commands" sh -c "echo '$(zsh_words ashmemctl wa)' | grep -q '^watch:'"
  check "zsh completes options" sh -c "echo '$(zsh_words ashmemctl purge '' |
    grep -c -- --bytes)' | grep -qx 2"
  check "zsh completes sources" sh -c "echo '$(zsh_words ashmemctl watch '' |
    grep -c cgroup-psi)' | grep -qx 1"
else
  skip "zsh completion: no zsh (make deps)"
fi
while read -r command _; do
  check "completion has $command" grep -qw -- "$command" tools/completion/ashmemctl
  check "zsh completion has $command" grep -qw -- "$command" tools/completion/_ashmemctl
  check "the manual page has $command" grep -qE "^\.B ashmemctl $command" tools/ashmemctl.1
done < <("$ctl" --help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p')

# ---------------------------------------------------------------- both

version=$(sed -n 's/^#define ASHMEM_VERSION_[A-Z]* \([0-9]*\)$/\1/p' include/ashmem/version.h |
  paste -sd.)
for name in ashmem-inspect ashmemctl; do
  check "$name -V" test "$("$BUILD/tools/$name" -V)" = "$name, libashmem $version"
  while read -r option _; do
    check "the manual page has $option" grep -qF -- "\\${option%,}" "tools/$name.1"
  done < <("$BUILD/tools/$name" -h | grep '^  -')
  if have man; then
    warnings=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 \
      man --warnings -E UTF-8 -l "tools/$name.1" 2>&1 >/dev/null)
    check "$name: the manual page is clean" test -z "$warnings"
  else
    skip "$name: manual page: no man (make deps)"
  fi
done

# Looking changed nothing: the holder still runs, and ends well.
exec 3>&-
wait $!
check "the process was not disturbed" test $? = 0
counts_end
