#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The APKBUILD as far as it can be checked without Alpine: it is a shell program with what abuild
# wants, its checksum is right, and its steps, done here with musl, build, pass the tests and
# install. Run by `make check-alpine`.
set -u

cd "${TOP:-$(dirname "$0")/..}" || exit 1
. tests/counts.sh
: "${BUILD:?}" "${VERSION:?}" "${SONAME:?}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

check "make apkbuild" packaging/apkbuild.sh
cp -r "$BUILD/alpine/." "$scratch/"
cd "$scratch" || exit 1
# Alpine's sh is busybox ash; dash is the nearest here.
shell=$(command -v dash || command -v sh)
check "is shell" "$shell" -n APKBUILD
if have shellcheck; then
  check "shellcheck" shellcheck -s sh -e SC2034,SC2154,SC2148 APKBUILD
else
  skip "no shellcheck (make deps)"
fi
value() {
  "$shell" -c '. ./APKBUILD; eval "echo \$$1"' sh "$1"
}
for name in pkgname pkgver pkgrel pkgdesc url arch license source sha512sums; do
  if [ -n "$(value $name)" ]; then pass "$name"; else fail "APKBUILD sets no $name"; fi
done
check "version $VERSION" test "$(value pkgver)" = "$VERSION"
check "the checksum is right" sh -c "echo '$(value sha512sums)' | sha512sum -c"
for name in build check package tools; do
  check "has $name()" "$shell" -c '. ./APKBUILD; type $1' sh $name
done

if ! have musl-gcc; then
  skip "its steps: no musl-gcc (make deps-dist)"
else
  # The kernel's headers, which Alpine has in linux-headers.
  CC="musl-gcc -idirafter /usr/include -idirafter /usr/include/$(gcc -print-multiarch)"
  export CC
  unset BUILD MAKEFLAGS MFLAGS MAKELEVEL CXX NM PKG_CONFIG CPPFLAGS
  tar -xf "$(value source)"
  step() {
    (cd "libashmem-$VERSION" && pkgdir=$scratch/pkg timeout -k 5 900 "$shell" -c \
      ". ../APKBUILD; set -e; $1") >"$scratch/$1.log" 2>&1
    check "$1()" sh -c "tail -n 20 '$scratch/$1.log'; exit $?"
  }
  sed -i 's/ docs$//' APKBUILD # check-install and the other packages have the manual
  step build
  step check
  check "tests ran" grep -q '^[1-9][0-9]* passed, 0 failed, ' "$scratch/check.log"
  step package
  for file in "lib/$SONAME" lib/libashmem.so lib/libashmem.a lib/pkgconfig/libashmem.pc \
    include/ashmem/ashmem.h include/ashmem/ashmem.hpp bin/ashmemctl bin/ashmem-inspect \
    bin/ashmem-run sbin/ashmemd lib/ashmem/ashmem-run.so \
    lib/libashmem-cutils.so.1 include/cutils/ashmem.h include/android/sharedmem.h; do
    check "has $file" test -f "$scratch/pkg/usr/$file"
  done
  needed=$(readelf -dW "$scratch/pkg/usr/lib/$SONAME" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
  check "needs musl's libc alone" test "$needed" = libc.so
fi
counts_end
