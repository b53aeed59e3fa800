#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Builds the Debian packages twice and compares every byte; lintian and blhc say nothing; a minimal
# system made from this machine's apt sources takes the packages, passes their autopkgtest, and
# gives them up again. Run by `make check-deb`.
set -u

cd "${TOP:-$(dirname "$0")/..}" || exit 1
. tests/counts.sh
: "${BUILD:?}" "${VERSION:?}"
work=$BUILD/check-deb
first=$work/first
second=$work/elsewhere/second
root=$work/root
export DEBIAN_FRONTEND=noninteractive

end() {
  if [ -d "$root" ]; then rm -rf --one-file-system "$root"; fi
  counts_end
  exit
}

if ! have dpkg-buildpackage || ! have dh; then
  skip "no dpkg-dev and debhelper (make deps-dist)"; end
fi
before=$(git status --porcelain 2>/dev/null)
rm -rf --one-file-system "$work"
mkdir -p "$work/elsewhere"

# ---- build

if ! output=$(packaging/deb.sh "$first" 2>&1); then
  fail "make deb: $output"
  end
fi
pass "the packages build"
if grep -q '^[0-9]* passed, 0 failed, ' "$first/build.log"; then
  pass "its tests pass"
else
  fail "no test ran"
fi
mapfile -t packages < <(sed -n 's/^Package: //p' packaging/debian/control)
for package in "${packages[@]}"; do
  check "there is $package" test -n "$(find "$first" -maxdepth 1 -name \
    "${package}_${VERSION}-*.deb")"
done
multiarch=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
contents() {
  dpkg-deb --fsys-tarfile "$first/$1"_*.deb | tar -tf - | grep -v '/$'
}
contents libashmem1 >"$work/libashmem1"
contents libashmem-dev >"$work/libashmem-dev"
contents libashmem-tools >"$work/libashmem-tools"
contents ashmemd >"$work/ashmemd"
contents libashmem-cutils1 >"$work/libashmem-cutils1"
contents libashmem-cutils-dev >"$work/libashmem-cutils-dev"
for file in "libashmem1:./usr/lib/$multiarch/${SONAME:?}" \
  "libashmem-dev:./usr/lib/$multiarch/libashmem.so" \
  "libashmem-dev:./usr/lib/$multiarch/libashmem.a" \
  "libashmem-dev:./usr/lib/$multiarch/pkgconfig/libashmem.pc" \
  libashmem-dev:./usr/include/ashmem/ashmem.h libashmem-dev:./usr/include/ashmem/ashmem.hpp \
  libashmem-tools:./usr/bin/ashmemctl libashmem-tools:./usr/bin/ashmem-inspect \
  libashmem-tools:./usr/bin/ashmem-run \
  "libashmem-tools:./usr/lib/$multiarch/ashmem/ashmem-run.so" \
  libashmem-tools:./usr/share/bash-completion/completions/ashmemctl \
  libashmem-tools:./usr/share/zsh/vendor-completions/_ashmemctl \
  ashmemd:./usr/sbin/ashmemd ashmemd:./lib/systemd/system/ashmemd.service \
  ashmemd:./usr/lib/systemd/user/ashmemd.service ashmemd:./usr/share/man/man8/ashmemd.8.gz \
  "libashmem-cutils1:./usr/lib/$multiarch/libashmem-cutils.so.1" \
  "libashmem-cutils-dev:./usr/lib/$multiarch/libashmem-cutils.a" \
  "libashmem-cutils-dev:./usr/lib/$multiarch/pkgconfig/libashmem-cutils.pc" \
  libashmem-cutils-dev:./usr/include/cutils/ashmem.h \
  libashmem-cutils-dev:./usr/include/android/sharedmem.h; do
  check "${file%%:*} has ${file#*:}" grep -qxF "${file#*:}" "$work/${file%%:*}"
done
depends=$(dpkg-deb -f "$first"/libashmem1_*.deb Depends)
if [[ $depends =~ ^libc6\ \([^,]*\)$ ]]; then
  pass "libashmem1 depends on libc alone"
else
  fail "depends on: $depends"
fi

if have blhc; then
  check "every compiler call is hardened (blhc)" blhc --debian --bindnow "$first/build.log"
else
  skip "no blhc (make deps-dist)"
fi

# ---- policy

