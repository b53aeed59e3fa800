# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# The guest's file system for the VM harness, an initramfs made afresh for every
# run.  Sourced by tests/vm/run, which provides die and note.
#
#   /init            tests/vm/init, process 1
#   /vm/job          variables for init; /vm/launch runs the program
#   /vm/modules/     kernel modules in load order
#   /test/           the program and the files given with --file, its working directory
#   /usr/lib/        shared libraries; /lib, /lib64, /bin and /sbin are links into /usr
#
# Libraries go into one directory that their dynamic loader searches by default,
# whatever directory they had on the host: a program's run path need not exist in
# the guest, and no LD_LIBRARY_PATH changes what the program sees.

# elf_machine FILE: x86_64, i386, aarch64, the name readelf has for another, or nothing if FILE is
# not ELF.
elf_machine() {
    local machine
    machine=$(LC_ALL=C readelf -h "$1" 2>/dev/null | sed -n 's/^ *Machine: *//p')
    case $machine in
    *X86-64) echo x86_64 ;;
    *80386) echo i386 ;;
    AArch64) echo aarch64 ;;
    PowerPC64) echo ppc64 ;;
    *) printf '%s' "$machine" ;;
    esac
}

elf_interpreter() {
    LC_ALL=C readelf -lW "$1" 2>/dev/null | sed -n 's/.*program interpreter: \(.*\)\]$/\1/p'
}

# Libraries that FILE names itself, one a line.
elf_needed() {
    LC_ALL=C readelf -dW "$1" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p'
}

# Directories of FILE's run path, one a line.
elf_run_path() {
    local origin
    origin=$(dirname "$(realpath "$1")")
    LC_ALL=C readelf -dW "$1" 2>/dev/null | sed -n 's/.*(R\(UN\)\{0,1\}PATH).*\[\(.*\)\]$/\2/p' |
        tr ':' '\n' |
        sed "s|\${ORIGIN}|$origin|;s|\$ORIGIN|$origin|"
}

# Where Debian's loader for a machine looks by default, and where its cross compilers keep that
# machine's libraries.
library_directory() {
    printf '/usr/lib/%s-linux-gnu\n' "$1"
}
cross_sysroot() {
    printf '/usr/%s-linux-gnu\n' "${1/i386/i686}"
}

# library_find NAME MACHINE DIR...: the first DIR/NAME for that machine.
library_find() {
    local name=$1 machine=$2 dir
    shift 2
    for dir; do
        if [ -f "$dir/$name" ] && [ "$(elf_machine "$dir/$name")" = "$machine" ]; then
            printf '%s\n' "$dir/$name"
            return
        fi
    done
    return 1
}

# libraries_by_loader FILE INTERPRETER: what ldd does, for programs this machine can run;
# NAME<tab>PATH a line.
libraries_by_loader() {
    local list
    list=$("$2" --list "$(realpath "$1")" 2>/dev/null) || [ -n "$list" ] || return 1
    printf '%s\n' "$list" | sed -n \
        -e 's|^[[:space:]]*\(.*\) => not found.*|\1\tmissing|p' \
        -e 's|^[[:space:]]*\(.*\) => \(..*\) (0x[0-9a-f]*)$|\1\t\2|p'
}

