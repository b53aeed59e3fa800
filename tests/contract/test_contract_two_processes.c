/* SPDX-License-Identifier: MIT */
/*
 * Random traces through the public interface by two processes that share areas, judged by the model
 * of the contract.
 *
 * The test and a child take turns: each operation is drawn here, done by one of the two, and its
 * answer, like every byte looked at, must be what the model says. ASHMEM_TEST_SEED repeats a run,
 * ASHMEM_TEST_OPS (200000) is the length of a trace. A second test lets both run freely over halves
 * of one area while both purge.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/model.h"
#include "support/random.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { AREAS = 3, PAGES = 40 };

enum operation {
	PIN,
	PIN_LOST,
	UNPIN,
	UNPIN_WITH,
	STATUS,
	FILL,
	LOOK,
	SHRINK,
	PURGE_ALL,
	COUNT,
	FIND,
	STOP
};

static const char *const operation_names[] = {"pin", "pin_lost", "unpin", "unpin_with", "status",
	"fill", "look", "shrink", "purge_all", "count", "find", "stop"};

/* One operation and its outcome; goes over a socket to the other process and back. */
struct turn {
	enum operation operation;
	int area;
	uint32_t priority, order;
	uint32_t capacity;   /* for PIN_LOST */
	uint64_t lost_pages; /* that it told, as bits */
	uint64_t offset;     /* bytes; the page for FILL and LOOK */
	uint64_t length;     /* bytes; pages for SHRINK, the byte for FILL */
	int64_t result;
	uint64_t found_offset, found_length;
	uint32_t found_state;
};

struct trace {
	struct view views[AREAS];
	struct model model;
	int byte_of[AREAS][PAGES];       /* what was written last */
	uint64_t freed_at[AREAS][PAGES]; /* the model's count of purges of the page then */
	struct random_source random;
	int ends[2];
	pid_t child;
	int is_kernel;
	uint64_t want_lost;
	uint64_t seed, step;
};

/*
 * A page seen through the mapping and through pread: its byte, or -1 if it is not filled with
 * one.
 */
static int64_t look(const struct view *view, uint64_t page)
{
	unsigned char byte = 0;

	if (ashmem_pread(view->area, &byte, 1, page * page_bytes()) != 1)
		return -2;
	/* A look through the mapping would give memory to a page that was purged. */
	if (ashmem_get_pin_status(view->area, page * page_bytes(), page_bytes()) !=
		ASHMEM_IS_PINNED)
		return byte;
	return pages_hold(view, page, 1, byte) ? byte : -1;
}

static uint64_t bits_of(uint64_t first, uint64_t count)
{
	return (((uint64_t)1 << count) - 1) << first;
}

static int pin_lost(const struct view *view, struct turn *turn)
{
	struct ashmem_extent lost[4];
	uint32_t count = 77, i;
	int result = ashmem_pin_lost(view->area, turn->offset, turn->length, lost, turn->capacity,
		&count);

	turn->lost_pages = 0;
	if (result < 0)
		return count == 77 ? result : -1000;
	if (count > turn->capacity)
		return -1001;
	for (i = 0; i < count; i++) {
		if (i > 0 && lost[i].offset <= lost[i - 1].offset + lost[i - 1].length)
			return -1002;
		turn->lost_pages |=
			bits_of(lost[i].offset / page_bytes(), lost[i].length / page_bytes());
	}
	return result;
}

static void perform(struct turn *turn, struct view *views)
{
	struct view *view = &views[turn->area];

	switch (turn->operation) {
	case PIN:
		turn->result = ashmem_pin(view->area, turn->offset, turn->length);
		break;
	case PIN_LOST:
		turn->result = pin_lost(view, turn);
		break;
	case UNPIN:
		give_memory(view->area, 0, view->pages);
		turn->result = ashmem_unpin(view->area, turn->offset, turn->length);
		break;
	case UNPIN_WITH:
		give_memory(view->area, 0, view->pages);
		turn->result = ashmem_unpin_with(view->area, turn->offset, turn->length,
			turn->priority, turn->order);
		break;
	case STATUS:
		turn->result = ashmem_get_pin_status(view->area, turn->offset, turn->length);
		break;
	case FILL:
		fill_pages(view, turn->offset, 1, (int)turn->length);
		turn->result = 0;
		break;
	case LOOK:
		turn->result = look(view, turn->offset);
		break;
	case SHRINK:
		turn->result = ashmem_shrink(turn->length);
		break;
	case PURGE_ALL:
		turn->result = ashmem_purge_all();
		break;
	case COUNT:
		turn->result = (int64_t)ashmem_shrink_count();
		break;
	case FIND:
		turn->result = ashmem_find_unpinned(view->area, turn->offset, &turn->found_offset,
			&turn->found_length, &turn->found_state);
		break;
	case STOP:
		_exit(0);
	}
}

