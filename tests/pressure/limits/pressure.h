/* SPDX-License-Identifier: MIT */
/*
 * Memory pressure for real: a process under a limit fills a cache of purgeable memory that is many
 * times as large, and must neither die nor read a wrong byte. Part by part:
 *
 *   main.c    options, one child a run, what the runs of a case amount to, the table
 *   cases.c   what there is to try
 *   group.c   the limit: a cgroup of our own, version 1 or 2, or the memory of the whole system
 *   fill.c    what the child does
 *   score.c   what is written down meanwhile, in memory that outlives a killed child
 *   burst.c   a second table: what others, or the process itself, take at once beside a full cache
 *   burst_child.c   the processes of it: the owner of the cache, and the one that takes memory
 *   fair.c    its last row: eight processes with a cache each
 */
#ifndef TESTS_PRESSURE_PRESSURE_H
#define TESTS_PRESSURE_PRESSURE_H

#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define MIB ((uint64_t)1 << 20)
#define RANGES_MAX 16384
#define RELIEFS_MAX 65536
#define WORKERS_MAX 8

enum place {
	PLACE_V1,    /* memory.limit_in_bytes */
	PLACE_MAX,   /* version 2, memory.max */
	PLACE_HIGH,  /* version 2, memory.high */
	PLACE_GUEST, /* no cgroup: all of the system's memory */
	PLACES,
};

enum relief {
	RELIEF_NONE,   /* the counter-proof: nobody purges */
	RELIEF_THREAD, /* ashmem_pressure_run() */
	RELIEF_LOOP,   /* the descriptor is polled between two ranges */
	RELIEF_CALL,   /* ashmem_pressure_dispatch() before each range */
};

/* One thing to try. What is zero is off. */
struct plan {
	const char *name;
	enum relief relief;
	const char *source; /* NULL: "auto" */
	uint32_t limit_mib; /* of the cgroup; a guest has what it has */
	uint32_t fill_mib;  /* new data in all */
	uint32_t range_kib; /* how much is filled and unpinned at a time */
	uint32_t areas;     /* the cache is spread over so many */
	uint32_t processes; /* which share the areas */
	uint32_t threads;   /* that fill, in each of them */
	uint32_t file_mib;  /* a file of this size is read over and over beside it */
	uint32_t pulse_mib; /* other memory that comes and goes, so much at its height */
	uint32_t other_mib; /* other memory that stays */
	uint32_t empty_mib; /* older unpinned ranges that were never written: they free nothing */
	uint32_t nested;    /* the limit is that of the cgroup around */
	uint32_t set_mib;   /* not one range after the other: so much is used over and over */
};

extern const struct plan plans[];
extern const int plan_count;

/* -- the limit -- */

struct group {
	enum place place;
	/* of the cgroups; outer is empty if the limit is the inner one's */
	char outer[PATH_MAX], path[PATH_MAX + 64];
	uint64_t limit_bytes;
	int usage_fd, stat_fd;
};

/* Why a place cannot be had here, or NULL. */
const char *group_obstacle(enum place place);
void group_make(struct group *group, enum place place, const struct plan *plan);
void group_enter(const struct group *group);
void group_drop(struct group *group);

/* Bytes in use that the kernel could not drop; `with_files` 0: that there are none is known. */
uint64_t group_used(const struct group *group, int with_files);
uint64_t group_oom_kills(const struct group *group);
/* Times that the limit was hit. */
uint64_t group_failures(const struct group *group);

/* -- what is written down -- */

/*
 * A cache that knows how much it may use, and forgets what was least recently used when the next
 * range does not fit.
 */
struct ideal {
	uint64_t room_pages, pages, purged_pages;
	uint32_t newest, oldest; /* 1 + place; 0: none */
	struct {
		uint32_t older, newer;
		uint8_t is_in;
	} ranges[RANGES_MAX];
};

/*
 * To the last page of the limit; and the library's way, which keeps free what pressure begins at.
 */
enum { IDEAL_LIMIT, IDEAL_RESERVE, IDEALS };

struct score {
	pthread_mutex_t mutex; /* robust: a holder may be killed */
	uint64_t range_pages;
	struct ideal ideal[IDEALS];

