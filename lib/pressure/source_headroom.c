/* SPDX-License-Identifier: MIT */
/*
 * How much memory is left: until the limits of the cgroup and of those around it, or in the system
 * (MemAvailable).
 *
 * Free bytes show pressure in time. Unpinned pages are shared memory: without swap space the kernel
 * cannot reclaim them, so it hardly stalls before it kills. A cgroup's usage includes file pages,
 * which the kernel can drop and which therefore do not count here; asking for them costs more than
 * asking for the usage, so they are asked for when it matters.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <ashmem/pressure.h>

#include "pressure/source.h"

#define IDLE_POLL_MS 1000 /* at least, for limits that change */
#define UNLIMITED ((uint64_t)1 << 62)

/* A number in a file of its own; "max" is no limit. */
static int read_bytes(int fd, uint64_t *bytes)
{
	char text[64];
	int r = source_read(fd, text, sizeof(text));

	if (r < 0)
		return r;
	if (strncmp(text, "max", 3) == 0) {
		*bytes = UINT64_MAX;
		return 0;
	}
	if (text[0] < '0' || text[0] > '9')
		return -EBADMSG;
	*bytes = strtoull(text, NULL, 10);
	return 0;
}

/* The limit at which the kernel kills, and the one from which it slows down. */
struct limits {
	uint64_t hard, soft;
};

static int read_limits(const struct pressure_group *group, struct limits *limits)
{
	uint64_t bytes[2] = {UINT64_MAX, UINT64_MAX};

	for (int i = 0; i < 2; i++) {
		if (group->limit_fd[i] < 0)
			continue;
		int r = read_bytes(group->limit_fd[i], &bytes[i]);
		if (r < 0)
			return r;
	}
	limits->hard = bytes[0] < group->hidden_limit ? bytes[0] : group->hidden_limit;
	limits->soft = bytes[1];
	return 0;
}

static uint64_t nearest(const struct limits *limits)
{
	return limits->hard < limits->soft ? limits->hard : limits->soft;
}

/* File pages in a cgroup and below it, and shared memory; 0 if they are not known. */
static uint64_t file_bytes(const struct open_source *source, const struct pressure_group *group,
	uint64_t *shared_bytes)
{
	char text[8192];
	uint64_t inactive = 0, active = 0;

	*shared_bytes = 0;
	if (group->stat_fd < 0 || source_read(group->stat_fd, text, sizeof(text)) < 0)
		return 0;
	source_number(text, source->is_version_1 ? "total_shmem " : "shmem ", shared_bytes);
	if (source_number(text, source->is_version_1 ? "total_inactive_file " : "inactive_file ",
		    &inactive) < 0 ||
		source_number(text, source->is_version_1 ? "total_active_file " : "active_file ",
			&active) < 0)
		return 0;
	return inactive + active;
}

/* The most that is kept free below a limit. */
static uint64_t most_reserve(const struct open_source *source, uint64_t limit, int is_soft)
{
	return is_soft ? policy_soft_reserve(source->settings, limit)
		       : policy_reserve(source->settings, limit, 1);
}

/* The tightest counts: the one furthest below its reserve. */
static void consider(const struct open_source *source, struct pressure_observation *o,
	uint64_t usage, uint64_t limit, int is_soft, uint64_t shared_bytes)
{
	uint64_t free_bytes = usage < limit ? limit - usage : 0;

	if (limit >= UNLIMITED)
		return;
	if (o->headroom_known &&
		(int64_t)(free_bytes - most_reserve(source, limit, is_soft)) >=
			(int64_t)(o->free_bytes - most_reserve(source, o->limit_bytes, o->is_soft)))
		return;
	o->headroom_known = 1;
	o->free_bytes = free_bytes;
	o->limit_bytes = limit;
	o->is_soft = is_soft;
	o->shared_bytes = shared_bytes;
}

static int look_at_group(const struct open_source *source, const struct pressure_group *group,
	struct pressure_observation *o)
{
	uint64_t usage, near, shared = 0;
	struct limits limits;
	int r = read_limits(group, &limits);

