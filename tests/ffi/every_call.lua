-- SPDX-License-Identifier: MIT
--
-- Calls every public function through LuaJIT's FFI, callbacks included, and looks at what comes
-- back.
--
--   LIBASHMEM=/path/to/libashmem.so luajit every_call.lua CALLED
--
-- CALLED receives the names of the functions called, for tests/ffi/check to compare with what the
-- library exports.

local ffi = require("ffi")
local lib = require("ashmem")
local equal = lib.equal

ffi.cdef([[
int getpagesize(void);
int socketpair(int domain, int type, int protocol, int *pair);
int close(int fd);
int mkfifo(const char *path, unsigned int mode);
int open(const char *path, int flags, ...);
intptr_t write(int fd, const void *buf, size_t size);
int setenv(const char *name, const char *value, int overwrite);
void *calloc(size_t count, size_t size);
void free(void *memory);
]])

local PAGE = ffi.C.getpagesize()
local BYTES = 16 * PAGE
local RW = lib.PROT_READ + lib.PROT_WRITE
local EINVAL = 22 -- the same on every Linux

local function new_area(name, flags)
	local area = ffi.new("struct ashmem_area *[1]")
	equal("create", lib.create(name or "from lua", BYTES, flags or 0, area), 0)
	return area[0]
end

local function new_mapping(area)
	local address = ffi.new("void *[1]")
	equal("map", lib.map(area, 0, BYTES, RW, lib.MAP_SHARED, address), 0)
	ffi.fill(address[0], BYTES) -- a shrink frees memory, so there has to be some
	return address[0], ffi.cast("unsigned char *", address[0])
end

local function versions()
	local major, minor, patch = ffi.string(lib.version_string()):match("^(%d+)%.(%d+)%.(%d+)$")
	major, minor, patch = tonumber(major), tonumber(minor), tonumber(patch)
	equal("version", lib.version(), major * 65536 + minor * 256 + patch)
	equal("version_at_least", lib.version_at_least(major, minor, patch), 1)
	equal("at least the next", lib.version_at_least(major, minor, patch + 1), 0)
end

local function attributes()
	local area = ffi.new("struct ashmem_area *[1]")
	equal("create without size", lib.create(nil, 0, 0, area), 0)
	area = area[0]
	equal("set_name", lib.set_name(area, "grüße"), 0)
	local name = ffi.new("char[?]", lib.NAME_LEN)
	equal("get_name", lib.get_name(area, name, lib.NAME_LEN), 0)
	equal("name", ffi.string(name), "grüße")
	equal("set_size beyond 32 bits", lib.set_size(area, 2 ^ 33), 0)
	equal("get_size", lib.get_size(area), 2 ^ 33)
	equal("get_prot", lib.get_prot(area), RW + lib.PROT_EXEC)
	equal("set_prot", lib.set_prot(area, RW), 0)
	equal("set_prot back", lib.set_prot(area, RW + lib.PROT_EXEC), -EINVAL)
	equal("backend_name", ffi.string(lib.backend_name(area)), "memfd")
	lib.close(area)
	lib.close(nil)
end

local function memory()
	local area = new_area()
	local address = new_mapping(area)
	ffi.copy(address, "hello", 5)
	local buffer = ffi.new("char[8]")
	equal("read", lib.read(area, buffer, 5), 5)
	equal("bytes read", ffi.string(buffer, 5), "hello")
	equal("seek", lib.seek(area, -1, lib.SEEK_CUR), 4)
	equal("pread", lib.pread(area, buffer, 3, 1), 3)
	equal("bytes pread", ffi.string(buffer, 3), "ell")
	equal("seek out of it", lib.seek(area, -1, lib.SEEK_SET), -EINVAL)
	local answer = lib.populate(address, BYTES)
	equal("populate", answer == 0 or answer == -95, true)
	equal("unmap", lib.unmap(address, BYTES), 0)
	lib.close(area)
end

