# SPDX-License-Identifier: MIT
"""Two languages share an area: this one, and a child in Lua (tests/ffi/story.lua).

The same story as tests/ffi/story.py tells with the bare C interface. One byte over the socket hands
the turn over; "!" is Lua's word for what it did not expect.
"""

import os
import shutil
import socket
import subprocess

import pytest

import ashmem
from ashmem import PAGE_SIZE as PAGE, _native

PAGES = 64
TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__)))))
STORY = os.path.join(TREE, "tests", "ffi")


def whole(view):
    """Each page is full of its own number, plus one."""
    return all(view[page * PAGE:(page + 1) * PAGE] == bytes([page + 1]) * PAGE
               for page in range(PAGES))


def build(view):
    for page in range(PAGES):
        view[page * PAGE:(page + 1) * PAGE] = bytes([page + 1]) * PAGE


def made(name):
    area = ashmem.Area(PAGES * PAGE, name)
    build(area.map())
    return area


def test_story_of_two_languages():
    lua = shutil.which("luajit")
    if not lua or not os.path.exists(os.path.join(STORY, "story.lua")):
        pytest.skip("needs luajit and the source tree")
    ours, theirs = socket.socketpair()
    looks = made("only to look at")
    read_only = looks.export_read_only()
    area = made("the story, erzählt")
    area.unpin()
    child = subprocess.Popen(
        [lua, "story.lua", str(theirs.fileno()), str(read_only), str(PAGES * PAGE)],
        pass_fds=(theirs.fileno(), read_only), cwd=STORY,
        env={**os.environ, "LIBASHMEM": os.path.abspath(_native.lib.path)
             if "/" in _native.lib.path else _native.lib.path, "LUA_PATH": STORY + "/?.lua"})
    theirs.close()
    os.close(read_only)

    def turn():
        assert ours.recv(1) == b"."

    def go():
        ours.send(b".")

    try:
        area.send(ours)
        turn()
        assert ashmem.shrink(1) == PAGES
        assert bytes(area.map()) == bytes(PAGES * PAGE)
        go()
        turn()  # Lua found it purged, and built it anew
        with area.pinned() as view:
            assert not view.was_purged and whole(view)
        go()
        turn()  # Lua has pinned what it may only read
        looks.unpin()
        area.pin()
        assert ashmem.shrink(1) == 0
        assert whole(looks.map())
        go()
        turn()
        assert ashmem.shrink(1) == PAGES
        go()
        with ashmem.Area.recv(ours) as back:
            assert back.name == "made in lua"
            with back.pinned() as view:
                assert whole(view)
        go()
        assert child.wait(timeout=60) == 0
    finally:
        child.kill()
        child.wait()
        ours.close()