	if (r == 0)
		r = read_bytes(group->usage_fd, &usage);
	if (r < 0)
		return r;
	near = nearest(&limits);
	if (near >= UNLIMITED)
		return 0;
	if (near != group->notified_limit) /* set or changed: the thresholds are of another */
		o->must_poll = 1;
	uint64_t reserve = policy_reserve(source->settings, near, 1);
	if (usage > near || near - usage < policy_level_ends(reserve, ASHMEM_PRESSURE_SOME)) {
		uint64_t file = file_bytes(source, group, &shared);
		usage -= file < usage ? file : usage;
		/*
		 * File pages keep the usage beyond the thresholds: no event comes when others take
		 * their place.
		 */
		if (file > 0)
			o->must_poll = 1;
	}
	consider(source, o, usage, limits.hard, 0, shared);
	consider(source, o, usage, limits.soft, 1, shared);
	return 0;
}

static int headroom_look(struct open_source *source, uint64_t now_ns,
	struct pressure_observation *o)
{
	(void)now_ns;
	for (unsigned i = 0; i < source->group_count; i++) {
		int r = look_at_group(source, &source->groups[i], o);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * Have the kernel send events when levels begin, calm and wary. After a negative errno only the
 * timer makes us look.
 */
static int set_thresholds(struct open_source *source, const char *directory, int usage_fd,
	uint64_t limit)
{
	int states = source->settings->reserve_percent ? 1 : 2;
	char bytes[32];

	for (int i = 0; i < states * (PRESSURE_LEVELS - 1); i++) {
		uint64_t reserve = policy_reserve(source->settings, limit, i % states);
		uint64_t threshold =
			policy_level_begins(reserve, ASHMEM_PRESSURE_SOME + (uint32_t)(i / states));
		snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)(limit - threshold));
		int fd = source_cgroup_event_control(source, directory, usage_fd, bytes);
		if (fd < 0)
			return fd;
	}
	return 0;
}

/*
 * Version 2 sends an event when a limit is hit: too late for memory.max, in time for memory.high,
 * which slows down first.
 */
static void set_events(struct open_source *source, const char *directory)
{
	int fd = source_open_file(source, directory, "memory.events");

	if (fd >= 0) /* where it cannot be, polling does */
		source_add(source, fd, EPOLLPRI, (uint32_t)fd);
}

/* What is opened belongs to the source, also after a failure. */
static int add_group(struct open_source *source, const char *directory, uint64_t hidden_limit)
{
	struct pressure_group *group = &source->groups[source->group_count];
	int v1 = source->is_version_1;
	struct limits limits;
	int r;

	group->notified_limit = 0;
	group->hidden_limit = hidden_limit;
	group->limit_fd[0] =
		source_open_file(source, directory, v1 ? "memory.limit_in_bytes" : "memory.max");
	group->limit_fd[1] = v1 ? -1 : source_open_file(source, directory, "memory.high");
	if (group->limit_fd[0] < 0)
		return group->limit_fd[0];
	if (source_is_shortage(group->limit_fd[1]))
		return group->limit_fd[1];
	group->usage_fd = source_open_file(source, directory,
		v1 ? "memory.usage_in_bytes" : "memory.current");
	if (group->usage_fd < 0)
		return group->usage_fd;
	group->stat_fd = source_open_file(source, directory, "memory.stat");
	r = read_limits(group, &limits);
	if (r < 0)
		return r;
	source->group_count++;
	if (nearest(&limits) >= UNLIMITED)
		return 0;
	if (!v1)
		set_events(source, directory);
	else if (set_thresholds(source, directory, group->usage_fd, limits.hard) == 0)
		group->notified_limit = limits.hard;
	return 0;
}

/*
 * The process's cgroup and all around it, as far as mounts show them, and those of them that the
 * source will look at: first the ones with a limit, with the least left. The others take what
 * places they leave, the nearest first, so that a limit that comes later is seen.
 */
struct survey {
	struct pressure_cgroup trees[2]; /* what the nearest mount shows; around that, another */
	struct place {
		struct pressure_cgroup *tree;
		size_t length; /* of the tree's path, which begins with the group's */
		uint64_t hidden_limit, free_bytes;
	} places[PRESSURE_GROUPS];
	unsigned count;
	int is_limited;
	int error; /* of a group that could not be read; 0: none */
};

