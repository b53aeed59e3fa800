/* SPDX-License-Identifier: MIT */
/*
 * Operations on areas of the memfd backend: life, memory, pins, purges, statistics. Outputs are
 * preset; an operation that fails and changes one says so in world->touched.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pthread.h>

#include "handle/handle.h"
#include "faults.h"
#include "memfd/area.h"
#include "memfd/backend.h"
#include "range/tree.h"

/* -- what they are done on -- */

static void born(struct world *world)
{
	newborn(world);
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
}

static void with_ranges(struct world *world)
{
	mapped(world);
	unpin_pages(world, 0, 1, 3);
	ashmem_purge_all();
	unpin_pages(world, 0, 6, 2);
	unpin_pages(world, 0, 10, 4);
}

static void shared(struct world *world)
{
	with_ranges(world);
	if (ashmem_fd(world->area[0]) < 0)
		die("ashmem_fd");
}

static void without_write(struct world *world)
{
	with_ranges(world);
	if (ashmem_set_prot(world->area[0], PROT_READ) < 0)
		die("ashmem_set_prot");
}

static void several(struct world *world)
{
	use_memfd(world);
	for (int at = 0; at < AREAS; at++)
		add_area(world, at, PAGES, 0);
	for (uint64_t i = 0; i < 3; i++)
		for (int at = 0; at < AREAS; at++)
			unpin_pages(world, at, 4 * i + 1, 2);
}

static void long_range(struct world *world)
{
	use_memfd(world);
	add_area(world, 0, 1200, 0);
	unpin_pages(world, 0, 2, 1190);
}

/* A purge looks for the locks of readers. */
static void with_readers(struct world *world)
{
	with_ranges(world);
	if (ashmem_hold(world->area[0], BYTES(6), BYTES(1)) < 0)
		die("ashmem_hold");
}

/* Its owner died while it freed pages 10 to 13: marked, noted, off the LRU. */
static void dead_in_purge(struct world *world)
{
	with_ranges(world);
	struct control_map *map = &((struct memfd_area *)world->area[0]->state)->control;
	world->bare[0] = 1;
	if (control_lock(map) < 0 || range_mark_purged(&map->list, 10) < 0 ||
		range_set_live(&map->list, 10, 0) < 0)
		die("a death");
	map->shared->purge[0] = (struct control_extent){10, 4};
	map->shared->purge_count = 1;
	control_unlock(map, 0);
	map->shared->lock = LOCK_DEAD;
}

static void *hold_lock(void *argument)
{
	struct control_map *map = argument;

	if (control_lock(map) < 0)
		die("a lock");
	__atomic_store_n(&map->shared->position, 1, __ATOMIC_SEQ_CST);
	usleep(15000);
	__atomic_store_n(&map->shared->position, 0, __ATOMIC_SEQ_CST);
	control_unlock(map, 0);
	return NULL;
}

/* Another thread has the lock for a while. */
static void contended(struct world *world)
{
	pthread_t thread;

	with_ranges(world);
	struct control_map *map = &((struct memfd_area *)world->area[0]->state)->control;
	world->bare[0] = 1;
	if (pthread_create(&thread, NULL, hold_lock, map) != 0)
		die("a thread");
	pthread_detach(thread);
	while (!__atomic_load_n(&map->shared->position, __ATOMIC_SEQ_CST))
		usleep(100);
}

/* -- operations -- */

static int64_t do_set_prot(struct world *world)
{
	return ashmem_set_prot(world->area[0], PROT_READ | PROT_WRITE);
}

static int64_t do_unmap(struct world *world)
{
	int r = ashmem_unmap(world->base[0], (size_t)BYTES(PAGES));

	if (r == 0)
		world->base[0] = NULL;
	return r;
}

static int64_t do_seek_data(struct world *world)
{
	return ashmem_seek(world->area[0], 0, SEEK_DATA);
}

static int64_t do_pin_lost(struct world *world)
{
	struct ashmem_extent lost[4];
	uint32_t count = 99;
	int r = ashmem_pin_lost(world->area[0], BYTES(1), BYTES(8), lost, 4, &count);

	world->touched = r < 0 && count != 99;
	return r < 0 ? r : r * 10 + (int64_t)count;
}

static int64_t do_unpin_with(struct world *world)
{
	return ashmem_unpin_with(world->area[0], BYTES(5), BYTES(6), ASHMEM_PRIORITY_FIRST,
		ASHMEM_ORDER_LIFO);
}

static int subscriber, told;