/* The child: receives the areas that were not there when it began, then does what it is told. */
static void follow(void *argument)
{
	struct trace *trace = argument;
	struct turn turn;
	int i;

	for (i = 1; i < AREAS; i++) {
		struct ashmem_area *area = NULL;

		expect_eq(ashmem_recv(trace->ends[1], &area), 0);
		trace->views[i] = view_of(area);
	}
	while (recv(trace->ends[1], &turn, sizeof turn, 0) == (ssize_t)sizeof turn) {
		perform(&turn, trace->views);
		expect_eq(send(trace->ends[1], &turn, sizeof turn, MSG_NOSIGNAL), sizeof turn);
	}
}

static struct turn delegate(struct trace *trace, struct turn turn)
{
	expect_eq(send(trace->ends[0], &turn, sizeof turn, MSG_NOSIGNAL), sizeof turn);
	expect_eq(recv(trace->ends[0], &turn, sizeof turn, 0), sizeof turn);
	return turn;
}

static void complain(const struct trace *trace, const struct turn *turn, int64_t want)
{
	contract_fail(__FILE__, __LINE__,
		"seed %" PRIu64 ", step %" PRIu64 ": %s(area %d, %#" PRIx64 ", %#" PRIx64
		") gives %" PRId64 ", not %" PRId64,
		trace->seed, trace->step, operation_names[turn->operation], turn->area,
		turn->offset, turn->length, turn->result, want);
}

/* Drawing operations */

static enum operation draw_operation(struct random_source *random)
{
	static const unsigned char weights[] = {18, 12, 24, 6, 10, 8, 10, 5, 1, 2, 4};
	uint64_t draw = random_below(random, 100);
	int operation = 0;

	while (draw >= weights[operation])
		draw -= weights[operation++];
	return (enum operation)operation;
}

/* Mostly a few pages, sometimes many, sometimes to the end, sometimes wrong. */
static void draw_range(struct random_source *random, struct turn *turn, uint64_t pages)
{
	static const uint64_t wrong[] = {1, 100, (uint64_t)1 << 32, (uint64_t)1 << 63};
	uint64_t page = page_bytes();
	uint64_t kind = random_below(random, 100);

	turn->offset = random_below(random, pages) * page;
	turn->length = (1 + random_below(random, 4)) * page;
	if (kind < 20)
		turn->length = (1 + random_below(random, pages)) * page;
	else if (kind < 26)
		turn->length = 0;
	else if (kind < 28)
		turn->offset = pages * page;
	else if (kind < 30)
		turn->offset += wrong[random_below(random, 4)];
	else if (kind < 32)
		turn->length += wrong[random_below(random, 4)];
	else if (kind < 33)
		turn->length = 0 - turn->offset + page;
}

static struct turn draw_turn(struct trace *trace)
{
	struct turn turn = {.operation = draw_operation(&trace->random)};
	uint64_t pages;

	turn.area = (int)random_below(&trace->random, AREAS);
	pages = trace->model.area[turn.area].pages;
	switch (turn.operation) {
	case PIN:
	case PIN_LOST:
	case UNPIN:
	case UNPIN_WITH:
	case STATUS:
		turn.capacity = 1 + (uint32_t)random_below(&trace->random, 4);
		turn.priority = (uint32_t)random_below(&trace->random, 9);
		turn.order =
			random_below(&trace->random, 2) ? ASHMEM_ORDER_LIFO : ASHMEM_ORDER_FIFO;
		draw_range(&trace->random, &turn, pages);
		break;
	case FILL:
		turn.length = random_below(&trace->random, 256);
		turn.offset = random_below(&trace->random, pages);
		/* Who writes to unpinned pages gives memory to what was purged. */
		if (trace->model.area[turn.area].range_of[turn.offset] != MODEL_PINNED)
			turn.operation = LOOK;
		break;
	case LOOK:
		turn.offset = random_below(&trace->random, pages);
		break;
	case SHRINK:
		turn.length = random_below(&trace->random, 12);
		break;
	default:
		turn.offset = random_below(&trace->random, pages) * page_bytes();
		break;
	}
	return turn;
}

/* Judging them */

static int64_t expected_byte(const struct trace *trace, int area, uint64_t page)
{
	if (trace->freed_at[area][page] != trace->model.area[area].freed[page])
		return 0;
	return trace->byte_of[area][page];
}

