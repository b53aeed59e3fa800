/* SPDX-License-Identifier: MIT */
/*
 * The judge of a differential test: walks through a trace that two worlds have carried out, and
 * compares each answer. Three questions to an operation:
 * - did both worlds answer the same, or does a rule of differential_rules.c allow that they did not?
 * - is it what the contract says, where tests/support/model.h can tell (pins, purges, zeroes)?
 * - what has changed by it? That is followed in struct state, for the operations to come.
 *
 * For each world there is a model of its own, because what they purge differs by D1 and L3.
 */
#define _GNU_SOURCE 1
#include "differential_state.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

static uint64_t page_count(uint64_t size_bytes)
{
	uint64_t page = page_size_bytes();

	return size_bytes > UINT64_MAX - page ? 0 : (size_bytes + page - 1) / page;
}

static uint64_t modelled_pages(const struct area_state *area)
{
	uint64_t pages = page_count(area->size_bytes);

	return pages < MODEL_PAGES ? pages : MODEL_PAGES;
}

static int carried_out(const struct result *result)
{
	return result->value < NOT_THERE || result->value > NOT_REACHED;
}

const struct mapping_state *mapping_of(const struct state *state, const struct op *op)
{
	static const struct mapping_state none;

	if (op->kind != PROTECT && op->kind != WRITE && op->kind != LOOK)
		return &none;
	return &state->actor[op->actor].mapping[op->other];
}

/* The area that an operation names, directly or by a mapping. */
static int area_of(const struct state *state, const struct op *op)
{
	return op->kind == LOOK || op->kind == WRITE ? mapping_of(state, op)->area : op->area;
}

/* The bytes of the area that an operation read, if it answered `value`; 0 if none. */
static uint64_t bytes_read(
	const struct state *state, const struct op *op, int64_t value, uint64_t *offset)
{
	if (op->kind == LOOK)
		*offset = mapping_of(state, op)->offset + op->offset;
	else if (op->kind == PREAD || (op->kind == MAP && (op->flags & 3) == MAP_PRIVATE))
		*offset = op->offset;
	else if (op->kind == READ)
		*offset = (uint64_t)state->area[op->area].position;
	else
		return 0;
	if (op->kind == MAP)
		return value == 0 && (op->prot & PROT_READ) ? op->length : 0;
	return value > 0 ? (uint64_t)value : 0;
}

uint64_t pages_read(const struct state *state, const struct op *op, int64_t value, uint64_t *first)
{
	uint64_t page = page_size_bytes(), offset, bytes = bytes_read(state, op, value, &offset);

	if (bytes == 0)
		return 0;
	*first = offset / page;
	return (offset + bytes - 1) / page - *first + 1;
}

/* -- what the contract says; the models go on -- */

static void consult_range(struct state *state, const struct op *op, struct expected *expected)
{
	const struct area_state *area = &state->area[op->area];
	enum range_class class = RANGE_WRONG;
	uint64_t first, count;

	if (area->materialised)
		class = range_classify(area->size_bytes, op->offset, op->length, &first, &count);
	if (class == RANGE_OVER_32_BITS || class == RANGE_NOT_MODELLED)
		return;
	expected->known = 1;
	for (int w = 0; w < 2; w++) {
		struct model *model = &state->model[w];
		int64_t *value = &expected->value[w];

		if (class == RANGE_WRONG)
			*value = -EINVAL;
		else if (class == RANGE_EMPTY)
			*value = op->kind == STATUS;
		else if (op->kind == PIN)
			*value = model_pin(model, op->area, first, count);
		else if (op->kind == UNPIN)
			*value = model_unpin(model, op->area, first, count);
		else
			*value = model_status(model, op->area, first, count);
	}
}

static void consult_each(struct state *state, const struct op *op, struct expected *expected)
{
	const struct area_state *area = &state->area[op->area];
	uint64_t pages = modelled_pages(area);

	if (pages > 0 && !area->materialised)
		return;
	expected->known = expected->data_known = 1;
	for (int w = 0; w < 2; w++) {
		unsigned char answers[MODEL_PAGES] = {0};

		for (uint64_t page = 0; page < pages; page++) {
			int r = op->kind == PIN_EACH
					? model_pin(&state->model[w], op->area, page, 1)
					: model_status(&state->model[w], op->area, page, 1);
			answers[page] = (unsigned char)r;
			expected->value[w] += r;
		}
		expected->data[w] = hash_bytes(answers, sizeof answers);
	}
}

static void consult(struct state *state, const struct op *op, struct expected *expected)
{
	const struct actor_state *actor = &state->actor[op->actor];

	memset(expected, 0, sizeof *expected);
	if (op->kind == PURGE_ALL) {
		expected->known = 1;
		for (int w = 0; w < 2; w++)
			expected->value[w] = (int64_t)model_purge_all(&state->model[w]);
		return;
	}
	if (actor->refs[op->area] == 0 || actor->read_only[op->area])
		return;
	if (op->kind == PIN || op->kind == UNPIN || op->kind == STATUS) {
		consult_range(state, op, expected);
	} else if (op->kind == PIN_EACH || op->kind == STATUS_EACH) {
		consult_each(state, op, expected);
	} else if (op->kind == GET_SIZE || op->kind == GET_PROT) {
		const struct area_state *area = &state->area[op->area];
		expected->known = 1;
		for (int w = 0; w < 2; w++)
			expected->value[w] = op->kind == GET_SIZE ? (int64_t)area->size_bytes
								  : area->mask;
	}
}

