-- SPDX-License-Identifier: MIT
--
-- libashmem through LuaJIT's FFI: what a binding has to copy from the manual, and nothing else. The
-- library's file is named by LIBASHMEM. `library.pin(...)` calls ashmem_pin(); `called` has the
-- names of those that were called.

local ffi = require("ffi")

ffi.cdef([[
struct ashmem_area;
struct ashmem_pressure;
struct ashmem_shrinker;
struct ashmem_budget;

struct ashmem_area_stats {
	size_t struct_size;
	uint64_t size_pages, unpinned_ranges, unpinned_pages, evictable_pages, purged_pages,
		pins_found_purged, recoveries,
		pinned_pages, resident_pages, held_pages, lock_waits, lock_timeouts;
	uint32_t readers, sealed;
};
struct ashmem_peek_result {
	size_t struct_size;
	uint64_t size_bytes, serial[2], unpinned_ranges, unpinned_pages, evictable_pages,
		resident_pages, purged_pages, oldest_key;
	uint32_t prot, busy, readers, sealed, damaged, reserved;
	char name[256];
};
struct ashmem_purge_fd_options {
	size_t struct_size;
	uint64_t most_pages, newest_key, serial[2];
	uint32_t wait_ms, reserved;
};
struct ashmem_extent {
	uint64_t offset, length;
};
struct ashmem_process_stats {
	size_t struct_size;
	uint64_t areas, evictable_pages, purged_pages;
	uint64_t size_pages, pinned_pages, unpinned_ranges, unpinned_pages, resident_pages,
		held_pages, areas_purged_pages,
		pins_found_purged, lock_waits, lock_timeouts, recoveries, sealed_areas,
		unknown_areas;
	uint32_t pressure_level, reserved;
	const char *pressure_source;
};
struct ashmem_pressure_options {
	size_t struct_size;
	const char *source;
	uint32_t some_percent, high_percent, critical_percent, hold_ms, flags, reserve_percent;
	uint64_t reserve_most_bytes;
	uint32_t priority, reserved;
	const char *cgroup;
};
struct ashmem_pressure_status {
	size_t struct_size;
	uint64_t level, dispatches, events, purges, wanted_pages, purged_pages, purge_ns,
		headroom_purges, lost_sources,
		free_bytes, limit_bytes, unpin_purges, reserve_bytes, bursts;
};
typedef void (*ashmem_purge_fn)(void *userdata, struct ashmem_area *area, uint64_t offset,
	uint64_t length);
typedef void (*ashmem_pressure_fn)(void *userdata, uint32_t level, uint32_t before,
	uint64_t purged_pages);

struct ashmem_backend {
	size_t struct_size;
	const char *name;
	uint32_t capabilities;
	void *userdata;
	int (*create)(void *userdata, const char *name, uint64_t size_bytes, uint32_t flags,
		void **state);
	void (*close)(void *state);
	int (*get_size)(void *state, uint64_t *size_bytes, int *materialised);
	int (*map)(void *state, uint64_t offset, size_t length, int prot, int map_flags,
		void **addr);
	int (*pin)(void *state, uint64_t offset, uint64_t length);
	int (*unpin)(void *state, uint64_t offset, uint64_t length);
	int (*probe)(void *userdata);
	int (*import)(void *userdata, int fd, void **state);
	int (*set_name)(void *state, const char *name);
	int (*get_name)(void *state, char *name);
	int (*set_size)(void *state, uint64_t size_bytes);
	int (*set_prot)(void *state, int prot);
	int (*get_prot)(void *state);
	int (*get_fd)(void *state);
	int64_t (*read)(void *state, void *buf, size_t length);
	int64_t (*pread)(void *state, void *buf, size_t length, uint64_t offset);
	int64_t (*seek)(void *state, int64_t offset, int whence);
	int (*get_pin_status)(void *state, uint64_t offset, uint64_t length);
	uint64_t (*evictable)(void *state);
	int (*oldest)(void *state, uint64_t *stamp);
	int64_t (*purge)(void *state, uint64_t newest, uint64_t nr_pages);
	void (*begin_purge)(void *state);
	uint64_t (*present)(void *state);
	uint64_t (*resident)(void *state);
	int64_t (*purge_all)(void *userdata);
	int (*find_unpinned)(void *state, uint64_t from, uint64_t *offset, uint64_t *length,
		uint32_t *range_state);
	int (*get_stats)(void *state, void *stats);
	int (*seal)(void *state);
	int (*export_read_only)(void *state);
	int (*hold)(void *state, uint64_t offset, uint64_t length);
	int (*release)(void *state, uint64_t offset, uint64_t length, uint32_t flags);
	int (*unpin_with)(void *state, uint64_t offset, uint64_t length, uint32_t priority,
		uint32_t order);
	int (*pin_lost)(void *state, uint64_t offset, uint64_t length, struct ashmem_extent *lost,
		uint32_t capacity,
		uint32_t *count);
	int (*find)(void *userdata, int fd, void **state);
	int (*fd_kind)(void *userdata, int fd);
	int (*get_id)(void *state, uint64_t *device, uint64_t *inode);
	int (*export_early)(void *state);
	int64_t (*purge_range)(void *state, uint64_t *offset, uint64_t end);
};

typedef uint64_t (*ashmem_shrinker_count_fn)(void *userdata);
typedef int64_t (*ashmem_shrinker_scan_fn)(void *userdata, uint64_t nr_to_scan);
typedef void (*ashmem_shrinker_release_fn)(void *userdata);
struct ashmem_shrinker_options {
	size_t struct_size;
	const char *name;
	ashmem_shrinker_count_fn count;
	ashmem_shrinker_scan_fn scan;
	ashmem_shrinker_release_fn release;
	void *userdata;
	uint64_t batch_pages;
	uint32_t seeks;
};
struct ashmem_shrinker_stats {
	size_t struct_size;
	uint64_t scans, asked_pages, freed_pages, stops, batch_pages, seeks;
	char name[64];
};
struct ashmem_budget_options {
	size_t struct_size;
	uint64_t unpinned_bytes, all_bytes;
	uint32_t flags;
};
struct ashmem_budget_usage {
	size_t struct_size;
	uint64_t unpinned_bytes, all_bytes, unpinned_limit_bytes, all_limit_bytes, over_bytes,
		areas, purges, purged_pages;
};

struct ashmem_cache;
struct ashmem_entry;
struct ashmem_cache_options {
	size_t struct_size;
	uint64_t most_bytes, entries, value_most_bytes;
	uint32_t flags, reserved;
};
struct ashmem_cache_stats {
	size_t struct_size;
	uint64_t hits, misses, misses_never, misses_purged, misses_expired, misses_dropped, puts,
		removes, evictions, carried, segments, segment_bytes, bytes, bytes_unused,
		bytes_filled, bytes_index, entries_most;
};
int ashmem_cache_create(const char *name, const struct ashmem_cache_options *options,
	struct ashmem_cache **cache);
int ashmem_cache_open(const char *name, const struct ashmem_cache_options *options,
	struct ashmem_cache **cache);
int ashmem_cache_import(int fd, struct ashmem_cache **cache);
int ashmem_cache_fd(struct ashmem_cache *cache);
struct ashmem_area *ashmem_cache_area(struct ashmem_cache *cache);
void ashmem_cache_close(struct ashmem_cache *cache);
int64_t ashmem_cache_read(struct ashmem_cache *cache, const void *key, size_t key_bytes, void *buf,
	size_t buf_bytes);
int ashmem_cache_get(struct ashmem_cache *cache, const void *key, size_t key_bytes,
	struct ashmem_entry **entry);
int ashmem_cache_put(struct ashmem_cache *cache, const void *key, size_t key_bytes,
	const void *value, size_t value_bytes, uint64_t ttl_ms);
int ashmem_cache_put_with(struct ashmem_cache *cache, const void *key, size_t key_bytes,
	const void *value, size_t value_bytes, uint64_t ttl_ms, uint32_t flags);
int ashmem_cache_reserve(struct ashmem_cache *cache, const void *key, size_t key_bytes,
	size_t value_bytes, uint64_t ttl_ms, struct ashmem_entry **entry);
int ashmem_cache_claim(struct ashmem_cache *cache, const void *key, size_t key_bytes,
	uint32_t wait_ms, struct ashmem_entry **entry);
int ashmem_cache_touch(struct ashmem_cache *cache, const void *key, size_t key_bytes,
	uint64_t ttl_ms);
int64_t ashmem_cache_get_ttl(struct ashmem_cache *cache, const void *key, size_t key_bytes);
int ashmem_cache_remove(struct ashmem_cache *cache, const void *key, size_t key_bytes);
int ashmem_cache_clear(struct ashmem_cache *cache);
int ashmem_cache_next(struct ashmem_cache *cache, uint64_t *position, void *key, size_t key_room,
	size_t *key_bytes, uint64_t *value_bytes);
int ashmem_cache_get_stats(struct ashmem_cache *cache, struct ashmem_cache_stats *stats);
const void *ashmem_entry_value(const struct ashmem_entry *entry, uint64_t *value_bytes);
void *ashmem_entry_room(struct ashmem_entry *entry, uint64_t *room_bytes);
int ashmem_entry_commit(struct ashmem_entry *entry);
void ashmem_entry_release(struct ashmem_entry *entry);

int ashmem_create(const char *name, uint64_t size_bytes, uint32_t flags, struct ashmem_area **area);
void ashmem_close(struct ashmem_area *area);
int ashmem_set_name(struct ashmem_area *area, const char *name);
int ashmem_get_name(const struct ashmem_area *area, char *buf, size_t buf_size);
int ashmem_set_size(struct ashmem_area *area, uint64_t size_bytes);
uint64_t ashmem_get_size(const struct ashmem_area *area);
int ashmem_set_prot(struct ashmem_area *area, int prot);
int ashmem_get_prot(const struct ashmem_area *area);
int ashmem_map(struct ashmem_area *area, uint64_t offset, size_t length, int prot, int map_flags,
	void **addr);
int ashmem_unmap(void *addr, size_t length);
int ashmem_populate(void *addr, size_t length);
int64_t ashmem_read(struct ashmem_area *area, void *buf, size_t length);
int64_t ashmem_pread(struct ashmem_area *area, void *buf, size_t length, uint64_t offset);
int64_t ashmem_seek(struct ashmem_area *area, int64_t offset, int whence);
int ashmem_pin(struct ashmem_area *area, uint64_t offset, uint64_t length);
int ashmem_unpin(struct ashmem_area *area, uint64_t offset, uint64_t length);
int ashmem_unpin_with(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t priority,
	uint32_t order);
int ashmem_pin_lost(struct ashmem_area *area, uint64_t offset, uint64_t length,
	struct ashmem_extent *lost, uint32_t capacity,
	uint32_t *count);
int ashmem_debug_set(const char *modes);
int ashmem_debug_get(char *buf, size_t buf_size);
int ashmem_get_pin_status(struct ashmem_area *area, uint64_t offset, uint64_t length);
int ashmem_hold(struct ashmem_area *area, uint64_t offset, uint64_t length);
int ashmem_release(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t flags);
int ashmem_find_unpinned(struct ashmem_area *area, uint64_t from, uint64_t *offset,
	uint64_t *length, uint32_t *state);
int ashmem_fd(struct ashmem_area *area);
int ashmem_export(struct ashmem_area *area);
int ashmem_export_early(struct ashmem_area *area);
int ashmem_export_read_only(struct ashmem_area *area);
int ashmem_find(int fd, struct ashmem_area **area);
int ashmem_fd_kind(int fd);
int ashmem_ref(struct ashmem_area *area);
int ashmem_is_materialised(struct ashmem_area *area);
int ashmem_get_id(struct ashmem_area *area, uint64_t *device, uint64_t *inode);
int ashmem_seal(struct ashmem_area *area);
int ashmem_import(int fd, struct ashmem_area **area);
int ashmem_send(int socket_fd, struct ashmem_area *area);
int ashmem_recv(int socket_fd, struct ashmem_area **area);
int ashmem_publish(struct ashmem_area *area, const char *name);
int ashmem_open_named(const char *name, struct ashmem_area **area);
int ashmem_unpublish(const char *name);
int64_t ashmem_purge(struct ashmem_area *area, uint64_t offset_bytes, uint64_t length_bytes);
int64_t ashmem_purge_all(void);
int64_t ashmem_shrink(uint64_t nr_pages);
uint64_t ashmem_shrink_count(void);
int ashmem_purge_subscribe(ashmem_purge_fn fn, void *userdata);
int ashmem_purge_unsubscribe(int id);
struct ashmem_purge_queue;
struct ashmem_purge_queue_options {
	size_t struct_size;
	uint32_t entries;
};
struct ashmem_purge_notice {
	size_t struct_size;
	struct ashmem_area *area;
	uint64_t offset;
	uint64_t length;
	uint32_t flags;
};
int ashmem_purge_queue_open(const struct ashmem_purge_queue_options *options,
	struct ashmem_purge_queue **queue);
int ashmem_purge_queue_fd(const struct ashmem_purge_queue *queue);
int ashmem_purge_queue_next(struct ashmem_purge_queue *queue, struct ashmem_purge_notice *notice);
void ashmem_purge_queue_close(struct ashmem_purge_queue *queue);
int ashmem_shrinker_register(const struct ashmem_shrinker_options *options,
	struct ashmem_shrinker **shrinker);
void ashmem_shrinker_unregister(struct ashmem_shrinker *shrinker);
int ashmem_shrinker_set_areas_seeks(uint32_t seeks);
int ashmem_shrinker_get_stats(uint32_t index, struct ashmem_shrinker_stats *stats);
int ashmem_budget_create(const struct ashmem_budget_options *options,
	struct ashmem_budget **budget);
struct ashmem_budget *ashmem_budget_process(void);
void ashmem_budget_close(struct ashmem_budget *budget);
int ashmem_budget_set_limits(struct ashmem_budget *budget,
	const struct ashmem_budget_options *options);
int ashmem_budget_add(struct ashmem_budget *budget, struct ashmem_area *area);
int ashmem_budget_remove(struct ashmem_budget *budget, struct ashmem_area *area);
int ashmem_budget_get_usage(struct ashmem_budget *budget, struct ashmem_budget_usage *usage);
int ashmem_area_get_stats(struct ashmem_area *area, struct ashmem_area_stats *stats);
int ashmem_peek(int fd, struct ashmem_peek_result *peek);
int64_t ashmem_purge_fd(int fd, const struct ashmem_purge_fd_options *options);
int ashmem_process_get_stats(struct ashmem_process_stats *stats);
int ashmem_backend_select(const char *name);
const char *ashmem_backend_name(const struct ashmem_area *area);
int ashmem_backend_register(const struct ashmem_backend *backend);
uint64_t ashmem_backend_key(uint32_t priority, uint32_t order, uint64_t stamp_ns);
void ashmem_backend_note_purged(uint64_t offset, uint64_t length);
int ashmem_pressure_open(const struct ashmem_pressure_options *options,
	struct ashmem_pressure **pressure);
void ashmem_pressure_close(struct ashmem_pressure *pressure);
int ashmem_pressure_fd(struct ashmem_pressure *pressure);
int ashmem_pressure_dispatch(struct ashmem_pressure *pressure);
int64_t ashmem_pressure_make_room(struct ashmem_pressure *pressure, uint64_t bytes);
int ashmem_pressure_subscribe(struct ashmem_pressure *pressure, ashmem_pressure_fn fn,
	void *userdata);
int ashmem_pressure_run(struct ashmem_pressure *pressure);
int ashmem_pressure_stop(struct ashmem_pressure *pressure);
const char *ashmem_pressure_source(struct ashmem_pressure *pressure);
int ashmem_pressure_explain(struct ashmem_pressure *pressure, char *buf, size_t buf_size);
int ashmem_pressure_get_status(struct ashmem_pressure *pressure,
	struct ashmem_pressure_status *status);
uint32_t ashmem_version(void);
const char *ashmem_version_string(void);
int ashmem_version_at_least(uint32_t major, uint32_t minor, uint32_t patch);
]])