local function pinning()
	local area = new_area()
	local address, view = new_mapping(area)
	ffi.fill(view, 4 * PAGE, 120)
	equal("misaligned", lib.pin(area, 1, PAGE), -EINVAL)
	equal("unpin", lib.unpin(area, 0, 4 * PAGE), 0)
	equal("status", lib.get_pin_status(area, 0, 0), lib.IS_UNPINNED)
	local offset, length, state = ffi.new("uint64_t[1]"), ffi.new("uint64_t[1]"),
		ffi.new("uint32_t[1]")
	equal("find_unpinned", lib.find_unpinned(area, 0, offset, length, state), 1)
	equal("range's length", length[0], 4 * PAGE)
	equal("range's state", state[0], lib.RANGE_EVICTABLE)
	equal("find no more", lib.find_unpinned(area, 4 * PAGE, nil, nil, nil), 0)
	equal("kept", lib.pin(area, 0, 0), lib.NOT_PURGED)
	equal("byte kept", view[0], 120)

	lib.unpin(area, 0, 4 * PAGE)
	equal("hold", lib.hold(area, 0, 4 * PAGE), lib.NOT_PURGED)
	equal("shrink passes over what is held", lib.shrink(1), 0)
	equal("release", lib.release(area, 0, 4 * PAGE, 0), 0)
	equal("release once more", lib.release(area, 0, 4 * PAGE, lib.RELEASE_LOST), -EINVAL)
	equal("shrink_count", lib.shrink_count(), 4)
	equal("shrink", lib.shrink(1), 4)
	equal("lost", lib.pin(area, 0, 0), lib.WAS_PURGED)
	equal("byte lost", view[0], 0)
	lib.unpin(area, PAGE, PAGE)
	equal("purge_all", lib.purge_all(), 1)
	lib.pin(area, PAGE, PAGE)
	ffi.fill(view + PAGE, 2 * PAGE, 120)
	lib.unpin(area, PAGE, 2 * PAGE)
	equal("purge of a part", lib.purge(area, 2 * PAGE, 4 * PAGE), 1)
	equal("kept beside it", lib.pin(area, PAGE, PAGE), lib.NOT_PURGED)

	local stats = lib.sized("struct ashmem_area_stats")
	equal("area_get_stats", lib.area_get_stats(area, stats), 0)
	equal("size in pages", stats.size_pages, 16)
	equal("purged pages", stats.purged_pages, 6)
	local peek = lib.sized("struct ashmem_peek_result")
	equal("peek", lib.peek(lib.fd(area), peek), 0)
	equal("its name", ffi.string(peek.name), "from lua")
	equal("what it purged", peek.purged_pages, 6)
	local wishes = lib.sized("struct ashmem_purge_fd_options")
	wishes.serial = peek.serial
	equal("purge_fd", lib.purge_fd(lib.fd(area), wishes), 0)
	local process = lib.sized("struct ashmem_process_stats")
	equal("process_get_stats", lib.process_get_stats(process), 0)
	equal("areas", process.areas, 1)
	lib.unmap(address, BYTES)
	lib.close(area)
end

local function priorities()
	local area = new_area()
	local address = new_mapping(area)
	equal("unpin_with", lib.unpin_with(area, 0, PAGE, lib.PRIORITY_LAST, lib.ORDER_FIFO), 0)
	equal("unpin_with", lib.unpin_with(area, 8 * PAGE, PAGE, lib.PRIORITY_FIRST,
		lib.ORDER_LIFO), 0)
	equal("shrink", lib.shrink(1), 1)
	equal("the first goes first", lib.pin(area, 8 * PAGE, PAGE), lib.WAS_PURGED)
	equal("the last stays", lib.pin(area, 0, PAGE), lib.NOT_PURGED)
	lib.unmap(address, BYTES)
	lib.close(area)
end

