/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer over the control block: the input picks a valid state, then is a sequence of writes
 * into it and of calls. Every answer must be one that is documented, an innocent area beside it
 * stays as it was, and the sanitizers see the rest. One thread: what changes between two reads of
 * one call is for the programs in the directory above.
 *
 *   byte 0        the state to begin with
 *   records of 8  kind, then for a write: where (region, offset or node and offset), width, value
 *                 for a call: which, first page, pages, a number
 */
#include "fuzz.h"

#include <ashmem/ashmem.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memfd/control.h"
#include "range/tree.h"

enum { RECORDS_MAX = 40, INNOCENT_PAGES = 6 };

/* A valid state to begin with: a file and what its control block looks like. */
struct state {
	int fd;
	uint64_t pages;
	unsigned char *base, *image;
	size_t bytes, used;
	struct control *control;
	struct range_list list;
};

enum { STATES = 10 };
static struct state states[STATES];
static uint64_t page;
static struct ashmem_area *innocent;
static unsigned char *innocent_data;

/* -- valid states -- */

static struct ashmem_area *new_area(uint64_t pages)
{
	struct ashmem_area *area;

	must(ashmem_create("fuzzed", pages * page, 0, &area) == 0);
	must(ashmem_fd(area) >= 0);
	return area;
}

static void unpin_many(struct ashmem_area *area, uint64_t count, uint64_t step)
{
	for (uint64_t i = 0; i < count; i++)
		must(ashmem_unpin(area, i * step * page, (1 + i % (step - 1)) * page) == 0);
}

/* Keep the area's file and its control block; the handle is closed. */
static void keep(struct state *state, struct ashmem_area *area)
{
	struct stat status;

	state->pages = ashmem_get_size(area) / page;
	state->fd = fcntl(ashmem_fd(area), F_DUPFD_CLOEXEC, 0);
	must(state->fd >= 0 && fstat(state->fd, &status) == 0);
	ashmem_close(area);
	state->bytes = (size_t)((uint64_t)status.st_size - state->pages * page);
	state->base = mmap(NULL, state->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, state->fd,
		(off_t)(state->pages * page));
	must(state->base != MAP_FAILED);
	unsigned char *top = state->base + state->bytes - CONTROL_BYTES;
	state->control = (void *)top;
	state->list = (struct range_list){
		.root = &state->control->ranges,
		.journal_top = top,
		.nodes_top = top - RANGE_JOURNAL_SLOTS * RANGE_NODE_BYTES,
		.max_nodes = (uint32_t)range_nodes_needed(state->pages),
		.pages = (uint32_t)state->pages,
	};
	state->used = CONTROL_BYTES +
		(RANGE_JOURNAL_SLOTS + (size_t)state->control->ranges.nodes_used + 4) *
			RANGE_NODE_BYTES;
	if (state->used > state->bytes)
		state->used = state->bytes;
}

static void remember(struct state *state)
{
	state->image = malloc(state->used);
	must(state->image);
	memcpy(state->image, state->base + state->bytes - state->used, state->used);
}

/* What an owner leaves behind who dies within a transaction. */
static void leave_transaction(struct state *state)
{
	must(tree_descend_anew(&state->list, 7) == 0);
	for (uint32_t level = 0; level <= state->list.path.height; level++)
		must(tree_touch(&state->list, state->list.path.at[level].index,
			     state->list.path.at[level].count) == 0);
	state->list.path.at[0].node->count = 3;
	state->control->lock = LOCK_DEAD;
}

static void leave_intent(struct state *state)
{
	struct range_intent *intent = &state->control->ranges.intent;

	*intent = (struct range_intent){.active = 1, .first = 3, .last = 60, .with_count = 2};
	intent->with[0] = (struct range){3, 2, 2, 0, 77};
	intent->with[1] = (struct range){50, 4, 1, RANGE_PURGED, 78};
	state->control->lock = LOCK_DEAD;
}

static void leave_notes(struct state *state)
{
	state->control->purge[0] = (struct control_extent){1, 2};
	state->control->purge[1] = (struct control_extent){8, 8};
	state->control->purge_count = 2;
	state->control->lock = LOCK_DEAD;
}