	/* The real one. */
	uint8_t in_use[RANGES_MAX], is_filled[RANGES_MAX];
	uint64_t begin_ns, end_ns;
	uint64_t base_bytes, least_free_bytes;
	uint64_t purged_pages, kept, lost, wrong;
	uint64_t purges, headroom_purges, unpin_purges, events, dispatches;
	char source[32];
	char explanation[1024];

	/* Shortage: from less free than where pressure begins, to that much again. */
	uint64_t short_since_ns;
	uint32_t relief_count;
	uint64_t relief_ns[RELIEFS_MAX];
};

struct score *score_make(void);
void score_begin(struct score *score, const struct group *group, uint64_t range_pages);
/* Other memory takes so many pages more of the limit (or less). */
void score_other(struct score *score, int64_t pages);
/* A range was used: what the ideal does. */
void score_use(struct score *score, uint32_t range);
/* Look at the limit. */
void score_sample(struct score *score, const struct group *group, int with_files);
uint64_t score_now_ns(void);

/* -- the child -- */

enum { FILL_OK, FILL_WRONG, FILL_PEER, FILL_SETUP };

/* Never returns; exits with one of the above. */
void fill_run(const struct plan *plan, const struct group *group, struct score *score,
	const char *file);

/* Prints what failed and exits with FILL_SETUP. */
void must(int64_t result, const char *what);

/* -- bursts -- */

enum burst_kind {
	BURST_MEMORY, /* anonymous pages, written as fast as it goes */
	BURST_HUGE,   /* the same in huge pages */
	BURST_TMPFS,  /* a file in a tmpfs */
	BURST_FORKS,  /* many processes, each with a part */
};

enum burst_owner {
	OWNER_WATCHES,
	OWNER_MAKES_ROOM, /* and says beforehand what it will take itself */
	OWNER_UNWATCHED,
	OWNER_STOPPED, /* by SIGSTOP: its watch cannot run */
};

/* What a row has to show. */
enum burst_fate {
	FATE_LIVES,   /* no kill at all */
	FATE_RACES,   /* the burst and the relief race: kills are told, most runs must live */
	FATE_IS_LOST, /* nobody can purge: each run must be killed, or there was no shortage */
};

/* One row. What is zero is off. */
struct burst {
	const char *name;
	enum burst_owner owner;
	enum burst_kind kind;
	enum burst_fate fate;
	uint32_t is_own;   /* a thread of the owner takes the memory */
	uint32_t priority; /* of the watch's thread, where it is allowed */
	uint32_t reserve_percent;
	uint32_t cache_mib, burst_mib;
	uint32_t areas;
};

enum burst_stage {
	STAGE_SETUP,
	STAGE_READY,
	STAGE_GO,
	STAGE_TAKEN,
	STAGE_COUNT,
	STAGE_COUNTED,
	STAGE_END
};

/* Shared by the processes of one run; made by their parent, so it is not counted in the group. */
struct burst_score {
	uint32_t stage; /* atomic */
	uint32_t parts; /* atomic: of BURST_FORKS, how many processes have theirs */
	uint64_t begin_ns, end_ns;
	uint64_t purged_bytes, free_bytes; /* when the burst was over, and relief after it */
	uint64_t kept, lost, wrong;
};

enum burst_stage burst_stage(const struct burst_score *score);
void burst_advance(struct burst_score *score, enum burst_stage stage);

/* The processes of a run; neither returns. */
void burst_own(const struct burst *burst, const struct group *group, struct burst_score *score);
void burst_take(const struct burst *burst, const struct group *group, struct burst_score *score);

/* What the rows of a place amount to. */
struct burst_result {
	int passed, failed, skipped;
};

/*
 * All rows whose names are wanted. `trace` is a file for the free bytes over time of the first run
 * of each row, or NULL.
 */
void burst_all(enum place place, const char *place_name, int runs,
	int (*is_wanted)(const char *name), FILE *trace, struct burst_result *result);

/* Eight processes: each has a cache, and all together do not fit. Whether each run was good. */
int fair_run(enum place place, const char *place_name, int runs);

#endif
