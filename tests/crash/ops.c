/* SPDX-License-Identifier: MIT */
/* The operations of the public API: done, and done to the naive lists. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crash.h"
#include "sys.h"

int op_is_purge(const struct op *op)
{
	return op->kind == OP_SHRINK || op->kind == OP_PURGE_ALL;
}

uint64_t op_key(const struct op *op, uint64_t stamp)
{
	return op->kind == OP_UNPIN_WITH ? key_of(op->priority, op->order, stamp) : key_of_stamp(stamp);
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

/* Calls that leave the ranges alone. */
static int64_t run_other(const struct op *op, struct world *world)
{
	struct ashmem_area *area = world->area[op->area].handle, *other = NULL;
	struct ashmem_area_stats stats = {.struct_size = sizeof(stats)};
	static char bytes[65536];
	int64_t r;

	switch (op->kind) {
	case OP_FIND:
		return ashmem_find_unpinned(area, op->first * (uint64_t)sys_page_size(), NULL, NULL, NULL);
	case OP_STATS:
		return ashmem_area_get_stats(area, &stats);
	case OP_READ:
		return ashmem_read(area, bytes, op->pages);
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
	case OP_UNPIN:
		return ashmem_unpin(area, offset, length);
	case OP_UNPIN_WITH:
		return ashmem_unpin_with(area, offset, length, op->priority, op->order);
	case OP_STATUS:
		return ashmem_get_pin_status(area, offset, length);
	case OP_HOLD:
		return ashmem_hold(area, offset, length);
	case OP_RELEASE:
		return ashmem_release(area, offset, length, 0);
	case OP_READER_PIN:
		return ashmem_pin(area, offset, length);
	case OP_READER_UNPIN:
		return ashmem_unpin(area, offset, length);
	case OP_SHRINK:
		return ashmem_shrink(op->pages);
	case OP_PURGE_ALL:
		return ashmem_purge_all();
	default:
		return run_other(op, world);
	}
}

int64_t op_naive(const struct op *op, struct list *lists, int areas)
{
	struct list *list = &lists[op->area];
	uint64_t before = naive_evictable(lists, areas);

	switch (op->kind) {
	case OP_PIN:
		return naive_pin(list, op->first, op->pages);
	case OP_UNPIN:
	case OP_UNPIN_WITH:
		return naive_unpin(list, op->first, op->pages, NEW_KEY(op_key(op, 0)));
	case OP_STATUS:
		return naive_status(list, op->first, op->pages);
	case OP_RELEASE:
		return naive_release(list, op->first, op->pages, NEW_KEY(op_key(op, 0)));
	case OP_HOLD:
	case OP_READER_PIN:
		return naive_look(list, op->first, op->pages);
	case OP_SHRINK:
		return (int64_t)naive_shrink(lists, areas, op->pages);
	case OP_PURGE_ALL:
		naive_shrink(lists, areas, UINT64_MAX);
		return (int64_t)before;
	case OP_READ:
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
