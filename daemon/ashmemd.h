/* SPDX-License-Identifier: MIT */
/*
 * ashmemd: what its files share. One thread does everything; nothing here waits for another process
 * or trusts what it wrote. No descriptor or mapping of an area outlives a function: the daemon must
 * never be the last process that has one.
 *
 * Calls go down this list:
 *   ashmemd.c  the command line
 *   loop.c     waits, chooses the group that needs relief most, has it scanned or purged
 *   find.c     finds the groups of the system
 *   oom.c      opt-in: no kill by the kernel in groups of cgroup version 1
 *   purge.c    a batch: areas of one group, the oldest first
 *   scan.c     finds the areas of a group's processes
 *   hints.c    what the last scan of each group found
 *   users.c    what each user may cost
 *   group.c    one group: limit, use, events
 *   urgent.c   priority and memory of the daemon itself
 *   text.c     messages; reading numbers from files
 */
#ifndef ASHMEMD_H
#define ASHMEMD_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define GROUPS 256 /* the first is the whole system */
#define GROUP_PATH 1024
#define GROUP_EVENTS 3
#define MIB ((uint64_t)1 << 20)
#define NS_PER_MS ((uint64_t)1000000)
#define UNLIMITED ((uint64_t)1 << 62)

struct daemon_options {
	int is_user;              /* --user: the groups of this user alone */
	int verbose;              /* tell of each relief */
	int no_kill;              /* --no-kill */
	int no_system;            /* --no-system */
	uint64_t reserve_bytes;   /* 0: a share of the limit */
	const char *only[GROUPS]; /* --cgroup: only these */
	unsigned only_count;
};

extern struct daemon_options options;

/* Printed for SIGUSR2, so that tests and people can count. */
struct daemon_counts {
	uint64_t scans, scan_ns, cut_scans, looks, batches, visits, purged_pages, purges_failed;
	uint64_t passed_over, backed_off, elsewhere, purge_alls, purge_all_ns;
};

extern struct daemon_counts counts;

/* ---------------------------------------------------------------- text.c */

/* A line on stderr, unless that would wait. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

uint64_t now_ns(void);
/* Of the processor, by this thread. */
uint64_t used_ns(void);

/* Read a file from its beginning as text: its length, or a negative errno. */
int read_text(int fd, char *text, size_t size);
/* The file `name` in a directory. */
int read_text_in(const char *directory, const char *name, char *text, size_t size);
int write_text_in(const char *directory, const char *name, const char *text);
/* A number, where "max" is UINT64_MAX. */
int read_bytes(int fd, uint64_t *bytes);
int read_bytes_in(const char *directory, const char *name, uint64_t *bytes);
/* The number after `key` at the beginning of a line, or `otherwise`. */
uint64_t number_after(const char *text, const char *key, uint64_t otherwise);
int open_in(const char *directory, const char *name, int flags);

/* ---------------------------------------------------------------- urgent.c */

/* Be scheduled before others and have all memory that is used from now on. Says what it got. */
void become_urgent(void);

/* ---------------------------------------------------------------- hints.c */

/* An area that a scan found, and where. All but inode and user is what peers wrote. */
struct hint {
	uint64_t inode;
	uint64_t serial[2];
	uint64_t key; /* of its oldest range */
	uint64_t evictable_pages, resident_pages;
	uint32_t pid, fd;
	uint32_t user;
	uint16_t is_busy; /* locked when it was seen: comes last */
	uint16_t locked;  /* when it was tried, so often in a row */
};

#define HINTS 100000

/* The hints of one group: a heap by age, then those that were set aside. */
struct hint_list {
	uint32_t start, size; /* its part of the table */
	uint32_t count;       /* hints that are left */
	uint32_t heap;        /* of them */
};

/* Begin a list, for a new scan. */
void hints_begin(struct hint_list *list);
/* 0, or -1 if there is no room. Before hints_end(). */
int hints_add(struct hint_list *list, const struct hint *hint);
/* Whether the scan under way has found this inode already. */
int hints_know(uint64_t inode);
void hints_end(struct hint_list *list);
/* Forget them. */
void hints_drop(struct hint_list *list);

void hints_each(const struct hint_list *list, void (*fn)(const struct hint *hint));

/* The oldest, or NULL. Then one of the three below. */
struct hint *hints_oldest(struct hint_list *list);
void hints_remove_oldest(struct hint_list *list);
void hints_set_oldest_aside(struct hint_list *list);
void hints_reorder_oldest(struct hint_list *list);
/* Those set aside take part again. */
void hints_take_back(struct hint_list *list);

/* ---------------------------------------------------------------- group.c */

enum group_kind { GROUP_SYSTEM, GROUP_V1, GROUP_V2 };
enum group_state { GROUP_CALM, GROUP_WARY, GROUP_SHORT };

