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


@pytest.fixture
def lua():
    """Runs a program of tests/ffi in LuaJIT."""
    command = shutil.which("luajit")
    if not command or not os.path.exists(os.path.join(STORY, "story.lua")):
        pytest.skip("needs luajit and the source tree")
    library = _native.lib.path
    environment = {
        **os.environ, "LUA_PATH": STORY + "/?.lua",
        "LIBASHMEM": os.path.abspath(library) if "/" in library else library}

    def start(*arguments, pass_fds=()):
        return subprocess.Popen(
            [command, *arguments], pass_fds=pass_fds, cwd=STORY, env=environment,
            stdout=subprocess.PIPE, text=True)

    return start


def test_story_of_two_languages(lua):
    ours, theirs = socket.socketpair()
    looks = made("only to look at")
    read_only = looks.export_read_only()
    area = made("the story, erzählt")
    area.unpin()
    child = lua("story.lua", str(theirs.fileno()), str(read_only), str(PAGES * PAGE),
                pass_fds=(theirs.fileno(), read_only))
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
        child.communicate()
        ours.close()


CACHE = """
local ffi, lib = require("ffi"), require("ashmem")
local out = ffi.new("struct ashmem_cache *[1]")
assert(lib.cache_import(tonumber(arg[1]), out) == 0)
local buffer = ffi.new("char[?]", 100)
local bytes = tonumber(lib.cache_read(out[0], "from python", 11, buffer, 100))
io.write(bytes, " ", ffi.string(buffer, math.max(bytes, 0)), "\\n")
assert(lib.cache_put(out[0], "from lua", 8, "hello", 5, 0) == 0)
assert(lib.cache_remove(out[0], "from python", 11) == 0)
lib.cache_close(out[0])
"""


def test_two_languages_share_a_cache(lua, tmp_path):
    program = tmp_path / "cache.lua"
    program.write_text(CACHE)
    with ashmem.Cache(8 << 20) as cache:
        cache[b"from python"] = b"hello"
        child = lua(str(program), str(cache.fileno()), pass_fds=(cache.fileno(),))
        assert child.communicate(timeout=60)[0] == "5 hello\n" and child.returncode == 0
        assert dict(cache.items()) == {b"from lua": b"hello"}
