/* SPDX-License-Identifier: MIT */
/*
 * Every function once; see every_call.h. Pieces run on threads of a test, so they expect nothing.
 */
#define _GNU_SOURCE 1
#include "support/every_call.h"
#include "support/contract.h"
#include "support/toy_backend.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST = 256 };

/* What the call returns is of no interest. */
#define TRY(call) ((void)!(call))

static struct every_call calls[MOST];
static uint32_t calls_known;

static void add(const char *name, void (*run)(struct every_world *))
{
	if (calls_known < MOST)
		calls[calls_known++] = (struct every_call){name, run};
}

const struct every_call *every_call(uint32_t *count)
{
	*count = calls_known;
	return calls;
}

#define CALL(function)                                                \
	static void run_##function(struct every_world *world);        \
	__attribute__((constructor)) static void add_##function(void) \
	{                                                             \
		add(#function, run_##function);                       \
	}                                                             \
	static void run_##function(__attribute__((unused)) struct every_world *world)

static struct ashmem_area *fresh(uint32_t flags)
{
	struct ashmem_area *area = NULL;

	return ashmem_create("fresh", 4 * page_bytes(), flags, &area) == 0 ? area : NULL;
}

/* Materialised, and its state not yet written. */
static struct ashmem_area *fresh_mapped(void)
{
	struct ashmem_area *area = fresh(0);
	void *at;

	if (ashmem_map(area, 0, page_bytes(), PROT_RW, MAP_SHARED, &at) == 0)
		munmap(at, page_bytes());
	return area;
}

static void unpin_some(struct every_world *world)
{
	TRY(ashmem_pin(world->view.area, 0, 0));
	for (uint64_t page = 0; page < EVERY_PAGES; page += 2) {
		memset(world->view.base + page * page_bytes(), 1, page_bytes());
		ashmem_unpin(world->view.area, page * page_bytes(), page_bytes());
	}
}

/* -- areas -- */

CALL(ashmem_create)
{
	ashmem_close(fresh(0));
}

CALL(ashmem_close)
{
	ashmem_close(fresh_mapped());
}

CALL(ashmem_set_name)
{
	struct ashmem_area *area = fresh(0);

	ashmem_set_name(area, "renamed");
	ashmem_close(area);
}

CALL(ashmem_get_name)
{
	char name[ASHMEM_NAME_LEN];

	ashmem_get_name(world->view.area, name, sizeof(name));
	ashmem_get_name(world->reader, name, sizeof(name));
}

CALL(ashmem_set_size)
{
	struct ashmem_area *area = fresh(0);

	ashmem_set_size(area, page_bytes());
	ashmem_close(area);
}

CALL(ashmem_get_size)
{
	ashmem_get_size(world->view.area);
}

CALL(ashmem_set_prot)
{
	struct ashmem_area *area = fresh_mapped();

	TRY(ashmem_set_prot(area, PROT_READ));
	ashmem_close(area);
}

CALL(ashmem_get_prot)
{
	ashmem_get_prot(world->view.area);
	ashmem_get_prot(world->reader);
}

CALL(ashmem_backend_name)
{
	ashmem_backend_name(world->view.area);
}

CALL(ashmem_map)
{
	ashmem_close(fresh_mapped());
}

CALL(ashmem_unmap)
{
	void *at;

	if (ashmem_map(world->view.area, 0, page_bytes(), PROT_RW, MAP_SHARED, &at) == 0)
		ashmem_unmap(at, page_bytes());
}

CALL(ashmem_populate)
{
	ashmem_populate(world->view.base, EVERY_PAGES * page_bytes());
}

CALL(ashmem_read)
{
	char bytes[16];

	TRY(ashmem_read(world->view.area, bytes, sizeof(bytes)));
}

CALL(ashmem_pread)
{
	char bytes[16];

	TRY(ashmem_pread(world->view.area, bytes, sizeof(bytes), 0));
}

CALL(ashmem_seek)
{
	ashmem_seek(world->view.area, 0, SEEK_SET);
	ashmem_seek(world->view.area, 0, SEEK_DATA);
}

/* -- sharing -- */

CALL(ashmem_fd)
{
	struct ashmem_area *area = fresh(0);

	TRY(ashmem_fd(area));
	ashmem_close(area);
}

static void close_quietly(int fd)
{
	if (fd >= 0)
		syscall(SYS_close, fd); /* close(2) is a cancellation point */
}

CALL(ashmem_export_read_only)
{
	close_quietly(ashmem_export_read_only(world->view.area));
}

CALL(ashmem_export)
{
	struct ashmem_area *area = fresh(0);

	close_quietly(ashmem_export(area));
	close_quietly(ashmem_export(world->reader));
	ashmem_close(area);
}

CALL(ashmem_export_early)
{
	struct ashmem_area *area = fresh(0);

	close_quietly(ashmem_export_early(area));
	ashmem_set_name(area, "renamed");
	TRY(ashmem_fd(area));
	ashmem_close(area);
}

CALL(ashmem_ref)
{
	ashmem_ref(world->view.area);
	ashmem_close(world->view.area);
}

CALL(ashmem_is_materialised)
{
	TRY(ashmem_is_materialised(world->view.area));
}

CALL(ashmem_get_id)
{
	uint64_t device, inode;

	TRY(ashmem_get_id(world->view.area, &device, &inode));
}

CALL(ashmem_find)
{
	struct ashmem_area *area;

	if (ashmem_find(world->read_only_fd, &area) == 0)
		ashmem_close(area);
}

CALL(ashmem_fd_kind)
{
	TRY(ashmem_fd_kind(world->read_only_fd));
}

CALL(ashmem_seal)
{
	struct ashmem_area *area = fresh(ASHMEM_CREATE_ALLOW_SEAL);

	TRY(ashmem_seal(area));
	ashmem_close(area);
}

CALL(ashmem_import)
{
	struct ashmem_area *area;

	if (ashmem_import(world->read_only_fd, &area) == 0)
		ashmem_close(area);
}

static void send_and_receive(struct every_world *world)
{
	struct ashmem_area *area;

	if (ashmem_send(world->sockets[0], world->view.area) == 0 &&
		ashmem_recv(world->sockets[1], &area) == 0)
		ashmem_close(area);
}

CALL(ashmem_send)
{
	send_and_receive(world);
}

CALL(ashmem_recv)
{
	send_and_receive(world);
}

CALL(ashmem_publish)
{
	struct ashmem_area *area = fresh(0);

	TRY(ashmem_publish(area, "every"));
	ashmem_close(area);
}

CALL(ashmem_open_named)
{
	struct ashmem_area *area;

	TRY(ashmem_publish(world->view.area, "every"));
	if (ashmem_open_named("every", &area) == 0)
		ashmem_close(area);
}

CALL(ashmem_unpublish)
{
	ashmem_unpublish("every");
}

/* -- pins: of an area at work, of one whose state is yet to be made, of a reader -- */

CALL(ashmem_pin)
{
	struct ashmem_area *area = fresh_mapped();

	TRY(ashmem_pin(world->view.area, 0, 0));
	TRY(ashmem_pin(area, 0, 0));
	TRY(ashmem_pin(world->reader, 0, page_bytes()));
	ashmem_close(area);
	unpin_some(world);
}

CALL(ashmem_pin_lost)
{
	struct ashmem_area *area = fresh_mapped();
	struct ashmem_extent lost[4];
	uint32_t count;

	TRY(ashmem_pin_lost(world->view.area, 0, 0, lost, 4, &count));
	TRY(ashmem_pin_lost(area, 0, 0, lost, 4, &count));
	TRY(ashmem_pin_lost(world->reader, 0, page_bytes(), lost, 4, &count));
	ashmem_close(area);
	unpin_some(world);
}

CALL(ashmem_unpin)
{
	struct ashmem_area *area = fresh_mapped();

	ashmem_unpin(area, 0, 0);
	ashmem_unpin(world->reader, 0, page_bytes());
	ashmem_close(area);
	unpin_some(world);
}

CALL(ashmem_unpin_with)
{
	struct ashmem_area *area = fresh_mapped();

	ashmem_unpin_with(area, 0, 0, ASHMEM_PRIORITY_FIRST, ASHMEM_ORDER_LIFO);
	ashmem_close(area);
}

CALL(ashmem_get_pin_status)
{
	struct ashmem_area *area = fresh_mapped();

	ashmem_get_pin_status(world->view.area, 0, 0);
	ashmem_get_pin_status(area, 0, 0);
	ashmem_get_pin_status(world->reader, 0, 0);
	ashmem_close(area);
}

CALL(ashmem_hold)
{
	TRY(ashmem_hold(world->view.area, 0, page_bytes()));
	ashmem_release(world->view.area, 0, page_bytes(), 0);
}

CALL(ashmem_release)
{
	TRY(ashmem_hold(world->reader, 0, page_bytes()));
	ashmem_release(world->reader, 0, page_bytes(), 0);
	unpin_some(world);
}

CALL(ashmem_find_unpinned)
{
	uint64_t offset, length;
	uint32_t state;

	TRY(ashmem_find_unpinned(world->view.area, 0, &offset, &length, &state));
	TRY(ashmem_find_unpinned(world->reader, 0, &offset, &length, &state));
}

/* -- purging -- */

CALL(ashmem_shrink)
{
	unpin_some(world);
	ashmem_shrink(EVERY_PAGES);
}

CALL(ashmem_shrink_count)
{
	ashmem_shrink_count();
}

CALL(ashmem_purge)
{
	unpin_some(world);
	ashmem_purge(world->view.area, 0, page_bytes());
	ashmem_purge(world->reader, 0, page_bytes());
}

CALL(ashmem_purge_all)
{
	unpin_some(world);
	ashmem_purge_all();
}

static void ignore_purge(void *userdata, struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	(void)userdata, (void)area, (void)offset, (void)length;
}

static void subscribe_and_end(void)
{
	int id = ashmem_purge_subscribe(ignore_purge, NULL);

	if (id >= 0)
		ashmem_purge_unsubscribe(id);
}

CALL(ashmem_purge_subscribe)
{
	subscribe_and_end();
}

CALL(ashmem_purge_unsubscribe)
{
	subscribe_and_end();
}

static void open_and_fetch(void)
{
	struct ashmem_purge_notice notice = {.struct_size = sizeof(notice)};
	struct ashmem_purge_queue *queue = NULL;

	if (ashmem_purge_queue_open(NULL, &queue) < 0)
		return;
	TRY(ashmem_purge_queue_fd(queue));
	TRY(ashmem_purge_queue_next(queue, &notice));
	ashmem_purge_queue_close(queue);
}

CALL(ashmem_purge_queue_open)
{
	open_and_fetch();
}

CALL(ashmem_purge_queue_fd)
{
	open_and_fetch();
}

CALL(ashmem_purge_queue_next)
{
	open_and_fetch();
}

CALL(ashmem_purge_queue_close)
{
	open_and_fetch();
}

static void (*callback)(void);

static uint64_t count(void *userdata)
{
	(void)userdata;
	callback();
	return 10;
}

static int64_t scan(void *userdata, uint64_t nr_to_scan)
{
	(void)userdata, (void)nr_to_scan;
	callback();
	return ASHMEM_SHRINK_STOP;
}

static struct ashmem_shrinker *new_shrinker(void)
{
	struct ashmem_shrinker_options options = {
		.struct_size = sizeof(options), .name = "every", .count = count, .scan = scan};
	struct ashmem_shrinker *shrinker = NULL;

	return ashmem_shrinker_register(&options, &shrinker) == 0 ? shrinker : NULL;
}

CALL(ashmem_shrinker_register)
{
	ashmem_shrinker_unregister(new_shrinker());
}

CALL(ashmem_shrinker_unregister)
{
	ashmem_shrinker_unregister(new_shrinker());
}

CALL(ashmem_shrinker_set_areas_seeks)
{
	ashmem_shrinker_set_areas_seeks(0);
}

CALL(ashmem_shrinker_get_stats)
{
	struct ashmem_shrinker_stats stats = {.struct_size = sizeof(stats)};

	ashmem_shrinker_get_stats(0, &stats);
}

/* -- budgets -- */

static void limit(struct ashmem_budget *budget, uint64_t unpinned_bytes)
{
	struct ashmem_budget_options options = {
		.struct_size = sizeof(options), .unpinned_bytes = unpinned_bytes};

	ashmem_budget_set_limits(budget, &options);
}

static struct ashmem_budget *new_budget(void)
{
	struct ashmem_budget_options options = {
		.struct_size = sizeof(options), .unpinned_bytes = 4 * page_bytes()};
	struct ashmem_budget *budget = NULL;

	return ashmem_budget_create(&options, &budget) == 0 ? budget : NULL;
}

CALL(ashmem_budget_create)
{
	ashmem_budget_close(new_budget());
}

CALL(ashmem_budget_close)
{
	ashmem_budget_close(new_budget());
}

/* The unpins that exceed it purge. */
CALL(ashmem_budget_process)
{
	limit(ashmem_budget_process(), 4 * page_bytes());
	unpin_some(world);
	limit(ashmem_budget_process(), 0);
}

CALL(ashmem_budget_set_limits)
{
	unpin_some(world);
	limit(ashmem_budget_process(), page_bytes());
	limit(ashmem_budget_process(), 0);
}

static void join_and_leave(struct every_world *world)
{
	unpin_some(world);
	ashmem_budget_add(world->group, world->view.area);
	ashmem_budget_remove(world->group, world->view.area);
}

CALL(ashmem_budget_add)
{
	join_and_leave(world);
}

CALL(ashmem_budget_remove)
{
	join_and_leave(world);
}

CALL(ashmem_budget_get_usage)
{
	struct ashmem_budget_usage usage = {.struct_size = sizeof(usage)};

	ashmem_budget_get_usage(ashmem_budget_process(), &usage);
}

/* -- memory pressure -- */

static struct ashmem_pressure *new_watch(void)
{
	struct ashmem_pressure *watch = NULL;

	return ashmem_pressure_open(NULL, &watch) == 0 ? watch : NULL;
}

CALL(ashmem_pressure_open)
{
	struct ashmem_pressure *watch = new_watch();

	if (watch)
		ashmem_pressure_close(watch);
}

CALL(ashmem_pressure_close)
{
	struct ashmem_pressure *watch = new_watch();

	ashmem_pressure_run(watch);
	if (watch)
		ashmem_pressure_close(watch);
}

CALL(ashmem_pressure_fd)
{
	ashmem_pressure_fd(world->watch);
}

CALL(ashmem_pressure_dispatch)
{
	unpin_some(world);
	ashmem_pressure_dispatch(world->watch);
}

CALL(ashmem_pressure_make_room)
{
	unpin_some(world);
	if (ashmem_pressure_make_room(world->watch, 1) < 0)
		return; /* the source reports no free bytes */
}

CALL(ashmem_pressure_subscribe)
{
	ashmem_pressure_subscribe(world->watch, NULL, NULL);
}

static void run_and_stop(struct every_world *world)
{
	ashmem_pressure_run(world->watch);
	ashmem_pressure_stop(world->watch);
}

CALL(ashmem_pressure_run)
{
	run_and_stop(world);
}

CALL(ashmem_pressure_stop)
{
	run_and_stop(world);
}

CALL(ashmem_pressure_source)
{
	ashmem_pressure_source(world->watch);
}

CALL(ashmem_pressure_explain)
{
	char text[256];

	ashmem_pressure_explain(world->watch, text, sizeof(text));
}

CALL(ashmem_pressure_get_status)
{
	struct ashmem_pressure_status status = {.struct_size = sizeof(status)};

	ashmem_pressure_get_status(world->watch, &status);
}

/* -- counts, debug modes, backends, versions -- */

CALL(ashmem_area_get_stats)
{
	struct ashmem_area_stats stats = {.struct_size = sizeof(stats)};

	ashmem_area_get_stats(world->view.area, &stats);
	ashmem_area_get_stats(world->reader, &stats);
}

CALL(ashmem_peek)
{
	struct ashmem_peek_result peek = {.struct_size = sizeof(peek)};

	TRY(ashmem_peek(ashmem_fd(world->view.area), &peek));
	TRY(ashmem_peek(-1, &peek));
}

CALL(ashmem_purge_fd)
{
	struct ashmem_purge_fd_options options = {
		.struct_size = sizeof(options), .most_pages = 1, .wait_ms = 1};

	unpin_some(world);
	TRY(ashmem_purge_fd(ashmem_fd(world->view.area), &options));
	TRY(ashmem_purge_fd(ashmem_fd(world->view.area), NULL));
}

CALL(ashmem_process_get_stats)
{
	struct ashmem_process_stats stats = {.struct_size = sizeof(stats)};

	ashmem_process_get_stats(&stats);
}

/* The unpins purge then. */
CALL(ashmem_debug_set)
{
	ashmem_debug_set("purge-on-unpin");
	unpin_some(world);
	ashmem_debug_set("");
}

CALL(ashmem_debug_get)
{
	char modes[64];

	ashmem_debug_get(modes, sizeof(modes));
}

CALL(ashmem_backend_select)
{
	ashmem_backend_select(ashmem_backend_name(world->view.area));
}

CALL(ashmem_backend_register)
{
	static struct ashmem_backend toy;

	if (!toy.name)
		toy = toy_backend("every", TOY_LRU);
	ashmem_backend_register(&toy);
}

CALL(ashmem_backend_key)
{
	ashmem_backend_key(ASHMEM_PRIORITY_NORMAL, ASHMEM_ORDER_FIFO, 1);
}

CALL(ashmem_backend_note_purged)
{
	ashmem_backend_note_purged(0, page_bytes());
}

CALL(ashmem_version)
{
	ashmem_version();
}

CALL(ashmem_version_string)
{
	ashmem_version_string();
}

CALL(ashmem_version_at_least)
{
	ashmem_version_at_least(0, 9, 0);
}

/* -- caches -- */

#define NEEDS_CACHE        \
	if (!world->cache) \
	return

CALL(ashmem_cache_create)
{
	struct ashmem_cache *cache;

	if (ashmem_cache_create("fresh", NULL, &cache) == 0)
		ashmem_cache_close(cache);
}

CALL(ashmem_cache_close)
{
	run_ashmem_cache_create(world);
}

CALL(ashmem_cache_open)
{
	struct ashmem_cache *cache;

	if (ashmem_cache_open("every cache", NULL, &cache) == 0)
		ashmem_cache_close(cache);
}

CALL(ashmem_cache_import)
{
	struct ashmem_cache *cache;

	NEEDS_CACHE;
	if (ashmem_cache_import(ashmem_cache_fd(world->cache), &cache) == 0)
		ashmem_cache_close(cache);
}

CALL(ashmem_cache_fd)
{
	NEEDS_CACHE;
	TRY(ashmem_cache_fd(world->cache));
}

CALL(ashmem_cache_area)
{
	NEEDS_CACHE;
	ashmem_cache_area(world->cache);
}

CALL(ashmem_cache_read)
{
	char value[8];

	NEEDS_CACHE;
	TRY(ashmem_cache_read(world->cache, "a", 1, value, sizeof(value)));
}

static void get_and_release(struct every_world *world)
{
	struct ashmem_entry *entry;

	if (world->cache && ashmem_cache_get(world->cache, "a", 1, &entry) == 0) {
		ashmem_entry_value(entry, NULL);
		ashmem_entry_release(entry);
	}
}

CALL(ashmem_cache_get)
{
	get_and_release(world);
}

CALL(ashmem_entry_value)
{
	get_and_release(world);
}

CALL(ashmem_entry_release)
{
	get_and_release(world);
}

CALL(ashmem_cache_put)
{
	NEEDS_CACHE;
	ashmem_cache_put(world->cache, "a", 1, "value", 5, 0);
}

CALL(ashmem_cache_put_with)
{
	NEEDS_CACHE;
	TRY(ashmem_cache_put_with(world->cache, "a", 1, "value", 5, 0, ASHMEM_PUT_REPLACE));
}

static void build_in_place(struct every_world *world)
{
	struct ashmem_entry *entry;

	if (!world->cache || ashmem_cache_reserve(world->cache, "a", 1, 5, 0, &entry) < 0)
		return;
	memcpy(ashmem_entry_room(entry, NULL), "value", 5);
	TRY(ashmem_entry_commit(entry));
	ashmem_entry_release(entry);
}

CALL(ashmem_cache_reserve)
{
	build_in_place(world);
}

CALL(ashmem_entry_room)
{
	build_in_place(world);
}

CALL(ashmem_entry_commit)
{
	build_in_place(world);
}

CALL(ashmem_cache_claim)
{
	struct ashmem_entry *entry;

	NEEDS_CACHE;
	if (ashmem_cache_claim(world->cache, "nobody's", 8, 1, &entry) >= 0)
		ashmem_entry_release(entry);
}

CALL(ashmem_cache_touch)
{
	NEEDS_CACHE;
	ashmem_cache_touch(world->cache, "a", 1, 0);
}

CALL(ashmem_cache_get_ttl)
{
	NEEDS_CACHE;
	TRY(ashmem_cache_get_ttl(world->cache, "a", 1));
}

CALL(ashmem_cache_remove)
{
	NEEDS_CACHE;
	ashmem_cache_remove(world->cache, "a", 1);
	ashmem_cache_put(world->cache, "a", 1, "value", 5, 0);
}

CALL(ashmem_cache_clear)
{
	NEEDS_CACHE;
	ashmem_cache_clear(world->cache);
	ashmem_cache_put(world->cache, "a", 1, "value", 5, 0);
}

CALL(ashmem_cache_next)
{
	uint64_t position = 0;
	size_t bytes;
	char key[8];

	NEEDS_CACHE;
	TRY(ashmem_cache_next(world->cache, &position, key, sizeof(key), &bytes, NULL));
}

CALL(ashmem_cache_get_stats)
{
	struct ashmem_cache_stats stats = {.struct_size = sizeof(stats)};

	NEEDS_CACHE;
	ashmem_cache_get_stats(world->cache, &stats);
}

/* -- the world -- */

static void note_purge(void *userdata, struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	(void)userdata, (void)area, (void)offset, (void)length;
	callback();
}

void every_world_make(struct every_world *world, void (*in_callback)(void))
{
	struct ashmem_budget_options options = {
		.struct_size = sizeof(options), .unpinned_bytes = page_bytes()};

	callback = in_callback;
	memset(world, 0, sizeof(*world));
	world->view = full_view(EVERY_PAGES);
	world->read_only_fd = ashmem_export_read_only(world->view.area);
	if (world->read_only_fd >= 0)
		world->reader = import_area(world->read_only_fd);
	expect_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, world->sockets), 0);
	expect_eq(ashmem_budget_create(&options, &world->group), 0);
	if (ashmem_cache_create("every", NULL, &world->cache) < 0)
		world->cache = NULL;
	else
		ashmem_cache_put(world->cache, "a", 1, "value", 5, 0);
	world->watch = new_watch();
	world->shrinker = new_shrinker();
	world->subscription = ashmem_purge_subscribe(note_purge, NULL);
	unpin_some(world);
}
