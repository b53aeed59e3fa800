/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_PRESSURE_H
#define ASHMEM_PRESSURE_H

/**
 * @file
 * @brief Memory pressure: notice it in time and purge by a policy.
 *
 * @defgroup ashmem_pressure Memory pressure
 * @brief Purging when the system or the cgroup is short of memory.
 *
 * Have a thread that purges unpinned memory when memory is short:
 *
 * @code{.c}
 * #include <ashmem/ashmem.h>
 *
 * int main(void)
 * {
 *     struct ashmem_pressure *pressure;
 *
 *     if (ashmem_pressure_open(NULL, &pressure) < 0 || // NULL: all defaults
 *         ashmem_pressure_run(pressure) < 0)           // starts the thread
 *         return 1;
 *     // ... the program's work ...
 *     ashmem_pressure_close(pressure);                 // ends the thread
 *     return 0;
 * }
 * @endcode
 *
 * With an event loop, leave ashmem_pressure_run() out: wait for POLLIN on ashmem_pressure_fd(),
 * then call ashmem_pressure_dispatch().
 *
 * - A *pressure* handle, or watch, watches a source of memory pressure and purges unpinned ranges
 *   of the areas that **this process** holds, least recently unpinned first, as many as needed.
 *   Pinned pages are never purged (rule 16, docs/architecture.md).
 * - It also has the program's shrinkers free memory, as ashmem_shrink() does
 *   (@ref ashmem_shrinkers).
 * - It purges in ashmem_pressure_dispatch(), in the thread of ashmem_pressure_run(), and in
 *   ashmem_unpin() (@ref ashmem_pressure_unpin). Purge subscribers and shrinkers are called on that
 *   thread: hold no lock that they wait for.
 * - On the memfd backend the kernel itself never purges (@ref ashmem_who_purges).
 *
 * @section ashmem_pressure_sources Sources
 *
 * "auto", the default, takes the first of these that works; each can be named.
 *
 * - "service": what the service manager names in the environment, `MEMORY_PRESSURE_WATCH` and
 *   `MEMORY_PRESSURE_WRITE` (<https://systemd.io/PRESSURE/>; ignored in set-user-ID programs). A
 *   watch of `/dev/null` turns everything off; the source is then "off".
 * - "cgroup-psi": `memory.pressure` of the process's cgroup, version 2.
 * - "system-psi": `/proc/pressure/memory`, Linux 4.20.
 * - "cgroup-event": `memory.pressure_level` of the process's cgroup, version 1.
 * - "headroom": how far the process's cgroup, and those around it, are from their limits, version 1
 *   and 2.
 * - "available": `MemAvailable` of the system.
 *
 * With "auto", free bytes are watched together with the first four: the headroom wherever a limit
 * is set, else what is available. Unpinned pages are shared memory, which the kernel cannot reclaim
 * without swap space, so it hardly stalls before it kills. Where a limit is set by cgroup version
 * 1, "auto" skips the two PSI sources, which do not know that limit.
 *
 * The cgroups are those of the process when the handle is opened, and all those around them,
 * however many, as far as any mount shows them. In a container that is often the container's group
 * alone. Version 1 reports the value of a limit further out, so it counts, but not what others use
 * there; version 2 reports nothing. With the host's hierarchy mounted, read-only is enough, all
 * limits are known. Eight groups are watched: of those with a limit the ones with the least left,
 * then the nearest without. Limits of these may change while they are watched; if there was none at
 * all, later ones are not noticed. If a source vanishes (its cgroup is removed, the socket's peer
 * is closed), "auto" changes to the next that works. ashmem_pressure_explain() reports which source
 * was taken and why others were not.
 *
 * @section ashmem_pressure_policy Levels and amounts
 *
 * @code{.unparsed}
 * level      free bytes              stalled (PSI)   version 1   share
 * ---------------------------------------------------------------------
 * SOME       below the reserve       5 %             low         6 %
 * HIGH       below half of it        20 %            medium      25 %
 * CRITICAL   below a quarter of it   40 %            critical    50 %
 * @endcode
 *
 * The levels are #ASHMEM_PRESSURE_SOME, #ASHMEM_PRESSURE_HIGH and #ASHMEM_PRESSURE_CRITICAL; the
 * shares are the defaults of struct ashmem_pressure_options. An event of "service" is
 * #ASHMEM_PRESSURE_SOME. *Free bytes* are what is free of the cgroup's limit, or available in the
 * system. File pages count as free, since the kernel can drop them.
 *
 * - When free bytes are short, as many pages are purged as bring them back to a quarter above the
 *   reserve.
 * - Stalls and events do not tell how much is needed. So the share of the level is purged, of the
 *   pages that can be; twice as much at each further step, at most one step in 100 ms, as long as
 *   they go on. Nothing is purged once they have stopped.
 * - The level rises at once and falls after a second without an observation as high.
 *
 * @section ashmem_pressure_reserve The reserve
 *
 * The reserve is what is kept free for needs that come faster than relief. If it is too small, a
 * burst leads to a kill; if it is too large, a cache loses what it could have kept. By default it
 * adapts:
 *
 * - It is a twelfth of the limit, at least 4 MiB and at most 170 MiB.
 * - For two seconds after a *burst* it is a quarter, at most 512 MiB. A burst took more than half
 *   of the twelfth between two looks. (A quarter that is less than 4 MiB is the reserve in any
 *   case.)
 * - It yields to a cache that just fits: while nothing touches it, half of the twelfth is the
 *   reserve, at least 4 MiB. It is whole for ten seconds if that half is touched, if more than a
 *   quarter of the twelfth was taken between two looks, if other processes purge under the same
 *   limit, and after a burst.
 * - Below `memory.high`, which slows a process down and kills none, it is a quarter of the twelfth,
 *   at least 1 MiB.
 * - With "available" it is always a quarter.
 *
 * Processes that have caches under one limit share its shortage. What is missing above five eighths
 * of the reserve they purge in proportion: each twice its part of the shared memory that
 * `memory.stat` reports, so whoever has most gives most. Below that nobody waits for others.
 *
 * Where nothing reports that free bytes become few (cgroup version 2, "available", and version 1
 * while the cgroup has file pages), they are looked at so often that a burst of 2 GB/s is seen
 * three times before it has taken all: each millisecond with 8 MiB free, each second with 8 GiB. If
 * nothing can be purged, ten times a second.
 *
 * `reserve_percent` of struct ashmem_pressure_options fixes it, `reserve_most_bytes` limits it;
 * `reserve_bytes` of struct ashmem_pressure_status has its value.
 *
 * @section ashmem_pressure_unpin In ashmem_unpin()
 *
 * A program can fill memory faster than its event loop, or a thread, gets to run. So where free
 * bytes are watched, ashmem_unpin() and ashmem_unpin_with() look at them too, each time that a
 * thread has unpinned a sixteenth of what was free (at least 64 KiB, at most 64 MiB), and purge
 * what is needed before they return. With several threads the call waits up to a fifth of a second
 * for the purge of another thread if memory is as short as at #ASHMEM_PRESSURE_HIGH. An unpin that
 * does not look costs a few instructions more.
 *
 * Levels change, and the subscriber is called, in ashmem_pressure_dispatch() alone. Of several
 * handles, the one opened first does this. #ASHMEM_PRESSURE_NOT_IN_UNPIN turns it off.
 *
 * What is allocated in between by other means is not noticed: call ashmem_pressure_make_room()
 * before a large allocation.
 *
 * @section ashmem_pressure_fork Fork
 *
 * A handle belongs to the process that opened it. A child gets copies of the descriptors and must
 * use the handle for nothing but ashmem_pressure_close(), which does not disturb the parent; other
 * calls return -ESTALE. Descriptors are close-on-exec.
 * @{
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** No memory pressure. */
#define ASHMEM_PRESSURE_NONE 0
/** Memory is becoming short. */
#define ASHMEM_PRESSURE_SOME 1
/** Memory is short. */
#define ASHMEM_PRESSURE_HIGH 2
/** Processes may be killed next. */
#define ASHMEM_PRESSURE_CRITICAL 3