# libraries_by_search FILE MACHINE: the same for any other program, by following the names through
# the run path and the directories of the cross toolchain.
libraries_by_search() {
    local machine=$2 sysroot name path seen=' ' file
    local -a queue=("$1") directories=()
    sysroot=$(cross_sysroot "$machine")
    while [ ${#queue[@]} -gt 0 ]; do
        file=${queue[0]}
        queue=("${queue[@]:1}")
        mapfile -t directories < <(elf_run_path "$file"; printf '%s' "${LD_LIBRARY_PATH:-}" |
            tr ':' '\n')
        directories+=("$sysroot/lib" "$sysroot/usr/lib" "$(library_directory "$machine")")
        while read -r name; do
            case $seen in *" $name "*) continue ;; esac
            seen+="$name "
            path=$(library_find "$name" "$machine" "${directories[@]}") || path=missing
            printf '%s\t%s\n' "$name" "$path"
            [ "$path" = missing ] || queue+=("$path")
        done < <(elf_needed "$file")
    done
}

# root_install SOURCE ROOT TARGET: copies SOURCE, links followed; a different file already at TARGET
# is an error.
root_install() {
    local source=$1 target=$2$3
    if [ -e "$target" ]; then
        cmp -s "$source" "$target" || die "two different files for $3 in the guest (one is $source)"
        return 0
    fi
    mkdir -p "$(dirname "$target")"
    cp -L --preserve=mode,timestamps "$source" "$target" || die "cannot copy $source"
}

# root_add_loader FILE MACHINE INTERPRETER ROOT: puts a program's dynamic loader where the program
# names it.
root_add_loader() {
    local file=$1 machine=$2 interpreter=$3 root=$4 found=$3
    [ "$(elf_machine "$found")" = "$machine" ] ||
        found=$(cross_sysroot "$machine")/lib/${interpreter##*/}
    [ -e "$found" ] || die "$file needs the loader $interpreter, which is not on this machine"
    root_install "$found" "$root" "$interpreter"
}

# root_add_libraries FILE ROOT: puts the loader and the libraries of one ELF file into ROOT.
root_add_libraries() {
    local file=$1 root=$2 machine interpreter libgcc list dir=/usr/lib name path
    machine=$(elf_machine "$file")
    interpreter=$(elf_interpreter "$file")
    if [ -z "$interpreter" ] || ! list=$(libraries_by_loader "$file" "$interpreter"); then
        list=$(libraries_by_search "$file" "$machine")
        [[ $interpreter == *ld-musl* ]] || dir=$(library_directory "$machine")
    elif path=$(sed -n 's/^libc\.so\.6\t//p' <<<"$list") && [ -n "$path" ]; then
        # A loader finds its own C library by default, so it finds the others beside it.
        dir=$(dirname "$path")
    fi
    while IFS=$'\t' read -r name path; do
        [ -n "$name" ] || continue
        [ "$path" != missing ] || die "$file needs $name, which is not on this machine"
        root_install "$path" "$root" "$dir/${name##*/}"
        # Loaded by name when a thread is cancelled or exits, so no list shows it.
        if [ "$name" = libc.so.6 ] &&
            libgcc=$(library_find libgcc_s.so.1 "$machine" "$(dirname "$path")" \
            "$(cross_sysroot "$machine")/lib" "$(library_directory "$machine")"); then
            root_install "$libgcc" "$root" "$dir/libgcc_s.so.1"
        fi
    done <<<"$list"
    [ -z "$interpreter" ] || root_add_loader "$file" "$machine" "$interpreter" "$root"
}

# root_add_file SOURCE TARGET ROOT ARCH: a file or a directory of the host, with the libraries of
# every ELF file in it. A file for another machine is only data to the guest; root_add_program
# refuses it.
root_add_file() {
    local source=$1 target=$2 root=$3 arch=$4 file machine
    [ -e "$source" ] || die "no such file: $source"
    if [ -d "$source" ]; then
        mkdir -p "$root$target"
        cp -RL --preserve=mode,timestamps "$source/." "$root$target" || die "cannot copy $source"
    else
        root_install "$source" "$root" "$target"
    fi
    while IFS= read -r -d '' file; do
        machine=$(elf_machine "$file")
        case $arch:$machine in
        amd64:x86_64 | amd64:i386 | arm64:aarch64 | ppc64el:ppc64)
            root_add_libraries "$file" "$root" ;;
        esac
    done < <(find -L "$source" -type f -print0)
}

# root_add_program SOURCE TARGET ROOT ARCH: the file that is to be run; a script, or a program for
# the guest's machine.
root_add_program() {
    local source=$1 machine
    [ -f "$source" ] || die "no such program: $source"
    [ -x "$source" ] || die "not executable: $source"
    machine=$(elf_machine "$source")
    case $4:$machine in
    *: | amd64:x86_64 | amd64:i386 | arm64:aarch64 | ppc64el:ppc64) root_add_file "$@" ;;
    *) die "$source is a program for $machine, the kernel is for $4" ;;
    esac
}

# shell_quote WORD...: the words as one line of shell that reads back as the same words.
shell_quote() {
    local word separator=
    for word; do
        printf "%s'%s'" "$separator" "${word//\'/\'\\\'\'}"
        separator=' '
    done
    printf '\n'
}

# root_create ROOT KERNEL_PATH INIT: the parts that every guest has.
root_create() {
    local root=$1 kernel=$2 init=$3 dir
    mkdir -p "$root"/{dev,etc,proc,root,run,sys,test,tmp,var,vm,usr/{bin,lib,lib64,sbin}}
    for dir in bin lib lib64 sbin; do
        ln -s "usr/$dir" "$root/$dir"
    done
    ln -s ../run "$root/var/run"
    chmod 1777 "$root/tmp" "$root/test"
    cp "$kernel/busybox" "$root/usr/bin/busybox"
    cp -R "$kernel/modules" "$root/vm/modules"
    cp "$init" "$root/init"
    chmod 755 "$root/init"
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n' \
        >"$root/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
    printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
}

# root_pack ROOT FILE: not compressed, because unpacking is the slow part on an emulated processor.
root_pack() {
    (cd "$1" && find . -print0 | LC_ALL=C sort -z |
        cpio --null --create --format=newc --owner=0:0 --quiet) >"$2"
}
