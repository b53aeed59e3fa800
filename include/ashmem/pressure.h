/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_PRESSURE_H
#define ASHMEM_PRESSURE_H

/**
 * @file
 * @brief Memory pressure: learn of it in time and purge by a policy.
 *
 * @defgroup ashmem_pressure Memory pressure
 * @brief Purging when the system or the cgroup is short of memory.
 *
 * A *pressure* handle watches a source of memory pressure and purges unpinned ranges of the areas
 * that the process holds, least recently unpinned first, as much as it takes. It has one descriptor
 * for the program's poll or epoll loop; ashmem_pressure_dispatch() does the rest. Programs without
 * a loop let ashmem_pressure_run() start a thread. Pinned pages are never touched (contract rule
 * 16).
 *
 * @section ashmem_pressure_sources Sources
 *
 * "auto" takes the first of these that works; each can be named.
 *
 * | name | what it watches | | --- | --- | | "service" | what the service manager names in the
 * environment: `MEMORY_PRESSURE_WATCH` and `MEMORY_PRESSURE_WRITE` (<https://systemd.io/PRESSURE/>;
 * ignored in set-user-ID programs). A watch of `/dev/null` turns everything off; the source is
 * "off" then | | "cgroup-psi" | `memory.pressure` of the process's cgroup, version 2 | |
 * "system-psi" | `/proc/pressure/memory`, Linux 4.20 | | "cgroup-event" | `memory.pressure_level`
 * of the process's cgroup, version 1 | | "headroom" | how far the process's cgroup, and those
 * around it, are from their limits, version 1 and 2 | | "available" | `MemAvailable` of the system
 * |
 *
 * With "auto" free bytes are watched *beside* the first four: the headroom wherever a limit is set,
 * else what is available. Unpinned pages are shared memory, which the kernel cannot reclaim without
 * swap space, so it hardly stalls before it kills. Where a limit is set by cgroup version 1, "auto"
 * passes over the two PSI sources, which know nothing of that limit.
 *
 * Cgroups are those that the process is in when the handle is opened, found through any mount that
 * shows them, and all those around them, however many, as far as mounts show them. In a container
 * that is often the container's group alone. Of a limit further out version 1 tells the value, so it
 * counts, but what others use there is not seen; version 2 tells nothing. With several mounts the
 * one that shows most is used, so the host's hierarchy, mounted read-only, makes all limits known.
 * Eight groups are watched: of those with a limit the ones with the least left, then the nearest
 * without. Limits of these may change while they are watched; those of a process that had none at
 * all are not looked for again.
 * If a source vanishes (its cgroup is removed, the socket's peer is gone), "auto" goes on to the
 * next that works. ashmem_pressure_explain() tells what was taken and why others were not.
 *
 * @section ashmem_pressure_policy Levels and amounts
 *
 * | level | free of the cgroup's limit, or available | stalled time (PSI) | version 1 | default
 * share | | --- | --- | --- | --- | --- | | #ASHMEM_PRESSURE_SOME | below the reserve | 5 % | low |
 * 6 % | | #ASHMEM_PRESSURE_HIGH | below half of it | 20 % | medium | 25 % | |
 * #ASHMEM_PRESSURE_CRITICAL | below a quarter of it | 40 % | critical | 50 % |
 *
 * Free bytes do not count file pages as used, since the kernel can drop them. An event of "service"
 * is #ASHMEM_PRESSURE_SOME.
 *
 * Where free bytes say that memory is short, as many pages are purged as bring them back to a
 * quarter above the reserve. Stalls and events do not say how much is needed: the share of the
 * level is purged, of the pages that can be; twice as much at each further step, at most one step
 * in 100 ms, as long as they go on. Nothing is purged when they have stopped. The level rises at
 * once and falls when nothing as high was observed for a second.
 *
 * @section ashmem_pressure_reserve The reserve
 *
 * What is kept free for needs that come faster than relief. Too little, and a burst is met by a
 * kill; too much, and a cache gives away what it could have kept. So by default it adapts: a
 * twelfth of the limit, at least 4 MiB and at most 170 MiB, and a quarter, at most 512 MiB, for two
 * seconds after a *burst*, which took more than half of the twelfth before anybody looked (a
 * quarter that is less than 4 MiB is the reserve in any case). Where nothing tells when free bytes
 * become few, and they are just looked at ten times a second, it is always a quarter: with
 * "available", with cgroup version 2, and with version 1 while the cgroup has file pages.
 * `reserve_percent` of struct ashmem_pressure_options fixes it, `reserve_most_bytes` bounds it;
 * struct ashmem_pressure_status tells what it is.
 *
 * @section ashmem_pressure_unpin In ashmem_unpin()
 *
 * A program can fill memory faster than its event loop, or a thread, gets to run. So where free
 * bytes are watched, ashmem_unpin() looks at them too, each time that a thread has unpinned a
 * sixteenth of what was free (at least 64 KiB, at most 64 MiB), and purges what is needed before it
 * returns; with several threads it waits up to a fifth of a second for the purge of another if
 * memory is as short as at #ASHMEM_PRESSURE_HIGH. An unpin that does not look costs some
 * instructions more. Levels change, and subscribers hear of it, in ashmem_pressure_dispatch()
 * alone. Of several handles, the one that was first does this. #ASHMEM_PRESSURE_NOT_IN_UNPIN turns
 * it off.
 *
 * What is allocated in between by other means is not seen: call ashmem_pressure_dispatch() before a
 * large allocation.
 *
 * @section ashmem_pressure_fork Fork
 *
 * A handle belongs to the process that opened it. A child gets copies of the descriptors and must
 * use the handle for nothing but ashmem_pressure_close(), which does not disturb the parent; other
 * calls answer -ESTALE. Descriptors are close-on-exec. @{
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

/** struct ashmem_pressure_options: purge nothing at this level, whatever the source. */
#define ASHMEM_PRESSURE_PURGE_NOTHING 4294967295u