static void make_state(struct state *state, unsigned which)
{
	static const uint64_t sizes[STATES] = {1, 20, 64, 400, 400, 8192, 400, 400, 64, 64};
	struct ashmem_area *area = new_area(sizes[which]);

	if (which == 1)
		must(ashmem_unpin(area, 0, 0) == 0);
	if (which == 2 || which == 8 || which == 9)
		unpin_many(area, 20, 3);
	if (which >= 3 && which <= 7)
		unpin_many(area, sizes[which] / 4, 4);
	if (which == 4 || which == 5) {
		/* A purge frees memory, so there must be some (D8). */
		for (uint64_t i = 0; i < sizes[which]; i++)
			must(pwrite(ashmem_fd(area), "", 1, (off_t)(i * page)) == 1);
		must(ashmem_shrink(sizes[which] / 8) > 0);
		for (uint64_t i = 0; i < sizes[which]; i += 32)
			must(ashmem_pin(area, i * page, 1 * page) >= 0);
		must(ashmem_unpin(area, 10 * page, 9 * page) == 0);
	}
	keep(state, area);
	if (which == 6)
		leave_transaction(state);
	if (which == 7)
		leave_intent(state);
	if (which == 8)
		leave_notes(state);
	if (which == 9)
		state->control->has_readers = 1;
	remember(state);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	void *addr = NULL;

	(void)argc, (void)argv;
	page = sys_page_size();
	must(ashmem_backend_select("memfd") == 0);
	for (unsigned i = 0; i < STATES; i++)
		make_state(&states[i], i);
	must(ashmem_create("innocent", INNOCENT_PAGES * page, 0, &innocent) == 0);
	must(ashmem_map(innocent, 0, INNOCENT_PAGES * page, PROT_READ | PROT_WRITE, MAP_SHARED,
		     &addr) == 0);
	innocent_data = addr;
	memset(innocent_data, 0x5a, INNOCENT_PAGES * page);
	must(ashmem_get_pin_status(innocent, 0, 0) == ASHMEM_IS_PINNED);
	return 0;
}

/* -- records -- */

static uint32_t number_at(const uint8_t *data, unsigned bytes)
{
	uint32_t number = 0;

	for (unsigned i = 0; i < bytes; i++)
		number |= (uint32_t)data[i] << 8 * i;
	return number;
}

/* Numbers that mean something come up more easily if the input need not spell them. */
static uint32_t value_of(const struct state *state, const uint8_t *record)
{
	uint32_t number = number_at(record + 4, 4);

	switch (record[7] >> 4) {
	case 1:
		return state->list.max_nodes - 2 + (number & 3);
	case 2:
		return state->list.pages - 2 + (number & 3);
	case 3:
		return UINT32_MAX - (number & 3);
	case 4:
		return number & 0xff;
	default:
		return number;
	}
}

static void write_record(struct state *state, const uint8_t *record)
{
	uint32_t offset = number_at(record + 2, 2), value = value_of(state, record);
	unsigned char *at = (void *)state->control;

	switch (record[1] & 3) {
	case 0:
		at += offset % CONTROL_BYTES & ~3u;
		break;
	case 1:
		at += offset % (sizeof(struct range_root) + 64) & ~3u;
		break;
	case 2:
		at -= (offset % (RANGE_JOURNAL_SLOTS * RANGE_NODE_BYTES) + 4) & ~3u;
		break;
	default: {
		uint32_t nodes = (uint32_t)(state->used - CONTROL_BYTES) / RANGE_NODE_BYTES -
			RANGE_JOURNAL_SLOTS;
		struct range_node *node = tree_node(&state->list, offset / 256 % nodes);
		at = (unsigned char *)node + offset % 256 * 4;
	}
	}
	memcpy(at, &value, record[1] & 4 ? 1 : record[1] & 8 ? 2 : 4);
}

static void check(int64_t r)
{
	must(r >= 0 || r == -EUCLEAN || r == -ETIMEDOUT || r == -EINVAL || r == -EACCES ||
		r == -EPERM || r == -ENXIO);
}

