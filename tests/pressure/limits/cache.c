/* SPDX-License-Identifier: MIT */
/*
 * The process under the limit, with a cache of keys and values (ashmem/cache.h): some processes
 * share one that may have many times the limit's bytes. Each takes keys at random, reads, compares
 * every byte of a hit, and puts what is not there. A value follows from its key.
 *
 * In the end the first process purges everything and reads every key: that must not give memory to
 * a single page (a look at a hole would, and no purge would find it again).
 */
#include "pressure.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ashmem/ashmem.h>

enum { VALUE_MOST = 60 << 10, VALUE_MEAN = VALUE_MOST / 2, LOOKS = 64 };

struct user {
	const struct plan *plan;
	const struct group *group;
	struct score *score;
	struct ashmem_cache *cache;
	uint32_t keys;
	unsigned char expected[VALUE_MOST], got[VALUE_MOST];
};

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static size_t make_value(unsigned char *value, uint32_t key)
{
	uint64_t state = (key + 1) * UINT64_C(0x9e3779b97f4a7c15);
	size_t bytes = 1 + random_next(&state) % VALUE_MOST;

	for (size_t at = 0; at < bytes; at += sizeof(state)) {
		random_next(&state);
		memcpy(value + at, &state, bytes - at < sizeof(state) ? bytes - at : sizeof(state));
	}
	return bytes;
}

static void count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* Whether the key is there; what is there is compared. */
static int look(struct user *user, uint32_t key, int in_place)
{
	struct ashmem_entry *entry = NULL;
	const void *value = user->got;
	uint64_t got;

	if (in_place) {
		int r = ashmem_cache_get(user->cache, &key, sizeof(key), &entry);
		if (r == -ENOENT)
			return 0;
		must(r, "ashmem_cache_get");
		value = ashmem_entry_value(entry, &got);
	} else {
		int64_t r = ashmem_cache_read(user->cache, &key, sizeof(key), user->got,
			sizeof(user->got));
		if (r == -ENOENT)
			return 0;
		must(r, "ashmem_cache_read");
		got = (uint64_t)r;
	}
	int right = got == make_value(user->expected, key) &&
		memcmp(value, user->expected, (size_t)got) == 0;
	ashmem_entry_release(entry);
	count(right ? &user->score->kept : &user->score->wrong);
	return 1;
}

static void use(struct user *user, uint32_t number)
{
	uint64_t seed = (number + 1) * UINT64_C(0xd1342543de82ef95) ^ (uint64_t)getpid();
	uint32_t turns = 3 * user->keys / user->plan->processes;

	for (uint32_t i = 0; i < turns; i++) {
		uint32_t key = (uint32_t)(random_next(&seed) % user->keys);
		if (i % LOOKS == 0)
			score_sample(user->score, user->group, 0);
		if (look(user, key, i % 2))
			continue;
		count(&user->score->lost);
		size_t bytes = make_value(user->expected, key);
		int r = ashmem_cache_put(user->cache, &key, sizeof(key), user->expected, bytes, 0);
		must(r == -EAGAIN ? 0 : r, "ashmem_cache_put");
	}
}

static void live(struct user *user, uint32_t number)
{
	struct ashmem_pressure_options options = {
		.struct_size = sizeof options, .source = user->plan->source};
	struct ashmem_process_stats stats = {.struct_size = sizeof stats};
	struct ashmem_pressure *pressure = NULL;

	if (user->plan->relief != RELIEF_NONE) {
		must(ashmem_pressure_open(&options, &pressure), "pressure");
		must(ashmem_pressure_run(pressure), "run");
	}
	use(user, number);
	ashmem_pressure_close(pressure);
	must(ashmem_process_get_stats(&stats), "stats");
	__atomic_fetch_add(&user->score->purged_pages, stats.purged_pages, __ATOMIC_RELAXED);
	snprintf(user->score->source, sizeof user->score->source, "-");
}

static uint64_t blocks_of(struct ashmem_cache *cache)
{
	struct stat status;

	must(fstat(ashmem_cache_fd(cache), &status) < 0 ? -errno : 0, "fstat");
	return (uint64_t)status.st_blocks;
}

static void read_what_is_purged(struct user *user)
{
	/* The index gets memory by the first look, and keeps it: some keys had none. */
	for (uint32_t key = 0; key < user->keys; key++)
		look(user, key, 0);
	must(ashmem_shrink(UINT64_MAX), "ashmem_shrink");
	uint64_t before = blocks_of(user->cache);
	for (uint32_t key = 0; key < user->keys; key++) {
		look(user, key, 0);
		look(user, key, 1);
	}
	uint64_t after = blocks_of(user->cache);
	if (after <= before)
		return;
	fprintf(stderr, "reads of purged values took %" PRIu64 " blocks\n", after - before);
	count(&user->score->wrong);
}

/* A process of its own: every second one has a handle of its own. */
static pid_t start_user(struct user *user, uint32_t number)
{
	pid_t child = fork();

	must(child < 0 ? -errno : 0, "fork");
	if (child > 0)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (number % 2)
		must(ashmem_cache_import(ashmem_cache_fd(user->cache), &user->cache), "import");
	live(user, number);
	_exit(FILL_OK);
}

void cache_run(const struct plan *plan, const struct group *group, struct score *score)
{
	static struct user user;
	struct ashmem_cache_options options = {
		.struct_size = sizeof(options),
		.most_bytes = plan->fill_mib * MIB,
		.value_most_bytes = VALUE_MOST,
	};
	pid_t children[WORKERS_MAX];
	int status, peers_ok = 1;

	user = (struct user){.plan = plan, .group = group, .score = score};
	user.keys = (uint32_t)(plan->fill_mib * MIB / VALUE_MEAN);
	must(ashmem_cache_create("cache", &options, &user.cache), "ashmem_cache_create");
	score_begin(score, group, 1);
	for (uint32_t i = 1; i < plan->processes; i++)
		children[i] = start_user(&user, i);
	live(&user, 0);
	for (uint32_t i = 1; i < plan->processes; i++)
		peers_ok &= waitpid(children[i], &status, 0) == children[i] && status == 0;
	if (peers_ok)
		read_what_is_purged(&user);
	score->end_ns = score_now_ns();
	_exit(score->wrong ? FILL_WRONG : peers_ok ? FILL_OK : FILL_PEER);
}
