# SPDX-License-Identifier: MIT
"""Builds wheels and source distributions with the standard library alone (PEP 517 and 660).

The package is pure Python, so a wheel is its files and some metadata; nothing has to be downloaded
to build it. pip calls the functions here in the folder of pyproject.toml.
"""

import base64
import hashlib
import io
import os
import re
import tarfile
import zipfile
from typing import Any, Dict, Iterable, Optional, Tuple

TAG = "py3-none-any"
# Times in archives: the same input gives the same bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "ashmem", "build_backend", "tests")

Files = Iterable[Tuple[str, bytes]]


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def setting(name: str) -> str:
    """A text of pyproject.toml; Python 3.9 has no parser for it."""
    found = re.search(rf'^{name} = "(.*)"$', read("pyproject.toml").decode(), re.MULTILINE)
    if not found:
        raise ValueError(f"pyproject.toml has no {name}")
    return found.group(1)


def stem() -> str:
    return f"{setting('name')}-{setting('version')}"


def metadata() -> bytes:
    classifiers = re.findall(r'^  "(.* :: .*)",$', read("pyproject.toml").decode(), re.MULTILINE)
    lines = [
        "Metadata-Version: 2.1", f"Name: {setting('name')}", f"Version: {setting('version')}",
        f"Summary: {setting('description')}", "License: MIT",
        "License-File: LICENSE",
        f"Requires-Python: {setting('requires-python')}",
        *(f"Classifier: {classifier}" for classifier in classifiers),
        "Description-Content-Type: text/markdown", "",
    ]
    return "\n".join(lines).encode() + b"\n" + read("README.md")


def tree(top: str) -> Files:
    """The files below a folder, or one file."""
    if os.path.isfile(top):
        yield top, read(top)
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith(("__pycache__", ".")))
        for name in sorted(names):
            if name.endswith((".py", ".typed", ".md", ".toml")):
                path = os.path.join(folder, name)
                yield path, read(path)


def write_wheel(directory: str, files: Files) -> str:
    info = f"{stem()}.dist-info"
    wheel = f"Wheel-Version: 1.0\nGenerator: ashmem_build\nRoot-Is-Purelib: true\nTag: {TAG}\n"
    name = f"{stem()}-{TAG}.whl"
    record = ""
    with zipfile.ZipFile(os.path.join(directory, name), "w", zipfile.ZIP_DEFLATED) as archive:
        def add(path: str, data: bytes) -> None:
            entry = zipfile.ZipInfo(path, EPOCH)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)

        for path, data in (*files, (f"{info}/LICENSE", read("LICENSE")),
                           (f"{info}/METADATA", metadata()), (f"{info}/WHEEL", wheel.encode())):
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
            record += f"{path},sha256={digest.decode()},{len(data)}\n"
            add(path, data)
        add(f"{info}/RECORD", (record + f"{info}/RECORD,,\n").encode())
    return name


def build_wheel(
    wheel_directory: str, config_settings: Optional[Dict[str, Any]] = None,
    metadata_directory: Optional[str] = None,
) -> str:
    return write_wheel(wheel_directory, tree("ashmem"))


def build_editable(
    wheel_directory: str, config_settings: Optional[Dict[str, Any]] = None,
    metadata_directory: Optional[str] = None,
) -> str:
    return write_wheel(wheel_directory, [("ashmem.pth", os.getcwd().encode() + b"\n")])


def build_sdist(sdist_directory: str, config_settings: Optional[Dict[str, Any]] = None) -> str:
    name = f"{stem()}.tar.gz"
    with tarfile.open(os.path.join(sdist_directory, name), "w:gz") as archive:
        def add(path: str, data: bytes) -> None:
            entry = tarfile.TarInfo(f"{stem()}/{path}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))

        for top in SOURCES:
            for path, data in tree(top):
                add(path, data)
        add("PKG-INFO", metadata())
    return name
