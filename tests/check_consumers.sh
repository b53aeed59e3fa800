#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Other people's projects, built and run against an installed tree: tests/consumers/ has one for
# each way to find the library. Then the library built by CMake and Meson within another project,
# with the same exports as the Makefile's. Run by `make check-consumers`.
set -u

cd "${TOP:-$(dirname "$0")/..}" || exit 1
top=$PWD
. tests/counts.sh
: "${MAKE:=make}" "${NM:=nm}" "${VERSION:?}" "${BUILD:?}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
objects=$BUILD
unset MAKEFLAGS MFLAGS MAKELEVEL

# The tree is installed, then moved: what is installed must not name where it was installed to.
prefix=$scratch/usr
check "installs" "$MAKE" -s BUILD="$objects" install "PREFIX=$scratch/first" \
  LIBDIR="$scratch/first/lib/triplet"
mv "$scratch/first" "$prefix"
cp -r tests/consumers "$scratch/projects"
export PKG_CONFIG_PATH=$prefix/lib/triplet/pkgconfig CMAKE_PREFIX_PATH=$prefix
# pkg-config's file has its prefix written in; --define-prefix wants lib/pkgconfig. Where it is now:
sed -i "s|^prefix=.*|prefix=$prefix|" "$PKG_CONFIG_PATH"/*.pc

# runs PROJECT PROGRAM: run it, with the installed library where it needs one.
runs() {
  check "$1 runs" env "LD_LIBRARY_PATH=$prefix/lib/triplet" timeout -k 5 60 "$2"
}
needs_shared() {
  if readelf -dW "$2" | grep -q "NEEDED.*\[libashmem\.so\.[0-9]*\]"; then
    pass "$1 links the shared library"
  else
    fail "$1 does not"
  fi
}
needs_nothing() {
  if readelf -dW "$2" 2>/dev/null | grep -q libashmem; then
    fail "$1 links the shared library"
  else
    pass "$1 does not"
  fi
}

exports() {
  "$NM" -D --defined-only "$1" | awk '{ print $2, $3 }' | sort
}
# same_exports BUILDER LIBRARY
same_exports() {
  local differ
  if differ=$(diff <(exports "$objects/libashmem.so") <(exports "$2")); then
    pass "$1 exports what make does"
  else
    fail "make's exports (<) and $1's (>): $differ"
  fi
}

cd "$scratch/projects" || exit 1
check "make builds" "$MAKE" -s -C make
runs "make, shared" make/shared
runs "make, static" make/static
needs_shared "make, shared" make/shared
needs_nothing "make, static" make/static

if have cmake; then
  # The prefix is found through libashmem's file alone: cmake looks for lib/TRIPLET/cmake only for
  # the host's own triplet.
  for project in cmake cmake-pkgconfig; do
    check "$project configures" cmake -S "$project" -B "$project/build" \
      "-Dashmem_DIR=$prefix/lib/triplet/cmake/ashmem"
    check "$project builds" cmake --build "$project/build"
    runs "$project, shared" "$project/build/shared"
    needs_shared "$project, shared" "$project/build/shared"
  done
  runs "cmake, static" cmake/build/static
  runs "cmake, cutils" cmake/build/region
  needs_nothing "cmake, static" cmake/build/static
  if [ -x cmake/build/cxx ]; then
    runs "cmake, C++" cmake/build/cxx
    needs_shared "cmake, C++" cmake/build/cxx
  else
    skip "cmake, C++: it finds no compiler"
  fi
  sed 's/ashmem 0\.9/ashmem 99/' -i cmake/CMakeLists.txt
  check "cmake refuses a version that is not there" sh -c \
    "! cmake -S cmake -B cmake/other '-Dashmem_DIR=$prefix/lib/triplet/cmake/ashmem'"

  # A copy of what CMake may need and no more, at a place with a space in its name.
  mkdir "source tree"
  (cd "$top" && cp -r CMakeLists.txt include lib compat "$scratch/projects/source tree/")
  within() {
    local build=cmake-subdirectory/$1
    check "cmake, $1, configures" cmake -S cmake-subdirectory -B "$build" \
      "-DASHMEM_SOURCE=$scratch/projects/source tree" "${@:2}"
    check "cmake, $1, builds" cmake --build "$build"
    for kind in ashmem ashmem_static; do
      check "cmake, $1, $kind runs" timeout -k 5 60 "$build/with_$kind"
    done
    check "cmake, $1, cutils runs" timeout -k 5 60 "$build/region"
    needs_nothing "cmake, $1, static" "$build/with_ashmem_static"
  }
  within subdirectory "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror"
  needs_shared "cmake, subdirectory" cmake-subdirectory/subdirectory/with_ashmem
  same_exports cmake cmake-subdirectory/subdirectory/libashmem/libashmem.so
  check "cmake knows the version" \
    test -f "cmake-subdirectory/subdirectory/libashmem/libashmem.so.1.$VERSION"
  within static -DBUILD_SHARED_LIBS=OFF
  needs_nothing "cmake, BUILD_SHARED_LIBS=OFF" cmake-subdirectory/static/with_ashmem
  within fetched -DASHMEM_FETCH=ON
else
  skip "cmake: not installed (make deps-dist)"
fi

if have meson && have ninja; then
  cp consumer.c region.c meson/
  check "meson configures" meson setup meson/build meson
  check "meson builds" ninja -C meson/build
  runs "meson" meson/build/consumer
  runs "meson, cutils" meson/build/region
  needs_shared "meson" meson/build/consumer

  mkdir -p meson/subprojects/libashmem
  (cd "$top" &&
    cp -r meson.build include lib compat "$scratch/projects/meson/subprojects/libashmem/")
  check "meson with a subproject configures" meson setup -Dwrap_mode=forcefallback meson/sub meson
  check "meson with a subproject builds" ninja -C meson/sub
  check "meson with a subproject runs" timeout -k 5 60 meson/sub/consumer
  check "meson with a subproject, cutils, runs" timeout -k 5 60 meson/sub/region
  needs_shared "meson with a subproject" meson/sub/consumer
  same_exports meson meson/sub/subprojects/libashmem/libashmem.so
  check "meson knows the version" grep -qF "version: '$VERSION'" "$top/meson.build"
  check "meson static builds" meson setup -Dwrap_mode=forcefallback \
    -Dlibashmem:default_library=static meson/static meson
  check "meson static runs" sh -c 'ninja -C meson/static && timeout -k 5 60 meson/static/consumer'
else
  skip "meson: not installed (make deps-dist)"
fi
counts_end