/**
 * struct ashmem_pressure_options, flags: ashmem_unpin() does not look at free bytes (@ref
 * ashmem_pressure_unpin).
 */
#define ASHMEM_PRESSURE_NOT_IN_UNPIN 1u

/** A watch on memory pressure. Opaque; made by ashmem_pressure_open(). */
struct ashmem_pressure;

/** What ashmem_pressure_open() is asked for. Zero is the default of every member but the first. */
struct ashmem_pressure_options {
	size_t struct_size; /**< Set by the caller: bytes of this structure that it fills in. */
	const char *source; /**< Name of a source; NULL means "auto". */
	/**
	 * Share to purge at #ASHMEM_PRESSURE_SOME, 1 to 100, or #ASHMEM_PRESSURE_PURGE_NOTHING; 0:
	 * 6.
	 */
	uint32_t some_percent;
	uint32_t high_percent;     /**< The same at #ASHMEM_PRESSURE_HIGH; 0: 25. */
	uint32_t critical_percent; /**< The same at #ASHMEM_PRESSURE_CRITICAL; 0: 50. */
	/**
	 * Milliseconds for which a level is held when pressure ceases; 0: 1000. At most an hour.
	 */
	uint32_t hold_ms;
	uint32_t flags; /**< 0 or #ASHMEM_PRESSURE_NOT_IN_UNPIN. */
	/** @ref ashmem_pressure_reserve in percent of the limit, 1 to 50; 0: it adapts. */
	uint32_t reserve_percent;
	/** The most that it is, however large the limit; 0: 512 MiB. */
	uint64_t reserve_most_bytes;
};

/** What a watch has seen and done so far. */
struct ashmem_pressure_status {
	size_t struct_size;    /**< Set by the caller: bytes of this structure that it knows. */
	uint64_t level;        /**< ASHMEM_PRESSURE_ level now. */
	uint64_t dispatches;   /**< Calls of ashmem_pressure_dispatch() that looked. */
	uint64_t events;       /**< Events of sources; looking at a timer's instance is none. */
	uint64_t purges;       /**< Times that something was purged. */
	uint64_t wanted_pages; /**< Pages that those purges were asked for. */
	/** Pages that they freed; more than wanted because whole ranges go. */
	uint64_t purged_pages;
	uint64_t purge_ns; /**< Nanoseconds that they took. */
	/** How many of them free bytes gave rise to, and not stalls or events. */
	uint64_t headroom_purges;
	uint64_t lost_sources; /**< Sources that vanished. */
	uint64_t free_bytes;   /**< Free bytes when last looked at; 0 if no source tells. */
	uint64_t limit_bytes;  /**< What those are of; 0 if no source tells. */
	uint64_t unpin_purges; /**< How many of the purges ashmem_unpin() made. */
	/** @ref ashmem_pressure_reserve when last looked; 0 if no source tells free bytes. */
	uint64_t reserve_bytes;
	uint64_t bursts; /**< Bursts that made it grow. */
};

/**
 * @brief A subscriber: called when the level has changed.
 *
 * Called by ashmem_pressure_dispatch() on its caller's thread (with ashmem_pressure_run(): on that
 * thread), after purging, with no library lock held. It must not close the handle.
 *
 * @param userdata      As given to ashmem_pressure_subscribe().
 * @param level         The new ASHMEM_PRESSURE_ level.
 * @param before        The level before.
 * @param purged_pages  Pages that this dispatch purged.
 */
typedef void (*ashmem_pressure_fn)(void *userdata, uint32_t level, uint32_t before,
	uint64_t purged_pages);