struct group {
	int is_used;
	enum group_kind kind;
	char path[GROUP_PATH];
	int usage_fd, stat_fd;
	int event_fd[GROUP_EVENTS];
	uint64_t limit, notified_limit; /* bytes; the second is what the thresholds are of */
	int is_soft;                    /* the limit is memory.high, which kills nobody */
	int is_around_us;               /* the daemon itself is in it */
	int was_seen;                   /* by the search for groups under way */
	int has_no_kill;                /* oom.c */

	enum group_state state;
	uint64_t free_bytes, file_bytes, shared_bytes;
	uint64_t looked_at, look_at;  /* when it was looked at, and will be */
	uint64_t scanned_at, scan_ns; /* the last scan's begin and cost */
	uint64_t needed_us_until;     /* owners did not keep it from becoming short */
	uint64_t wait_ns;             /* between two tries while nothing can be purged */
	uint64_t wait_until;
	unsigned fruitless; /* fresh scans in a row that led to nothing */
	struct hint_list hints;
};

extern struct group groups[GROUPS];

/*
 * Visit a directory and those below it. `visit` returns 1 to go on below the one, 0 not to, -1 to
 * end the walk. The path is changed meanwhile.
 */
void group_walk(char path[GROUP_PATH], int (*visit)(const char *path));
/* Begin to watch; `path` is the directory, or "" for the system. 0, or a negative errno. */
int group_open(struct group *group, enum group_kind kind, const char *path, int epoll_fd);
void group_close(struct group *group);
/* The limit of a directory, or UINT64_MAX. */
uint64_t group_read_limit(enum group_kind kind, const char *path, int *is_soft);
/* The limit may have changed. */
void group_renew(struct group *group, int epoll_fd);
/* Read what is free, set state and time of the next look. 0, or a negative errno: it is gone. */
int group_look(struct group *group);
/* What the daemon keeps free in it. */
uint64_t group_reserve(const struct group *group);
/* The same where owners watch. */
uint64_t group_least_reserve(const struct group *group);
/* Take an event of one of its descriptors. */
void group_take_event(struct group *group, unsigned which);

/* ---------------------------------------------------------------- users.c */

struct user {
	uint32_t id;
	int is_used;
	uint64_t window_at; /* begin of the time that the next two count in */
	uint64_t wasted_ns;
	uint32_t wasted_areas;
	uint32_t fruitful; /* purges in the window that freed something */
	uint64_t back_off_ns, back_off_until;
	uint64_t evictable_pages, freed_pages; /* for a shortage of the system */
	uint64_t descriptors;                  /* looked at in this scan */
};

struct user *user_of(uint32_t id);
/* Whether an area of the user may be tried now. */
int user_may(struct user *user, uint64_t now);
/* What a try cost, and whether it freed anything. */
void user_pay(struct user *user, uint64_t now, uint64_t cost_ns, uint64_t freed_pages);
/* Before a scan. */
void users_begin_scan(void);
/* Counts of the system's areas by user begin anew. */
void users_begin_shares(void);
void users_add_share(uint32_t id, uint64_t evictable_pages);
void users_add_freed(uint32_t id, uint64_t pages);
/* Whether more was taken from the user than from others, by what they have. */
int user_has_given(const struct user *user);

/* ---------------------------------------------------------------- scan.c */

/* The memfds' device. 0, or a negative errno. */
int scan_start(void);
extern dev_t area_device;

enum scan_verdict {
	SCAN_ON,
	SCAN_DROP,  /* end it, as if it had not begun */
	SCAN_ENOUGH /* end it, and work with what it has found */
};

/* Asked each millisecond of a scan, which has found so many pages that could be purged. */
typedef enum scan_verdict scan_check(struct group *group, uint64_t found_pages);

/* Find the areas of the group's processes. */
void scan(struct group *group, scan_check *check);
/* A check: go on whatever happens. */
enum scan_verdict scan_all(struct group *group, uint64_t found_pages);

/* ---------------------------------------------------------------- purge.c */

/* Purge until so many bytes are free, at most one batch. Returns the pages freed. */
uint64_t purge_batch(struct group *group, uint64_t bytes);
/* Whatever can be purged in the groups that are watched, however much is free. */
void purge_everything(void);

/* ---------------------------------------------------------------- oom.c */

/* Start the second process, which undoes everything if this one ends. 0, or a negative errno. */
int oom_start(void);
void oom_begin(struct group *group, int epoll_fd);
/* Nothing can be purged and its processes wait: let the kernel kill. */
void oom_give_up(struct group *group);
/* The daemon is alive: call it at least each half second. */
void oom_beat(uint64_t now);
void oom_end(struct group *group);
void oom_stop(void);

/* ---------------------------------------------------------------- find.c */

/* Find groups with limits; those that are gone are closed. */
void find_groups(int epoll_fd);

/* ---------------------------------------------------------------- loop.c */

int loop(void);

#endif /* ASHMEMD_H */
