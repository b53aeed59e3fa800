/* SPDX-License-Identifier: MIT */
/*
 * The judge of a differential test: walks through a trace that two worlds have carried out, and
 * compares each answer. Three questions to an operation:
 * - did both worlds answer the same, or does a rule of differential_rules.c allow that they did
 * not?
 * - is it what the contract says, where tests/support/model.h can tell (pins, purges, zeroes)?
 * - what has changed by it? differential_follow.c keeps that, for the operations to come.
 *
 * For each world there is a model of its own, because what they purge differs by D1 and L3.
 */
#define _GNU_SOURCE 1
#include "differential_state.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

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
static uint64_t bytes_read(const struct state *state, const struct op *op, int64_t value,
	uint64_t *offset)
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
			expected->value[w] =
				op->kind == GET_SIZE ? (int64_t)area->size_bytes : area->mask;
	}
}

/* Whether what was read is zeroes or not, as the pages that it is from: 0 if not. */
static int zeroes_are_right(const struct state *state, const struct op *op,
	const struct result *result, int w)
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

	if (!carried_out(first) && first->value == second->value)
		return 0;
	tally->operations++;
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
		state_follow_transfer(state, op, first);
	else if (op->kind == SEEK_DATA_HOLE && carried_out(first) && can_seek(state, op) &&
		op->length <= INT64_MAX)
		state->area[op->area].position = (int64_t)op->length;
	else if (carried_out(first) && carried_out(second) && first->value >= 0)
		state_follow(state, op, first, &before);
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

void judge_compare(const struct trace *trace, const struct world *first, const struct world *second,
	struct finding *finding, struct tally *tally)
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
	tally->traces++;
}
