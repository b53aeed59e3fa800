/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_ASHMEM_H
#define ASHMEM_ASHMEM_H

/**
 * @file
 * @brief The one header a program includes: all of libashmem.
 *
 * @mainpage libashmem
 *
 * Purgeable shared memory for Linux programs. Create an *area*, map it, share its descriptor with
 * other processes, and *unpin* the page ranges that you can rebuild. Unpinned ranges may be
 * *purged*: their pages go back to the system and read as zeroes. *Pin* a range before you use it
 * again; the pin returns whether it was purged.
 *
 * **Who purges?** Without an ashmem driver in the kernel (the memfd backend) nothing is purged by
 * itself, however short memory is. A process that holds the area must call ashmem_shrink() or
 * ashmem_purge_all(), have a budget, or run a pressure watch (@ref ashmem_who_purges).
 *
 * **What if a process dies?** Its pins stay, until another process unpins the pages. Its holds and
 * read-only pins end (area.h, @ref ashmem_pins).
 *
 * - @ref ashmem_area : areas, mappings, pins, sharing; begins with a complete program
 * - @ref ashmem_names : processes of one user meet by a name
 * - @ref ashmem_cache : keys and values that processes share, and that are purged
 * - @ref ashmem_shrinker : giving memory back, and caches of the program's own
 * - @ref ashmem_budget : hard limits on the memory of areas
 * - @ref ashmem_pressure : purging when memory is short
 * - @ref ashmem_notice : being called when something was purged
 * - @ref ashmem_stats : counts of an area and of the process
 * - @ref ashmem_peek : looking at, and purging in, areas of other processes
 * - @ref ashmem_debug : finding the use of unpinned memory in tests
 * - @ref ashmem_backend : where areas come from, and how to add another source
 * - @ref ashmem_version : which library is running
 *
 * @section ashmem_tasks Which call to use
 *
 * - Use unpinned pages again: ashmem_pin(). To get the list of lost pages: ashmem_pin_lost().
 * - Allow purging: ashmem_unpin(). To choose what is purged first: ashmem_unpin_with().
 * - Use pages safely when several threads or processes do, or when one may crash: ashmem_hold().
 * - Share an area: ashmem_send() and ashmem_recv(), or ashmem_fd() and ashmem_import(), or fork;
 *   without a socket: ashmem_publish() and ashmem_open_named().
 * - Share it read-only: ashmem_export_read_only() for one peer, ashmem_set_prot() for all later
 *   ones, ashmem_seal() for good.
 * - Cache keys and values, for all processes: ashmem_cache_create(), ashmem_cache_read(),
 *   ashmem_cache_put().
 * - Purge now: ashmem_shrink() some pages, ashmem_purge_all() everything.
 * - Purge in an area of another process: ashmem_peek(), ashmem_purge_fd().
 * - Purge when memory is short: ashmem_pressure_open(), ashmem_pressure_run().
 * - Keep within a limit: ashmem_budget_set_limits() on ashmem_budget_process().
 * - Learn what was purged: ashmem_purge_queue_open() for purges by this process,
 *   ashmem_find_unpinned() and ashmem_area_get_stats() for those by others.
 * - Let a heap cache shrink together with the areas: ashmem_shrinker_register().
 * - Find uses of unpinned memory: the environment variable `ASHMEM_DEBUG`, ashmem_debug_set().
 *
 * @section ashmem_who_purges Who purges, and when
 *
 * On the memfd backend, pages of an area are purged only when a process that holds the area
 *
 * - calls ashmem_shrink() or ashmem_purge_all();
 * - has a pressure watch (ashmem_pressure_open()): in ashmem_pressure_dispatch(), on the thread of
 *   ashmem_pressure_run(), and in ashmem_unpin(), ashmem_unpin_with();
 * - has a budget (@ref ashmem_budget): at the end of the call that exceeds it, which can be an
 *   unpin, a pin, a release, or a call that makes, imports or adds an area;
 * - has turned on a purging debug mode (@ref ashmem_debug): in each unpin.
 *
 * A purge is for everybody: the pages are purged in all processes that share the area. A process
 * purges in order, least recently unpinned first (ashmem_unpin_with() changes that), over all the
 * areas that it holds, or over those of the budget. Pinned pages, held pages and sealed areas are
 * never purged.
 *
 * The thread that purges calls the program's purge subscribers (ashmem_purge_subscribe()) before
 * its call returns. ashmem_shrink() and the pressure watch call shrinkers
 * (ashmem_shrinker_register()) too, and ashmem_shrink_count() calls their count functions. **Hold
 * no lock that your subscribers or shrinkers wait for** in any of the calls above, ashmem_unpin()
 * and ashmem_pin() included. Fetched notices (ashmem_purge_queue_open()) need no such care.
 *
 * On the kernel backend the driver purges, when the kernel is short of memory.
 *
 * @section ashmem_calling Calling convention
 *
 * A call that can fail returns 0 or a positive result on success and a **negative errno value**
 * on failure; `errno` itself means nothing afterwards. On failure no output is written and nothing
 * has changed, unless the call says otherwise. Sizes, offsets and lengths are bytes unless a name
 * says `_pages`. "Page" is the page of the running system (`sysconf(_SC_PAGESIZE)`). Offsets and
 * lengths of pins are whole pages, else -EINVAL. "Rule" numbers refer to the contract in
 * docs/architecture.md.
 *
 * @section ashmem_descriptors Descriptors that the library keeps
 *
 * Each area has up to three descriptors, and a pressure watch has some, all above the standard
 * streams and close-on-exec. They are the library's until ashmem_close() or
 * ashmem_pressure_close(): do not close them, nor everything from 3 on. A daemon makes its areas
 * after that step. In a thread with a descriptor table of its own (unshare(2), CLONE_FILES) use
 * only what was made before it got the table.
 *
 * If a descriptor of an area is gone all the same, or its number names another file by now, calls
 * that need it return -EBADF, and the library neither changes, reads nor closes that file.
 * Mappings, pins and unpins go on; nothing of the area is purged by this process any more, and its
 * holds and read-only pins have ended. Close the area, or import it from another descriptor after
 * that. Not found out are: a close by another thread in the middle of a call; a number that names
 * the same area again; on the kernel backend, another area of the driver; and for a watch, another
 * epoll, timer or event descriptor.
 *
 * @section ashmem_common_errors Errors that any call on an area can return
 *
 * - **-EINVAL**: the area, or a pointer that must not be NULL, is NULL.
 * - **-ETIMEDOUT**: another process held the area's lock, or another lock on its file, for longer
 *   than five seconds: it is stopped, hostile, or gets no processor where the caller does. Nothing
 *   has changed; try again.
 * - **-EUCLEAN**: the state that the processes share is damaged: a peer with write access wrote
 *   nonsense into it. Data and mappings stay usable; the pin state is lost. Close the area and
 *   make a new one.
 * - **-EBADF**: the program has closed a descriptor that the library keeps, or this thread does not
 *   have it (@ref ashmem_descriptors). Nothing has changed.
 * - **-ENOTSUP**: this backend cannot do it. Each call names the built-in backends that cannot; a
 *   registered backend lacks the capability.
 * - **-ESTALE**: the process was cloned without libc knowing it (a bare `clone` or `_Fork`) before
 *   the area was materialised, so it cannot be shared with the parent. Only ashmem_close() works.
 *
 * A call waits at most five seconds for other processes. Calls that need several locks one after
 * the other can take longer, and so can those that wait for a socket. A purge waits five seconds
 * for the locks of all its areas together. Only time in which the caller could run counts.
 * docs/security.md has a table of the bounds.
 *
 * @section ashmem_structs Structures that grow
 *
 * Later versions add members at the end of the structures that begin with `size_t struct_size`, and
 * only there. Set `struct_size` to the bytes that you know: `sizeof`, or what your FFI declares.
 * Old programs then run with new libraries and new programs with old ones:
 *
 * - Structures that the caller **fills in** (`_options`, struct ashmem_backend): a member that the
 *   caller does not know counts as zero, which is the default of every member added later. A member
 *   that the library does not know must be zero, else the call fails with -E2BIG: no option is
 *   silently ignored.
 * - Structures that the library **fills in** (`_stats`, `_status`, `_usage`): at most `struct_size`
 *   bytes are written. A member that the library does not know becomes zero. `struct_size` itself
 *   is not changed.
 * - A `struct_size` too small for `struct_size` itself is -EINVAL. struct ashmem_backend, most
 *   members of which are not optional, must be at least as long as in 0.9.
 *
 * @section ashmem_threads Threads, signals, fork
 *
 * Many threads and processes may make calls on one area at once. Only ashmem_close() must not run
 * at the same time as another call that uses the reference being closed. No call is
 * async-signal-safe. After `fork` the child has a copy of every handle, on the same areas, and
 * closes its own.
 *
 * A signal handler must not call the library. If one does, in the middle of another call of its
 * thread, pins, unpins and whatever else needs an area's lock return **-EDEADLK** in the handler
 * while the call that it interrupted holds one, and that call is not disturbed. Other calls can
 * wait for the interrupted one, for ever. Have the handler write to a pipe or a flag instead.
 * Subscribers and shrinkers are no signal handlers: they may make any call that their headers
 * allow.
 *
 * No call is a cancellation point: a thread that pthread_cancel(3) ends finishes the call that it
 * is in. That includes the subscribers and shrinkers which the call runs: they run with
 * cancellation disabled and must leave it so. Enable asynchronous cancellation
 * (`PTHREAD_CANCEL_ASYNCHRONOUS`) around no call.
 *
 * A call takes at most 8 KiB of stack, one that may purge up to 40 KiB, besides what subscribers
 * and shrinkers take; docs/guide.md has a table. So 16 KiB (`PTHREAD_STACK_MIN`) are not enough for
 * ashmem_shrink() or ashmem_pressure_open(); 64 KiB are for every call.
 */

#include <ashmem/area.h>
#include <ashmem/backend.h>
#include <ashmem/budget.h>
#include <ashmem/cache.h>
#include <ashmem/debug.h>
#include <ashmem/names.h>
#include <ashmem/notice.h>
#include <ashmem/pressure.h>
#include <ashmem/shrinker.h>
#include <ashmem/peek.h>
#include <ashmem/stats.h>
#include <ashmem/version.h>

#endif /* ASHMEM_ASHMEM_H */
