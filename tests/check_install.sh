#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What a user and a packager do, on a copy of the tree: build outside of it, install, compile C and
# C++ programs through pkg-config alone (shared and static), compile and run README's example,
# uninstall. At the end the copied tree must hold nothing that was not there before. Run by `make
# check-install`.
set -u

cd "${TOP:-$(dirname "$0")/..}" || exit 1
. tests/counts.sh
: "${CC:=cc}" "${CXX:=c++}" "${MAKE:=make}" "${PKG_CONFIG:=pkg-config}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
work=$scratch/work
tree=$scratch/tree
prefix=$scratch/prefix
mkdir "$work" "$tree"

if ! have "$PKG_CONFIG"; then skip "no pkg-config (make deps)"; counts_end; exit; fi

# The files as they are now, without what make or git put there.
tar --exclude=./.git --exclude=./build \
  ${BUILD:+--exclude="./$(realpath -m --relative-to=. "$BUILD")"} -cf - . |
  tar -C "$tree" -xf -

# From here on make decides itself where it builds.
unset BUILD MAKEFLAGS MFLAGS MAKELEVEL

files_of() {
  (cd "$1" && find . \( -type f -o -type l \) -print0 | sort -z | xargs -0 -r sha256sum)
}
files_of "$tree" >"$scratch/before"

# Everything below runs outside of the tree, with its Makefile named.
cd "$work" || exit 1
make_there() {
  "$MAKE" -s -f "$tree/Makefile" "CC=$CC" "CXX=$CXX" "$@"
}

# ---- building and installing

check "builds outside of the tree" make_there
check "the library is in ./build" test -f build/libashmem.so
check "make help" make_there help
check "installs" make_there install "PREFIX=$prefix"
for file in include/ashmem/ashmem.h lib/libashmem.so lib/libashmem.a lib/pkgconfig/libashmem.pc \
  lib/cmake/ashmem/ashmem-config.cmake include/cutils/ashmem.h include/android/sharedmem.h \
  lib/libashmem-cutils.so lib/libashmem-cutils.a lib/pkgconfig/libashmem-cutils.pc \
  sbin/ashmemd share/man/man8/ashmemd.8 lib/systemd/system/ashmemd.service; do
  check "installs $file" test -f "$prefix/$file"
done
missing=$(for header in "$tree"/include/ashmem/*; do
  [ -f "$prefix/include/ashmem/${header##*/}" ] || echo "${header##*/}"
done)
if [ -z "$missing" ]; then
  pass "installs every header"
else
  fail "headers not installed: $missing"
fi

# ---- programs that know pkg-config's answer and nothing else

export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
dynamic=$("$PKG_CONFIG" --cflags --libs libashmem)
static=$("$PKG_CONFIG" --static --cflags --libs libashmem)
version=$(cd "$tree" && sed -n 's/^#define ASHMEM_VERSION_[A-Z]* \([0-9]*\)$/\1/p' \
  include/ashmem/version.h | paste -sd.)

check "pkg-config says version $version" test "$("$PKG_CONFIG" --modversion libashmem)" = "$version"

cat >consumer.c <<'EOF'
/* Compiles as C and as C++; says what is wrong by its exit status. */
#include <ashmem/ashmem.h>

#include <string.h>
#include <sys/mman.h>

int main(void)
{
	struct ashmem_area *area = NULL;
	void *addr = NULL;

	if (ashmem_version() != (uint32_t)ASHMEM_VERSION || !ashmem_version_at_least(0, 9, 0))
		return 10;
	if (ashmem_backend_select("memfd") != 0)
		return 11;
	if (ashmem_create("consumer", 1 << 20, 0, &area) != 0)
		return 12;
	if (ashmem_map(area, 0, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, &addr) != 0)
		return 13;
	memset(addr, 0x5a, 1 << 20);
	if (ashmem_unpin(area, 0, 0) != 0)
		return 14;
	if (ashmem_pin(area, 0, 0) != ASHMEM_NOT_PURGED || *(unsigned char *)addr != 0x5a)
		return 15;
	if (ashmem_unpin(area, 0, 0) != 0 || ashmem_purge_all() <= 0)
		return 16;
	if (ashmem_pin(area, 0, 0) != ASHMEM_WAS_PURGED || *(unsigned char *)addr != 0)
		return 17;
	if (ashmem_unmap(addr, 1 << 20) != 0)
		return 18;
	ashmem_close(area);
	return 0;
}
EOF
cp consumer.c consumer.cpp

