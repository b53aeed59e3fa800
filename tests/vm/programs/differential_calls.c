/* SPDX-License-Identifier: MIT */
/*
 * Carrying out one operation of a differential test in one process of a world. Everything that can
 * be compared goes into the result. What is about memory is in differential_memory.c. Which
 * operations a world leaves out because of an allowed difference that would last is decided here,
 * in leaves_out(), and justified in differential_rules.c.
 */
#define _GNU_SOURCE 1
#include "differential.h"

#include <ashmem/ashmem.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <unistd.h>

/* -- ranges -- */

enum range_class range_classify(uint64_t size_bytes, uint64_t offset, uint64_t length,
	uint64_t *first, uint64_t *count)
{
	uint64_t page = page_size_bytes(), end = (size_bytes + page - 1) / page * page;

	if (offset % page != 0 || length % page != 0 || offset > end || length > end - offset)
		return RANGE_WRONG;
	if (length == 0)
		length = end - offset;
	*first = offset / page;
	*count = length / page;
	if (length == 0)
		return RANGE_EMPTY;
	if (offset + length > UINT32_MAX)
		return RANGE_OVER_32_BITS;
	return *first + *count > MODEL_PAGES ? RANGE_NOT_MODELLED : RANGE_GOOD;
}

static int is_range_call(const struct op *op)
{
	return op->kind == PIN || op->kind == UNPIN || op->kind == STATUS;
}

static int needs_write_access(const struct op *op)
{
	return op->kind == SET_PROT || op->kind == READ || op->kind == SEEK ||
		op->kind == SEEK_DATA_HOLE;
}

/*
 * A read-only peer of memfd pins by locks, which the area's state does not show: nothing to
 * compare.
 */
static int is_pin(const struct op *op)
{
	return op->kind == PIN || op->kind == UNPIN || op->kind == PIN_EACH;
}

/* A size that an area can have, but not one of the driver. */
static int size_is_for_64_bits(const struct actor *actor, const struct op *op)
{
	const struct world *world = actor->world;

	if (op->offset <= ((uint64_t)1 << 32) - page_size_bytes() ||
		op->offset > (uint64_t)(UINT32_MAX - 3) * page_size_bytes())
		return 0;
	if (op->kind == CREATE)
		return op->flags == 0 && !world->holders[op->area] && !world->mapped[op->area];
	return op->kind == SET_SIZE && actor->handle[op->area].area != NULL;
}

/* Whether this world must not carry the operation out: 0, or what to answer instead. */
static int leaves_out(const struct actor *actor, const struct op *op)
{
	const struct handle *handle = &actor->handle[op->area];
	uint64_t first, count;

	if (handle->read_only && needs_write_access(op))
		return actor->world->is_driver ? LEFT_OUT : 0;
	if (handle->read_only && is_pin(op))
		return NOT_MODELLED;
	if (size_is_for_64_bits(actor, op))
		return actor->world->is_driver ? 0 : LEFT_OUT;
	if (!is_range_call(op) || !handle->area || !actor->world->materialised[op->area])
		return 0;
	switch (range_classify(ashmem_get_size(handle->area), op->offset, op->length, &first,
		&count)) {
	case RANGE_NOT_MODELLED:
		return NOT_MODELLED;
	case RANGE_OVER_32_BITS:
		return actor->world->is_driver ? 0 : LEFT_OUT;
	default:
		return 0;
	}
}

/* -- life -- */

static void perform_create(struct actor *actor, const struct op *op, struct result *result)
{
	struct handle *handle = &actor->handle[op->area];
	struct world *world = actor->world;

	if (world->holders[op->area] || world->mapped[op->area]) {
		result->value = NOT_THERE;
		return;
	}
	result->value = ashmem_create(trace_names[op->other], op->offset, (uint32_t)op->flags,
		&handle->area);
	if (result->value < 0)
		return;
	*handle = (struct handle){.area = handle->area, .refs = 1};
	world->holders[op->area] = 1;
	world->materialised[op->area] = 0;
	result->data = (uint64_t)ashmem_get_prot(handle->area);
}

static void perform_close(struct actor *actor, const struct op *op, struct result *result)
{
	struct handle *handle = &actor->handle[op->area];

	ashmem_close(handle->area);
	result->value = 0;
	if (handle->area && --handle->refs == 0) {
		memset(handle, 0, sizeof *handle);
		actor->world->holders[op->area]--;
	}
}

static void perform_get_name(struct actor *actor, const struct op *op, struct result *result)
{
	char name[300];

	memset(name, 0xa5, sizeof name);
	result->value = ashmem_get_name(actor->handle[op->area].area, name, (size_t)op->length);
	result->data = hash_bytes(name, sizeof name);
}

static void perform_set_size(struct actor *actor, const struct op *op, struct result *result)
{
	result->value = ashmem_set_size(actor->handle[op->area].area, op->offset);
	result->data = ashmem_get_size(actor->handle[op->area].area);
}

static void perform_set_prot(struct actor *actor, const struct op *op, struct result *result)
{
	result->value = ashmem_set_prot(actor->handle[op->area].area, op->prot);
	result->data = (uint64_t)ashmem_get_prot(actor->handle[op->area].area);
}

static void perform_get_fd(struct actor *actor, const struct op *op, struct result *result)
{
	int fd = ashmem_fd(actor->handle[op->area].area);

	result->value = fd < 0 ? fd : 0;
	if (fd < 0)
		return;
	result->data = (uint64_t)fcntl(fd, F_GETFD) & FD_CLOEXEC;
	actor->world->materialised[op->area] = 1;
}

