/* SPDX-License-Identifier: MIT */
/*
 * Debug modes: which are on, and those that purge after an unpin.
 *
 * Purges come at the end of an unpin, with no lock held, and are of areas only: registered
 * shrinkers are not asked. What a subscriber unpins meanwhile purges nothing, or one that fills and
 * unpins again would never come back.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ashmem/shrinker.h>

#include "area/debug.h"
#include "base/cancel.h"
#include "base/context.h"
#include "base/fork.h"
#include "base/lock.h"
#include "base/shared.h"
#include "base/sys.h"
#include "purge/areas.h"

#define PERCENT_DEFAULT 25

struct modes {
	uint32_t words;
	uint32_t percent;
	uint64_t seed;
};

static struct modes modes;
static uint64_t drawn; /* atomic: random numbers so far */
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* -- words -- */

/* A number that ends at `end`: 1, or 0 if it is none. */
static int parse_number(const char *text, const char *end, uint64_t *number)
{
	char *stop;

	if (text == end || *text < '0' || *text > '9')
		return 0;
	errno = 0;
	*number = strtoull(text, &stop, 0);
	return stop == end && errno == 0;
}

static int parse_random(const char *text, const char *end, struct modes *wanted)
{
	const char *colon = memchr(text, ':', (size_t)(end - text));
	uint64_t percent = PERCENT_DEFAULT;

	if (!parse_number(text, colon ? colon : end, &wanted->seed))
		return 0;
	if (colon && (!parse_number(colon + 1, end, &percent) || percent < 1 || percent > 100))
		return 0;
	wanted->percent = (uint32_t)percent;
	wanted->words |= DEBUG_PURGE_RANDOM;
	return 1;
}

static int is_word(const char *text, size_t length, const char *word)
{
	return length == strlen(word) && memcmp(text, word, length) == 0;
}

/* One word: 1, or 0 if it is not known; `*wanted` has changed only if it is. */
static int parse_word(const char *text, size_t length, struct modes *wanted)
{
	static const char random[] = "purge-random=";
	struct modes with = *wanted;

	if (is_word(text, length, "purge-on-unpin"))
		with.words |= DEBUG_PURGE_ON_UNPIN;
	else if (is_word(text, length, "trap-unpinned"))
		with.words |= DEBUG_TRAP;
	else if (length < sizeof(random) || memcmp(text, random, sizeof(random) - 1) != 0 ||
		!parse_random(text + sizeof(random) - 1, text + length, &with))
		return length == 0;
	*wanted = with;
	return 1;
}

/* Words between commas; how many are wrong. */
static unsigned parse(const char *text, struct modes *wanted)
{
	unsigned wrong = 0;

	*wanted = (struct modes){.words = 0};
	while (text && *text) {
		size_t length = strcspn(text, ",");
		wrong += !parse_word(text, length, wanted);
		text += length + (text[length] == ',');
	}
	return wrong;
}

static void use(const struct modes *wanted)
{
	modes = *wanted;
	__atomic_store_n(&drawn, 0, __ATOMIC_RELAXED);
	switches_set(SWITCH_DEBUG, wanted->words);
}

static void read_environment(void)
{
	struct modes wanted;

	parse(secure_getenv("ASHMEM_DEBUG"), &wanted);
	use(&wanted);
}

int debug_start(void)
{
	pthread_once(&once, read_environment);
	return debug_has(DEBUG_TRAP) ? process_start() : 0;
}

int ashmem_debug_set(const char *text)
{
	CANCEL_OFF;
	struct modes wanted;

	pthread_once(&once, read_environment);
	if (parse(text, &wanted) > 0)
		return -EINVAL;
	int r = process_start();
	if (r < 0)
		return r;
	if (debug_has(DEBUG_TRAP) && !(wanted.words & DEBUG_TRAP))
		trap_stop();
	use(&wanted);
	return 0;
}

int ashmem_debug_get(char *buf, size_t buf_size)
{
	CANCEL_OFF;
	char random[64] = "";

	if (!buf && buf_size)
		return -EINVAL;
	pthread_once(&once, read_environment);
	if (modes.words & DEBUG_PURGE_RANDOM)
		snprintf(random, sizeof(random), ",purge-random=%" PRIu64 ":%" PRIu32, modes.seed,
			modes.percent);
	char text[128];
	int length = snprintf(text, sizeof(text), "%s%s%s",
		modes.words & DEBUG_PURGE_ON_UNPIN ? ",purge-on-unpin" : "", random,
		modes.words & DEBUG_TRAP ? ",trap-unpinned" : "");
	const char *words = length > 0 ? text + 1 : text;
	if (buf_size > 0)
		snprintf(buf, buf_size, "%s", words);
	return length > 0 ? length - 1 : 0;
}

/* -- purging -- */

/* The next number of a row that the seed gives: splitmix64. */
static uint64_t draw(void)
{
	uint64_t n = __atomic_add_fetch(&drawn, 1, __ATOMIC_RELAXED);
	uint64_t x = modes.seed + n * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static void purge_some(void)
{
	uint64_t patience_ns = LOCK_TIMEOUT_NS;
	uint64_t chance = draw(), share = draw(), pages = areas_evictable();

	if (chance % 100 < modes.percent && pages > 0)
		areas_shrink(1 + share % pages, &patience_ns);
}

void debug_purge(void)
{
	struct context frame = {.flags = CONTEXT_DEBUG};

	if (context_is_within(CONTEXT_DEBUG) || !context_may_purge())
		return;
	context_push(&frame);
	if (debug_has(DEBUG_PURGE_RANDOM))
		purge_some();
	uint64_t patience_ns = LOCK_TIMEOUT_NS;
	int64_t r = debug_has(DEBUG_PURGE_ON_UNPIN) ? ashmem_purge_all() : 0;
	/* Where the driver refuses, what is not the driver's is still purged. */
	if (r < 0 && r != -ETIMEDOUT) /* waited for long enough */
		areas_shrink(UINT64_MAX, &patience_ns);
	context_pop(&frame);
}