/** struct ashmem_pressure_options, percentages: purge nothing at this level, on any source. */
#define ASHMEM_PRESSURE_PURGE_NOTHING 4294967295u

/**
 * struct ashmem_pressure_options, flags: ashmem_unpin() does not look at free bytes (@ref
 * ashmem_pressure_unpin).
 */
#define ASHMEM_PRESSURE_NOT_IN_UNPIN 1u

/**
 * struct ashmem_pressure_options, flags: levels are reported, and nothing is purged because of them
 * on any source, in ashmem_unpin() neither. ashmem_pressure_make_room() still purges.
 */
#define ASHMEM_PRESSURE_ONLY_TELL 2u

/** A watch on memory pressure. Opaque; made by ashmem_pressure_open(). */
struct ashmem_pressure;

/** Options of ashmem_pressure_open(). Zero is the default of every member but the first. */
struct ashmem_pressure_options {
	size_t struct_size; /**< Set by the caller: bytes of this structure that it fills in. */
	const char *source; /**< Name of a source; NULL means "auto". */
	/**
	 * Share of the evictable pages to purge at #ASHMEM_PRESSURE_SOME, 1 to 100 percent, or
	 * #ASHMEM_PRESSURE_PURGE_NOTHING; 0: 6.
	 */
	uint32_t some_percent;
	uint32_t high_percent;     /**< The same at #ASHMEM_PRESSURE_HIGH; 0: 25. */
	uint32_t critical_percent; /**< The same at #ASHMEM_PRESSURE_CRITICAL; 0: 50. */
	/**
	 * Milliseconds for which the level stays after the pressure has ended; 0: 1000. At most an
	 * hour.
	 */
	uint32_t hold_ms;
	uint32_t flags; /**< ASHMEM_PRESSURE_NOT_IN_UNPIN, ASHMEM_PRESSURE_ONLY_TELL, or 0. */
	/** @ref ashmem_pressure_reserve : in percent of the limit, 1 to 50; 0: it adapts. */
	uint32_t reserve_percent;
	/** Upper limit of the reserve in bytes, however large the limit is; 0: 512 MiB. */
	uint64_t reserve_most_bytes;
	/**
	 * How urgent the thread of ashmem_pressure_run() is: a SCHED_FIFO priority, 1 to 99. Where
	 * that is not allowed (CAP_SYS_NICE, `RLIMIT_RTPRIO`), it gets the best nice value that is
	 * (`RLIMIT_NICE`); ashmem_pressure_explain() says which. Purge subscribers and shrinkers
	 * are called on that thread: keep them short. The library's code is then locked in memory
	 * too, as far as `RLIMIT_MEMLOCK` allows, since the kernel drops code first where memory is
	 * short. 0: as the thread that starts it.
	 */
	uint32_t priority;
	uint32_t reserved; /**< 0. */
	/**
	 * Directory of a cgroup to watch instead of the process's own, version 1 (memory) or 2, and
	 * of those around it: "/sys/fs/cgroup/cache.slice". With "auto" only "cgroup-psi",
	 * "cgroup-event" and "headroom" are tried. What is purged is still of the areas that this
	 * process holds. NULL: the process's.
	 */
	const char *cgroup;
};

