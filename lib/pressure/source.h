/* SPDX-License-Identifier: MIT */
/*
 * Sources of memory pressure: how each is opened, what wakes the program up, and what it says when
 * asked.
 *
 * A watch is one source in use. Its descriptors are close-on-exec and in the epoll set of the
 * handle it belongs to. No function here blocks. Nothing is locked: one thread at a time uses a
 * watch. Errors are negative errno values.
 */
#ifndef ASHMEM_LIB_PRESSURE_SOURCE_H
#define ASHMEM_LIB_PRESSURE_SOURCE_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "pressure/policy.h"

#define PRESSURE_FDS 96   /* descriptors that one watch can hold */
#define PRESSURE_GROUPS 8 /* nested cgroups with limits that one watch looks at */
#define PRESSURE_MS ((uint64_t)1000000)
/* how long an event without a level of its own counts */
#define PRESSURE_EVENT_NS (100 * PRESSURE_MS)
/* how often free bytes are looked at where the limit is near */
#define PRESSURE_POLL_NS (100 * PRESSURE_MS)
#define PRESSURE_WINDOW_NS (2000 * PRESSURE_MS)

/* The tests' seam: where /proc is, and what time it is. */
extern const char *source_proc;
extern uint64_t (*source_clock)(void);

struct pressure_source;

/* One cgroup with a limit. Descriptors belong to the watch; -1: there is no such file. */
struct pressure_group {
	int usage_fd;
	int limit_fd[2]; /* memory.max and memory.high, or memory.limit_in_bytes */
	int stat_fd;
	/* the kernel tells when the usage comes near this one; 0: it does not */
	uint64_t told_limit;
};

struct pressure_watch {
	const struct pressure_source *source; /* NULL: none */
	const struct pressure_settings *settings;
	uint32_t id; /* upper half of what comes with its events; the lower is their tag */
	int epoll_fd;
	int fds[PRESSURE_FDS];
	unsigned fd_count;
	uint32_t idle_poll_ms; /* look so often without an event; 0: events suffice */

	uint32_t level;         /* what the last event or measurement said */
	uint64_t level_ends_ns; /* events: until when that counts */

	uint64_t own_bytes; /* FIFO: written by us and not read back yet */

	int level_fd[3]; /* eventfds of low, medium, critical */

	int psi_fd;       /* stall times: where to read them */
	int psi_triggers; /* the kernel wakes us up, so measure only until window_ends_ns */
	uint64_t window_ends_ns;
	uint64_t total_us, total_at_ns;

	struct pressure_group groups[PRESSURE_GROUPS];
	unsigned group_count;
	int is_version_1;
};

struct pressure_source {
	const char *name;
	/*
	 * Open it. On failure `*why` can say more than the errno; whatever was opened is closed by
	 * the caller.
	 */
	int (*open)(struct pressure_watch *watch, const char **why);
	/*
	 * Read what an event brought. `tag` is what source_add() was told. Fails if the source is
	 * gone.
	 */
	int (*event)(struct pressure_watch *watch, uint32_t tag, uint32_t events, uint64_t now_ns);
	/* Fill in stall level or headroom. Fails if the source is gone. */
	int (*look)(struct pressure_watch *watch, uint64_t now_ns, struct pressure_observation *o);
	/*
	 * It fills in headroom. Then its `event` and `look` change nothing in the watch: one thread
	 * takes events while another looks.
	 */
	int tells_free_bytes;
};

/*
 * Whether a result says that the source is gone, and not that the kernel is short of memory, which
 * is when it is needed.
 */
int source_is_gone(int r);

/* In the order in which "auto" tries them. */
extern const struct pressure_source source_service, source_cgroup_psi, source_system_psi,
	source_cgroup_event, source_headroom, source_available, source_off;

/*
 * Open a source into `watch`, closing all on failure. The settings say what is near a limit, and
 * outlive the watch.
 */
int source_open(struct pressure_watch *watch, const struct pressure_source *source,
	const struct pressure_settings *settings, uint32_t id, int epoll_fd, const char **why);
void source_close(struct pressure_watch *watch);

/* Give a descriptor to the watch, to be closed with it. -ENOSPC closes it at once. */
int source_keep(struct pressure_watch *watch, int fd);

/* Have a kept descriptor wake the program up. */
int source_add(struct pressure_watch *watch, int fd, uint32_t events, uint32_t tag);

/* An event with a level happened. */
void source_note(struct pressure_watch *watch, uint32_t level, uint64_t now_ns);

/* `look` for sources that have events only. */
int source_look_events(struct pressure_watch *watch, uint64_t now_ns,
	struct pressure_observation *o);

/*
 * Stall times of a file: the kernel wakes us up where it accepts a trigger, else they are looked at
 * now and then.
 */
/* measure from now on; kept already */
int source_psi_start(struct pressure_watch *watch, int fd);
int source_psi_open(struct pressure_watch *watch, const char *path);
int source_psi_event(struct pressure_watch *watch, uint32_t tag, uint32_t events, uint64_t now_ns);
int source_psi_look(struct pressure_watch *watch, uint64_t now_ns, struct pressure_observation *o);

/* The number behind `key` in text of lines or words, or -EBADMSG. */
int source_number(const char *text, const char *key, uint64_t *value);

/* Read a file from its beginning as text. */
int source_read(int fd, char *text, size_t size);

/* Where the process's cgroup is. */
struct pressure_cgroup {
	int is_version_1;
	size_t root_length; /* of `path`: the mount point */
	char path[PATH_MAX];
};

/* Version 1 (memory controller) or 2. -ENOENT: the process is in none, or it is not mounted. */
int source_cgroup_find(struct pressure_cgroup *cgroup, int is_version_1);

/*
 * Whether a cgroup of version 1 limits the process: then nothing else knows how near the limit is.
 */
int source_headroom_limited_by_v1(void);

/* Have an eventfd written by the kernel: cgroup v1, cgroup.event_control. Answers with the
 * eventfd, kept and added; it is its own tag. */
int source_cgroup_event_control(struct pressure_watch *watch, const char *directory, int file_fd,
	const char *argument);

/* directory/name, opened and kept, or a negative errno. */
int source_open_file(struct pressure_watch *watch, const char *directory, const char *name);

/*
 * The bytes of base64 text, with or without padding; -EBADMSG if it is none, -E2BIG if they do not
 * fit.
 */
int64_t source_service_base64(const char *text, unsigned char *bytes, size_t size);

#endif /* ASHMEM_LIB_PRESSURE_SOURCE_H */