# builds NAME COMPILER SOURCE WORDS: compile, then run with the installed library.
builds_and_runs() {
  local name=$1 compiler=$2 source=$3
  # shellcheck disable=SC2086 # pkg-config answers with words
  check "$name compiles" "$compiler" -Wall -Wextra -Werror "$source" -o "$name" $4
  check "$name runs" env "LD_LIBRARY_PATH=$prefix/lib" timeout -k 5 60 "./$name"
}
builds_and_runs c-shared "$CC" consumer.c "$dynamic"
builds_and_runs c-static "$CC" consumer.c "-static $static"
builds_and_runs c-archive "$CC" consumer.c "-Wl,-Bstatic $static -Wl,-Bdynamic"
if have "$CXX"; then
  builds_and_runs cxx-shared "$CXX" consumer.cpp "$dynamic"
  builds_and_runs cxx-static "$CXX" consumer.cpp "-static $static"
  builds_and_runs hpp-shared "$CXX" "$tree/tests/consumers/consumer.cpp" "$dynamic"
  builds_and_runs hpp-static "$CXX" "$tree/tests/consumers/consumer.cpp" "-static $static"
  builds_and_runs hpp-no-exceptions "$CXX" "$tree/tests/consumers/consumer.cpp" \
    "-fno-exceptions -fno-rtti $dynamic"
else
  skip "no C++ compiler $CXX"
fi
cp "$tree/tests/consumers/region.c" .
cutils_dynamic=$("$PKG_CONFIG" --cflags --libs libashmem-cutils)
cutils_static=$("$PKG_CONFIG" --static --cflags --libs libashmem-cutils)
builds_and_runs cutils-shared "$CC" region.c "$cutils_dynamic"
builds_and_runs cutils-static "$CC" region.c "-static $cutils_static"

soname=$(readelf -dW c-shared 2>/dev/null | grep -c 'NEEDED.*\[libashmem\.so\.[0-9]*\]')
check "the shared program needs libashmem by its soname" test "$soname" = 1
check "the archive program does not" sh -c '! readelf -dW c-archive | grep -q libashmem'

# ---- README

if [ ! -f "$tree/README.md" ]; then
  skip "README.md is not there"
else
  awk '/^```c$/ { inside = 1; next } /^```/ && inside { exit } inside' "$tree/README.md" >readme.c
  if [ -s readme.c ]; then
    builds_and_runs readme "$CC" readme.c "$dynamic"
  else
    fail "README.md has no C example"
  fi
fi

# ---- without administrator, into a package's root, in other directories

root=$scratch/root
check "DESTDIR" make_there install "DESTDIR=$root" PREFIX=/usr LIBDIR=/usr/lib/triplet
check "LIBDIR" test -f "$root/usr/lib/triplet/libashmem.so"
# shellcheck disable=SC2016 # for pkg-config to expand
check "libashmem.pc names LIBDIR" grep -qx 'libdir=${prefix}/lib/triplet' \
  "$root/usr/lib/triplet/pkgconfig/libashmem.pc"
if grep -rqF "$root" "$root"; then
  fail "an installed file names DESTDIR"
else
  pass "no installed file names DESTDIR"
fi
check "uninstall with DESTDIR" make_there uninstall "DESTDIR=$root" PREFIX=/usr \
  LIBDIR=/usr/lib/triplet

# ---- a prefix with a space in it; words of pkg-config's answer as a shell reads them

spaced="$scratch/my programs/ashmem"
check "a prefix with a space" make_there install "PREFIX=$spaced"
for file in include/ashmem/ashmem.h lib/libashmem.so bin/ashmemctl bin/ashmem-inspect \
  bin/ashmem-run lib/ashmem/ashmem-run.so; do
  check "a prefix with a space has $file" test -f "$spaced/$file"
done
# shellcheck disable=SC2016 # for pkg-config to expand
check "its libashmem.pc is relative to the prefix" grep -qx 'libdir=${prefix}/lib' \
  "$spaced/lib/pkgconfig/libashmem.pc"
