# SPDX-License-Identifier: MIT
"""Compares the structures of the two bindings with the headers', member by member in order, so
that none is forgotten.

    python3 layout.py HEADER... ashmem.lua        prints what differs
"""

import re
import sys

import ashmem


def members(text):
    """The structures of C text: name and names of members."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    found = {}
    for name, body in re.findall(r"struct (ashmem_\w+) \{(.*?)\n\};", text, flags=re.DOTALL):
        names = []
        for declaration in body.split(";"):
            pointer = re.search(r"\(\*(\w+)\)", declaration)
            if pointer:
                names.append(pointer.group(1))
            elif declaration.strip():
                for part in declaration.split(","):
                    names.append(re.search(r"(\w+)(\[\w+\])?$", part.strip()).group(1))
        found[name] = names
    return found


def camel(name):
    return "".join(part.capitalize() for part in name.removeprefix("ashmem_").split("_"))


def main():
    headers = {}
    for path in sys.argv[1:-1]:
        with open(path, encoding="utf-8") as file:
            headers.update(members(file.read()))
    with open(sys.argv[-1], encoding="utf-8") as file:
        lua = members(file.read())
    if not headers:
        print("no structures in the headers")
    for name, names in headers.items():
        if lua.get(name) != names:
            print(f"ashmem.lua, struct {name}: {lua.get(name)}, the header has {names}")
        structure = getattr(ashmem, camel(name), None)
        fields = structure and [field[0].rstrip("_") for field in structure._fields_]
        if fields != names:
            print(f"ashmem.py, {camel(name)}: {fields}, the header has {names}")


main()
