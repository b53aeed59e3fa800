# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Kernels for the VM harness: which ones there are, where they come from, and
# the cache that keeps them.  Sourced by tests/vm/run, which provides die, skip
# and note.
#
# Packages come through apt with a private configuration: a sources list of our
# own, lists and downloads in a scratch directory, and the Debian archive keyring
# as the only trust anchor.  The mirror is whatever this machine's apt already
# uses; no host name is written here.  What a guest needs is copied out of the
# packages, and the packages are thrown away.
#
# The cache holds one directory a kernel: vmlinuz, busybox, info, modules/*.ko
# named in load order.  A directory is filled under another name and renamed when
# complete, so a reader sees all of it or nothing.  KERNEL.lock is held shared for
# as long as a guest uses the directory, exclusively while it is being replaced.

# shellcheck disable=SC2034 # what run reads is not read here

# Raised when the layout of a cached directory changes, which leaves old ones unused.
readonly cache_format=1

readonly kernel_names='debian11 debian12 debian13 debian13-arm64-16k debian12-ppc64el-64k'

# kernel_describe NAME sets suite, arch, metapackage and modules for that kernel.
kernel_describe() {
    arch=amd64
    modules=
    case $1 in
    debian11)
        # The cloud flavour of this release leaves the staging drivers out.
        suite=bullseye metapackage=linux-image-amd64 modules=ashmem_linux ;;
    debian12)
        suite=bookworm metapackage=linux-image-cloud-amd64 ;;
    debian13)
        suite=trixie metapackage=linux-image-cloud-amd64 ;;
    debian13-arm64-16k)
        suite=trixie metapackage=linux-image-arm64-16k arch=arm64 ;;
    debian12-ppc64el-64k)
        suite=bookworm metapackage=linux-image-powerpc64le arch=ppc64el ;;
    *)
        return 1 ;;
    esac
}

# Where kernels are kept; a directory of the user's own, never a shared one.
cache_directory() {
    if [ -n "${ASHMEM_VM_CACHE:-}" ]; then
        printf '%s\n' "$ASHMEM_VM_CACHE"
    elif [ -n "${XDG_CACHE_HOME:-}" ]; then
        printf '%s\n' "$XDG_CACHE_HOME/libashmem-vm"
    elif [ -n "${HOME:-}" ]; then
        printf '%s\n' "$HOME/.cache/libashmem-vm"
    else
        return 1
    fi
}

# Archive base addresses that this machine's apt is configured with, one a line.
# apt itself reads its configuration, so one-line and deb822 sources, disabled
# entries and options are all understood; --print-uris touches no network.  Bases
# that are named like a main archive come first, the rest (security, third parties)
# is tried after them and rejected by what it serves and by its signature.
mirror_candidates() {
    local empty_lists bases
    if [ -n "${ASHMEM_VM_MIRROR:-}" ]; then
        printf '%s\n' "${ASHMEM_VM_MIRROR%/}"
        return
    fi
    empty_lists=$(mktemp -d) || return
    mkdir "$empty_lists/partial"
    bases=$(apt-get -o Dir::State::lists="$empty_lists" --print-uris update 2>/dev/null |
        sed -n "s|^'\(.*\)/dists/[^']*InRelease'.*|\1|p" | sed 's|/*$||' | awk '!seen[$0]++') ||
        true
    rm -rf "$empty_lists"
    printf '%s\n' "$bases" | grep '/debian$' || true
    printf '%s\n' "$bases" | grep -v -e '/debian$' -e '^$' || true
}

# The keyring that must have signed the archive; part of debian-archive-keyring.
archive_keyring() {
    local file
    for file in /usr/share/keyrings/debian-archive-keyring.gpg \
        /usr/share/keyrings/debian-archive-keyring.pgp; do
        if [ -r "$file" ]; then
            printf '%s\n' "$file"
            return
        fi
    done
    return 1
}

# apt_configure DIR MIRROR KEYRING: writes a private apt configuration, DIR/apt.conf.
# The machine's own settings (proxies, credentials, validity dates) stay in force;
# its sources, pins and update hooks do not.
apt_configure() {
    local dir=$1 mirror=$2 keyring=$3
    mkdir -p "$dir/lists/partial" "$dir/archives/partial" "$dir/download"
    printf 'deb [arch=%s signed-by=%s] %s %s main\n' "$arch" "$keyring" "$mirror" "$suite" \
        >"$dir/sources.list"
    cat >"$dir/apt.conf" <<END
APT::Architecture "$arch";
#clear APT::Architectures;
APT::Architectures { "$arch"; };
APT::Get::AllowUnauthenticated "false";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::AllowInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "60";
Acquire::https::Timeout "60";
Dir::Cache "$dir";
Dir::Cache::archives "$dir/archives";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$dir/lists";
Dir::State::status "/dev/null";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
END
}

# package_files DEB [PATTERN...]: unpacks the members that match into the current directory.
package_files() {
    local package=$1
    shift
    dpkg-deb --fsys-tarfile "$package" | tar -x --wildcards --no-same-owner "$@"
}

# module_depends FILE.ko: names of the modules it needs, one a line.
module_depends() {
    objcopy -O binary --only-section=.modinfo "$1" /dev/stdout | tr '\0' '\n' |
        sed -n 's/^depends=//p' | tr ',' '\n' | sed '/^$/d'
}