/**
 * @brief Begin to watch memory pressure.
 *
 * @param[in]  options   NULL: all defaults. Not used after the call.
 * @param[out] pressure  The handle; the caller ends it with ashmem_pressure_close().
 * @return 0 on success; also when the service manager turned watching off.
 * @retval -EINVAL     @p pressure is NULL, `struct_size` is too small (@ref ashmem_structs), a
 *   percentage is above 100, `reserve_percent` above 50,
 *                     `hold_ms` above 3600000, a flag is unknown, no source has this name; or
 *                     "service" was named and its path is not absolute.
 * @retval -E2BIG      `struct_size` is larger than what this library knows, and the rest is not all
 *   zero; or "service" was named
 *                     and what to write is longer than 4096 bytes.
 * @retval -ENODEV     "auto": no source works here.
 * @retval -ENOMEM     No memory for the handle.
 * @retval -EMFILE, -ENFILE  No descriptor left.
 * @retval -ENOSPC     Too many descriptors are watched already:
 *   `/proc/sys/fs/epoll/max_user_watches`.
 * @retval -ENODATA    The named source has nothing to watch: the variable is not set, no limit is
 *   set.
 * @retval -ENOENT     What the named source watches does not exist here.
 * @retval -EACCES, -EPERM  The named source may not be used, or its file tells no events.
 * @retval -EOPNOTSUPP The named source is disabled in the kernel (PSI: boot option `psi=1`).
 * @retval -EBADMSG    The named source's file, or `MEMORY_PRESSURE_WRITE`, is not in the known
 *   form.
 * @retval -ENOTSUP    "service" was named and its path is neither file nor FIFO nor socket.
 * @retval -ECONNREFUSED, -ENAMETOOLONG, -EIO  "service" was named and its socket cannot be
 *   connected to, or written.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_pressure_open(const struct ashmem_pressure_options *options,
	struct ashmem_pressure **pressure);

/**
 * @brief Stop watching.
 *
 * Ends the thread of ashmem_pressure_run(). Closes the descriptor of ashmem_pressure_fd(). May be
 * called in a child.
 *
 * @param[in] pressure  From ashmem_pressure_open(); NULL is fine.
 *
 * Threads: any thread, but no other call may use the handle at the same time or later; not from the
 * subscriber.
 * @since 0.9
 */
void ashmem_pressure_close(struct ashmem_pressure *pressure);

/**
 * @brief The descriptor to wait for.
 *
 * It is readable (`POLLIN`) when ashmem_pressure_dispatch() has something to do. Wait for nothing
 * else and do not read it.
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
 * @brief Look at the pressure, purge by the policy, tell the subscriber.
 *
 * Never waits for an event. May also be called when the descriptor is not readable, for instance
 * before a large allocation: it always looks at free bytes, which takes a few microseconds. If
 * another thread is in this call already, or it is called by the subscriber, it just answers with
 * the level.
 *
 * @param[in] pressure  From ashmem_pressure_open().
 * @return The level, ASHMEM_PRESSURE_NONE to ASHMEM_PRESSURE_CRITICAL.
 * @retval -EINVAL  @p pressure is NULL.
 * @retval -ESTALE  The handle belongs to the parent.
 * @retval -ENODEV  The source has vanished and, with "auto", nothing else works. The handle is no
 *   more than something to close.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_pressure_dispatch(struct ashmem_pressure *pressure);

/**
 * @brief Have a function called when the level changes.
 *
 * @param[in] pressure  From ashmem_pressure_open().
 * @param[in] fn        Replaces the one before; NULL for none. A call that is under way on another
 *   thread may still
 *                      run when this returns.
 * @param[in] userdata  Handed to @p fn.
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
 * The thread has all signals blocked. It ends by ashmem_pressure_stop(), by
 * ashmem_pressure_close(), or when every source has vanished.
 *
 * @param[in] pressure  From ashmem_pressure_open().
 * @return 0 on success.
 * @retval -EINVAL  @p pressure is NULL.
 * @retval -ESTALE  The handle belongs to the parent.
 * @retval -EALREADY  It runs already.
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
 * @return 0 on success, also if there is none.
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
 * @return A name of the table above, "off", or "none" after all sources have vanished: a static
 *   string. NULL if @p pressure is NULL or
 *         belongs to the parent.
 *
 * Threads: any thread.
 * @since 0.9
 */
const char *ashmem_pressure_source(struct ashmem_pressure *pressure);

/**
 * @brief Tell for each source whether it is used, and why not.
 *
 * @param[in]  pressure  From ashmem_pressure_open().
 * @param[out] buf       Text, one line a source, with a terminating NUL; cut off if it does not
 *   fit. For people: its form may change.
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
 * @brief Read what the watch has seen and done.
 *
 * @param[in]     pressure  From ashmem_pressure_open().
 * @param[in,out] status    `struct_size` says how much of it to fill; the caller owns it.
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