/*
 * The pages that a pin will tell: all in one if it does not know, and the last extent up to the
 * last lost page.
 */
static uint64_t lost_pages(const struct trace *trace, const struct turn *turn, uint64_t first,
	uint64_t count)
{
	const struct model_area *area = &trace->model.area[turn->area];
	uint64_t bits = 0, page;
	uint32_t runs = 0;

	for (page = first; page < first + count; page++) {
		if (!area->lost[page])
			continue;
		runs += page == first || !area->lost[page - 1];
		bits |= bits_of(page, 1);
		/* what lies before it as well, down to the extent before */
		if (runs > turn->capacity)
			while (!(bits & bits_of(page - 1, 1)))
				bits |= bits_of(--page, 1);
		while (page + 1 < first + count && (bits & bits_of(page + 1, 1)))
			page++;
	}
	return bits;
}

static int64_t predict_range_call(struct trace *trace, const struct turn *turn)
{
	uint64_t first, count;
	int with = turn->operation == UNPIN_WITH;
	int result;

	if (with && turn->priority > 7)
		return -EINVAL;
	if (with && trace->is_kernel && (turn->priority != 4 || turn->order != ASHMEM_ORDER_FIFO))
		return -ENOTSUP;
	result = model_check(&trace->model.area[turn->area], page_bytes(), turn->offset,
		turn->length, &first, &count);

	if (result != 0)
		return result;
	if (turn->operation == PIN_LOST) {
		trace->want_lost = lost_pages(trace, turn, first, count);
		result = model_pin(&trace->model, turn->area, first, count);
		if (trace->is_kernel)
			trace->want_lost = result == ASHMEM_WAS_PURGED ? bits_of(first, count) : 0;
		return result;
	}
	if (turn->operation == PIN)
		return model_pin(&trace->model, turn->area, first, count);
	if (with)
		return model_unpin_with(&trace->model, turn->area, first, count, turn->priority,
			turn->order == ASHMEM_ORDER_LIFO);
	if (turn->operation == UNPIN)
		return model_unpin(&trace->model, turn->area, first, count);
	return model_status(&trace->model, turn->area, first, count);
}

/* Before the call, because a shrink may have to ask for more than was drawn. */
static int64_t predict(struct trace *trace, struct turn *turn)
{
	switch (turn->operation) {
	case FILL:
		trace->byte_of[turn->area][turn->offset] = (int)turn->length;
		trace->freed_at[turn->area][turn->offset] =
			trace->model.area[turn->area].freed[turn->offset];
		return 0;
	case LOOK:
		return expected_byte(trace, turn->area, turn->offset);
	case SHRINK:
		return trace->is_kernel ? 0 : (int64_t)model_shrink(&trace->model, &turn->length);
	case PURGE_ALL:
		return (int64_t)model_purge_all(&trace->model);
	case COUNT:
		return trace->is_kernel ? 0 : (int64_t)model_shrink_count(&trace->model);
	default:
		return predict_range_call(trace, turn);
	}
}

static void judge_find(const struct trace *trace, const struct turn *turn)
{
	uint64_t first = 0, count = 0, live = 0;
	int purged = 0;
	int want = model_find(&trace->model.area[turn->area], turn->offset / page_bytes(), &first,
		&count, &purged, &live);
	uint32_t state = (purged ? ASHMEM_RANGE_PURGED : 0) | (live ? ASHMEM_RANGE_EVICTABLE : 0);

	if (trace->is_kernel)
		want = -ENOTSUP;
	if (turn->result != want)
		complain(trace, turn, want);
	if (want == 1 &&
		(turn->found_offset != first * page_bytes() ||
			turn->found_length != count * page_bytes() || turn->found_state != state))
		contract_fail(__FILE__, __LINE__,
			"seed %" PRIu64 ", step %" PRIu64 ": found %" PRIx64 "+%" PRIx64
			" state %u, not page %" PRIu64 "+%" PRIu64 " state %u",
			trace->seed, trace->step, turn->found_offset, turn->found_length,
			turn->found_state, first, count, state);
}

/* Only pinned pages are written: what happens to others is nobody's promise. */
static int is_fair(const struct trace *trace, const struct turn *turn)
{
	return turn->operation != FILL || model_status(&trace->model, turn->area, turn->offset, 1);
}

