/* SPDX-License-Identifier: MIT */
/* The operations of the public API: done, and done to the naive lists. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crash.h"
#include "base/sys.h"

int op_is_purge(const struct op *op)
{
	return op->kind == OP_SHRINK || op->kind == OP_PURGE_ALL || op->kind == OP_SET_LIMIT ||
		op->kind == OP_PURGE_FD;
}

int op_is_reader(const struct op *op)
{
	return op->kind == OP_READER_PIN || op->kind == OP_READER_PIN_LOST ||
		op->kind == OP_READER_UNPIN;
}

static int64_t purge_by_descriptor(struct ashmem_area *area, uint32_t pages)
{
	struct ashmem_purge_fd_options options = {
		.struct_size = sizeof(options),
		.most_pages = pages,
		.wait_ms = 5000,
	};

	return ashmem_purge_fd(ashmem_fd(area), &options);
}

/* The program's budget: so many pages may be unpinned. */
static int limit_to(uint32_t pages)
{
	struct ashmem_budget_options limits = {
		.struct_size = sizeof(limits), .unpinned_bytes = pages * (uint64_t)sys_page_size()};

	return ashmem_budget_set_limits(ashmem_budget_process(), &limits);
}

static void be_told(void *userdata, struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	(void)area;
	*(volatile uint64_t *)userdata += offset + length;
}

void op_prepare(const struct crash_case *c, struct world *world)
{
	static uint64_t told;

	if (c->op.kind == OP_UNPIN_WITHIN && limit_to(c->op.limit) < 0)
		_exit(1);
	if (c->flags & NOTICED && ashmem_purge_subscribe(be_told, &told) < 0)
		_exit(1);
	if (c->op.kind != OP_RELEASE && c->op.kind != OP_RELEASE_LOST)
		return;
	(void)!ashmem_hold(world->area[0].handle, 0, 0);
	/* Who releases has rebuilt what was lost. */
	for (uint32_t page = c->op.first;
		c->op.kind == OP_RELEASE && page < c->op.first + c->op.pages; page++)
		if (word_of(&world->area[0], page) == 0)
			*page_word(&world->area[0], page) = pattern(0, page);
}

uint64_t op_key(const struct op *op, uint64_t stamp)
{
	return op->kind == OP_UNPIN_WITH ? purge_key_of(op->priority, op->order, stamp)
					 : purge_key_of_stamp(stamp);
}

/* A life of its own: nobody else sees this area. */
static int64_t create_map_unpin_close(uint32_t pages)
{
	struct ashmem_area *area;
	uint64_t bytes = pages * (uint64_t)sys_page_size();
	void *addr = NULL;
	int r = ashmem_create("short-lived", bytes, 0, &area);

	if (r < 0)
		return r;
	r = ashmem_map(area, 0, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, &addr);
	if (r == 0)
		r = ashmem_unpin(area, 0, 0);
	if (r == 0)
		r = ashmem_unmap(addr, (size_t)bytes);
	ashmem_close(area);
	return r;
}

static int64_t pin_lost(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	struct ashmem_extent lost[4];
	uint32_t count;

	return ashmem_pin_lost(area, offset, length, lost, 4, &count);
}

static int64_t map_populate_unmap(struct ashmem_area *area, size_t bytes)
{
	void *addr = NULL;
	int r = ashmem_map(area, 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, &addr);

	if (r < 0)
		return r;
	ashmem_populate(addr, bytes); /* kernels before 5.14 have no such call */
	return ashmem_unmap(addr, bytes);
}

static int64_t count_all(struct ashmem_area *area)
{
	struct ashmem_process_stats stats = {.struct_size = sizeof(stats)};
	struct ashmem_budget_usage usage = {.struct_size = sizeof(usage)};
	char name[ASHMEM_NAME_LEN];
	int r = ashmem_process_get_stats(&stats);

	if (r == 0)
		r = ashmem_budget_get_usage(ashmem_budget_process(), &usage);
	if (r == 0)
		r = ashmem_get_name(area, name, sizeof(name));
	return r < 0 ? r
		     : ashmem_get_size(area) == 0 || ashmem_get_prot(area) < 0 ||
			ashmem_shrink_count() == UINT64_MAX;
}

