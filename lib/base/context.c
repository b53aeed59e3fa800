/* SPDX-License-Identifier: MIT */
/*
 * The stack of frames, and the queries; see context.h. The stack is a few frames deep at most, so
 * each query walks it.
 */
#include "base/context.h"

THREAD_LOCAL struct context *context_top;

int context_find(uint32_t flags)
{
	const struct context *at = context_top;

	while (at && !(at->flags & flags))
		at = at->outer;
	return at != NULL;
}

int context_keeps_within(const void *budget)
{
	const struct context *at = context_top;

	while (at && at->budget != budget)
		at = at->outer;
	return at != NULL;
}

const void *context_shrinker(void)
{
	const struct context *at = context_top;

	while (at && !at->shrinker)
		at = at->outer;
	return at ? at->shrinker : NULL;
}

uint32_t context_subscribers(const void *subscriber)
{
	uint32_t calls = 0;

	for (const struct context *at = context_top; at; at = at->outer)
		calls += at->subscriber && (!subscriber || at->subscriber == subscriber);
	return calls;
}

uint64_t *context_patience(void)
{
	uint64_t *outermost = NULL;

	for (const struct context *at = context_top; at; at = at->outer)
		if (at->patience_ns)
			outermost = at->patience_ns;
	return outermost;
}

/* The frame of the purge under way, or NULL. */
static const struct context *purge_frame(void)
{
	const struct context *at = context_top;

	while (at && !(at->flags & CONTEXT_PURGE))
		at = at->outer;
	return at;
}

uint64_t context_longest_wait(void)
{
	const struct context *purge = purge_frame();

	return purge ? purge->wait_ns : UINT64_MAX;
}

void context_note_purged(uint64_t offset, uint64_t length)
{
	const struct context *purge = purge_frame();

	if (purge && purge->note)
		purge->note(purge->notes, offset, length);
}

uint32_t context_room_for_notes(void)
{
	const struct context *purge = purge_frame();

	return purge && purge->note ? purge->room(purge->notes) : UINT32_MAX;
}
