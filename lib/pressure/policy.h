/* SPDX-License-Identifier: MIT */
/*
 * What to do about memory pressure: from what was observed at a time to a level and a number of
 * pages to purge. Pure functions of their arguments: no system call, no lock, no clock. Times are
 * nanoseconds of any clock that does not go backwards.
 *
 * 1. A level rises at once. It falls when nothing as high was observed for `hold_ns`, to the
 *    highest observed since.
 * 2. Headroom has hysteresis of its own: a level begins with less than policy_level_begins() bytes
 *    free and ends with a quarter more than that.
 * 3. Purging follows what is observed now and not the level that is held: it stops when the
 *    pressure stops.
 * 4. Known headroom says how much is needed: enough to bring the free bytes to the end of all
 *    pressure. That is purged at once.
 * 5. Stalls and events do not say how much. They get a share of what can be purged, one share each
 *    `step_ns` or when the level rises, twice as much each time while the pressure lasts.
 * 6. The reserve, below which the first level begins, is what the program said, or else adapts: a
 *    twelfth of the limit, and a quarter for PRESSURE_WARY_NS after a burst, which took more than
 *    half of the twelfth between two looks. Between 4 and 512 MiB, where a quarter is that much.
 * 7. It yields: of the twelfth only half is kept, 4 MiB at least, while nothing shows that it is
 *    needed, so that a cache that just fits is left alone. The whole twelfth is kept for
 *    PRESSURE_WHOLE_NS when even that half is touched, as by a cache that does not fit, when more
 *    than a quarter of it went between two looks, or when other processes purge.
 * 8. Of the whole system's memory a quarter is kept in any case: what the kernel calls available is
 *    a guess. A soft limit (memory.high), which slows down and kills nobody, has a quarter of the
 *    twelfth, 1 MiB at least, and knows no bursts.
 * 9. Processes with caches under one limit share its shortage: each purges in proportion to its
 *    part of the limit's shared memory, for what is missing above the end of the second level.
 *    Twice that part, since not all of it can be purged: whoever has half of it purges all that is
 *    needed. Else the one that fills purges, it misses more for it and fills more, until it has
 *    nothing and the others all. Below that nobody waits for others.
 */
#ifndef ASHMEM_LIB_PRESSURE_POLICY_H
#define ASHMEM_LIB_PRESSURE_POLICY_H

#include <stdint.h>

#define PRESSURE_LEVELS 4
#define PRESSURE_WARY_NS UINT64_C(2000000000)
#define PRESSURE_WHOLE_NS UINT64_C(10000000000)

struct pressure_settings {
	/* Of the purgeable pages; 0: purge nothing at this level. */
	uint32_t percent[PRESSURE_LEVELS];
	uint64_t hold_ns;
	uint64_t step_ns;
	uint32_t reserve_percent;    /* of the limit; 0: it adapts */
	uint64_t reserve_most_bytes; /* 0: 512 MiB */
	const char *cgroup;          /* the directory of the one to watch; NULL: the process's */
};

struct pressure_observation {
	uint64_t now_ns;
	uint32_t stall_level;     /* by stalls and events of this moment */
	int headroom_known;       /* the next two are known */
	uint64_t free_bytes;      /* until the limit */
	uint64_t limit_bytes;     /* bytes at the limit */
	int is_soft;              /* exceeding that limit kills nobody */
	int is_system;            /* the limit is all the memory that there is */
	int must_poll;            /* no event comes when they become few */
	uint64_t shared_bytes;    /* shared memory that counts against it; 0: not known */
	uint64_t evictable_pages; /* what could be purged */
	uint64_t page_bytes;
};

/* All zeroes is the start. */
struct pressure_policy {
	uint32_t level;                    /* the one that is reported */
	uint32_t headroom_level;           /* by free bytes alone, in policy_decide() */
	uint32_t relief_level;             /* the same in either function */
	uint32_t step_level;               /* of the last share */
	uint32_t steps;                    /* shares given since the pressure began */
	uint64_t seen_ns[PRESSURE_LEVELS]; /* when at least this level was last observed */
	uint64_t step_ns;                  /* when the last share was given */
	uint64_t wary_until_ns;            /* rule 6 */
	uint64_t whole_until_ns;           /* rule 7 */
	uint64_t free_bytes;               /* at the last look */
	uint64_t shared_bytes;             /* the most since this process purged; 0: not known */
	int has_looked;
	uint64_t bursts;
};

struct pressure_decision {
	uint32_t level;
	uint32_t observed;      /* without rule 1 */
	int by_headroom;        /* headroom's level is at least that of stalls and events */
	uint64_t purge_pages;   /* at most what can be purged */
	uint64_t reserve_bytes; /* 0: no headroom known */
	uint64_t urgent_pages;  /* of purge_pages: those that no other process is waited for */
	uint64_t shared_pages;  /* shared memory that counts against the limit; 0: not known */
};

/* Rule 9: how many of purge_pages a process purges that could purge so many. */
uint64_t policy_part(const struct pressure_decision *decision, uint64_t evictable_pages);

/* This process has purged: the shared memory became less by that. */
void policy_purged(struct pressure_policy *policy);

/* Pages to purge so that `bytes` can be taken and the reserve stays; -1: the limit is too low. */
int64_t policy_room(const struct pressure_observation *o, uint64_t reserve_bytes, uint64_t bytes);

/* What is kept free below a limit: rule 6. `is_wary`: as after a burst, the most that it can be. */
uint64_t policy_reserve(const struct pressure_settings *settings, uint64_t limit_bytes,
	int is_wary);

/* The same for a soft limit: rule 8. */
uint64_t policy_soft_reserve(const struct pressure_settings *settings, uint64_t limit_bytes);

/* Free bytes below which a level begins. */
uint64_t policy_level_begins(uint64_t reserve_bytes, uint32_t level);

/* Free bytes from which a level has ended. */
uint64_t policy_level_ends(uint64_t reserve_bytes, uint32_t level);

/* By free bytes and stalls. Its observations come in the order of time. */
void policy_decide(struct pressure_policy *policy, const struct pressure_settings *settings,
	const struct pressure_observation *observation, struct pressure_decision *decision);

/*
 * By free bytes alone, for looks between two of those above: rules 2, 4 and 6. It begins a level of
 * its own and ends one that began in either function, but it neither reports a level nor spends a
 * share.
 * The observation has no stall level.
 */
void policy_decide_by_headroom(struct pressure_policy *policy,
	const struct pressure_settings *settings, const struct pressure_observation *observation,
	struct pressure_decision *decision);

#endif /* ASHMEM_LIB_PRESSURE_POLICY_H */