if have lintian; then
  as_root=()
  if [ "$(id -u)" = 0 ]; then as_root=(--allow-root); fi
  output=$(lintian "${as_root[@]}" --pedantic -EviI --tag-display-limit 0 "$first"/*.changes 2>&1)
  if [ -z "$output" ]; then pass "lintian says nothing"; else fail "lintian: $output"; fi
else
  skip "no lintian (make deps-dist)"
fi
overrides=0
for file in packaging/debian/*lintian-overrides packaging/debian/source/lintian-overrides; do
  # Every block of overrides begins with the reason.
  if awk '/^$/ { said = 0 } /^#/ { said = 1 } /^[^#]/ && !said { exit 1 }' "$file"; then
    overrides=$((overrides + 1))
  else
    fail "$file has an override without a reason"
  fi
done
check "lintian overrides have reasons" test $overrides -gt 0

# ---- the same again, by somebody else, elsewhere: other directory, mode mask, time zone, language,
# time

if output=$(umask 077 && TZ=UTC+11 LC_ALL=C DEB_BUILD_OPTIONS="nocheck parallel=1" \
  packaging/deb.sh "$second" 2>&1); then
  for file in "$first"/*.deb "$first"/*.dsc "$first"/*.tar.*; do
    check "${file##*/} is reproducible" cmp "$file" "$second/${file##*/}"
  done
else
  fail "the second build: $output"
fi
rm -rf "$second"

# ---- a minimal system

# This machine's apt sources, one line each.
apt_sources() {
  apt-get indextargets --format '$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)' |
    sed -n 's/^Packages /deb /p' | sort -u
}
apt_options() {
  apt-config dump | sed -n 's/^\(Acquire::[a-z]*::[Pp]roxy.*\);$/--aptopt=\1;/p'
}

minimal_system() {
  local suite options
  suite=$(sed -n "s/^VERSION_CODENAME=//p" /etc/os-release)
  mapfile -t options < <(apt_options)
  apt_sources | mmdebstrap --quiet --variant=minbase --mode=root "${options[@]}" \
    --include=gcc,g++,libc6-dev,pkg-config,dpkg-dev,apt-utils,libjs-sphinxdoc,python3 \
    "$suite" "$root" - || return 1
  # The first mirror can be a name in this machine's files.
  cp -L /etc/hosts /etc/resolv.conf "$root/etc/"
}

inside() {
  timeout -k 5 300 chroot "$root" "$@"
}

if [ "$(id -u)" != 0 ]; then
  skip "a minimal system: only root can make it"
elif ! have mmdebstrap; then
  skip "a minimal system: no mmdebstrap (make deps-dist)"
elif [ -z "$(apt_sources)" ]; then
  skip "a minimal system: apt has no sources here (apt-get update)"
elif ! output=$(minimal_system 2>&1); then
  fail "no minimal system: $output"
else
  mkdir "$root/packages"
  cp "$first"/*_"$VERSION"-*.deb "$root/packages/"
  rm -f "$root"/packages/*-dbgsym_*
  inside dpkg-query -W -f '${Package}\n' | sort >"$work/installed.before"
  check "the packages install" inside sh -c \
    'apt-get -q -y --no-install-recommends install /packages/*.deb'
  added=$(inside dpkg-query -W -f '${Package}\n' | sort | comm -13 "$work/installed.before" - |
    tr '\n' ' ')
  if [ "$added" = "$(printf '%s\n' "${packages[@]}" | sort | tr '\n' ' ')" ]; then
    pass "nothing else comes with them"
  else
    fail "with them comes: $added"
  fi
  check "pkg-config knows version $VERSION" \
    test "$(inside pkg-config --modversion libashmem)" = "$VERSION"
  check "dpkg --verify" inside dpkg --verify "${packages[@]}"
  if have autopkgtest; then
    check "autopkgtest" timeout -k 5 600 autopkgtest --no-built-binaries \
      "$root"/packages/*.deb "$first"/*.dsc -- chroot "$root"
  else
    skip "no autopkgtest, so its scripts are run without it (make deps-dist)"
    for script in packaging/debian/tests/*; do
      name=${script##*/}
      if [ "$name" = control ]; then continue; fi
      cp "$script" "$root/tmp/"
      check "its test '$name' passes" inside sh -c \
        "mkdir -p /tmp/work && AUTOPKGTEST_TMP=/tmp/work /tmp/$name"
    done
  fi
  check "the packages go" inside apt-get -q -y purge "${packages[@]}"
  left=$(find "$root/usr" "$root/etc" -name '*ashmem*')
  if [ -z "$left" ]; then pass "nothing is left"; else fail "left: $left"; fi
fi

check "the source tree is as it was" test "$before" = "$(git status --porcelain 2>/dev/null)"
end
