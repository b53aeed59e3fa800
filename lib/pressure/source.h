/* SPDX-License-Identifier: MIT */
/*
 * Sources of memory pressure: how each kind is opened, which events wake the program up, and what a
 * look at it finds.
 *
 * The descriptors of an open source are close-on-exec and in the epoll set of the handle that it
 * belongs to. No function here blocks or takes a lock: one thread at a time uses an open source,
 * but see `reports_free_bytes`. Errors are negative errno values.
 */
#ifndef ASHMEM_LIB_PRESSURE_SOURCE_H
#define ASHMEM_LIB_PRESSURE_SOURCE_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "base/descriptor.h"
#include "pressure/policy.h"

#define PRESSURE_FDS 96   /* descriptors of one source */
#define PRESSURE_GROUPS 8 /* nested cgroups that one source looks at, of any number */
#define PRESSURE_MS ((uint64_t)1000000)
/* How long an event without a level of its own counts. */
#define PRESSURE_EVENT_NS (100 * PRESSURE_MS)
/* How often free bytes are looked at where the limit is near. */
#define PRESSURE_POLL_NS (100 * PRESSURE_MS)
#define PRESSURE_WINDOW_NS (2000 * PRESSURE_MS)

/* The tests' seam: where /proc is, and what time it is. */
extern const char *source_proc;
extern uint64_t (*source_clock)(void);

struct source_kind;

/*
 * One cgroup, with a limit or without. Descriptors belong to the source; -1: there is no such file.
 */
struct pressure_group {
	int usage_fd;
	int limit_fd[2]; /* memory.max and memory.high, or memory.limit_in_bytes */
	int stat_fd;
	uint64_t hidden_limit; /* around it, of no mount; UINT64_MAX: not known */
	/* The kernel sends an event when the usage comes near this one; 0: it does not. */
	uint64_t notified_limit;
};

struct open_source {
	const struct source_kind *kind; /* NULL: not open */
	const struct pressure_settings *settings;
	uint32_t id; /* upper half of what comes with its events; the lower is their tag */
	int epoll_fd;
	int fds[PRESSURE_FDS];
	struct descriptor_file files[PRESSURE_FDS];
	unsigned fd_count;
	uint32_t idle_poll_ms; /* look so often without an event; 0: events suffice */

	uint32_t level;         /* by the last event or measurement */
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

struct source_kind {
	const char *name;
	/*
	 * Open it. On failure `*why` can say more than the errno, and the caller closes what was
	 * opened.
	 */
	int (*open)(struct open_source *source, const char **why);
	/*
	 * Read what an event brought. `tag` is the one given to source_add(). Fails if the source
	 * is gone.
	 */
	int (*event)(struct open_source *source, uint32_t tag, uint32_t events, uint64_t now_ns);
	/* Fill in stall level or headroom. Fails if the source is gone. */
	int (*look)(struct open_source *source, uint64_t now_ns, struct pressure_observation *o);
	/*
	 * It fills in headroom. Its `event` and `look` change nothing in the source, so that one
	 * thread can take events while another looks.
	 */
	int reports_free_bytes;
};

/*
 * Whether a result says that the source is gone, and not that the kernel is short of memory, which
 * is when it is needed.
 */
int source_is_gone(int r);

/* A shortage of descriptors or memory says nothing about a source. */
int source_is_shortage(int r);

/* In the order in which "auto" tries them. */
extern const struct source_kind source_service, source_cgroup_psi, source_system_psi,
	source_cgroup_event, source_headroom, source_available, source_off;

/*
 * Open a source into `source`, closing all on failure. The settings say what is near a limit, and
 * outlive the source.
 */
int source_open(struct open_source *source, const struct source_kind *kind,
	const struct pressure_settings *settings, uint32_t id, int epoll_fd, const char **why);
void source_close(struct open_source *source);

/*
 * Give a descriptor to the source, to be closed with it: the number that it has now, above the
 * standard streams. -ENOSPC closes it at once.
 */
int source_keep(struct open_source *source, int fd);

/* 0 if a kept descriptor is still of the file that it was opened on; else -EBADF. */
int source_check(const struct open_source *source, int fd);

/* Have a kept descriptor wake the program up. */
int source_add(struct open_source *source, int fd, uint32_t events, uint32_t tag);

/* An event with a level has happened. */
void source_note(struct open_source *source, uint32_t level, uint64_t now_ns);

/* `look` for sources that have events only. */
int source_look_events(struct open_source *source, uint64_t now_ns, struct pressure_observation *o);

/*
 * Stall times of a file: the kernel wakes us up where it accepts a trigger, else they are looked at
 * now and then. Measure from now on; `fd` is kept already.
 */
int source_psi_start(struct open_source *source, int fd);
int source_psi_event(struct open_source *source, uint32_t tag, uint32_t events, uint64_t now_ns);
int source_psi_look(struct open_source *source, uint64_t now_ns, struct pressure_observation *o);

/* The number after `key` in text of lines or words, or -EBADMSG. */
int source_number(const char *text, const char *key, uint64_t *value);

/* Read a file from its beginning as text. */
int source_read(int fd, char *text, size_t size);

/* A cgroup, and which of those around it can be seen. */
struct pressure_cgroup {
	int is_version_1;
	int is_listed;      /* it lists this process */
	int is_writable;    /* by the mount's options */
	unsigned depth;     /* how many groups around it the mount shows */
	size_t root_length; /* of `path`: the mount point */
	char path[PATH_MAX];
};

/*
 * Where the process's cgroup is, version 1 (memory controller) or 2; of several mounts that show
 * it, the one that begins nearest. -ENOENT: the process is in none, or no mount shows it. With
 * `named` that directory, whatever process is in it; -ENOENT: it is none of that version.
 */
int source_cgroup_find(struct pressure_cgroup *group, int is_version_1, const char *named);

/*
 * The next group around those that are seen with `inner`, in another mount. -ENOENT: no mount shows
 * more.
 */
int source_cgroup_find_outer(struct pressure_cgroup *outer, const struct pressure_cgroup *inner);

/*
 * Whether a cgroup of version 1 limits the process, or the one that was named: then no other kind
 * knows how near the limit is. Negative: a shortage kept it from being known.
 */
int source_headroom_limited_by_v1(const char *named);

/*
 * Have the kernel write an eventfd: cgroup version 1, cgroup.event_control. Returns the eventfd,
 * kept and added; it is its own tag.
 */
int source_cgroup_event_control(struct open_source *source, const char *directory, int file_fd,
	const char *argument);

/* directory/name, opened to be read; -1 and errno. */
int source_file(const char *directory, const char *name);

/* The same, kept by the source, or a negative errno. */
int source_open_file(struct open_source *source, const char *directory, const char *name);

/*
 * The bytes of base64 text, with or without padding; -EBADMSG if it is none, -E2BIG if they do not
 * fit.
 */
int64_t source_service_base64(const char *text, unsigned char *bytes, size_t size);

#endif /* ASHMEM_LIB_PRESSURE_SOURCE_H */
