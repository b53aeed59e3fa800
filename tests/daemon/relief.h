/* SPDX-License-Identifier: MIT */
/*
 * Tests of ashmemd: groups with a limit, owners of areas, bursts, and the daemon beside them.
 */
#ifndef TESTS_DAEMON_RELIEF_H
#define TESTS_DAEMON_RELIEF_H

#include <ashmem/ashmem.h>

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define MIB ((uint64_t)1 << 20)
#define LIMIT (96 * MIB)

extern const char *daemon_program;

/* Ends the test run: what is needed for testing does not work. */
void must(int64_t r, const char *what);

/* ---------------------------------------------------------------- main.c, cases.c */

/* So many of each burst. */
extern int runs;
/* In so many of them: it races, so a few runs show that it works, many how well. */
uint64_t bearable_kills(void);

void report(int is_good, const char *name, const char *format, uint64_t number);
/* Cases that are no burst beside an owner. */
struct other_case {
	const char *name; /* NULL ends the table */
	void (*run)(const char *name);
};

extern const struct other_case other_cases[];

/* ---------------------------------------------------------------- group.c */

struct group {
	char path[PATH_MAX / 2];
};

/* NULL, or why no group can be made here. */
const char *group_obstacle(void);
int group_is_version_2(void);
void group_make(struct group *group, uint64_t limit);
void group_enter(const struct group *group);
void group_drop(struct group *group);
uint64_t group_used(const struct group *group);
/* Kills by the kernel so far. */
uint64_t group_kills(const struct group *group);
/* memory.oom_control's number after a word. */
uint64_t group_oom(const struct group *group, const char *word);

/* ---------------------------------------------------------------- process.c */

/* A child in the group that does `work`, which says ready() and may then wait for the end. */
pid_t process_start(const struct group *group, void (*work)(void *argument), void *argument);
/* In the child: the parent goes on. */
void ready(void);
/* Kill it if it runs; whether it was killed before, or failed (then its status is not 0). */
int process_end(pid_t pid);
/* Wait for its end: 0 if it exited with 0. */
int process_wait(pid_t pid);

/* The daemon. What it prints is kept. */
struct daemon {
	pid_t pid;
	int output;
	char text[65536];
	size_t length;
};

/* The user that it runs as; 0: as this program. */
extern unsigned daemon_user;

/* Start it for one group; `options` end with NULL, NULL: none. Returns when it is ready. */
void daemon_start(struct daemon *daemon, const struct group *group, const char *const *options);
void daemon_stop(struct daemon *daemon);
/* A number from its counts, as they are now. */
uint64_t daemon_count(struct daemon *daemon, const char *name);

/* ---------------------------------------------------------------- stage.c */

/* A group with one process in it, and the daemon that watches it. */
struct stage {
	struct group group;
	struct daemon daemon;
	pid_t pid; /* 0: none */
	int has_daemon;
};

/* Options of the daemon. */
#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The group; then the process, if there is work; then the daemon. Each part also by itself. */
void stage_begin(struct stage *stage, uint64_t limit, void (*work)(void *argument), void *argument,
	const char *const *options);
void stage_begin_group(struct stage *stage, uint64_t limit);
void stage_begin_process(struct stage *stage, void (*work)(void *argument), void *argument);
void stage_begin_daemon(struct stage *stage, const char *const *options);
/* SIGKILL. */
void stage_kill_daemon(struct stage *stage);
/* Ends what there is: 0, or the status of the process. */
int stage_end(struct stage *stage);
uint64_t stage_count(struct stage *stage, const char *name);
uint64_t stage_purged_bytes(struct stage *stage);
/* Whether the count is more than 0 within 10 s. */
int stage_wait(struct stage *stage, const char *name);

/* ---------------------------------------------------------------- owner.c */

struct owner {
	uint64_t bytes;
	uint64_t pinned_bytes; /* from the start of the area */
	int watches;           /* it has a watch and a thread of its own */
	int number;            /* of areas, each of that size; 0: one */
	unsigned user;         /* to become; 0: none */
};

/* Makes areas, fills and unpins them, is ready, and waits. Looks at what is pinned at the end. */
void owner_work(void *owner);
struct ashmem_area *owner_make(uint64_t bytes, uint64_t pinned_bytes, char **at);

struct burst {
	uint64_t bytes;
	int huge;
	int urgent; /* as fast as on an idle machine: a real-time process, as the daemon is one */
};

/* Takes memory as fast as it can, and ends. */
void burst_work(void *burst);

/* Areas that are no good, beside which others must be purged in time. */
void locked_work(void *number);
void hostile_work(void *unused);
/* Areas that are as costly as can be: the largest one, one of very many ranges, and those above. */
void costly_work(void *ranges);
/* Has an area mapped, and no descriptor of it. */
void mapped_work(void *bytes);
/* Holds an area of another process, by its path. */
void holder_work(void *path);
/* Become a user whose processes the user's other processes may look at. */
void become_user(unsigned user);
/* Fills, unpins, pins again and again; a call that fails ends it with status 1. */
void busy_work(void *unused);

/* Uses an area as a cache, with others that do the same: until the last has done its uses. */
struct cache {
	uint64_t bytes;
	uint32_t uses;     /* that count */
	uint32_t pause_ms; /* between two uses */
	uint32_t *counted; /* shared memory: whether uses count already */
	uint32_t *left;    /* the same: processes that have not done them yet */
	uint32_t *hits;    /* the same: of those uses of this process */
};

void cache_work(void *cache);

void sleep_ms(unsigned ms);

#endif /* TESTS_DAEMON_RELIEF_H */