/* Calls that leave the ranges alone. */
static int64_t run_other(const struct op *op, struct world *world)
{
	struct ashmem_area *area = world->area[op->area].handle, *other = NULL;
	struct ashmem_area_stats stats = {.struct_size = sizeof(stats)};
	struct ashmem_peek_result peek = {.struct_size = sizeof(peek)};
	static char bytes[65536];
	int64_t r;

	switch (op->kind) {
	case OP_FIND:
		return ashmem_find_unpinned(area, op->first * (uint64_t)sys_page_size(), NULL, NULL,
			NULL);
	case OP_STATS:
		return ashmem_area_get_stats(area, &stats);
	case OP_PEEK:
		return ashmem_peek(ashmem_fd(area), &peek);
	case OP_READ:
		return ashmem_read(area, bytes, op->pages);
	case OP_PREAD:
		return ashmem_pread(area, bytes, op->pages, 100);
	case OP_COUNT:
		return count_all(area);
	case OP_POPULATE:
		return map_populate_unmap(area, op->pages * (size_t)sys_page_size());
	case OP_SEEK:
		return ashmem_seek(area, op->pages, SEEK_SET);
	case OP_SET_PROT:
		return ashmem_set_prot(area, (int)op->pages);
	case OP_GET_FD:
		return ashmem_fd(area) < 0;
	case OP_IMPORT:
		r = ashmem_import(world->area[op->area].fd, &other);
		ashmem_close(other);
		return r;
	case OP_EXPORT:
		r = ashmem_export_read_only(area);
		if (r >= 0)
			close((int)r);
		return r < 0 ? r : 0;
	case OP_CLOSE:
		world_close(world);
		return 0;
	case OP_SEND:
		return ashmem_send(world->sockets[1], area);
	case OP_RECV:
		r = ashmem_recv(world->sockets[0], &other);
		ashmem_close(other);
		return r;
	default:
		return create_map_unpin_close(op->pages);
	}
}

int64_t op_run(const struct op *op, struct world *world)
{
	struct ashmem_area *area = world->area[op->area].handle;
	uint64_t offset = op->first * (uint64_t)sys_page_size();
	uint64_t length = op->pages * (uint64_t)sys_page_size();

	switch (op->kind) {
	case OP_PIN:
		return ashmem_pin(area, offset, length);
	case OP_PIN_LOST:
	case OP_READER_PIN_LOST:
		return pin_lost(area, offset, length);
	case OP_UNPIN:
	case OP_UNPIN_WITHIN:
		return ashmem_unpin(area, offset, length);
	case OP_UNPIN_WITH:
		return ashmem_unpin_with(area, offset, length, op->priority, op->order);
	case OP_STATUS:
		return ashmem_get_pin_status(area, offset, length);
	case OP_HOLD:
		return ashmem_hold(area, offset, length);
	case OP_RELEASE:
		return ashmem_release(area, offset, length, 0);
	case OP_RELEASE_LOST:
		return ashmem_release(area, offset, length, ASHMEM_RELEASE_LOST);
	case OP_READER_PIN:
		return ashmem_pin(area, offset, length);
	case OP_READER_UNPIN:
		return ashmem_unpin(area, offset, length);
	case OP_SHRINK:
		return ashmem_shrink(op->pages);
	case OP_PURGE:
		return ashmem_purge(area, offset, length);
	case OP_PURGE_FD:
		return purge_by_descriptor(area, op->pages);
	case OP_PURGE_ALL:
		return ashmem_purge_all();
	case OP_SET_LIMIT:
		return limit_to(op->pages);
	default:
		return run_other(op, world);
	}
}

void op_naive_unpin(const struct op *op, struct list *lists)
{
	naive_unpin(&lists[op->area], op->first, op->pages, NEW_KEY(op_key(op, 0)));
}

/* What is over the limit goes. */
static int64_t naive_limit(struct list *lists, int areas, uint64_t limit)
{
	uint64_t pages = naive_evictable(lists, areas);

	if (pages > limit)
		naive_shrink(lists, areas, pages - limit);
	return 0;
}

int64_t op_naive(const struct op *op, struct list *lists, int areas)
{
	struct list *list = &lists[op->area];
	uint64_t before = naive_evictable(lists, areas);

	switch (op->kind) {
	case OP_PIN:
	case OP_PIN_LOST:
		return naive_pin(list, op->first, op->pages);
	case OP_UNPIN:
	case OP_UNPIN_WITH:
		return naive_unpin(list, op->first, op->pages, NEW_KEY(op_key(op, 0)));
	case OP_UNPIN_WITHIN:
		op_naive_unpin(op, lists);
		return naive_limit(lists, areas, op->limit);
	case OP_STATUS:
		return naive_status(list, op->first, op->pages);
	case OP_RELEASE:
		return naive_release(list, op->first, op->pages, NEW_KEY(op_key(op, 0)));
	case OP_HOLD:
	case OP_READER_PIN:
	case OP_READER_PIN_LOST:
		return naive_look(list, op->first, op->pages);
	case OP_SHRINK:
	case OP_PURGE_FD:
		return (int64_t)naive_shrink(lists, areas, op->pages);
	case OP_PURGE:
		return (int64_t)naive_purge(list, op->first, op->pages);
	case OP_PURGE_ALL:
		naive_shrink(lists, areas, UINT64_MAX);
		return (int64_t)before;
	case OP_SET_LIMIT:
		return naive_limit(lists, areas, op->pages);
	case OP_READ:
	case OP_PREAD:
		return op->pages;
	case OP_SEEK:
		return op->pages;
	case OP_FIND:
		for (uint32_t page = op->first; page < RANGES_MAX * 4; page++)
			if (naive_find(list, page))
				return 1;
		return 0;
	default:
		return 0;
	}
}
