#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Makes the release tarball (`make dist`): the files that git tracks, as they are now; in an
# unpacked release tarball, all but the build directory. The same tree gives the same bytes, whoever
# makes it, wherever, at whatever time.
set -eu
export LC_ALL=C
: "${TOP:?}" "${BUILD:?}" "${VERSION:?}" "${TARBALL:?}" "${SOURCE_DATE_EPOCH:?}"

cd "$TOP"
mkdir -p "${TARBALL%/*}"
scratch=$(mktemp -d "${TARBALL%/*}/dist.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# Unpacked below somebody else's repository, the tree is not that repository's.
if [ -e .git ]; then
  git ls-files
else
  find . -type f -not -path "./$(realpath -m --relative-to=. "$BUILD")/*" -not -path './build/*' |
    sed 's|^\./||'
fi | sort >"$scratch/files"

tar --no-recursion --files-from="$scratch/files" --transform="s,^,libashmem-$VERSION/," \
  --format=ustar --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
  --mode=u+rw,go+r,go-w \
  -cf "$scratch/tar"
gzip -9n <"$scratch/tar" >"$scratch/gz"
mv -f "$scratch/gz" "$TARBALL"
echo "tarball: $TARBALL"
