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

/* ---------------------------------------------------------------- group.c */

struct group {
	char path[PATH_MAX / 2];
};

/* NULL, or why no group can be made here. */
const char *group_obstacle(void);
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

/* Start it for one group; options end with NULL. Returns when it is ready. */
void daemon_start(struct daemon *daemon, const struct group *group, ...);
void daemon_stop(struct daemon *daemon);
/* A number from its counts, as they are now. */
uint64_t daemon_count(struct daemon *daemon, const char *name);

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
};

/* Takes memory as fast as it can, and ends. */
void burst_work(void *burst);

/* Areas that are no good, beside which others must be purged in time. */
void locked_work(void *number);
void hostile_work(void *unused);
/* Holds an area of another process, by its path. */
void holder_work(void *path);
/* Become a user whose processes the user's other processes may look at. */
void become_user(unsigned user);
/* Fills, unpins, pins again and again; a call that fails ends it with status 1. */
void busy_work(void *unused);

void sleep_ms(unsigned ms);

#endif /* TESTS_DAEMON_RELIEF_H */