local function notices()
	local told = {}
	local on_purge = ffi.cast("ashmem_purge_fn", function(_, area, offset, length)
		told[#told + 1] = { area, tonumber(offset), tonumber(length),
			lib.pin(area, offset, length) }
	end)
	local area = new_area()
	local address = new_mapping(area)
	local number = lib.purge_subscribe(on_purge, nil)
	equal("purge_subscribe", number > 0, true)
	lib.unpin(area, PAGE, 2 * PAGE)
	lib.shrink(1)
	equal("told once", #told, 1)
	if told[1] then
		equal("told the area", told[1][1], area)
		equal("told the offset", told[1][2], PAGE)
		equal("told the length", told[1][3], 2 * PAGE)
		equal("pinned from there", told[1][4], lib.WAS_PURGED)
	end
	equal("purge_unsubscribe", lib.purge_unsubscribe(number), 0)
	on_purge:free()

	local out = ffi.new("struct ashmem_purge_queue *[1]")
	local options = ffi.new("struct ashmem_purge_queue_options")
	local notice = ffi.new("struct ashmem_purge_notice")
	options.struct_size, options.entries = ffi.sizeof(options), 9
	notice.struct_size = ffi.sizeof(notice)
	equal("purge_queue_open", lib.purge_queue_open(options, out), 0)
	equal("purge_queue_fd", lib.purge_queue_fd(out[0]) > 2, true)
	equal("purge_queue_next, nothing", lib.purge_queue_next(out[0], notice), 0)
	lib.pin(area, 0, 0)
	ffi.fill(address, BYTES)
	lib.unpin(area, PAGE, PAGE)
	lib.shrink(1)
	equal("purge_queue_next", lib.purge_queue_next(out[0], notice), 1)
	equal("fetched the area", notice.area, area)
	equal("fetched the offset", tonumber(notice.offset), PAGE)
	equal("fetched the length", tonumber(notice.length), PAGE)
	lib.purge_queue_close(out[0])
	lib.unmap(address, BYTES)
	lib.close(area)
end

local function losses_and_modes()
	local area = new_area()
	local address = new_mapping(area)
	lib.unpin(area, 2 * PAGE, 2 * PAGE)
	lib.shrink(1)
	lib.unpin(area, 0, 8 * PAGE)
	local lost, count = ffi.new("struct ashmem_extent[2]"), ffi.new("uint32_t[1]")
	equal("pin_lost", lib.pin_lost(area, 0, 0, lost, 2, count), lib.WAS_PURGED)
	equal("extents", count[0], 1)
	equal("lost from", lost[0].offset, 2 * PAGE)
	equal("lost bytes", lost[0].length, 2 * PAGE)
	equal("debug_set of nonsense", lib.debug_set("nonsense"), -EINVAL)
	equal("debug_set", lib.debug_set("purge-on-unpin"), 0)
	local modes = ffi.new("char[128]")
	equal("debug_get", lib.debug_get(modes, 128), 14)
	equal("modes", ffi.string(modes), "purge-on-unpin")
	lib.unpin(area, PAGE, PAGE)
	equal("purged at unpin", lib.pin(area, PAGE, PAGE), lib.WAS_PURGED)
	equal("debug_set to none", lib.debug_set(nil), 0)
	local process = lib.sized("struct ashmem_process_stats")
	lib.process_get_stats(process)
	equal("sum of pages", process.size_pages, 16)
	lib.unmap(address, BYTES)
	lib.close(area)
end

local function sharing()
	local area = new_area(nil, lib.CREATE_ALLOW_SEAL)
	local address = new_mapping(area)
	local other = ffi.new("struct ashmem_area *[1]")
	equal("import", lib.import(lib.fd(area), other), 0)
	equal("one area, one handle", other[0], area)
	local pair = ffi.new("int[2]")
	equal("socketpair", ffi.C.socketpair(1, 1, 0, pair), 0)
	equal("send", lib.send(pair[0], area), 0)
	equal("recv", lib.recv(pair[1], other), 0)
	equal("received the same", other[0], area)
	ffi.C.close(pair[0])
	ffi.C.close(pair[1])
	equal("publish", lib.publish(area, "ashmem-ffi-lua"), 0)
	equal("open_named", lib.open_named("ashmem-ffi-lua", other), 0)
	equal("opened the same", other[0], area)
	lib.close(other[0])
	equal("unpublish", lib.unpublish("ashmem-ffi-lua"), 0)
	local mine = lib.export(area)
	equal("export", mine >= 0, true)
	equal("find", lib.find(mine, other), 0)
	equal("found the same", other[0], area)
	lib.close(other[0])
	equal("ref", lib.ref(area), 0)
	lib.close(area)
	equal("fd_kind", lib.fd_kind(mine), lib.FD_AREA)
	equal("is_materialised", lib.is_materialised(area), 1)
	local id = ffi.new("uint64_t[2]")
	equal("get_id", lib.get_id(area, id, id + 1), 0)
	equal("inode", id[1] ~= 0, true)
	ffi.C.close(mine)
	local early = ffi.new("struct ashmem_area *[1]")
	equal("create another", lib.create("early", 0, 0, early), 0)
	mine = lib.export_early(early[0])
	equal("export_early", lib.fd_kind(mine), lib.FD_AREA)
	equal("not materialised", lib.is_materialised(early[0]), 0)
	ffi.C.close(mine)
	lib.close(early[0])
	local read_only = lib.export_read_only(area)
	equal("export_read_only", read_only >= 0, true)
	ffi.C.close(read_only)
	lib.unmap(address, BYTES)
	equal("seal", lib.seal(area), 0)
	equal("read-only from now on", lib.get_prot(area), lib.PROT_READ + lib.PROT_EXEC)
	for _ = 1, 3 do
		lib.close(area)
	end
end

-- The source "service" takes events from a FIFO, so there is no need to make memory short.
local function pressure(scratch)
	local fifo = scratch .. "/pressure"
	equal("mkfifo", ffi.C.mkfifo(fifo, 384), 0)
	ffi.C.setenv("MEMORY_PRESSURE_WATCH", fifo, 1)
	local told
	local on_level = ffi.cast("ashmem_pressure_fn", function(userdata, level, before, pages)
		told = { userdata, level, before, tonumber(pages) }
	end)

	local area = new_area()
	local address = new_mapping(area)
	lib.unpin(area, 0, 0)
	local options = lib.sized("struct ashmem_pressure_options")
	local source = "service" -- must outlive the call
	options.source, options.some_percent, options.hold_ms = source, 100, 1
	options.reserve_percent, options.reserve_most_bytes = 50, 2 ^ 40
	local watch = ffi.new("struct ashmem_pressure *[1]")
	equal("pressure_open", lib.pressure_open(options, watch), 0)
	watch = watch[0]
	equal("pressure_source", ffi.string(lib.pressure_source(watch)), "service")
	local length = lib.pressure_explain(watch, nil, 0)
	local text = ffi.new("char[?]", length + 1)
	equal("pressure_explain", lib.pressure_explain(watch, text, length + 1), length)
	equal("explains its source", ffi.string(text):find("service", 1, true) ~= nil, true)
	equal("pressure_subscribe", lib.pressure_subscribe(watch, on_level, nil), 0)
	equal("no pressure", lib.pressure_dispatch(watch), lib.PRESSURE_NONE)
	equal("pressure_fd", lib.pressure_fd(watch) >= 0, true)
	equal("pressure_make_room", lib.pressure_make_room(watch, 1), -61) -- ENODATA

	local events = ffi.C.open(fifo, 2)
	ffi.C.write(events, "!", 1)
	equal("pressure", lib.pressure_dispatch(watch), lib.PRESSURE_SOME)
	equal("told", told ~= nil, true)
	if told then
		equal("told the level", told[2], lib.PRESSURE_SOME)
		equal("told the level before", told[3], lib.PRESSURE_NONE)
		equal("told the pages", told[4], 16)
	end
	equal("purged", lib.pin(area, 0, 0), lib.WAS_PURGED)
	local status = lib.sized("struct ashmem_pressure_status")
	equal("pressure_get_status", lib.pressure_get_status(watch, status), 0)
	equal("pages purged", status.purged_pages, 16)

	-- LuaJIT cannot be called on a thread that is not its own: no subscriber while the
	-- library's thread runs.
	equal("no subscriber", lib.pressure_subscribe(watch, nil, nil), 0)
	equal("pressure_run", lib.pressure_run(watch), 0)
	equal("pressure_stop", lib.pressure_stop(watch), 0)
	ffi.C.close(events)
	lib.pressure_close(watch)
	on_level:free()
	lib.unmap(address, BYTES)
	lib.close(area)
end

local function shrinkers()
	local pages, released = 100, false
	local options = lib.sized("struct ashmem_shrinker_options")
	local name = "lua"
	options.name, options.batch_pages = name, 7
	options.count = function()
		return pages
	end
	options.scan = function(_, nr_to_scan)
		if pages == 0 then
			return lib.SHRINK_STOP
		end
		local freed = math.min(tonumber(nr_to_scan), pages)
		pages = pages - freed
		return freed
	end
	options.release = function()
		released = true
	end
	local shrinker = ffi.new("struct ashmem_shrinker *[1]")
	equal("shrinker_register", lib.shrinker_register(options, shrinker), 0)
	equal("shrink_count with it", lib.shrink_count(), 100)
	equal("shrink with it", lib.shrink(30), 30)
	equal("its pages", pages, 70)
	local stats = lib.sized("struct ashmem_shrinker_stats")
	equal("shrinker_set_areas_seeks", lib.shrinker_set_areas_seeks(0), 0)
	equal("shrinker_get_stats", lib.shrinker_get_stats(1, stats), 0)
	equal("its name", ffi.string(stats.name), "lua")
	equal("its scans", stats.scans, 5)
	lib.shrinker_unregister(shrinker[0])
	equal("released", released, true)
	equal("shrink without it", lib.shrink(30), 0)
	for _, callback in ipairs({ options.count, options.scan, options.release }) do
		callback:free()
	end
end

local function budgets()
	local budget = ffi.new("struct ashmem_budget *[1]")
	local limits = lib.sized("struct ashmem_budget_options")
	limits.unpinned_bytes = 2 * PAGE
	equal("budget_create", lib.budget_create(limits, budget), 0)
	local area = new_area("bounded")
	local address = new_mapping(area)
	equal("budget_add", lib.budget_add(budget[0], area), 0)
	for page = 0, 2 do
		lib.unpin(area, page * PAGE, PAGE)
	end
	local usage = lib.sized("struct ashmem_budget_usage")
	equal("budget_get_usage", lib.budget_get_usage(budget[0], usage), 0)
	equal("unpinned", usage.unpinned_bytes, 2 * PAGE)
	equal("purged", usage.purged_pages, 1)
	equal("the oldest went", lib.pin(area, 0, PAGE), lib.WAS_PURGED)
	equal("budget_remove", lib.budget_remove(budget[0], area), 0)
	lib.budget_close(budget[0])
	local process = lib.budget_process()
	limits.unpinned_bytes, limits.all_bytes, limits.flags = 0, PAGE, lib.BUDGET_REFUSE
	equal("budget_set_limits", lib.budget_set_limits(process, limits), 0)
	local more = new_area("more")
	equal("refused", lib.fd(more) < 0, true)
	lib.budget_close(process)
	lib.close(more)
	lib.unmap(address, BYTES)
	lib.close(area)
end

-- A backend written in Lua: bytes of the heap, one range that is pinned or not. Callbacks must not
-- raise errors, and the functions that call into them must not be compiled (jit.off), which LuaJIT
-- asks for.
local kept -- the library calls its functions for good, so Lua must not collect them

local function lua_backend()
	local areas, calls = {}, {}
	local table = lib.sized("struct ashmem_backend")
	local function id(state)
		return tonumber(ffi.cast("intptr_t", state))
	end
	local function pages(area)
		return (area.pinned or area.purged) and 0 or area.size / PAGE
	end
	local operations = {
		probe = function() return 0 end,
		create = function(_, name, size, _, state)
			areas[#areas + 1] = { name = ffi.string(name), size = tonumber(size),
				prot = RW + lib.PROT_EXEC, pinned = true }
			state[0] = ffi.cast("void *", #areas)
			return 0
		end,
		close = function(state)
			local area = areas[id(state)]
			if area.memory then ffi.C.free(area.memory) end
			areas[id(state)] = nil
		end,
		set_name = function(state, name)
			areas[id(state)].name = ffi.string(name)
			return 0
		end,
		get_name = function(state, name) ffi.copy(name, areas[id(state)].name) return 0 end,
		set_size = function(state, size)
			areas[id(state)].size = tonumber(size)
			return 0
		end,
		get_size = function(state, size, materialised)
			size[0], materialised[0] = areas[id(state)].size,
				areas[id(state)].memory and 1 or 0
			return 0
		end,
		set_prot = function(state, prot) areas[id(state)].prot = prot return 0 end,
		get_prot = function(state) return areas[id(state)].prot end,
		get_fd = function() return 0 end,
		map = function(state, _, _, _, _, address)
			local area = areas[id(state)]
			area.memory = area.memory or ffi.C.calloc(1, area.size)
			address[0] = area.memory
			return 0
		end,
		read = function(_, _, length) return ffi.cast("int64_t", length) end,
		pread = function(_, _, length) return ffi.cast("int64_t", length) end,
		seek = function(_, offset) return offset end,
		pin = function(state)
			local area = areas[id(state)]
			local was = area.purged
			area.purged, area.pinned = false, true
			return was and lib.WAS_PURGED or lib.NOT_PURGED
		end,
		unpin = function(state)
			local area = areas[id(state)]
			area.pinned, area.key = false, lib.backend_key(lib.PRIORITY_NORMAL,
				lib.ORDER_FIFO, 1)
			return 0
		end,
		get_pin_status = function(state)
			return areas[id(state)].pinned and lib.IS_PINNED or lib.IS_UNPINNED
		end,
		evictable = function(state) return pages(areas[id(state)]) end,
		oldest = function(state, stamp)
			local area = areas[id(state)]
			if pages(area) == 0 then return 0 end
			stamp[0] = area.key
			return 1
		end,
		purge = function(state)
			local freed = pages(areas[id(state)])
			areas[id(state)].purged = true
			lib.backend_note_purged(0, freed * PAGE)
			return freed
		end,
	}
	local name = "lua"
	table.name, table.capabilities = name, lib.CAP_LRU
	for operation, call in pairs(operations) do
		table[operation] = function(...)
			calls[operation] = true
			return call(...)
		end
	end
	kept = { table, name }
	return table, operations, calls
end

local function backend()
	local table, operations, calls = lua_backend()
	equal("backend_register", lib.backend_register(table), 0)
	equal("backend_select", lib.backend_select("lua"), 0)
	local area = new_area("in lua")
	equal("backend_name", ffi.string(lib.backend_name(area)), "lua")
	equal("set_name", lib.set_name(area, "renamed"), 0)
	equal("set_size", lib.set_size(area, BYTES), 0)
	equal("set_prot", lib.set_prot(area, RW), 0)
	local name = ffi.new("char[?]", lib.NAME_LEN)
	lib.get_name(area, name, lib.NAME_LEN)
	equal("name", ffi.string(name), "renamed")
	local address = ffi.new("void *[1]")
	equal("map", lib.map(area, 0, BYTES, RW, lib.MAP_SHARED, address), 0)
	equal("fd", lib.fd(area), 0)
	equal("read", lib.read(area, name, 2), 2)
	equal("pread", lib.pread(area, name, 2, 0), 2)
	equal("seek", lib.seek(area, 3, lib.SEEK_SET), 3)
	equal("unpin", lib.unpin(area, 0, 0), 0)
	equal("status", lib.get_pin_status(area, 0, 0), lib.IS_UNPINNED)
	equal("shrink_count", lib.shrink_count(), 16)
	equal("shrink", lib.shrink(1), 16)
	equal("pin", lib.pin(area, 0, 0), lib.WAS_PURGED)
	lib.close(area)
	for operation in pairs(operations) do
		equal("called " .. operation, calls[operation], true)
	end
	equal("backend_select back", lib.backend_select("memfd"), 0)
end

local function caches()
	local options = lib.sized("struct ashmem_cache_options")
	options.most_bytes = 1048576
	local out, entry = ffi.new("struct ashmem_cache *[1]"), ffi.new("struct ashmem_entry *[1]")
	equal("cache_create", lib.cache_create("from lua", options, out), 0)
	local cache = out[0]
	equal("cache_import", lib.cache_import(lib.cache_fd(cache), out), 0)
	local again = out[0]
	equal("cache_area", lib.cache_area(cache) ~= nil, true)
	equal("cache_put", lib.cache_put(again, "key", 3, "value", 5, 0), 0)
	equal("cache_put_with", lib.cache_put_with(cache, "key", 3, "other", 5, 0, lib.PUT_REPLACE),
		0)
	local buffer = ffi.new("char[16]")
	equal("cache_read", lib.cache_read(cache, "key", 3, buffer, 16), 5)
	equal("what it read", ffi.string(buffer, 5), "other")
	local bytes = ffi.new("uint64_t[1]")
	equal("cache_get", lib.cache_get(cache, "key", 3, entry), 0)
	equal("entry_value", ffi.string(lib.entry_value(entry[0], bytes), 5), "other")
	lib.entry_release(entry[0])
	equal("cache_reserve", lib.cache_reserve(cache, "built", 5, 4, 0, entry), 0)
	ffi.copy(lib.entry_room(entry[0], bytes), "here", 4)
	equal("entry_commit", lib.entry_commit(entry[0]), 0)
	lib.entry_release(entry[0])
	equal("cache_claim", lib.cache_claim(cache, "new", 3, 0, entry), lib.CLAIM_BUILD)
	lib.entry_release(entry[0])
	equal("cache_get_ttl", lib.cache_get_ttl(cache, "key", 3), 0)
	equal("cache_touch", lib.cache_touch(cache, "key", 3, 100000), 0)
	equal("a new time to live", lib.cache_get_ttl(cache, "key", 3) > 0, true)
	equal("cache_remove", lib.cache_remove(cache, "key", 3), 0)
	local position, key_bytes = ffi.new("uint64_t[1]"), ffi.new("size_t[1]")
	equal("cache_next", lib.cache_next(cache, position, buffer, 16, key_bytes, bytes), 1)
	equal("the key", ffi.string(buffer, key_bytes[0]), "built")
	equal("cache_clear", lib.cache_clear(cache), 0)
	lib.cache_close(again)
	local stats = lib.sized("struct ashmem_cache_stats")
	equal("cache_get_stats", lib.cache_get_stats(cache, stats), 0)
	equal("puts", stats.puts, 3)
	equal("cache_open", lib.cache_open("ashmem-ffi.lua", options, out), 0)
	equal("it is new", lib.cache_read(out[0], "key", 3, buffer, 16) < 0, true)
	lib.cache_close(out[0])
	lib.cache_close(cache)
end

jit.off(true, true)
equal("backend_select", lib.backend_select("memfd"), 0)
versions()
attributes()
memory()
pinning()
priorities()
notices()
losses_and_modes()
shrinkers()
budgets()
caches()
sharing()
pressure(arg[1]:match("^(.*)/"))
backend()
local called = assert(io.open(arg[1], "w"))
for name in pairs(lib.called) do
	called:write(name, "\n")
end
called:close()
lib.finish()