static void check_found(struct ashmem_area *area, uint64_t from, uint64_t pages)
{
	uint64_t offset = 0, length = 0;
	uint32_t mark = 0;
	int r = ashmem_find_unpinned(area, from, &offset, &length, &mark);

	check(r);
	must(r != 1 || (length > 0 && offset + length <= pages * page && mark <= 3));
}

/* Somebody else attaches: what is accepted is whole. */
static void attach(const struct state *state)
{
	struct control_map map;
	struct stat status;

	must(fstat(state->fd, &status) == 0);
	int r = control_attach(&map, state->fd, &status);
	must(r == 0 || r == CONTROL_NONE || r == -EUCLEAN || r == -EPROTO || r == -EPERM ||
		r == -ETIMEDOUT);
	if (r != 0)
		return;
	must(range_validate(&map.list) == 0);
	control_detach(&map);
}

static void call_record(struct state *state, struct ashmem_area *area, const uint8_t *record)
{
	uint64_t first = number_at(record + 2, 2) % state->pages,
		 count = 1 + number_at(record + 4, 2) % (state->pages - first);
	uint64_t offset = first * page, length = count * page;
	struct ashmem_area_stats stats = {.struct_size = sizeof(stats)};
	unsigned char bytes[40];

	switch (record[1] % 18) {
	case 0:
	case 1:
		check(ashmem_pin(area, offset, length));
		break;
	case 2:
	case 3:
		check(ashmem_unpin(area, offset, length));
		break;
	case 4:
		check(ashmem_get_pin_status(area, offset, length));
		break;
	case 5:
		check(ashmem_hold(area, offset, length));
		break;
	case 6:
		check(ashmem_release(area, offset, length, record[6] & 1));
		break;
	case 7:
		check_found(area, offset, state->pages);
		break;
	case 8:
		check(ashmem_shrink(count));
		break;
	case 9:
		check(ashmem_purge_all());
		break;
	case 10:
		check(ashmem_area_get_stats(area, &stats));
		break;
	case 11:
		check(ashmem_seek(area, (int64_t)offset, record[6] % 5));
		check(ashmem_read(area, bytes, sizeof(bytes)));
		break;
	case 12: /* the next owner of the lock recovers */
		state->control->lock = LOCK_DEAD;
		break;
	case 13:
		state->control->damaged = 0;
		break;
	case 14:
		attach(state);
		break;
	case 15:
		check(ashmem_get_prot(area));
		check(ashmem_fd(area));
		must(ashmem_shrink_count() <= state->pages + INNOCENT_PAGES);
		break;
	case 16:
		check(ashmem_unpin_with(area, offset, length, record[6] & 7,
			record[7] & 1 ? ASHMEM_ORDER_LIFO : ASHMEM_ORDER_FIFO));
		break;
	default: { /* without the lock, as a reader looks */
		struct control_map map = {.shared = state->control, .list = state->list};
		struct wait wait = {.left_ns = 0};
		int r = control_look(&map, (uint32_t)first, (uint32_t)(first + count - 1), &wait);
		must(r >= 0 || r == -EUCLEAN || r == -ETIMEDOUT);
	}
	}
}

static void restore(struct state *state)
{
	memcpy(state->base + state->bytes - state->used, state->image, state->used);
}

static void check_innocent(void)
{
	must(ashmem_get_pin_status(innocent, 0, 0) == ASHMEM_IS_PINNED);
	for (uint64_t i = 0; i < INNOCENT_PAGES; i++)
		must(innocent_data[i * page] == 0x5a && innocent_data[(i + 1) * page - 1] == 0x5a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ashmem_area *area = NULL;

	if (size < 9)
		return 0;
	struct state *state = &states[data[0] % STATES];
	/* recovers, if the state is one of a dead owner */
	must(ashmem_import(state->fd, &area) == 0);
	if (data[0] & 0x80)
		restore(state); /* the first call recovers */
	data++;
	size--;
	for (unsigned i = 0; i < RECORDS_MAX && size >= 8; i++, data += 8, size -= 8) {
		if (data[0] & 1)
			write_record(state, data);
		else
			call_record(state, area, data);
	}
	ashmem_close(area);
	restore(state);
	check_innocent();
	return 0;
}
