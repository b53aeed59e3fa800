#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Builds the RPM packages, unpacks them and builds a program with what is in them; rpmlint says
# nothing but what packaging/rpmlint.toml explains. Run by `make check-rpm`.
set -u

cd "${TOP:-$(dirname "$0")/..}" || exit 1
. tests/counts.sh
: "${BUILD:?}" "${VERSION:?}" "${SONAME:?}" "${CC:=cc}" "${PKG_CONFIG:=pkg-config}"

if ! have rpmbuild; then skip "no rpmbuild (make deps-dist)"; counts_end; exit; fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if ! output=$(packaging/rpm.sh 2>&1); then
  fail "make rpm: $output"
  counts_end
  exit
fi
pass "the packages build"
if grep -q '^[1-9][0-9]* passed, 0 failed, ' "$BUILD/rpm/build.log"; then
  pass "its tests pass"
else
  fail "no test ran"
fi

packages=("$BUILD"/rpm/RPMS/*/*.rpm)
check "seven packages" test ${#packages[@]} = 7
check "a source package" test -f "$(echo "$BUILD"/rpm/SRPMS/*.src.rpm)"
if have rpm2cpio && have cpio; then
  for package in "${packages[@]}"; do
    check "unpacks ${package##*/}" sh -c "cd '$scratch' && rpm2cpio '$package' | cpio -id --quiet"
  done
  libdir=$(cd "$scratch" && dirname usr/lib*/"$SONAME")
  for file in "$libdir/libashmem.so" "$libdir/libashmem.a" usr/include/ashmem/ashmem.h \
    "$libdir/libashmem-cutils.so" usr/include/cutils/ashmem.h usr/include/android/sharedmem.h \
    usr/include/ashmem/ashmem.hpp "$libdir/cmake/ashmem/ashmem-config.cmake" \
    usr/bin/ashmemctl usr/bin/ashmem-inspect usr/bin/ashmem-run \
    usr/sbin/ashmemd usr/lib/systemd/system/ashmemd.service \
    "$libdir/ashmem/ashmem-run.so" usr/share/licenses/libashmem-"$VERSION"/LICENSE; do
    check "has $file" test -f "$scratch/$file"
  done
  check "has manual pages" test -n "$(find "$scratch/usr/share/man" -name 'ashmem_pin.3*')"
  export PKG_CONFIG_PATH="$scratch/$libdir/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$scratch"
  check "pkg-config says version $VERSION" test "$("$PKG_CONFIG" --modversion libashmem)" = \
    "$VERSION"
  # shellcheck disable=SC2046 # pkg-config answers with words
  check "a program builds" "$CC" -o "$scratch/program" tests/consumers/consumer.c \
    $(PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 \
    PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 "$PKG_CONFIG" --cflags --libs libashmem)
  check "and runs" env "LD_LIBRARY_PATH=$scratch/$libdir" timeout -k 5 60 "$scratch/program"
else
  skip "contents: no rpm2cpio or cpio (make deps-dist)"
fi

if have rpmlint; then
  output=$(rpmlint -c packaging/rpmlint.toml packaging/libashmem.spec "${packages[@]}" \
    "$BUILD"/rpm/SRPMS/*.rpm 2>&1 | grep -E ': [EW]: ')
  if [ -z "$output" ]; then pass "rpmlint says nothing"; else fail "rpmlint: $output"; fi
else
  skip "no rpmlint (make deps-dist)"
fi
counts_end