/** What a watch has observed and done so far. */
struct ashmem_pressure_status {
	size_t struct_size;    /**< Set by the caller: bytes of this structure that it knows. */
	uint64_t level;        /**< The ASHMEM_PRESSURE_ level now. */
	uint64_t dispatches;   /**< Calls of ashmem_pressure_dispatch() that looked. */
	uint64_t events;       /**< Events of sources; looking because of a timer is none. */
	uint64_t purges;       /**< Times that something was purged. */
	uint64_t wanted_pages; /**< Pages wanted from those purges. */
	/** Pages that those purges freed; more than wanted because short ranges go whole. */
	uint64_t purged_pages;
	uint64_t purge_ns; /**< Nanoseconds that those purges took. */
	/** Those of the purges made because of free bytes, and not of stalls or events. */
	uint64_t headroom_purges;
	uint64_t lost_sources; /**< Sources that vanished. */
	uint64_t free_bytes;   /**< Free bytes at the last look; 0 if no source has them. */
	uint64_t limit_bytes;  /**< The limit that they are free of; 0 if no source has it. */
	uint64_t unpin_purges; /**< Those of the purges made in ashmem_unpin(). */
	/** Bytes of the reserve at the last look; 0 if no source has free bytes. */
	uint64_t reserve_bytes;
	uint64_t bursts; /**< Bursts that made the reserve grow. */
};

/**
 * @brief A subscriber: called when the level has changed.
 *
 * ashmem_pressure_dispatch() calls it on its caller's thread (with ashmem_pressure_run(): on that
 * thread), after purging, with no library lock held. It must not close the handle.
 *
 * @param userdata      The argument of ashmem_pressure_subscribe().
 * @param level         The new ASHMEM_PRESSURE_ level.
 * @param before        The level before.
 * @param purged_pages  Pages that this dispatch purged.
 */
typedef void (*ashmem_pressure_fn)(void *userdata, uint32_t level, uint32_t before,
	uint64_t purged_pages);

