# SPDX-License-Identifier: MIT
"""What libashmem is for, told by two processes in two languages: this one in Python, its child in
Lua (story.lua).

    LIBASHMEM=/path/to/libashmem.so python3 story.py luajit story.lua

Python makes an area, fills and unpins it, and sends it over a socket. Lua pins it, finds it whole,
and unpins it. Python purges. Lua pins, gets WAS_PURGED, rebuilds. Python pins and finds what Lua
built. A second area goes as an inherited read-only descriptor; what Lua pins there, Python cannot
purge. A third is made by Lua and sent back.
One byte over the socket hands the turn over; "!" is Lua's word for what it did not expect.
"""

import ctypes
import mmap
import os
import socket
import subprocess
import sys
from ctypes import byref, c_void_p

from ashmem import *

PAGE = mmap.PAGESIZE
BYTES = 64 * PAGE
RW = mmap.PROT_READ | mmap.PROT_WRITE

lib = Library()
checks = Checks()
equal, true = checks.equal, checks.true


def mapped(area, prot=RW):
    address = c_void_p()
    equal("map", lib.map(area, 0, BYTES, prot, mmap.MAP_SHARED, byref(address)), 0)
    return (ctypes.c_ubyte * BYTES).from_address(address.value)


def whole(view):
    """Each page is full of its own number, plus one."""
    pages = range(BYTES // PAGE)
    return all(set(view[page * PAGE:(page + 1) * PAGE]) == {page + 1} for page in pages)


def build(view):
    for page in range(BYTES // PAGE):
        ctypes.memset(ctypes.addressof(view) + page * PAGE, page + 1, PAGE)


def made(name):
    area = c_void_p()
    equal("create", lib.create(name, BYTES, 0, byref(area)), 0)
    view = mapped(area)
    build(view)
    return area, view


def main():
    lib.backend_select(b"memfd")
    ours, theirs = socket.socketpair()
    looks, looks_view = made(b"only to look at")
    read_only = lib.export_read_only(looks)
    with subprocess.Popen(
        [*sys.argv[1:], str(theirs.fileno()), str(read_only), str(BYTES)],
        pass_fds=(theirs.fileno(), read_only),
    ) as child:
        theirs.close()
        os.close(read_only)

        def turn(what):
            answer = ours.recv(1)
            equal("Lua: " + what, answer, b".")
            if answer != b".":
                child.kill()
                sys.exit(checks.end())

        def go():
            ours.send(b".")

        area, view = made("the story, erzählt".encode())
        equal("unpin", lib.unpin(area, 0, 0), 0)
        equal("send", lib.send(ours.fileno(), area), 0)
        turn("received it, whole, and unpinned it")
        equal("purge", lib.shrink(1), 64)
        equal("gone", set(view), {0})
        go()
        turn("heard WAS_PURGED, rebuilt, unpinned")
        equal("pin", lib.pin(area, 0, 0), NOT_PURGED)
        true("what Lua built", whole(view))

        go()
        turn("pinned the area that it can only read")
        equal("unpin", lib.unpin(looks, 0, 0), 0)
        equal("nobody purges what Lua has pinned", lib.shrink(1), 0)
        true("all there", whole(looks_view))
        go()
        turn("unpinned it")
        equal("now it can be purged", lib.shrink(1), 64)
        equal("gone as well", set(looks_view), {0})

        go()
        back = c_void_p()
        equal("recv", lib.recv(ours.fileno(), byref(back)), 0)
        name = ctypes.create_string_buffer(NAME_LEN)
        lib.get_name(back, name, NAME_LEN)
        equal("its name", name.value, b"made in lua")
        equal("pin", lib.pin(back, 0, 0), NOT_PURGED)
        true("Lua's bytes", whole(mapped(back, mmap.PROT_READ)))
        go()
        equal("Lua ends well", child.wait(timeout=120), 0)
    for handle in (area, looks, back):
        lib.close(handle)
    return checks.end()


sys.exit(main())
