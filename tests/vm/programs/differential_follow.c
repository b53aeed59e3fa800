/* SPDX-License-Identifier: MIT */
/*
 * How the judge's state follows an operation that succeeded in both worlds: who holds and maps
 * what, what the pages contain, what the models have to forget.
 */
#define _GNU_SOURCE 1
#include "differential_state.h"

#include <string.h>
#include <sys/mman.h>

uint64_t modelled_pages(const struct area_state *area)
{
	uint64_t page = page_size_bytes(), size = area->size_bytes, pages;

	pages = size > UINT64_MAX - page ? 0 : (size + page - 1) / page;
	return pages < MODEL_PAGES ? pages : MODEL_PAGES;
}

static void forget_ranges(struct state *state, int area, int of_kernel_too)
{
	for (int w = 0; w < 2; w++) {
		struct model_area *model = &state->model[w].area[area];
		uint64_t pages = modelled_pages(&state->area[area]);

		if (state->world[w]->is_kernel && !of_kernel_too)
			continue;
		memset(model, 0, sizeof *model);
		model->pages = pages;
		for (int page = 0; page < MODEL_PAGES; page++)
			model->range_of[page] = MODEL_PINNED;
	}
}

/*
 * After handles went: is the area still there, and can it be purged by all worlds? A mapping alone
 * keeps the bytes, but not the ranges: on the driver they belong to the descriptor.
 */
static void follow_references(struct state *state, int which)
{
	struct area_state *area = &state->area[which];
	int held = 0, purgeable = 0;

	for (int i = 0; i < ACTORS; i++) {
		const struct actor_state *actor = &state->actor[i];

		held |= actor->refs[which] > 0;
		purgeable |= actor->refs[which] > 0 && !actor->read_only[which];
	}
	if (!area->exists)
		return;
	if (!held) {
		area->exists = area->out_of_reach = 0;
		forget_ranges(state, which, 1);
	} else if (!purgeable && !area->out_of_reach) {
		area->out_of_reach = 1;
		forget_ranges(state, which, 0);
	}
}

static void follow_create(struct state *state, const struct op *op, const struct result *result)
{
	struct area_state *area = &state->area[op->area];

	memset(area, 0, sizeof *area);
	area->exists = 1;
	area->size_bytes = op->offset;
	area->mask = (int)result->data;
	state->actor[op->actor].refs[op->area] = 1;
	forget_ranges(state, op->area, 1);
}

static void follow_map(struct state *state, const struct op *op)
{
	struct mapping_state *mapping = &state->actor[op->actor].mapping[op->other];
	uint64_t page = page_size_bytes();

	memset(mapping, 0, sizeof *mapping);
	mapping->exists = 1;
	mapping->area = op->area;
	mapping->is_private = (op->flags & 3) == MAP_PRIVATE;
	mapping->prot = op->prot;
	mapping->mask = state->area[op->area].mask;
	mapping->made = state->at + 1;
	mapping->offset = op->offset;
	mapping->length = (op->length + page - 1) / page * page;
	state->area[op->area].materialised = 1;
	/* Reading a private mapping takes memory for holes on memfd, and none on the driver. */
	state->area[op->area].memory_unsure |= mapping->is_private;
	/*
	 * Under a mask without READ the driver's mapping can never be read (L1), and MAP_POPULATE
	 * finds nothing to do.
	 */
	if ((op->flags & MAP_POPULATE) && !(mapping->mask & PROT_READ))
		state->area[op->area].memory_unsure = 1;
}

static uint32_t mixed(uint32_t contents, uint32_t with)
{
	uint64_t seed = (uint64_t)contents << 32 | with;

	return (uint32_t)random_next(&seed) | 1;
}

/* A page that a private mapping writes becomes its own, copied from what it showed until then. */
static void follow_own_page(struct mapping_state *mapping, const struct page_state *page,
	uint64_t index, int whole)
{
	if (index >= MODEL_PAGES)
		return;
	if (!whole && !mapping->own[index] &&
		(!page || page->changed > mapping->made || page->contents[0] != page->contents[1]))
		mapping->own_differs[index] = 1;
	if (whole)
		mapping->own_differs[index] = 0;
	mapping->own[index] = 1;
}