local M = {
	NOT_PURGED = 0, WAS_PURGED = 1,
	IS_UNPINNED = 0, IS_PINNED = 1,
	NAME_LEN = 256,
	RANGE_PURGED = 1, RANGE_EVICTABLE = 2,
	RELEASE_LOST = 1,
	CREATE_ALLOW_SEAL = 1,
	FD_NONE = 0,
	FD_AREA = 1,
	FD_READ_ONLY = 2,
	FD_FOREIGN = 3,
	CAP_LRU = 1, CAP_INSPECT = 4, CAP_PRIORITIES = 64,
	PRIORITY_FIRST = 0, PRIORITY_NORMAL = 4, PRIORITY_LAST = 7,
	ORDER_FIFO = 16, ORDER_LIFO = 17,
	PRESSURE_NONE = 0, PRESSURE_SOME = 1,
	SHRINK_STOP = -1,
	BUDGET_REFUSE = 1,
	PUT_ADD = 1, PUT_REPLACE = 2,
	CLAIM_FOUND = 0, CLAIM_BUILD = 1,
	-- These are Linux's and the same on every processor; MAP_ANONYMOUS and the error numbers
	-- are not.
	PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4,
	MAP_SHARED = 1, MAP_PRIVATE = 2,
	SEEK_SET = 0, SEEK_CUR = 1,
	called = {},
}

local C = ffi.load(os.getenv("LIBASHMEM"))

setmetatable(M, {
	__index = function(_, name)
		local symbol = "ashmem_" .. name
		local call = C[symbol]
		return function(...)
			M.called[symbol] = true
			return call(...)
		end
	end,
})

-- A structure whose first member says how much of it we know.
function M.sized(kind)
	local value = ffi.new(kind)
	value.struct_size = ffi.sizeof(kind)
	return value
end

-- Counts what was expected; the last line is `N passed, N failed, N skipped`.
local passed, failed = 0, 0

local function plain(value)
	if type(value) == "cdata" and
		(ffi.istype("int64_t", value) or ffi.istype("uint64_t", value)) then
		return tonumber(value)
	end
	return value
end

function M.equal(what, value, expected)
	if plain(value) == plain(expected) then
		passed = passed + 1
	else
		failed = failed + 1
		print(("FAIL: %s: %s, expected %s"):format(what, tostring(value),
			tostring(expected)))
	end
end

function M.finish()
	print(("%d passed, %d failed, 0 skipped"):format(passed, failed))
	os.exit(failed == 0)
end

return M