/* Whether what was read is zeroes or not, as the pages that it is from: 0 if not. */
static int zeroes_are_right(
	const struct state *state, const struct op *op, const struct result *result, int w)
{
	const struct area_state *area = &state->area[area_of(state, op)];
	uint64_t page = page_size_bytes(), offset = 0, first = 0;
	uint64_t bytes = bytes_read(state, op, result->value, &offset);
	uint64_t pages = pages_read(state, op, result->value, &first);
	int zero = 1;

	if (pages == 0 || first + pages > MODEL_PAGES || op->kind == MAP ||
		(op->kind == LOOK && mapping_of(state, op)->is_private))
		return 1;
	for (uint64_t i = first; i < first + pages; i++)
		zero &= area->page[i].contents[w] == 0;
	if (zero)
		return result->data == hash_zeroes((size_t)bytes);
	return offset % page || bytes % page || result->data != hash_zeroes((size_t)bytes);
}

/* -- the state follows -- */

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
				state_of->contents[w] = mixed(
					whole ? 0 : state_of->contents[w], state->at + 1);
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

static void follow_transfer(struct state *state, const struct op *op, const struct result *result)
{
	struct actor_state *receiver = &state->actor[op->other];

	if (result->value == 0 || result->data == 1)
		state->area[op->area].materialised = 1;
	if (result->value < 0)
		return;
	if (receiver->refs[op->area]++ == 0)
		receiver->read_only[op->area] = !(state->area[op->area].mask & PROT_WRITE);
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

/* The operation succeeded. */
static void follow(struct state *state, const struct op *op, const struct result *result,
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

/* -- comparing -- */

static int report(struct finding *finding, const struct state *state, const struct result *first,
	const struct result *second, const char *why)
{
	finding->found = 1;
	finding->at = state->at;
	finding->first = *first;
	finding->second = *second;
	snprintf(finding->why, sizeof finding->why, "%s", why);
	return 1;
}

/* Whether world `w` answered what the contract says. */
static int agrees(const struct state *state, const struct op *op, const struct expected *expected,
	const struct result *result, int w, char *why, size_t why_size)
{
	const char *backend = state->world[w]->backend;

	if (!carried_out(result))
		return 1;
	if (expected->known && result->value != expected->value[w]) {
		snprintf(why, why_size, "%s answers %" PRId64 ", the contract %" PRId64, backend,
			result->value, expected->value[w]);
		return 0;
	}
	if (expected->data_known && result->data != expected->data[w]) {
		snprintf(why, why_size, "%s: answers for single pages are not the contract's",
			backend);
		return 0;
	}
	if (!zeroes_are_right(state, op, result, w)) {
		snprintf(why, why_size, "%s: purged pages show bytes, or others do not", backend);
		return 0;
	}
	return 1;
}

static int can_seek(const struct state *state, const struct op *op)
{
	const struct actor_state *actor = &state->actor[op->actor];

	return state->area[op->area].materialised && actor->refs[op->area] > 0 &&
	       !actor->read_only[op->area];
}

/* One operation: 1 if something was found. */
static int judge(struct state *state, const struct op *op, const struct result *first,
	const struct result *second, struct finding *finding, struct tally *tally)
{
	static struct state before; /* too large for the stack of a small system */
	struct expected expected;
	char why[200];

	if (first->value == NOT_THERE && second->value == NOT_THERE)
		return 0;
	if (op->kind == PURGE_ALL)
		before = *state;
	consult(state, op, &expected);
	if (first->value != second->value || first->data != second->data) {
		int rule = rule_for(state, op, &expected, first, second);

		if (rule < 0)
			return report(finding, state, first, second, "the answers differ");
		tally->rule[rule]++;
	}
	if (!agrees(state, op, &expected, first, 0, why, sizeof why) ||
		!agrees(state, op, &expected, second, 1, why, sizeof why))
		return report(finding, state, first, second, why);
	if (op->kind == TRANSFER && carried_out(first))
		follow_transfer(state, op, first);
	else if (op->kind == SEEK_DATA_HOLE && carried_out(first) &&
		 can_seek(state, op) && op->length <= INT64_MAX)
		state->area[op->area].position = (int64_t)op->length;
	else if (carried_out(first) && carried_out(second) && first->value >= 0)
		follow(state, op, first, &before);
	return 0;
}

static void describe_crash(const struct world *world, char *why, size_t why_size)
{
	if (world->crash == -1)
		snprintf(why, why_size, "%s: no answer", world->backend);
	else if (world->crash >= 1000)
		snprintf(why, why_size, "%s: a process ended with status %d", world->backend,
			world->crash - 1000);
	else
		snprintf(why, why_size, "%s: a process died of signal %d", world->backend,
			world->crash);
}

void judge_compare(const struct trace *trace, const struct world *first,
	const struct world *second, struct finding *finding, struct tally *tally)
{
	static struct state state;
	char why[200];

	memset(&state, 0, sizeof state);
	memset(finding, 0, sizeof *finding);
	state.world[0] = first;
	state.world[1] = second;
	state.actor[0].alive = 1;
	model_init(&state.model[0], AREAS, 0, first->is_kernel);
	model_init(&state.model[1], AREAS, 0, second->is_kernel);
	for (state.at = 0; state.at < trace->count && !finding->found; state.at++) {
		const struct result *a = &first->result[state.at], *b = &second->result[state.at];
		const struct world *ended = first->next <= state.at ? first : second;

		if (ended->next <= state.at) {
			describe_crash(ended, why, sizeof why);
			report(finding, &state, a, b, why);
		} else {
			judge(&state, &trace->op[state.at], a, b, finding, tally);
		}
	}
	tally->operations += trace->count;
	tally->traces++;
}
