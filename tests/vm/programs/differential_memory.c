/* SPDX-License-Identifier: MIT */
/*
 * Carrying out one operation of a differential test, where it is about memory: mapping, looking at
 * and writing mapped bytes, reading and seeking. An access that the kernel refuses is an answer
 * like others; a fault anywhere else ends the process.
 */
#define _GNU_SOURCE 1
#include "differential.h"

#include <ashmem/ashmem.h>

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* -- bytes -- */

uint64_t hash_bytes(const void *bytes, size_t length)
{
	const unsigned char *from = bytes;
	uint64_t hash = length * UINT64_C(0x9e3779b97f4a7c15) + 1, word;

	for (; length >= sizeof word; from += sizeof word, length -= sizeof word) {
		memcpy(&word, from, sizeof word);
		hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
		hash ^= hash >> 31;
	}
	for (; length > 0; length--)
		hash = (hash ^ *from++) * UINT64_C(0xc4ceb9fe1a85ec53);
	return hash ^ hash >> 29;
}

uint64_t hash_zeroes(size_t length)
{
	static unsigned char zeroes[1 << 20];

	return length <= sizeof zeroes ? hash_bytes(zeroes, length) : 0;
}

static sigjmp_buf fault;
static volatile sig_atomic_t fault_expected;

static void on_fault(int number)
{
	if (fault_expected)
		siglongjmp(fault, number);
	signal(number, SIG_DFL);
	raise(number);
}