static void follow_write(struct state *state, const struct op *op, int64_t length)
{
	struct mapping_state *mapping = &state->actor[op->actor].mapping[op->other];
	struct area_state *area = &state->area[mapping->area];
	uint64_t page = page_size_bytes(), at = op->offset, end = at + (uint64_t)length;

	while (at < end) {
		uint64_t next = (at / page + 1) * page < end ? (at / page + 1) * page : end;
		uint64_t index = (mapping->offset + at) / page;
		struct page_state *state_of = index < MODEL_PAGES ? &area->page[index] : NULL;
		int whole = next - at == page;

		if (mapping->is_private) {
			follow_own_page(mapping, state_of, at / page, whole);
		} else if (state_of) {
			for (int w = 0; w < 2; w++)
				state_of->contents[w] =
					mixed(whole ? 0 : state_of->contents[w], state->at + 1);
			state_of->changed = state->at + 1;
		}
		at = next;
	}
}

static void follow_purge(struct state *state, const struct state *before)
{
	for (int a = 0; a < AREAS; a++) {
		for (int page = 0; page < MODEL_PAGES; page++) {
			struct page_state *to = &state->area[a].page[page];
			int freed[2];

			for (int w = 0; w < 2; w++) {
				freed[w] = state->model[w].area[a].freed[page] !=
					before->model[w].area[a].freed[page];
				if (freed[w])
					to->contents[w] = 0;
			}
			if (freed[0] || freed[1])
				to->changed = state->at + 1;
			state->area[a].memory_unsure |= freed[0] != freed[1];
		}
	}
}

void state_follow_transfer(struct state *state, const struct op *op, const struct result *result)
{
	struct actor_state *receiver = &state->actor[op->other];

	if (result->value == 0 || result->data == 1)
		state->area[op->area].materialised = 1;
	if (result->value < 0)
		return;
	if (receiver->refs[op->area]++ == 0)
		receiver->read_only[op->area] =
			state->world[0]->has_readers && !(state->area[op->area].mask & PROT_WRITE);
}

static void follow_exit(struct state *state, const struct op *op)
{
	memset(&state->actor[op->actor], 0, sizeof state->actor[op->actor]);
	for (int area = 0; area < AREAS; area++)
		follow_references(state, area);
}

static void follow_close(struct state *state, const struct op *op)
{
	struct actor_state *actor = &state->actor[op->actor];

	if (actor->refs[op->area] > 0 && --actor->refs[op->area] == 0)
		actor->read_only[op->area] = 0;
	follow_references(state, op->area);
}

void state_follow(struct state *state, const struct op *op, const struct result *result,
	const struct state *before)
{
	struct actor_state *actor = &state->actor[op->actor];
	struct area_state *area = &state->area[op->area];

	if (op->kind == CREATE) {
		follow_create(state, op, result);
	} else if (op->kind == CLOSE) {
		follow_close(state, op);
	} else if (op->kind == SET_SIZE) {
		area->size_bytes = op->offset;
		forget_ranges(state, op->area, 1);
	} else if (op->kind == SET_PROT) {
		area->mask = (int)result->data;
	} else if (op->kind == MAP) {
		follow_map(state, op);
	} else if (op->kind == UNMAP && op->flags == 0) {
		actor->mapping[op->other].exists = 0;
	} else if (op->kind == WRITE) {
		follow_write(state, op, result->value);
	} else if (op->kind == READ) {
		area->position += result->value;
	} else if (op->kind == SEEK) {
		area->position = result->value;
	} else if (op->kind == PURGE_ALL) {
		follow_purge(state, before);
	} else if (op->kind == GET_FD || op->kind == IMPORT) {
		area->materialised = 1;
		actor->refs[op->area] += op->kind == IMPORT;
	} else if (op->kind == FORK) {
		state->actor[op->other] = *actor;
	} else if (op->kind == EXIT) {
		follow_exit(state, op);
	}
}
