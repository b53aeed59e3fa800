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
version=$(sed -n 's/^#define ASHMEM_VERSION_[A-Z]* \([0-9]*\)$/\1/p' include/ashmem/version.h |
  paste -sd.)
check "-V" test "$("$tool" -V)" = "ashmem-inspect, libashmem $version"
while read -r option _; do
  check "the manual page has $option" grep -qxF ".B \\$option" tools/ashmem-inspect.1
done < <("$tool" -h | grep '^  -')
if have man; then
  warnings=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 \
    man --warnings -E UTF-8 -l tools/ashmem-inspect.1 2>&1 >/dev/null)
  if [ -z "$warnings" ]; then
    pass "the manual page is clean"
  else
    fail "manual page: $warnings"
  fi
else
  skip "manual page: no man (make deps)"
fi

# Looking changed nothing: the holder still runs, and ends well.
exec 3>&-
wait $!
check "the process was not disturbed" test $? = 0
counts_end
