/* SPDX-License-Identifier: MIT */
/*
 * The last pressure level and source, in one word: the level in the low byte, above it a place in
 * the table of names.
 */
#include <string.h>

#include "area/pressure_last.h"

static const char *const names[] = {
	"none", /* first: what the word says before anybody has looked */
	"off",
	"service",
	"cgroup-psi",
	"system-psi",
	"cgroup-event",
	"headroom",
	"available",
};
#define NAMES (sizeof(names) / sizeof(names[0]))

static uint32_t last; /* atomic, relaxed: nothing else depends on it */

void pressure_publish(uint32_t level, const char *source)
{
	uint32_t place = 0;

	for (uint32_t i = 0; i < NAMES; i++)
		if (strcmp(names[i], source) == 0)
			place = i;
	__atomic_store_n(&last, place << 8 | (level & 0xff), __ATOMIC_RELAXED);
}

void pressure_last(uint32_t *level, const char **source)
{
	uint32_t word = __atomic_load_n(&last, __ATOMIC_RELAXED);

	*level = word & 0xff;
	*source = names[word >> 8];
}
