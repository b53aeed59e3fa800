-- SPDX-License-Identifier: MIT
--
-- The other half of story.py: its child, in another language.
--
--   LIBASHMEM=... luajit story.lua SOCKET READ_ONLY_DESCRIPTOR BYTES
--
-- Both descriptors are inherited.

local ffi = require("ffi")
local lib = require("ashmem")

ffi.cdef([[
int getpagesize(void);
intptr_t read(int fd, void *buf, size_t size);
intptr_t write(int fd, const void *buf, size_t size);
]])

local PAGE = ffi.C.getpagesize()
local socket, read_only, BYTES = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3])
local RW = lib.PROT_READ + lib.PROT_WRITE

local function expect(what, value, expected)
	if value ~= expected then
		io.stderr:write(("FAIL: Lua: %s: %s, expected %s\n"):format(what, tostring(value),
			tostring(expected)))
		ffi.C.write(socket, "!", 1)
		os.exit(1)
	end
end

-- Our turn is over; wait for the next.
local function over()
	expect("write", tonumber(ffi.C.write(socket, ".", 1)), 1)
	expect("read", tonumber(ffi.C.read(socket, ffi.new("char[1]"), 1)), 1)
end

local function map(area, prot)
	local address = ffi.new("void *[1]")
	expect("map", lib.map(area, 0, BYTES, prot, lib.MAP_SHARED, address), 0)
	return ffi.cast("unsigned char *", address[0])
end

local function whole(view)
	for i = 0, BYTES - 1 do
		if view[i] ~= math.floor(i / PAGE) + 1 then return false end
	end
	return true
end

local function build(view)
	for page = 0, BYTES / PAGE - 1 do
		ffi.fill(view + page * PAGE, PAGE, page + 1)
	end
end

lib.backend_select("memfd")
local out = ffi.new("struct ashmem_area *[1]")
expect("recv", lib.recv(socket, out), 0)
local area = out[0]
local name = ffi.new("char[?]", lib.NAME_LEN)
expect("get_name", lib.get_name(area, name, lib.NAME_LEN), 0)
expect("name", ffi.string(name), "the story, erzählt")
expect("size", tonumber(lib.get_size(area)), BYTES)
local view = map(area, RW)
expect("pin", lib.pin(area, 0, 0), lib.NOT_PURGED)
expect("Python's bytes", whole(view), true)
expect("unpin", lib.unpin(area, 0, 0), 0)
over()

expect("pin after the purge", lib.pin(area, 0, 0), lib.WAS_PURGED)
expect("nothing there", view[0] + view[BYTES - 1], 0)
build(view)
expect("said once", lib.pin(area, 0, 0), lib.NOT_PURGED)
expect("unpin", lib.unpin(area, 0, 0), 0)
over()

expect("import", lib.import(read_only, out), 0)
local looks = out[0]
local refused = ffi.new("void *[1]")
expect("no writing", lib.map(looks, 0, BYTES, RW, lib.MAP_SHARED, refused), -13)
expect("pin to look", lib.pin(looks, 0, 0), lib.NOT_PURGED)
expect("bytes to look at", whole(map(looks, lib.PROT_READ)), true)
over()
expect("unpin after looking", lib.unpin(looks, 0, 0), 0)
over()

expect("create", lib.create("made in lua", BYTES, 0, out), 0)
build(map(out[0], RW))
expect("unpin ours", lib.unpin(out[0], 0, 0), 0)
expect("send", lib.send(socket, out[0]), 0)
expect("read", tonumber(ffi.C.read(socket, ffi.new("char[1]"), 1)), 1)
