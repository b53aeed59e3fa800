/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_ASHMEM_H
#define ASHMEM_ASHMEM_H

/**
 * @file
 * @brief The one header a program includes: all of libashmem.
 *
 * @mainpage libashmem
 *
 * Purgeable shared memory for Linux programs. A program creates an *area*, maps it, shares its
 * descriptor with other processes, and *unpins* the page ranges that it can live without. Unpinned
 * ranges may be *purged*, least recently unpinned first, whenever memory is short; *pin* makes a
 * range safe to use again and says whether its contents were lost meanwhile.
 *
 * - @ref ashmem_area : areas, mappings, pinning, sharing
 * - @ref ashmem_shrinker : giving memory back, and caches of the program's own
 * - @ref ashmem_budget : hard limits on the memory of areas
 * - @ref ashmem_pressure : purging when memory is short
 * - @ref ashmem_notice : being told what was purged
 * - @ref ashmem_stats : what an area and the process hold
 * - @ref ashmem_debug : finding the use of unpinned memory in tests
 * - @ref ashmem_backend : where areas come from, and how to add another source
 * - @ref ashmem_version : which library is running
 *
 * @section ashmem_calling Calling convention
 *
 * Every call that can fail returns 0 or a positive result on success and a **negative errno value**
 * on failure; `errno` itself means nothing afterwards. On failure every output is left untouched
 * and nothing has changed. Sizes, offsets and lengths are bytes unless a name says `_pages`. "Page"
 * is always the page of the running system (`sysconf(_SC_PAGESIZE)`).
 *
 * @section ashmem_common_errors Errors that any call on an area can return
 *
 * | error | when | | --- | --- | | -EINVAL | the area, or a pointer that must not be NULL, is NULL
 * | | -ETIMEDOUT | another process held the area's lock, or another lock on its file, for longer
 * than five seconds (it is stopped, hostile, or gets no processor where the caller does); nothing
 * changed, trying again is fine | | -EUCLEAN | the state that the processes share is damaged: a
 * peer with write access wrote nonsense into it. Data and mappings stay usable; pin state is gone.
 * Close the area and make a new one | | -ENOTSUP | this backend cannot do it: each call says when
 * for those built in; a registered one lacks the capability | | -ESTALE | the area was not yet
 * materialised when the process was cloned behind the back of libc (a bare `clone` or `_Fork`), so
 * it cannot be shared with the parent; only ashmem_close() works |
 *
 * A call waits for other processes for five seconds at most. Exceptions are calls that need several
 * locks one after the other, and those that wait for a socket. A purge waits five seconds for the
 * locks of all its areas together. Only time in which the caller could run counts. docs/security.md
 * has a table of the bounds.
 *
 * @section ashmem_structs Structures that grow
 *
 * Later versions add members at the end of the structures that begin with `size_t struct_size`, and
 * only there. The caller sets it to the bytes that it knows: `sizeof`, or what its FFI declares.
 * The same rule holds for all of them, in either direction, so that old programs run with new
 * libraries and new programs with old ones:
 *
 * - What the caller **fills in** (`_options`, struct ashmem_backend): a member that it does not
 *   know counts as zero, which is the default of every member that was added later. One that the
 *   library does not know must be zero, or the answer is -E2BIG: a wish is never passed over in
 *   silence.
 * - What the library **fills in** (`_stats`, `_status`, `_usage`): no more than `struct_size` bytes
 *   are written. A member that the library does not know becomes zero. `struct_size` itself stays
 *   as it was.
 * - A `struct_size` below its own size is -EINVAL. struct ashmem_backend, most members of which are
 *   not optional, must be as long as in 0.9.
 *
 * @section ashmem_threads Threads, signals, fork
 *
 * Calls on one area may come from many threads and processes at once; only ashmem_close() must not
 * run beside other calls that use the reference being closed. No call is async-signal-safe. After
 * `fork` the child owns a copy of every handle, on the same areas, and closes its own.
 */

#include <ashmem/area.h>
#include <ashmem/backend.h>
#include <ashmem/budget.h>
#include <ashmem/debug.h>
#include <ashmem/notice.h>
#include <ashmem/pressure.h>
#include <ashmem/shrinker.h>
#include <ashmem/stats.h>
#include <ashmem/version.h>

#endif /* ASHMEM_ASHMEM_H */