# module_add NAME TREE DIR: puts module NAME from TREE into DIR as NN-NAME.ko, after everything it
# depends on.
module_add() {
    local name=$1 tree=$2 dir=$3 file target dependency count=0
    for file in "$dir"/*-"$name".ko; do
        [ ! -e "$file" ] || return 0
    done
    # A file may spell with '-' what the module's name spells with '_'.
    file=$(find "$tree" -name "${name//_/[-_]}.ko*" | head -n 1)
    [ -n "$file" ] || { note "the kernel package has no module $name"; return 1; }
    case $file in
    *.xz) xz -d "$file" && file=${file%.xz} ;;
    *.zst) zstd -q -d --rm "$file" && file=${file%.zst} ;;
    esac || return
    while read -r dependency; do
        module_add "$dependency" "$tree" "$dir" || return
    done < <(module_depends "$file")
    for target in "$dir"/*.ko; do
        [ ! -e "$target" ] || count=$((count + 1))
    done
    cp "$file" "$dir/$(printf '%02d' "$count")-$name.ko"
}

# kernel_unpack SCRATCH TARGET: makes TARGET, a complete cache directory, out of the packages in
# SCRATCH/download.
kernel_unpack() {
    local scratch=$1 target=$2 tree=$1/tree module vmlinuz
    mkdir "$tree" "$target/modules" || return
    (
        cd "$tree" || exit
        package_files "$scratch"/download/busybox-static_*.deb './bin/busybox' './usr/bin/busybox' \
            2>/dev/null
        package_files "$scratch"/download/linux-image-*.deb './boot/vmlinu[xz]-*' || exit
        # Every module, since dependencies are known only once one has been read.
        [ -z "$modules" ] || package_files "$scratch"/download/linux-image-*.deb '*.ko*'
    ) || return
    for module in $modules; do
        module_add "$module" "$tree" "$target/modules" || return
    done
    vmlinuz=$(find "$tree/boot" -name 'vmlinu[xz]-*' | head -n 1)
    cp "$vmlinuz" "$target/vmlinuz" || return
    cp "$(find "$tree" -path '*/bin/busybox' -type f | head -n 1)" "$target/busybox" || return
    chmod 755 "$target/busybox"
    printf 'release %s\nsuite %s\narchitecture %s\n' "${vmlinuz##*/vmlinu?-}" "$suite" "$arch" \
        >"$target/info"
    find "$scratch/download" -name '*.deb' -printf 'package %f\n' | sort >>"$target/info"
}

# kernel_download SCRATCH MIRROR KEYRING: downloads the packages of the described kernel into
# SCRATCH/download. apt checks the signature of the release file, and with it the hash of every
# index and package.
kernel_download() {
    local scratch=$1 mirror=$2 keyring=$3 image
    rm -rf "$scratch"
    mkdir -p "$scratch" && apt_configure "$scratch" "$mirror" "$keyring" || return
    apt-get -q -c "$scratch/apt.conf" update || return
    image=$(apt-cache -c "$scratch/apt.conf" depends "$metapackage" |
        sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -n 1)
    [ -n "$image" ] || { printf 'E: no package %s in %s\n' "$metapackage" "$suite"; return 1; }
    (cd "$scratch/download" && apt-get -q -c "$scratch/apt.conf" download "$image" busybox-static)
}

# kernel_fetch NAME CACHE: fills CACHE/NAME; the caller holds the lock exclusively.
# Skips (exit 77) if no mirror of this machine has the packages.
kernel_fetch() {
    local name=$1 cache=$2 scratch log mirror keyring tool tried=0 got=0
    for tool in apt-get apt-cache dpkg-deb objcopy tar; do
        command -v "$tool" >/dev/null || skip "kernel packages need $tool, which is not installed"
    done
    keyring=$(archive_keyring) ||
        skip 'no Debian archive keyring to check signatures with (package debian-archive-keyring)'
    # Left-overs of a fetch that was killed; nobody else can be writing them now.
    rm -rf "$cache/$name.scratch" "$cache/$name.new"
    scratch=$cache/$name.scratch log=$cache/$name.log
    while [ $got = 0 ] && read -r mirror; do
        tried=1
        note "fetching $metapackage of $suite"
        if kernel_download "$scratch" "$mirror" "$keyring" >"$log" 2>&1 </dev/null; then
            got=1
        fi
    done < <(mirror_candidates)
    [ $tried = 1 ] ||
        skip 'apt on this machine has no archive configured (ASHMEM_VM_MIRROR can name one)'
    if [ $got = 0 ]; then
        rm -rf "$scratch"
        skip "no configured mirror has $metapackage of $suite: $(grep '^E:' "$log" | head -n 1)"
    fi
    mkdir "$cache/$name.new" || die "cannot write to $cache"
    kernel_unpack "$scratch" "$cache/$name.new" ||
        die "cannot unpack the packages of $name in $cache"
    rm -rf "$scratch" "$log" "${cache:?}/$name"
    mv -T "$cache/$name.new" "$cache/$name" || die "cannot put $name into $cache"
}

# kernel_provide NAME REFRESH: makes sure that NAME is cached (afresh if REFRESH is 1), and sets
# kernel_path. Leaves descriptor 9 open with a shared lock on it, which keeps it from being replaced
# under a running guest.
kernel_provide() {
    local name=$1 refresh=$2 cache
    cache=$(cache_directory) ||
        die 'no cache directory: set HOME, XDG_CACHE_HOME or ASHMEM_VM_CACHE'
    cache=$cache/v$cache_format
    mkdir -p "$cache" || die "cannot make the cache directory $cache"
    cache=$(cd "$cache" && pwd -P)
    kernel_path=$cache/$name
    exec 9>"$cache/$name.lock" || die "cannot write to $cache"
    flock -s 9
    # A loop, because turning an exclusive lock into a shared one lets others in between.
    while [ "$refresh" = 1 ] || [ ! -d "$kernel_path" ]; do
        flock -x 9
        if [ "$refresh" = 1 ] || [ ! -d "$kernel_path" ]; then
            kernel_fetch "$name" "$cache"
        fi
        refresh=0
        flock -s 9
    done
}