words=$(PKG_CONFIG_PATH="$spaced/lib/pkgconfig" "$PKG_CONFIG" --cflags --libs libashmem)
check "a program compiles with it" sh -c "'$CC' consumer.c -o spaced $words"
check "and runs" env "LD_LIBRARY_PATH=$spaced/lib" timeout -k 5 60 ./spaced
if have cmake; then
  check "CMake finds it" sh -c "cmake -S '$tree/tests/consumers/cmake' -B spaced-cmake \
    '-DCMAKE_PREFIX_PATH=$spaced' && cmake --build spaced-cmake --target shared &&
    timeout -k 5 60 spaced-cmake/shared"
else
  skip "CMake with a space in the prefix: not installed (make deps-dist)"
fi
check "uninstalls from it" make_there uninstall "PREFIX=$spaced"
left=$(find "$spaced" ! -type d)
if [ -z "$left" ]; then pass "and leaves no file"; else fail "left in $spaced: $left"; fi
check "and no header directory" test ! -e "$spaced/include/ashmem"

# ---- where it must not write

# A file is in the way, for root too.
for target in install uninstall; do
  said=$(make_there "$target" "PREFIX=$scratch/before/usr" 2>&1)
  check "$target fails where it cannot write" test $? != 0
  check "$target says what to do" grep -q "No right to write to .*sudo make $target.*PREFIX=" \
    <<<"$said"
done
said=$(make_there install "PREFIX=$scratch/half" "MANDIR=$scratch/before/man" 2>&1)
check "it looks at every place first" test ! -e "$scratch/half"

# ---- flags of those who optimise: no warning

if printf 'int main(void) { return 0; }' | "$CC" -flto -xc - -o lto 2>/dev/null; then
  said=$(make_there "BUILD=$scratch/lto" CFLAGS='-O3 -flto' LDFLAGS=-flto WERROR=1 all 2>&1)
  check "builds with -O3 -flto" test $? = 0
  if grep -F '[-W' <<<"$said"; then fail "-O3 -flto: $said"; else pass "-O3 -flto: no warnings"; fi
else
  skip "-O3 -flto: the compiler has no LTO"
fi

# ---- man pages, where doxygen is

if have doxygen && have python3; then
  check "man pages" make_there man
  check "installs with man pages" make_there install "PREFIX=$prefix"
  check "installs ashmem_pin(3)" test -f "$prefix/share/man/man3/ashmem_pin.3"
  lost=$(cd build/docs/man && for page in man3/ashmem_*.3 man7/*.7; do
    [ -f "$prefix/share/man/$page" ] || echo "$page"
  done)
  if [ -z "$lost" ]; then pass "installs every page"; else fail "pages not installed: $lost"; fi
else
  skip "man pages: no doxygen or python3 (make deps)"
fi

# ---- and away again

check "uninstalls" make_there uninstall "PREFIX=$prefix"
for where in "$prefix" "$root"; do
  left=$(find "$where" ! -type d)
  if [ -z "$left" ]; then pass "uninstall leaves no file"; else fail "left in $where: $left"; fi
done
check "uninstall leaves no header directory" test ! -e "$prefix/include/ashmem"
check "uninstall leaves no directory of Android's headers" test ! -e "$prefix/include/cutils" -a \
  ! -e "$prefix/include/android"
check "uninstall leaves no CMake directory" test ! -e "$prefix/lib/cmake/ashmem"

check "make BUILD=dir" make_there "BUILD=$scratch/other"
check "BUILD=dir holds the library" test -f "$scratch/other/libashmem.so"
check "make clean" make_there clean
check "make clean removes the build directory" test ! -e build

files_of "$tree" >"$scratch/after"
if changed=$(diff "$scratch/before" "$scratch/after"); then
  pass "the source tree is as it was"
else
  fail "the source tree changed: $changed"
fi
ignored=$(cd "$tree" && make -s >/dev/null 2>&1 && find . -newer "$scratch/after" -type f |
  grep -v '^\./build/')
if [ -z "$ignored" ]; then
  pass "a build inside writes to build/ only"
else
  fail "written: $ignored"
fi

counts_end