static void be_told(void *userdata, struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	(void)area, (void)offset, (void)length, (void)userdata;
	told++;
}

static int64_t do_subscribe(struct world *world)
{
	int r = ashmem_purge_subscribe(be_told, world);

	return r > 0 ? ashmem_purge_unsubscribe(r) : r;
}

static void subscribed(struct world *world)
{
	with_ranges(world);
	subscriber = ashmem_purge_subscribe(be_told, NULL);
}

static int64_t do_unsubscribe(struct world *world)
{
	(void)world;
	return ashmem_purge_unsubscribe(subscriber);
}

/*
 * Who is told is told of what was freed: also if only the first of two pieces can be freed, though
 * the shrink fails then.
 */
static int is_told_of(int64_t r, int is_told)
{
	return is_told ? r > 0 || r == -EIO : r <= 0;
}

static int64_t do_shrink_and_tell(struct world *world)
{
	told = 0;
	int64_t r = ashmem_shrink(3);

	(void)world;
	if (!is_told_of(r, told > 0))
		snprintf(notes, sizeof(notes), "a shrink answers %d, and %d notices came", (int)r,
			told);
	return r;
}

static int64_t do_open_queue(struct world *world)
{
	struct ashmem_purge_queue *opened;
	int r = ashmem_purge_queue_open(NULL, &opened);

	(void)world;
	if (r == 0)
		ashmem_purge_queue_close(opened);
	return r;
}

/* What was freed can be fetched. "shrink with a subscriber" says which errors a shrink returns. */
static int64_t do_shrink_and_fetch(struct world *world)
{
	struct ashmem_purge_notice notice = {.struct_size = sizeof(notice)};
	struct ashmem_purge_queue *queue;
	int64_t r = ashmem_purge_queue_open(NULL, &queue);

	(void)world;
	if (r < 0)
		return r;
	r = ashmem_shrink(3);
	int got = ashmem_purge_queue_next(queue, &notice);
	if (!is_told_of(r, got > 0) || ashmem_purge_queue_fd(queue) < 0)
		snprintf(notes, sizeof(notes), "a shrink answers %d, and a fetch %d", (int)r, got);
	ashmem_purge_queue_close(queue);
	return 0;
}

static int64_t do_register(struct world *world)
{
	static struct ashmem_backend copy;

	(void)world;
	copy = backend_memfd;
	copy.name = "copy";
	return ashmem_backend_register(&copy);
}

static int64_t do_debug(struct world *world)
{
	char modes[128] = "";

	(void)world;
	int r = ashmem_debug_set("purge-on-unpin");
	return r < 0 ? r : ashmem_debug_get(modes, sizeof(modes));
}

static void debugged(struct world *world)
{
	with_ranges(world);
	if (ashmem_debug_set("purge-on-unpin") < 0)
		die("ashmem_debug_set");
}

static int64_t do_find(struct world *world)
{
	uint64_t offset = 5, length = 6;
	uint32_t state = 7;
	int r = ashmem_find_unpinned(world->area[0], 0, &offset, &length, &state);

	world->touched = r <= 0 && (offset != 5 || length != 6 || state != 7);
	return r;
}

static int64_t do_stats(struct world *world)
{
	struct ashmem_area_stats stats = {.struct_size = sizeof(stats), .purged_pages = 99};
	int r = ashmem_area_get_stats(world->area[0], &stats);

	world->touched = r < 0 && stats.purged_pages != 99;
	return r < 0 ? r : (int64_t)stats.purged_pages;
}

static int64_t do_peek(struct world *world)
{
	struct ashmem_peek_result peek = {.struct_size = sizeof(peek), .purged_pages = 99};
	int r = ashmem_peek(ashmem_fd(world->area[0]), &peek);

	world->touched = r < 0 && peek.purged_pages != 99;
	return r;
}

static int64_t do_purge_fd(struct world *world)
{
	return ashmem_purge_fd(ashmem_fd(world->area[0]), NULL);
}

static int64_t do_process_stats(struct world *world)
{
	struct ashmem_process_stats stats = {.struct_size = sizeof(stats)};
	int r = ashmem_process_get_stats(&stats);

	(void)world;
	return r < 0 ? r : (int64_t)stats.evictable_pages;
}

static int64_t do_shrink(struct world *world)
{
	(void)world;
	return ashmem_shrink(3);
}

static int64_t do_shrink_count(struct world *world)
{
	(void)world;
	return (int64_t)ashmem_shrink_count();
}

static int64_t select_memfd(struct world *world)
{
	(void)world;
	return ashmem_backend_select("memfd");
}