static void perform_import(struct actor *actor, const struct op *op, struct result *result)
{
	struct handle *handle = &actor->handle[op->area];
	struct ashmem_area *imported = NULL;
	int fd = ashmem_fd(handle->area);

	result->value = fd < 0 ? fd : ashmem_import(fd, &imported);
	if (result->value < 0)
		return;
	actor->world->materialised[op->area] = 1;
	result->data = imported == handle->area;
	handle->refs++;
}

static int perform_receive(struct actor *actor, const struct op *op, struct result *result)
{
	struct handle *handle = &actor->handle[op->area];
	struct ashmem_area *received = NULL;

	result->value = ashmem_recv(actor->world->inbox[actor->self][0], &received);
	result->data = 1;
	if (result->value < 0)
		return 0;
	result->data = 2 + (!handle->area || handle->area == received);
	if (handle->refs++ > 0)
		return 0;
	handle->area = received;
	handle->read_only = actor->world->has_readers && !(ashmem_get_prot(received) & PROT_WRITE);
	actor->world->holders[op->area]++;
	return 0;
}

static int perform_transfer(struct actor *actor, const struct op *op, struct result *result)
{
	struct world *world = actor->world;

	if (world->phase == 1)
		return perform_receive(actor, op, result);
	result->value = ashmem_send(world->inbox[op->other][1], actor->handle[op->area].area);
	if (result->value < 0)
		return 0;
	world->materialised[op->area] = 1;
	world->phase = 1;
	return op->other == actor->self ? perform_receive(actor, op, result) : 1;
}

/* -- pinning and purging -- */

/* Every page by itself: the sum of the answers, and all of them as a hash; or the first error. */
static void perform_each(struct actor *actor, const struct op *op, struct result *result)
{
	struct ashmem_area *area = actor->handle[op->area].area;
	uint64_t page = page_size_bytes(), pages = (ashmem_get_size(area) + page - 1) / page;
	unsigned char answers[MODEL_PAGES] = {0};

	if (pages > MODEL_PAGES)
		pages = MODEL_PAGES;
	for (uint64_t i = 0; i < pages; i++) {
		int r = op->kind == PIN_EACH ? ashmem_pin(area, i * page, page)
					     : ashmem_get_pin_status(area, i * page, page);
		if (r < 0) {
			result->value = r;
			return;
		}
		answers[i] = (unsigned char)r;
		result->value += r;
	}
	result->data = hash_bytes(answers, sizeof answers);
}

/* The driver purges the whole system, the library what a process holds (L3): so all of them do. */
static int perform_purge_all(struct actor *actor, struct result *result)
{
	struct world *world = actor->world;
	int64_t pages;

	pages = ashmem_purge_all();
	result->value = pages < 0 ? pages : result->value + pages;
	if (world->is_kernel || pages < 0)
		return 0;
	for (uint32_t next = world->phase + 1; next < ACTORS; next++) {
		if (world->alive[next]) {
			world->phase = next;
			return 1;
		}
	}
	return 0;
}

/* -- all of them -- */

int actor_for(const struct world *world, const struct op *op)
{
	if (!world->alive[op->actor])
		return -1;
	switch (op->kind) {
	case PURGE_ALL:
		return world->is_kernel ? op->actor : (int)world->phase;
	case TRANSFER:
		if (!world->alive[op->other])
			return -1;
		return world->phase ? op->other : op->actor;
	case FORK:
		return world->alive[op->other] ? -1 : op->actor;
	case EXIT:
		return op->actor ? op->actor : -1;
	default:
		return op->actor;
	}
}

static void perform_simple(struct actor *actor, const struct op *op, struct result *result)
{
	struct ashmem_area *area = actor->handle[op->area].area;

	if (op->kind == SET_NAME)
		result->value = ashmem_set_name(area, trace_names[op->other]);
	else if (op->kind == GET_SIZE)
		result->value = (int64_t)ashmem_get_size(area);
	else if (op->kind == GET_PROT)
		result->value = ashmem_get_prot(area);
	else if (op->kind == SEEK)
		result->value = ashmem_seek(area, (int64_t)op->offset, op->prot);
	else if (op->kind == PIN)
		result->value = ashmem_pin(area, op->offset, op->length);
	else if (op->kind == UNPIN)
		result->value = ashmem_unpin(area, op->offset, op->length);
	else if (op->kind == STATUS)
		result->value = ashmem_get_pin_status(area, op->offset, op->length);
	else if (op->kind == SHRINK)
		result->value = ashmem_shrink(op->length);
	else if (op->kind == SHRINK_COUNT)
		result->value = (int64_t)ashmem_shrink_count();
	else if (op->kind == PERSONALITY)
		result->value = personality(op->flags ? READ_IMPLIES_EXEC : 0) < 0;
}

int actor_perform(struct actor *actor, const struct op *op, struct result *result)
{
	typedef void perform(struct actor *, const struct op *, struct result *);
	static perform *const performs[KINDS] = {
		[CREATE] = perform_create,
		[CLOSE] = perform_close,
		[GET_NAME] = perform_get_name,
		[SET_SIZE] = perform_set_size,
		[SET_PROT] = perform_set_prot,
		[STATUS_EACH] = perform_each,
		[PIN_EACH] = perform_each,
		[GET_FD] = perform_get_fd,
		[IMPORT] = perform_import,
	};
	int instead = leaves_out(actor, op);

	if (instead)
		result->value = instead;
	else if (op->kind == TRANSFER)
		return perform_transfer(actor, op, result);
	else if (op->kind == PURGE_ALL)
		return perform_purge_all(actor, result);
	else if (op->kind == FORK)
		actor_fork(actor, op);
	else if (performs[op->kind])
		performs[op->kind](actor, op, result);
	else if (!actor_perform_memory(actor, op, result))
		perform_simple(actor, op, result);
	return 0;
}
