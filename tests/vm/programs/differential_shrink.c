/* SPDX-License-Identifier: MIT */
/*
 * A failing trace made short: pieces of it are left out, large ones first, as long as what is left
 * still fails when it is carried out from a fresh state (delta debugging). At the end no single
 * operation can be left out.
 */
#define _GNU_SOURCE 1
#include "differential.h"

#include <string.h>

static struct trace trial;

static int fails(run_trace *run, struct trace *shorter, struct finding *finding)
{
	struct finding found;

	run(shorter, &found);
	if (found.found)
		*finding = found;
	return found.found;
}

/* Behind the operation that showed it, nothing matters. */
static void cut_tail(struct trace *trace, const struct finding *finding)
{
	if (finding->at + 1 < trace->count)
		trace->count = finding->at + 1;
	if (trace->count < trace->fixed)
		trace->count = trace->fixed;
}

static void copy_without(struct trace *to, const struct trace *from, uint32_t first, uint32_t count)
{
	*to = *from;
	memmove(to->op + first, to->op + first + count,
		(to->count - first - count) * sizeof *to->op);
	to->count -= count;
}

/* One round of leaving out pieces of this many operations; how many went. */
static uint32_t leave_out(struct trace *trace, struct finding *finding, run_trace *run,
	uint32_t size)
{
	uint32_t before = trace->count, first = trace->count;

	while (first > trace->fixed) {
		uint32_t piece = first - trace->fixed < size ? first - trace->fixed : size;

		first -= piece;
		copy_without(&trial, trace, first, piece);
		if (!fails(run, &trial, finding))
			continue;
		*trace = trial;
		cut_tail(trace, finding);
		if (first > trace->count)
			first = trace->count;
	}
	return before - trace->count;
}

/* The same by the first process, at the start, of one page: easier to read. */
static void simplify(struct trace *trace, struct finding *finding, run_trace *run)
{
	uint64_t page = page_size_bytes();

	for (uint32_t i = trace->fixed; i < trace->count; i++) {
		for (int what = 0; what < 3; what++) {
			struct op *op = &trial.op[i];
			struct op was;

			trial = *trace;
			was = *op;
			if (what == 0)
				op->actor = 0;
			else if (what == 1 && op->offset % page == 0)
				op->offset = op->kind == CREATE ? 4 * page : 0;
			else if (what == 2 && op->length > page)
				op->length = page;
			if (memcmp(&was, op, sizeof was) == 0 || !fails(run, &trial, finding))
				continue;
			*trace = trial;
			cut_tail(trace, finding);
			if (i >= trace->count)
				return;
		}
	}
}

uint32_t trace_shorten(struct trace *trace, struct finding *finding, run_trace *run)
{
	cut_tail(trace, finding);
	for (int rounds = 0; rounds < 2; rounds++) {
		for (uint32_t size = trace->count / 2 + 1; size > 1; size = (size + 1) / 2)
			leave_out(trace, finding, run, size);
		while (leave_out(trace, finding, run, 1) > 0)
			;
		if (rounds == 0)
			simplify(trace, finding, run);
	}
	/* So that the finding is of the trace as it is now. */
	run(trace, finding);
	return trace->count;
}