static int64_t create_first(struct world *world)
{
	struct ashmem_area *area = UNTOUCHED;
	int r = ashmem_backend_select("auto");

	if (r == 0)
		r = ashmem_create("made", BYTES(PAGES), 0, &area);
	return area_made(world, r, area);
}

static int64_t do_fork(struct world *world)
{
	int status;
	pid_t child = fork();

	if (child < 0)
		return -EAGAIN;
	if (child == 0) {
		fault_disarm();
		/* Shared, or refused: never another area of the same name. */
		int r = ashmem_set_name(world->area[0], "of the child");
		_exit(r == 0 ? 1 : r == -ESTALE ? 2 : r == -EINVAL ? 3 : 4);
	}
	fault_disarm();
	waitpid(child, &status, 0);
	char name[ASHMEM_NAME_LEN];
	int r = ashmem_get_name(world->area[0], name, sizeof(name));
	int is_childs = r == 0 && strcmp(name, "of the child") == 0;
	if (!WIFEXITED(status) || (WEXITSTATUS(status) == 1) != is_childs ||
		WEXITSTATUS(status) == 4)
		snprintf(notes, sizeof(notes), "child says %#x, the parent's name is then %s (%d)",
			(unsigned)status, name, r);
	return 0;
}

const struct fault_case area_cases[] = {
	{"create, the first call of a process", "ashmem_create", NULL, create_first, 0},
	{"create", "ashmem_create", newborn, do_create, 0},
	{"close of a newborn", "ashmem_close", newborn, do_close, NO_RETRY},
	{"close of a mapped area", "ashmem_close", mapped, do_close, NO_RETRY},
	{"close of a shared area", "ashmem_close", shared, do_close, NO_RETRY},
	{"close of an area without write", "ashmem_close", without_write, do_close, NO_RETRY},
	{"close with holds", "ashmem_close", with_readers, do_close, NO_RETRY},
	{"set_name", "ashmem_set_name", newborn, do_set_name, 0},
	{"get_name", "ashmem_get_name", shared, do_get_name, 0},
	{"set_size", "ashmem_set_size", newborn, do_set_size, 0},
	{"get_size", "ashmem_get_size", shared, do_get_size, 0},
	{"set_prot of a newborn", "ashmem_set_prot", newborn, do_set_prot, 0},
	{"set_prot of a newborn to read", "ashmem_set_prot", newborn, do_set_prot_read, 0},
	{"set_prot of a mapped area to read", "ashmem_set_prot", mapped, do_set_prot_read,
		MAY_ESTABLISH},
	{"set_prot of a shared area", "ashmem_set_prot", shared, do_set_prot, 0},
	{"set_prot of a shared area to read", "ashmem_set_prot", shared, do_set_prot_read, 0},
	{"get_prot", "ashmem_get_prot", shared, do_get_prot, 0},
	{"first map", "ashmem_map", newborn, do_map, 0},
	{"first map, private", "ashmem_map", newborn, do_map_private, 0},
	{"first map, to read", "ashmem_map", newborn_without_write, do_map_read, 0},
	{"map", "ashmem_map", shared, do_map, 0},
	{"map of an area without write", "ashmem_map", without_write, do_map_read, 0},
	{"map at a place", "ashmem_map", shared, do_map_noreplace, 0},
	{"unmap", "ashmem_unmap", shared, do_unmap, 0},
	{"read", "ashmem_read", shared, do_read, ANY_SUCCESS},
	{"first read", "ashmem_read", mapped, do_read, ANY_SUCCESS | MAY_ESTABLISH},
	{"pread", "ashmem_pread", shared, do_pread, ANY_SUCCESS},
	{"seek", "ashmem_seek", shared, do_seek, 0},
	{"first seek", "ashmem_seek", mapped, do_seek, 0},
	{"seek to data", "ashmem_seek", shared, do_seek_data, 0},
	{"first pin", "ashmem_pin", mapped, do_pin, 0},
	{"pin", "ashmem_pin", shared, do_pin, 0},
	{"pin on a new thread", "ashmem_pin", shared, do_pin, NEW_THREAD},
	{"pin after a death", "ashmem_pin", dead_in_purge, do_pin, AFTER_DEATH},
	{"pin, contended", "ashmem_pin", contended, do_pin, 0},
	{"first unpin", "ashmem_unpin", mapped, do_unpin, 0},
	{"unpin", "ashmem_unpin", shared, do_unpin, 0},
	{"unpin on a new thread", "ashmem_unpin", shared, do_unpin, NEW_THREAD},
	{"unpin after a death", "ashmem_unpin", dead_in_purge, do_unpin, AFTER_DEATH},
	{"pin and learn what is lost", "ashmem_pin_lost", shared, do_pin_lost, 0},
	{"first pin that learns what is lost", "ashmem_pin_lost", mapped, do_pin_lost, 0},
	{"pin that learns what is lost, after a death", "ashmem_pin_lost", dead_in_purge,
		do_pin_lost, AFTER_DEATH},
	{"unpin with a priority", "ashmem_unpin_with", shared, do_unpin_with, 0},
	{"unpin that purges, for debugging", "ashmem_unpin", debugged, do_unpin, ANY_SUCCESS},
	{"subscribe, the first call of a process", "ashmem_purge_subscribe", NULL, do_subscribe, 0},
	{"unsubscribe", "ashmem_purge_unsubscribe", subscribed, do_unsubscribe, NO_RETRY},
	{"shrink with a subscriber", "ashmem_shrink", subscribed, do_shrink_and_tell,
		MARKS_MAY_STAY | ANY_SUCCESS},
	{"open a queue", "ashmem_purge_queue_open", NULL, do_open_queue, 0},
	{"shrink with a queue", "ashmem_purge_queue_open", with_ranges, do_shrink_and_fetch,
		MARKS_MAY_STAY | ANY_SUCCESS},
	{"register a backend", "ashmem_backend_register", use_memfd, do_register, NO_RETRY},
	{"debug modes", "ashmem_debug_set", use_memfd, do_debug, 0},
	{"first status", "ashmem_get_pin_status", mapped, do_status, 0},
	{"status", "ashmem_get_pin_status", shared, do_status, 0},
	{"status after a death", "ashmem_get_pin_status", dead_in_purge, do_status, AFTER_DEATH},
	{"find_unpinned", "ashmem_find_unpinned", shared, do_find, 0},
	{"first find_unpinned", "ashmem_find_unpinned", mapped, do_find, 0},
	{"statistics of an area", "ashmem_area_get_stats", shared, do_stats, 0},
	{"look at an area by its descriptor", "ashmem_peek", shared, do_peek, 0},
	{"purge in an area by its descriptor", "ashmem_purge_fd", with_ranges, do_purge_fd,
		MARKS_MAY_STAY},
	{"statistics of the process", "ashmem_process_get_stats", shared, do_process_stats, 0},
	{"shrink", "ashmem_shrink", with_ranges, do_shrink, MARKS_MAY_STAY | ANY_SUCCESS},
	{"shrink over several areas", "ashmem_shrink", several, do_shrink,
		MARKS_MAY_STAY | ANY_SUCCESS},
	{"shrink of a long range", "ashmem_shrink", long_range, do_shrink,
		MARKS_MAY_STAY | ANY_SUCCESS},
	{"shrink with readers", "ashmem_shrink", with_readers, do_shrink,
		MARKS_MAY_STAY | ANY_SUCCESS},
	{"shrink after a death", "ashmem_shrink", dead_in_purge, do_shrink,
		MARKS_MAY_STAY | AFTER_DEATH},
	{"shrink_count", "ashmem_shrink_count", several, do_shrink_count, 0},
	{"purge of pages", "ashmem_purge", with_ranges, do_purge,
		MARKS_MAY_STAY | ANY_SUCCESS | PART_MAY_BE_DONE},
	{"purge of pages with readers", "ashmem_purge", with_readers, do_purge,
		MARKS_MAY_STAY | ANY_SUCCESS | PART_MAY_BE_DONE},
	{"purge_all", "ashmem_purge_all", several, do_purge_all, MARKS_MAY_STAY | PART_MAY_BE_DONE},
	{"purge_all with readers", "ashmem_purge_all", with_readers, do_purge_all,
		MARKS_MAY_STAY | PART_MAY_BE_DONE},
	{"select", "ashmem_backend_select", NULL, select_memfd, 0},
	{"first map of a newborn that a child shares", "ashmem_map", born, do_map,
		PART_MAY_BE_DONE | MAY_ESTABLISH},
	{"fork with a newborn", "fork", newborn, do_fork, NO_RETRY | ANY_SUCCESS},
	{"fork with a mapped area", "fork", mapped, do_fork, NO_RETRY | ANY_SUCCESS},
	{"fork with holds", "fork", with_readers, do_fork, NO_RETRY},
	{NULL, NULL, NULL, NULL, 0},
};