/**
 * @brief Begin to watch memory pressure.
 *
 * Nothing is purged before ashmem_pressure_run() or ashmem_pressure_dispatch() is called, except in
 * ashmem_unpin().
 *
 * @param[in]  options   The options, not used after the call; NULL: all defaults.
 * @param[out] pressure  The handle; the caller ends it with ashmem_pressure_close().
 * @return 0 on success; also when the service manager turned watching off.
 * @retval -EINVAL     @p pressure is NULL, `struct_size` is too small (@ref ashmem_structs), a
 *   percentage is above 100, `reserve_percent` above 50, `hold_ms` above 3600000, `priority` above
 *   99, a flag is unknown, no source has this name, or one that is of no cgroup while `cgroup` is
 *   set; or "service" was named and its path is not
 *   absolute.
 * @retval -E2BIG      `struct_size` is larger than what this library knows, and the rest is not all
 *   zero; or "service" was named and what `MEMORY_PRESSURE_WRITE` encodes is longer than 4096
 *   bytes.
 * @retval -ENODEV     "auto": no source works here.
 * @retval -ENOMEM     No memory for the handle.
 * @retval -EMFILE, -ENFILE  No descriptor left.
 * @retval -ENOSPC     Too many descriptors are watched already:
 *   `/proc/sys/fs/epoll/max_user_watches`.
 * @retval -ENODATA    The named source has nothing to watch: the variable is not set, or no limit
 *   is.
 * @retval -ENOENT     The file that the named source watches does not exist here.
 * @retval -EACCES, -EPERM  The named source may not be used, or its file reports no events.
 * @retval -EOPNOTSUPP The named source is disabled in the kernel (PSI: boot option `psi=1`).
 * @retval -EBADMSG    The named source's file, or `MEMORY_PRESSURE_WRITE`, is not in the known
 *   form.
 * @retval -ENOTSUP    "service" was named and its path is neither file nor FIFO nor socket.
 * @retval -ECONNREFUSED, -ENAMETOOLONG, -EIO  "service" was named and its socket cannot be
 *   connected to or written.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_pressure_open(const struct ashmem_pressure_options *options,
	struct ashmem_pressure **pressure);

/**
 * @brief Stop watching.
 *
 * Ends the thread of ashmem_pressure_run() and closes the descriptor of ashmem_pressure_fd(). May
 * be called in a child of fork.
 *
 * @param[in] pressure  From ashmem_pressure_open(); NULL is allowed.
 *
 * Threads: any thread, but no other call may use the handle at the same time or later; not from the
 * subscriber.
 * @since 0.9
 */
void ashmem_pressure_close(struct ashmem_pressure *pressure);

/**
 * @brief The descriptor to wait for.
 *
 * It is readable (`POLLIN`) when ashmem_pressure_dispatch() has something to do. Wait for no other
 * event and do not read from it.
 *
 * @param[in] pressure  From ashmem_pressure_open().
 * @return The descriptor; it belongs to the handle.
 * @retval -EINVAL  @p pressure is NULL.
 * @retval -ESTALE  The handle belongs to the parent.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_pressure_fd(struct ashmem_pressure *pressure);

/**
 * @brief Look at the pressure, purge by the policy, call the subscriber.
 *
 * Never waits for an event. May also be called when the descriptor is not readable: it always looks
 * at free bytes, which takes a few microseconds. If
 * another thread is already in this call, or the subscriber calls it, it only returns the level.
 *
 * @param[in] pressure  From ashmem_pressure_open().
 * @return The level, ASHMEM_PRESSURE_NONE to ASHMEM_PRESSURE_CRITICAL.
 * @retval -EINVAL  @p pressure is NULL.
 * @retval -ESTALE  The handle belongs to the parent.
 * @retval -ENODEV  The source has vanished and, with "auto", no other works; or the program has
 *   closed the watch's descriptors (@ref ashmem_descriptors). The handle can only be closed.
 *
 * Threads: any thread. It calls purge subscribers and shrinkers on this thread: hold no lock that
 * they wait for (@ref ashmem_who_purges).
 * @since 0.9
 */
int ashmem_pressure_dispatch(struct ashmem_pressure *pressure);