/* A number in a file of the group. */
static int peek(const struct pressure_cgroup *group, const char *name, uint64_t *bytes)
{
	int r, fd = source_file(group->path, name);

	if (fd < 0)
		return -errno;
	r = read_bytes(fd, bytes);
	close(fd);
	return r;
}

/*
 * The least limit of the group and all around it, which version 1 tells even where no mount shows
 * them. Only a shortage is an error.
 */
static int peek_hidden_limit(const struct pressure_cgroup *group, uint64_t *limit)
{
	char text[4096];
	int r, fd = source_file(group->path, "memory.stat");

	if (fd < 0)
		return source_is_shortage(-errno) ? -errno : 0;
	r = source_read(fd, text, sizeof(text));
	close(fd);
	if (r > 0)
		source_number(text, "hierarchical_memory_limit ", limit);
	return source_is_shortage(r) ? r : 0;
}

/* What is left until the limit, `hidden` or another; UINT64_MAX: there is none. */
static int peek_free(const struct pressure_cgroup *group, uint64_t hidden, uint64_t *free_bytes)
{
	int v1 = group->is_version_1, r;
	uint64_t limit = UINT64_MAX, high = UINT64_MAX, usage = 0;

	r = peek(group, v1 ? "memory.limit_in_bytes" : "memory.max", &limit);
	if (r < 0) /* the root of version 2, or no memory controller */
		return r;
	r = v1 ? -ENOENT : peek(group, "memory.high", &high);
	if (source_is_shortage(r))
		return r;
	if (r == 0 && high < limit)
		limit = high;
	if (hidden < limit)
		limit = hidden;
	r = peek(group, v1 ? "memory.usage_in_bytes" : "memory.current", &usage);
	if (r < 0)
		return r;
	*free_bytes = limit >= UNLIMITED ? UINT64_MAX : usage < limit ? limit - usage : 0;
	return 0;
}

static void keep_place(struct survey *survey, struct place place)
{
	unsigned at = survey->count;

	while (at > 0 && survey->places[at - 1].free_bytes > place.free_bytes)
		at--;
	if (at == PRESSURE_GROUPS)
		return;
	if (survey->count < PRESSURE_GROUPS)
		survey->count++;
	memmove(&survey->places[at + 1], &survey->places[at],
		(survey->count - 1 - at) * sizeof(place));
	survey->places[at] = place;
}

static int survey_group(struct survey *survey, struct place place, int is_outermost)
{
	char *end = place.tree->path + place.length, cut = *end;
	int r = 0;

	*end = '\0';
	if (is_outermost && place.tree->is_version_1)
		r = peek_hidden_limit(place.tree, &place.hidden_limit);
	if (r == 0)
		r = peek_free(place.tree, place.hidden_limit, &place.free_bytes);
	*end = cut;
	if (r == 0) {
		keep_place(survey, place);
		survey->is_limited |= place.free_bytes != UINT64_MAX;
	} else if (r != -ENOENT && survey->error == 0) {
		survey->error = r;
	}
	return source_is_shortage(r) ? r : 0;
}

/* How much of the tree's path is the next group around; 0: the mount does not show it. */
static size_t length_around(const struct pressure_cgroup *tree, size_t length)
{
	while (length > 0 && tree->path[--length] != '/')
		;
	return length >= tree->root_length ? length : 0;
}

/* The group of the tree and those around it, however many. */
static int survey_tree(struct survey *survey, struct pressure_cgroup *tree, int is_last)
{
	size_t around, length = strlen(tree->path);
	int r;

	do {
		around = length_around(tree, length);
		r = survey_group(survey,
			(struct place){.tree = tree, .length = length, .hidden_limit = UINT64_MAX},
			is_last && around == 0);
		length = around;
	} while (r == 0 && around > 0);
	return r;
}

/* 1 if a cgroup limits the process; else 0, or a negative errno. */
static int survey_groups(struct survey *survey, int is_version_1, const char *named)
{
	struct pressure_cgroup *trees = survey->trees;
	int outer, r = source_cgroup_find(&trees[0], is_version_1, named);

	survey->count = 0;
	survey->is_limited = survey->error = 0;
	if (r < 0)
		return r;
	outer = named ? -ENOENT : source_cgroup_find_outer(&trees[1], &trees[0]);
	if (source_is_shortage(outer))
		return outer;
	r = survey_tree(survey, &trees[0], outer < 0);
	if (r == 0 && outer == 0)
		r = survey_tree(survey, &trees[1], 1);
	if (r < 0)
		return r;
	return survey->is_limited ? 1 : survey->error;
}