static void catch_faults(void)
{
	struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
	static int caught;

	if (caught)
		return;
	caught = 1;
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

/* Hash memory that may not be readable: its length, or the signal. */
static int64_t look_at(const unsigned char *from, uint64_t length, uint64_t *hash)
{
	int number = sigsetjmp(fault, 0);

	if (number == 0) {
		fault_expected = 1;
		*hash = hash_bytes(from, (size_t)length);
	}
	fault_expected = 0;
	return number ? SIGNALLED(number) : (int64_t)length;
}

/* Each page gets a byte of its own, never 0. */
/* Not inline: nothing of it may live across the jump. */
__attribute__((noinline)) static void fill(unsigned char *to, uint64_t from, uint64_t length,
	uint32_t seed)
{
	uint64_t page = page_size_bytes();

	for (uint64_t at = from; at < from + length;) {
		uint64_t end = (at / page + 1) * page;
		if (end > from + length)
			end = from + length;
		memset(to + at, (int)(1 + (seed + at / page * 31) % 255), (size_t)(end - at));
		at = end;
	}
}

static int64_t write_to(unsigned char *to, uint64_t from, uint64_t length, uint32_t seed)
{
	int number = sigsetjmp(fault, 0);

	if (number == 0) {
		fault_expected = 1;
		fill(to, from, length, seed);
	}
	fault_expected = 0;
	return number ? SIGNALLED(number) : (int64_t)length;
}

/* -- mappings -- */

static void perform_map(struct actor *actor, const struct op *op, struct result *result)
{
	struct mapped *mapping = &actor->mapping[op->other];
	uint64_t page = page_size_bytes();
	int fixed = op->seed == PLACE_FIXED, flags = op->flags;
	void *addr = NULL;

	if (mapping->base || (fixed && actor->place_taken) || op->length > SIZE_MAX) {
		result->value = NOT_THERE;
		return;
	}
	if (op->seed != PLACE_ANY) {
		addr = fixed ? actor->place : actor->buffer;
		flags |= fixed ? MAP_FIXED : MAP_FIXED_NOREPLACE;
	}
	result->value = ashmem_map(actor->handle[op->area].area, op->offset, (size_t)op->length,
		op->prot, flags, &addr);
	if (result->value < 0)
		return;
	*mapping =
		(struct mapped){.base = addr, .area = op->area, .prot = op->prot, .fixed = fixed};
	mapping->length = (op->length + page - 1) / page * page;
	actor->place_taken |= fixed;
	actor->world->mapped[op->area]++;
	actor->world->materialised[op->area] = 1;
	if ((flags & MAP_TYPE) == MAP_PRIVATE && (op->prot & PROT_READ))
		look_at(mapping->base, mapping->length, &result->data);
	if (fixed && addr != actor->place)
		result->data = 1;
}

static void perform_unmap(struct actor *actor, const struct op *op, struct result *result)
{
	struct mapped *mapping = &actor->mapping[op->other];

	if (!mapping->base) {
		result->value = NOT_THERE;
	} else if (op->flags == 1) {
		result->value = ashmem_unmap(NULL, (size_t)mapping->length);
	} else if (op->flags == 2) {
		result->value = ashmem_unmap(mapping->base + 1, (size_t)mapping->length);
	} else if (op->flags == 3) {
		result->value = ashmem_unmap(mapping->base, 0);
	} else {
		result->value = ashmem_unmap(mapping->base, (size_t)mapping->length);
		if (mapping->fixed) {
			mmap(mapping->base, (size_t)mapping->length, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			actor->place_taken = 0;
		}
		actor->world->mapped[mapping->area]--;
		memset(mapping, 0, sizeof *mapping);
	}
}

/* The old protection comes back, so that an allowed difference does not last. */
static void perform_protect(struct actor *actor, const struct op *op, struct result *result)
{
	struct mapped *mapping = &actor->mapping[op->other];
	size_t length = (size_t)mapping->length;

	if (!mapping->base) {
		result->value = NOT_THERE;
		return;
	}
	result->value = mprotect(mapping->base, length, op->prot) < 0 ? -errno : 0;
	result->data = mprotect(mapping->base, length, mapping->prot) < 0;
}

static void perform_access(struct actor *actor, const struct op *op, struct result *result)
{
	struct mapped *mapping = &actor->mapping[op->other];
	uint64_t length = op->length;

	if (!mapping->base || op->offset >= mapping->length) {
		result->value = NOT_THERE;
		return;
	}
	if (length > mapping->length - op->offset)
		length = mapping->length - op->offset;
	if (op->kind == WRITE)
		result->value = write_to(mapping->base, op->offset, length, op->seed);
	else
		result->value = look_at(mapping->base + op->offset, length, &result->data);
}

/* -- reading and seeking -- */

static unsigned char *buffer_for(const struct actor *actor, const struct op *op, uint64_t *usable)
{
	uint64_t room = BUFFER_PAGES * page_size_bytes();

	*usable = op->length;
	switch (op->other) {
	case BUFFER_NULL:
		*usable = 0;
		return NULL;
	case BUFFER_BAD:
		*usable = 0;
		return actor->buffer + room;
	case BUFFER_ENDS_EARLY:
		*usable = op->length / 2;
		return actor->buffer + room - op->length / 2;
	default:
		return actor->buffer;
	}
}

static void perform_read(struct actor *actor, const struct op *op, struct result *result)
{
	struct ashmem_area *area = actor->handle[op->area].area;
	uint64_t usable;
	unsigned char *buffer = buffer_for(actor, op, &usable);

	if (usable)
		memset(buffer, 0xa5, (size_t)usable);
	if (op->kind == READ)
		result->value = ashmem_read(area, buffer, (size_t)op->length);
	else
		result->value = ashmem_pread(area, buffer, (size_t)op->length, op->offset);
	/* What lies behind the bytes read is "untouched" and worth comparing only on failure. */
	if (result->value > 0 && (uint64_t)result->value < usable)
		usable = (uint64_t)result->value;
	if (usable)
		result->data = hash_bytes(buffer, (size_t)usable);
}

static void perform_seek_data_hole(struct actor *actor, const struct op *op, struct result *result)
{
	struct ashmem_area *area = actor->handle[op->area].area;
	int64_t now;

	result->value = ashmem_seek(area, (int64_t)op->offset, op->prot);
	now = ashmem_seek(area, 0, SEEK_CUR);
	result->data = result->value < 0 ? (uint64_t)now : (uint64_t)(now == result->value);
	ashmem_seek(area, (int64_t)op->length, SEEK_SET);
}

/* -- all of them -- */

int actor_perform_memory(struct actor *actor, const struct op *op, struct result *result)
{
	catch_faults();
	switch (op->kind) {
	case MAP:
		perform_map(actor, op, result);
		return 1;
	case UNMAP:
		perform_unmap(actor, op, result);
		return 1;
	case PROTECT:
		perform_protect(actor, op, result);
		return 1;
	case WRITE:
	case LOOK:
		perform_access(actor, op, result);
		return 1;
	case READ:
	case PREAD:
		perform_read(actor, op, result);
		return 1;
	case SEEK_DATA_HOLE:
		perform_seek_data_hole(actor, op, result);
		return 1;
	default:
		return 0;
	}
}