/**
 * @brief Purge before a large allocation, so that it fits.
 *
 * @code{.unparsed}
 * if (ashmem_pressure_make_room(pressure, 64 << 20) < 0)
 *     return use_less_memory();
 * char *table = malloc(64 << 20);
 * @endcode
 *
 * Purges until so many bytes are free below the nearest limit, and the reserve besides, so that the
 * allocation itself is no pressure. Does nothing if they are. Others may take the memory before the
 * caller does.
 *
 * @param[in] pressure  From ashmem_pressure_open().
 * @param[in] bytes     Bytes that are going to be used.
 * @return The pages that were purged, 0 or positive, and there is room now.
 * @retval -EINVAL   @p pressure is NULL.
 * @retval -ESTALE   The handle belongs to the parent.
 * @retval -ENOMEM   The limit is lower than @p bytes, and nothing was purged; or all was purged
 *   that can be, and it is not enough.
 * @retval -ENODATA  Free bytes are not known: the source is "off" or has vanished, or one was named
 *   that does not report them.
 * @retval -EDEADLK  Called by a backend's operation (@ref ashmem_backend).
 *
 * Threads: any thread. It calls purge subscribers and shrinkers on this thread: hold no lock that
 * they wait for (@ref ashmem_who_purges).
 * @since 1.0
 */
int64_t ashmem_pressure_make_room(struct ashmem_pressure *pressure, uint64_t bytes);

/**
 * @brief Have a function called when the level changes.
 *
 * @param[in] pressure  From ashmem_pressure_open().
 * @param[in] fn        Replaces the subscriber set before; NULL for none. A call under way on
 *   another thread may still run when this returns.
 * @param[in] userdata  Passed to @p fn.
 * @return 0 on success.
 * @retval -EINVAL  @p pressure is NULL.
 * @retval -ESTALE  The handle belongs to the parent.
 *
 * Threads: any thread; also from the subscriber.
 * @since 0.9
 */
int ashmem_pressure_subscribe(struct ashmem_pressure *pressure, ashmem_pressure_fn fn,
	void *userdata);

/**
 * @brief Start a thread that waits and dispatches, for programs without an event loop.
 *
 * The thread blocks all signals. It ends by ashmem_pressure_stop(), by ashmem_pressure_close(), or
 * when every source has vanished. Purge subscribers and shrinkers are called on it.
 *
 * @param[in] pressure  From ashmem_pressure_open().
 * @return 0 on success.
 * @retval -EINVAL  @p pressure is NULL.
 * @retval -ESTALE  The handle belongs to the parent.
 * @retval -EALREADY  The thread is already running.
 * @retval -EAGAIN  No thread can be started.
 * @retval -EMFILE, -ENFILE, -ENOMEM  No descriptor left, or no memory for one.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_pressure_run(struct ashmem_pressure *pressure);

/**
 * @brief End the thread of ashmem_pressure_run() and wait for it.
 *
 * @param[in] pressure  From ashmem_pressure_open().
 * @return 0 on success, also if there is no thread.
 * @retval -EINVAL   @p pressure is NULL.
 * @retval -ESTALE   The handle belongs to the parent.
 * @retval -EDEADLK  Called on that thread, from the subscriber.
 *
 * Threads: any other thread.
 * @since 0.9
 */
int ashmem_pressure_stop(struct ashmem_pressure *pressure);

/**
 * @brief The name of the source in use.
 *
 * @param[in] pressure  From ashmem_pressure_open().
 * @return The source's name (@ref ashmem_pressure_sources), "off", or "none" after all sources have
 *   vanished: a static string. NULL if @p pressure is NULL or belongs to the parent.
 *
 * Threads: any thread.
 * @since 0.9
 */
const char *ashmem_pressure_source(struct ashmem_pressure *pressure);

/**
 * @brief Report for each source whether it is used, or why not.
 *
 * @param[in]  pressure  From ashmem_pressure_open().
 * @param[out] buf       Receives text, one line per source, with a terminating NUL; cut off if it
 *   does not fit. For people: its form may change. The caller owns it.
 * @param[in]  buf_size  Bytes of @p buf; 0 to ask for the length.
 * @return The length of the whole text without its NUL.
 * @retval -EINVAL  @p pressure is NULL, or @p buf is NULL and @p buf_size is not 0.
 * @retval -ESTALE  The handle belongs to the parent.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_pressure_explain(struct ashmem_pressure *pressure, char *buf, size_t buf_size);

/**
 * @brief Read what the watch has observed and done.
 *
 * @param[in]     pressure  From ashmem_pressure_open().
 * @param[in,out] status    Filled up to the bytes in `struct_size`; the caller owns it.
 * @return 0 on success.
 * @retval -EINVAL  @p pressure or @p status is NULL, or `struct_size` is too small (@ref
 *   ashmem_structs).
 * @retval -ESTALE  The handle belongs to the parent.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_pressure_get_status(struct ashmem_pressure *pressure,
	struct ashmem_pressure_status *status);

#ifdef __cplusplus
}
#endif

/** @} */

#endif /* ASHMEM_PRESSURE_H */