static int add_groups(struct open_source *source, struct survey *survey)
{
	int r = 0;

	source->is_version_1 = survey->trees[0].is_version_1;
	for (unsigned i = 0; i < survey->count && r == 0; i++) {
		struct place *place = &survey->places[i];
		char *end = place->tree->path + place->length, cut = *end;
		*end = '\0';
		r = add_group(source, place->tree->path, place->hidden_limit);
		*end = cut;
	}
	return r;
}

/* One version or the other has the memory controller. */
static int open_surveyed(struct open_source *source, struct survey *survey, const char **why)
{
	const char *named = source->settings->cgroup;
	int r = survey_groups(survey, 1, named), other;

	if (r > 0)
		return add_groups(source, survey);
	if (source_is_shortage(r))
		return r;
	other = survey_groups(survey, 0, named);
	if (other > 0)
		return add_groups(source, survey);
	if (named && r == -ENOENT && other == -ENOENT) {
		*why = "there is no such cgroup";
		return -ENOENT;
	}
	if (r == 0 || other == 0 || (r == -ENOENT && other == -ENOENT)) {
		*why = named ? "neither that cgroup nor one around it has a memory limit"
			     : "no cgroup of this process has a memory limit";
		return -ENODATA;
	}
	return r != -ENOENT ? r : other;
}

static int open_headroom(struct open_source *source, const char **why)
{
	struct survey *survey = malloc(sizeof(*survey));
	int r = survey ? open_surveyed(source, survey, why) : -ENOMEM;

	source->idle_poll_ms = IDLE_POLL_MS;
	free(survey);
	return r;
}

static int headroom_event(struct open_source *source, uint32_t fd, uint32_t events, uint64_t now_ns)
{
	uint64_t count;
	char text[512];

	(void)source, (void)now_ns;
	/* Waking up was its purpose; the usage is looked at in any case. */
	if (events & EPOLLPRI) { /* memory.events: silent until it changes after this */
		int r = source_read((int)fd, text, sizeof(text));
		return r < 0 ? r : 0;
	}
	return read((int)fd, &count, sizeof(count)) < 0 && errno != EAGAIN ? -errno : 0;
}

const struct source_kind source_headroom = {.name = "headroom",
	.open = open_headroom,
	.event = headroom_event,
	.look = headroom_look,
	.reports_free_bytes = 1};

int source_headroom_limited_by_v1(const char *named)
{
	struct survey *survey = malloc(sizeof(*survey));
	int r = survey ? survey_groups(survey, 1, named) : -ENOMEM;

	free(survey);
	return r > 0 || source_is_shortage(r) ? r : 0;
}

/* -- the whole system -- */

static int available_look(struct open_source *source, uint64_t now_ns,
	struct pressure_observation *o)
{
	char text[1024]; /* both are among the first lines */
	uint64_t total_kib, free_kib;
	int r = source_read(source->fds[0], text, sizeof(text));

	(void)now_ns;
	if (r < 0)
		return r;
	if (source_number(text, "MemTotal:", &total_kib) < 0 ||
		source_number(text, "MemAvailable:", &free_kib) < 0)
		return -EBADMSG;
	if (total_kib > UINT64_MAX / 1024 || free_kib > UINT64_MAX / 1024)
		return -EBADMSG;
	o->headroom_known = 1;
	o->is_system = 1;
	o->must_poll = 1;
	o->free_bytes = free_kib * 1024;
	o->limit_bytes = total_kib * 1024;
	return 0;
}

static int open_available(struct open_source *source, const char **why)
{
	struct pressure_observation unused = {.now_ns = 0};
	int fd = source_open_file(source, source_proc, "meminfo");

	(void)why;
	source->idle_poll_ms = IDLE_POLL_MS;
	return fd < 0 ? fd : available_look(source, 0, &unused);
}

const struct source_kind source_available = {.name = "available",
	.open = open_available,
	.event = headroom_event,
	.look = available_look,
	.reports_free_bytes = 1};
