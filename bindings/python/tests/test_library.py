# SPDX-License-Identifier: MIT
"""How the library is found, and what is said where it is missing or of another version."""

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys

import pytest

import ashmem
from ashmem import _native

PACKAGE = os.path.dirname(os.path.abspath(ashmem.__file__))


def imported(library, *options, path=os.path.dirname(PACKAGE)):
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    if library is not None:
        environment["LIBASHMEM"] = library
    return subprocess.run(
        [sys.executable, *options, "-c", "import ashmem; print(ashmem.library_version())"],
        env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_named_by_the_environment():
    done = imported(_native.lib.path)
    assert done.returncode == 0 and done.stdout.strip() == ashmem.library_version()


def test_missing_library_says_what_to_do():
    done = imported("/nowhere/libashmem.so.1")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: libashmem cannot be loaded")
    assert "LIBASHMEM" in last and "/nowhere" in last


def test_another_library_is_refused():
    done = imported("libc.so.6")
    assert "ImportError: libc.so.6 is not libashmem" in done.stderr.splitlines()[-1]


def test_older_library_is_refused(tmp_path):
    if not shutil.which("cc"):
        pytest.skip("no C compiler to make an old library with")
    source = tmp_path / "old.c"
    source.write_text("unsigned ashmem_version(void) { return 8 << 8 | 3; }\n")
    old = str(tmp_path / "libold.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", old, str(source)], check=True)
    last = imported(old).stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: {old} is libashmem 0.8.3.") and "0.9.0" in last


def test_outside_of_the_source_tree_the_loader_is_asked(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "ashmem")
    done = imported(None, path=str(tmp_path))
    if done.returncode:
        assert "libashmem.so.1: cannot open shared object file" in done.stderr
    else:
        assert done.stdout.strip()


def test_version_of_the_package_is_that_of_the_project():
    with open(os.path.join(os.path.dirname(PACKAGE), "pyproject.toml"), encoding="utf-8") as file:
        assert f'\nversion = "{ashmem.__version__}"\n' in file.read()


def same(ours, theirs):
    """Whether two ctypes types are the same; our structures may know less of those that grow."""
    if ours is None or theirs is None:
        return ours is theirs
    if issubclass(ours, ctypes.Structure):
        grows = ours._fields_[0][0] == "struct_size"
        known = theirs._fields_[:len(ours._fields_)] if grows else theirs._fields_
        return ours.__name__ == theirs.__name__ and len(known) == len(ours._fields_) and all(
            name == other and same(kind, their_kind)
            for (name, kind), (other, their_kind) in zip(ours._fields_, known))
    if hasattr(ours, "_argtypes_"):
        return all_same((ours._restype_, *ours._argtypes_),
                        (theirs._restype_, *theirs._argtypes_))
    if issubclass(ours, ctypes._Pointer):
        return same(ours._type_, theirs._type_)
    # Bytes go in by either.
    untyped = {ctypes.c_char_p: ctypes.c_void_p}
    return untyped.get(ours, ours).__name__ == untyped.get(theirs, theirs).__name__


def all_same(ours, theirs):
    return len(ours) == len(theirs) and all(map(same, ours, theirs))


def test_declarations_are_those_that_check_ffi_compares_with_the_headers():
    tree = os.path.dirname(os.path.dirname(os.path.dirname(PACKAGE)))
    path = os.path.join(tree, "tests", "ffi", "ashmem.py")
    if not os.path.exists(path):
        pytest.skip("not in the source tree")
    spec = importlib.util.spec_from_file_location("bare_ffi", path)
    bare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bare)
    for name, declared in _native.FUNCTIONS.items():
        assert all_same(declared, bare.FUNCTIONS[name]), name
    for name in ("WAS_PURGED", "RELEASE_LOST", "NAME_LEN", "SHRINK_STOP"):
        assert getattr(_native, name) == getattr(bare, name)