static void take_turn(struct trace *trace)
{
	struct turn turn = draw_turn(trace);
	int by_child = (int)random_below(&trace->random, 2);
	int64_t want;

	if (!is_fair(trace, &turn))
		return;
	trace->want_lost = 0;
	want = turn.operation == FIND ? 0 : predict(trace, &turn);
	if (by_child)
		turn = delegate(trace, turn);
	else
		perform(&turn, trace->views);
	if (turn.operation == FIND)
		judge_find(trace, &turn);
	else if (turn.result != want)
		complain(trace, &turn, want);
	else if (turn.operation == PIN_LOST && want >= 0 && turn.lost_pages != trace->want_lost)
		contract_fail(__FILE__, __LINE__,
			"seed %" PRIu64 ", step %" PRIu64 ": lost pages %" PRIx64 ", not %" PRIx64,
			trace->seed, trace->step, turn.lost_pages, trace->want_lost);
}

/* Area 0 is known to the child by fork, the others come over the socket. */
static void trace_begin(struct trace *trace)
{
	int i;

	trace->seed = test_seed("two processes");
	trace->random = random_from(trace->seed);
	trace->is_kernel = backend_is_kernel();
	model_init(&trace->model, AREAS, PAGES, trace->is_kernel);
	trace->model.area[2].pages = 7;
	trace->views[0] = view_make(PAGES);
	expect_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, trace->ends), 0);
	trace->child = child_start(follow, trace);
	trace->views[1] = view_of(area_of_bytes((PAGES - 1) * page_bytes() + 1));
	trace->views[2] = view_make(7);
	for (i = 1; i < AREAS; i++)
		expect_eq(ashmem_send(trace->ends[0], trace->views[i].area), 0);
}

static void trace_end(struct trace *trace)
{
	struct turn stop = {.operation = STOP};
	int i;

	expect_eq(send(trace->ends[0], &stop, sizeof stop, MSG_NOSIGNAL), sizeof stop);
	child_join(trace->child);
	for (i = 0; i < AREAS; i++)
		view_drop(&trace->views[i]);
	close(trace->ends[0]);
	close(trace->ends[1]);
}

static uint64_t trace_length(void)
{
	const char *text = getenv("ASHMEM_TEST_OPS");
	uint64_t length = text ? strtoull(text, NULL, 0) : 0;

	return length ? length : 200000;
}

CONTRACT_TEST(two_processes, random_trace_answers_as_the_model_says)
{
	static struct trace trace;

	trace_begin(&trace);
	for (trace.step = 0; trace.step < trace_length(); trace.step++)
		take_turn(&trace);
	trace_end(&trace);
}

/* Both at once, each with pages of its own in one area, each purging everything now and then. */

enum { FREE_ROUNDS = 15000, HALF_PAGES = 32 };

struct half {
	struct view view;
	uint64_t first;
	uint64_t seed;
};

/* Each page is whole, written or purged; purged only if the pin said so. */
static void expect_honest_contents(const struct half *half, uint64_t first, uint64_t count,
	int mark, int result)
{
	uint64_t page;

	expect(result == ASHMEM_NOT_PURGED || result == ASHMEM_WAS_PURGED);
	for (page = first; page < first + count; page++) {
		expect(pages_hold(&half->view, page, 1, mark) ||
			(result == ASHMEM_WAS_PURGED && pages_hold(&half->view, page, 1, 0)));
	}
}

static void purge_now_and_then(struct random_source *random)
{
	if (random_below(random, 16) == 0)
		expect(ashmem_purge_all() >= 0);
	else if (random_below(random, 8) == 0)
		expect(ashmem_shrink(2) >= 0);
}

static void work_on_half(void *argument)
{
	struct half *half = argument;
	struct random_source random = random_from(half->seed);
	int round, result;

	for (round = 0; round < FREE_ROUNDS; round++) {
		uint64_t first = half->first + random_below(&random, HALF_PAGES - 4);
		uint64_t count = 1 + random_below(&random, 4);
		int mark = 1 + (int)random_below(&random, 255);

		fill_pages(&half->view, first, count, mark);
		unpin_pages(half->view.area, first, count);
		purge_now_and_then(&random);
		result = pin_pages(half->view.area, first, count);
		expect_honest_contents(half, first, count, mark, result);
		expect_eq(status_pages(half->view.area, first, count), ASHMEM_IS_PINNED);
	}
}

CONTRACT_TEST(two_processes, both_at_once_keep_what_they_pin)
{
	struct view view = view_make(2 * HALF_PAGES);
	uint64_t seed = test_seed("both at once");
	struct half mine = {view, 0, seed}, theirs = {view, HALF_PAGES, seed + 1};
	pid_t child = child_start(work_on_half, &theirs);

	work_on_half(&mine);
	child_join(child);
	expect_eq(ashmem_pin(view.area, 0, 0), ASHMEM_NOT_PURGED);
	view_drop(&view);
}
