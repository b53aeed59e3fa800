/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_AREA_H
#define ASHMEM_AREA_H

/**
 * @file
 * @brief Areas: creating, mapping, pinning and sharing purgeable memory.
 *
 * @defgroup ashmem_area Areas
 * @brief Creating, mapping, pinning and sharing purgeable memory.
 *
 * A whole program: make an area, fill it, let it be purged, pin it before the next use.
 *
 * @code{.c}
 * #include <ashmem/ashmem.h>
 * #include <string.h>
 * #include <sys/mman.h>
 *
 * int main(void)
 * {
 *     const size_t bytes = 1 << 20; // pins want whole pages
 *     struct ashmem_area *area;
 *     void *data;
 *
 *     if (ashmem_create("tiles", bytes, 0, &area) < 0 ||
 *         ashmem_map(area, 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, &data) < 0)
 *         return 1;
 *     memset(data, 1, bytes);             // a new area is pinned: fill it
 *     ashmem_unpin(area, 0, bytes);       // from here on it may be purged
 *
 *     int r = ashmem_pin(area, 0, bytes); // before each use
 *     if (r < 0)
 *         return 1;
 *     if (r == ASHMEM_WAS_PURGED)
 *         memset(data, 1, bytes);         // the contents are lost: rebuild them
 *     // ... use the data ...
 *     ashmem_unpin(area, 0, bytes);
 *
 *     ashmem_unmap(data, bytes);
 *     ashmem_close(area);
 *     return 0;
 * }
 * @endcode
 *
 * - **Using an unpinned page raises no error.** It may read as zeroes, now or in the middle of a
 *   loop. Pin first, check the result, use the memory, unpin.
 * - **Who purges:** on the memfd backend nobody does unless a process that holds the area calls
 *   ashmem_shrink() or ashmem_purge_all(), has a budget, or runs a pressure watch
 *   (@ref ashmem_who_purges).
 * - **A process that dies leaves its pins**; its holds and read-only pins end (@ref ashmem_pins).
 * - An *area* is one region of memory with its state: name, size, protection mask, the list of
 *   unpinned ranges with their purge marks, and one file position. The state belongs to the area
 *   and not to a process: everybody with the descriptor, by `fork`, ashmem_send() or otherwise,
 *   sees and changes the same (rule 3, docs/architecture.md). It ends with the last reference.
 * - The first ashmem_map(), ashmem_fd(), ashmem_send(), ashmem_export(), ashmem_export_read_only()
 *   or ashmem_seal() *materialises* a new area, which means that its memory comes into being.
 *   Before that, name and size can change and calls on data or pins fail; afterwards both are fixed
 *   (rule 2, docs/architecture.md). ashmem_export_early() makes a descriptor without it.
 * - A *purge* frees the pages of unpinned ranges and leaves a *purge mark* on each range. A page is
 *   *lost* if it was purged and not pinned since.
 *
 * @section ashmem_pins Pins, holds and read-only pins
 *
 * Three ways to keep pages from being purged. A handle that was imported through a read-only
 * descriptor has the last two, every other handle the first two.
 *
 * @code{.unparsed}
 *                   pin                hold                read-only pin
 *   ------------------------------------------------------------------------
 *   calls           ashmem_pin,        ashmem_hold,        ashmem_pin,
 *                   ashmem_unpin,      ashmem_release      ashmem_unpin on a
 *                   writable handle    on any handle       read-only handle
 *   counted?        no, a state        yes, per handle     no, a state
 *                   of the page        and page            of the handle
 *   owner           none: any writer   the handle          the handle
 *                   can unpin
 *   cost            10 to 200 ns, no   1 to 2 us, some     some system calls
 *                   system call        system calls
 *   cost to purges  none               two system calls    two system calls
 *                                      a range             a range
 *   purge mark      cleared by the     stays; cleared by   stays, until a
 *                   pin itself         ashmem_release,     writer pins, or
 *                                      not on read-only    holds and releases
 *                                      handles, nor with
 *                                      RELEASE_LOST
 *   a dead process  leaves its pins    leaves none         leaves none
 *   a forked child  shares them        inherits none       inherits none
 *   backends        memfd, kernel      memfd               memfd
 * @endcode
 *
 * So a pin reports a purge once: if you then fail to rebuild, the next pin returns
 * #ASHMEM_NOT_PURGED over contents that are not there. A holder that dies while it rebuilds leaves
 * the mark, and the next one rebuilds. Pages that are held, or pinned read-only, still count as
 * unpinned for everybody else, and as evictable.
 *
 * @section ashmem_area_errors Errors
 *
 * Each call lists every error that it can return. Those that any call can return are explained in
 * @ref ashmem_common_errors.
 * @{
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The compiler warns where the result of this call is not used. It may be defined beforehand, as
 * nothing for instance.
 */
#ifndef ASHMEM_MUST_CHECK
#if defined(__GNUC__)
#define ASHMEM_MUST_CHECK __attribute__((__warn_unused_result__))
#else
#define ASHMEM_MUST_CHECK
#endif
#endif

/** ashmem_pin(), ashmem_hold(): nothing of the range was purged; the contents are unchanged. */
#define ASHMEM_NOT_PURGED 0
/** ashmem_pin(), ashmem_hold(): some of the range may have been purged; rebuild it. */
#define ASHMEM_WAS_PURGED 1
/** ashmem_get_pin_status(): at least one page of the range is unpinned. */
#define ASHMEM_IS_UNPINNED 0
/** ashmem_get_pin_status(): every page of the range is pinned. */
#define ASHMEM_IS_PINNED 1
/** Bytes of the longest name, with its terminating NUL. */
#define ASHMEM_NAME_LEN 256
/** ashmem_get_name(): the name of an area that was given none. */
#define ASHMEM_NAME_DEF "dev/ashmem"

/** ashmem_find_unpinned(): the range has a purge mark; pinning it returns #ASHMEM_WAS_PURGED. */
#define ASHMEM_RANGE_PURGED 1u
/** ashmem_find_unpinned(): the range has pages that a purge could still free. */
#define ASHMEM_RANGE_EVICTABLE 2u

/** ashmem_unpin_with(): these pages are purged before all others. */
#define ASHMEM_PRIORITY_FIRST 0u
/** ashmem_unpin_with(): the priority of ashmem_unpin(). */
#define ASHMEM_PRIORITY_NORMAL 4u
/** ashmem_unpin_with(): these pages are purged when nothing else is left. */
#define ASHMEM_PRIORITY_LAST 7u
/**
 * ashmem_unpin_with(): first in, first out: the least recently unpinned is purged first, as with
 * ashmem_unpin().
 */
#define ASHMEM_ORDER_FIFO 16u
/**
 * ashmem_unpin_with(): last in, first out: the most recently unpinned is purged first, before all
 * that is #ASHMEM_ORDER_FIFO.
 */
#define ASHMEM_ORDER_LIFO 17u

/** ashmem_release(): the contents are still lost, so keep the purge marks. */
#define ASHMEM_RELEASE_LOST 1u
/** ashmem_create(): allow ashmem_seal(), to everybody who has a writable descriptor. */
#define ASHMEM_CREATE_ALLOW_SEAL 1u

/** ashmem_fd_kind(): neither an area nor a memfd. */
#define ASHMEM_FD_NONE 0
/** ashmem_fd_kind(): an area's descriptor, which allows writing. */
#define ASHMEM_FD_AREA 1
/** ashmem_fd_kind(): an area's descriptor, read-only or sealed against writing. */
#define ASHMEM_FD_READ_ONLY 2
/** ashmem_fd_kind(): a memfd that no libashmem made; ashmem_import() makes it a plain area. */
#define ASHMEM_FD_FOREIGN 3

/** Some bytes of an area. */
struct ashmem_extent {
	uint64_t offset; /**< First byte, page aligned. */
	uint64_t length; /**< Bytes, a multiple of the page size. */
};

/** One reference to an area. Opaque; made by ashmem_create(), ashmem_import() and ashmem_recv(). */
struct ashmem_area;

/**
 * @name Life of an area
 * @{
 */

/**
 * @brief Create an area.
 *
 * A new area has the protection mask READ|WRITE|EXEC, is wholly pinned, and is not materialised
 * (rule 1, docs/architecture.md). Its descriptor, once there is one, is close-on-exec.
 *
 * @param[in]  name        Name for `/proc/PID/maps` and ashmem_get_name(); cut after 255 bytes;
 *   NULL or "" for none.
 * @param[in]  size_bytes  Size in bytes, any number; pages round up. 0: set it later with
 *   ashmem_set_size().
 * @param[in]  flags       0 or #ASHMEM_CREATE_ALLOW_SEAL; other bits are reserved.
 * @param[out] area        The new area; the caller owns it and ends it with ashmem_close().
 * @return 0 on success.
 * @retval -EINVAL  @p area is NULL or @p flags has a reserved bit.
 * @retval -EFBIG   @p size_bytes is more than 2^32 - 4 pages.
 * @retval -EOVERFLOW  (kernel backend) 4 GiB or more when rounded up to pages.
 * @retval -ENOMEM  No memory for the handle.
 * @retval -EMFILE, -ENFILE  (kernel backend) No descriptor left.
 * @retval -ENODEV  The backend named by ashmem_backend_select() or `ASHMEM_BACKEND` does not work
 *   here.
 * @retval -ENOENT  `ASHMEM_BACKEND` names a backend that does not exist.
 * @retval -ENOTSUP #ASHMEM_CREATE_ALLOW_SEAL and the backend cannot seal (the kernel backend).
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_create(const char *name, uint64_t size_bytes, uint32_t flags,
	struct ashmem_area **area) ASHMEM_MUST_CHECK;

/**
 * @brief Give back one reference to an area.
 *
 * Mappings stay valid until they are unmapped; other processes and other references are not
 * affected. The last reference of the process ends its holds and read-only pins on the area
 * (@ref ashmem_pins), not its pins, and closes the descriptor lent by ashmem_fd().
 *
 * @param[in] area  From ashmem_create(), ashmem_import() or ashmem_recv(); NULL is allowed.
 *
 * Threads: any thread, but no other call may use this reference at the same time or later.
 * @since 0.9
 */
void ashmem_close(struct ashmem_area *area);

/**
 * @brief Take one more reference to an area.
 *
 * For code that keeps an area which its caller may close: each reference needs its own
 * ashmem_close(). The pointer is the same for all of them.
 *
 * @param[in] area  An area that the caller has a reference to.
 * @return 0 on success.
 * @retval -EINVAL  @p area is NULL.
 *
 * Threads: any thread, while the caller's reference lasts.
 * @since 1.0
 */
int ashmem_ref(struct ashmem_area *area);

/** @} */

/**
 * @name Name, size, protection
 * @{
 */

/**
 * @brief Name an area that is not materialised yet.
 *
 * `/proc/PID/maps` shows mappings as `/dev/ashmem/NAME`. On the memfd backend that is
 * `/memfd:/dev/ashmem/NAME`, cut to the 249 bytes after the colon that the name of a memfd can have
 * (memfd_create(2)). What has no name shows as `/dev/ashmem`.
 *
 * @param[in] area  An area.
 * @param[in] name  The name; cut after 255 bytes; "" removes the name.
 * @return 0 on success.
 * @retval -EINVAL  @p area or @p name is NULL, or the area is materialised (rule 4,
 *   docs/architecture.md).
 * @retval -ENOMEM  No memory, of an area with an early descriptor (ashmem_export_early()).
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_set_name(struct ashmem_area *area, const char *name);

/**
 * @brief Read an area's name.
 *
 * The name of an area that came from a peer can be any bytes, among them control characters and
 * invalid UTF-8: escape it before you print it.
 *
 * @param[in]  area      An area.
 * @param[out] buf       Receives the name with its NUL: the name that was set, or #ASHMEM_NAME_DEF
 *   if none was. The caller owns it.
 * @param[in]  buf_size  Bytes of @p buf; #ASHMEM_NAME_LEN is always enough.
 * @return 0 on success.
 * @retval -EINVAL  @p area or @p buf is NULL.
 * @retval -ERANGE  The name with its NUL does not fit into @p buf_size bytes.
 * @retval -ENOMEM  No memory, of an area with an early descriptor (ashmem_export_early()).
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_get_name(const struct ashmem_area *area, char *buf, size_t buf_size);

/**
 * @brief Set the size of an area that is not materialised yet.
 *
 * @param[in] area        An area.
 * @param[in] size_bytes  Size in bytes, any number; 0 is allowed (rule 5, docs/architecture.md).
 * @return 0 on success.
 * @retval -EINVAL  @p area is NULL, or the area is materialised.
 * @retval -EFBIG   More than 2^32 - 4 pages.
 * @retval -EOVERFLOW  (kernel backend) 4 GiB or more when rounded up to pages.
 * @retval -ENOMEM  No memory, of an area with an early descriptor (ashmem_export_early()).
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_set_size(struct ashmem_area *area, uint64_t size_bytes);

/**
 * @brief Read an area's size.
 *
 * @param[in] area  An area.
 * @return The bytes that were set, not rounded; 0 if none were, or if @p area is NULL. Never fails.
 *
 * Threads: any thread.
 * @since 0.9
 */
uint64_t ashmem_get_size(const struct ashmem_area *area);

/**
 * @brief Ask whether an area is materialised.
 *
 * Once it is, it stays so. While it is not, name and size can change, and another thread or process
 * can materialise it at any time.
 *
 * @param[in] area  An area.
 * @return 1 if it is, 0 if not.
 * @retval -EINVAL  @p area is NULL.
 * @retval -ENOMEM  No memory, of an area with an early descriptor (ashmem_export_early()).
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 1.0
 */
int ashmem_is_materialised(struct ashmem_area *area) ASHMEM_MUST_CHECK;

/**
 * @brief Read the numbers that tell an area's file apart: `st_dev` and `st_ino` of fstat(2).
 *
 * For a program that keeps a table of its own by descriptor: as long as the process holds the area,
 * a descriptor is the area's exactly if fstat(2) shows the same two numbers. (Inode numbers of
 * memfds come again after 2^32 files at the earliest.) They stay the same for the life of the area,
 * in every process.
 *
 * @param[in]  area    An area that is materialised or has an early descriptor.
 * @param[out] device  `st_dev`.
 * @param[out] inode   `st_ino`.
 * @return 0 on success.
 * @retval -EINVAL  A pointer is NULL, or the area has no descriptor yet.
 * @retval -ENOTSUP The kernel backend, where all descriptors show the numbers of the driver's node.
 * @retval -ENOMEM  No memory, of an area with an early descriptor (ashmem_export_early()).
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 1.0
 */
int ashmem_get_id(struct ashmem_area *area, uint64_t *device, uint64_t *inode) ASHMEM_MUST_CHECK;

/**
 * @brief Remove bits from an area's protection mask.
 *
 * The mask limits what later ashmem_map() calls may ask for, in every process. It can only lose
 * bits (rule 6, docs/architecture.md). Existing mappings keep their rights. Under the
 * `READ_IMPLIES_EXEC` personality (personality(2)) PROT_READ keeps PROT_EXEC with it.
 *
 * On the memfd backend the kernel enforces a mask without PROT_WRITE: from then on ashmem_fd() and
 * ashmem_send() hand out a read-only descriptor, and mappings are made through it. Only
 * ashmem_map() enforces a mask without PROT_EXEC or PROT_READ (limit L1). Descriptors handed out
 * before keep their rights (limit L2), so set the mask before you share.
 *
 * Setting the mask that is set already changes nothing and returns 0 through every handle, also one
 * that may not change it (D9).
 *
 * @param[in] area  An area.
 * @param[in] prot  The new mask, of PROT_READ, PROT_WRITE and PROT_EXEC; PROT_NONE (0) forbids
 *   every mapping but an inaccessible one.
 * @return 0 on success.
 * @retval -EINVAL  @p area is NULL; or @p prot has a bit that is not in the mask, or any other bit.
 * @retval -EACCES  The mask would change, and the area was imported through a read-only descriptor,
 *   or is a foreign memfd.
 * @retval -EPERM   The mask loses PROT_WRITE, and the file's mode lets other users open it for
 *   writing and cannot be changed: it belongs to another user, and its maker allowed that.
 * @retval -ENOTSUP The mask loses PROT_WRITE, and `/proc` is not mounted or forbids the read-only
 *   descriptor by which the kernel would enforce it.
 * @retval -EMFILE, -ENFILE  No descriptor left for the read-only one.
 * @retval -ENOMEM  No memory.
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_set_prot(struct ashmem_area *area, int prot) ASHMEM_MUST_CHECK;

/**
 * @brief Read an area's protection mask.
 *
 * @param[in] area  An area.
 * @return The mask, of PROT_READ, PROT_WRITE and PROT_EXEC (0 or positive).
 * @retval -EINVAL  @p area is NULL.
 * @retval -ENOMEM  No memory, of an area with an early descriptor (ashmem_export_early()).
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_get_prot(const struct ashmem_area *area);

/** @} */

/**
 * @name Memory
 * @{
 */

/**
 * @brief Map part of an area into the process; materialises the area.
 *
 * @param[in]     area       An area whose size is not 0.
 * @param[in]     offset     Byte offset into the area, a multiple of the page size.
 * @param[in]     length     Bytes to map, not 0; offset + length must stay within the size rounded
 *   up to pages.
 * @param[in]     prot       PROT_READ, PROT_WRITE, PROT_EXEC, within the mask; or PROT_NONE.
 * @param[in]     map_flags  MAP_SHARED, MAP_SHARED_VALIDATE or MAP_PRIVATE (copy-on-write: the
 *   mapping's own copies are never purged; under a mask without PROT_WRITE there can be none, and
 *   mprotect(2) cannot make the mapping writable), with other flags of mmap(2) that suit a file
 *   mapping. With the kernel backend the first map of an area charges its whole size at once, or
 *   with MAP_NORESERVE page by page (D11, docs/architecture.md).
 * @param[in,out] addr       Receives the address. Read only with MAP_FIXED or MAP_FIXED_NOREPLACE
 *   in @p map_flags: the address wanted. The caller ends the mapping with ashmem_unmap(); it
 *   outlives the handle.
 * @return 0 on success.
 * @retval -EINVAL  A NULL argument; the size is 0; @p length is 0 or reaches past the area;
 *   @p offset is not page aligned; @p prot has unknown bits; @p map_flags names no kind of mapping,
 *   or MAP_ANONYMOUS (rule 7, docs/architecture.md).
 * @retval -EPERM   @p prot asks for more than the mask allows, shared or private. Under the
 *   `READ_IMPLIES_EXEC` personality PROT_READ asks for PROT_EXEC as well. Also if the mask lacks
 *   PROT_WRITE and the file's mode cannot be changed (ashmem_set_prot()).
 * @retval -EACCES  PROT_WRITE and the area was imported through a read-only descriptor.
 * @retval -ENOMEM  No address space or memory; with the kernel backend also if the system does not
 *   commit so much.
 * @retval -EMFILE, -ENFILE  No descriptor left to materialise the area, or for the read-only
 *   descriptor.
 * @retval -ENOTSUP The mask lacks PROT_WRITE, and `/proc` is not mounted or forbids the read-only
 *   descriptor.
 * @retval -EIO     (kernel backend) A private mapping, and the area's bytes cannot be read back
 *   from swap space. If the first mapping is private and fails, the area may already be
 *   materialised.
 * @retval -EEXIST  MAP_FIXED_NOREPLACE and something is mapped there.
 * @retval -EAGAIN, -EOPNOTSUPP  See mmap(2).
 * @retval -EOVERFLOW  (kernel backend) Beyond what the driver can address.
 * @retval -ENODEV  No memory can be made: a sandbox forbids memfd_create(2).
 * @retval -EFBIG   Area and control block together are larger than files of this process may be
 *   (`RLIMIT_FSIZE`).
 * @retval -EDQUOT  It does not fit into a budget that refuses (#ASHMEM_BUDGET_REFUSE).
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread. With a budget, the first map may purge before it returns
 * (@ref ashmem_who_purges).
 * @since 0.9
 */
int ashmem_map(struct ashmem_area *area, uint64_t offset, size_t length, int prot, int map_flags,
	void **addr) ASHMEM_MUST_CHECK;

/**
 * @brief End a mapping, or part of one.
 *
 * @param[in] addr    Address of a page that ashmem_map() mapped.
 * @param[in] length  Bytes, not 0.
 * @return 0 on success.
 * @retval -EINVAL  @p addr is NULL or not page aligned, or @p length is 0 (munmap(2)).
 * @retval -ENOMEM  Unmapping the middle of a mapping would make more than `vm.max_map_count`.
 *
 * Threads: any thread; no thread may use the memory any more.
 * @since 0.9
 */
int ashmem_unmap(void *addr, size_t length);

/**
 * @brief Bring the pages of a mapping into memory before use, as huge pages where possible.
 *
 * Call it after pinning and before filling a large piece of an area that is new or was purged.
 * Without it each page is made when it is first touched, one by one. Where a whole huge page (2 MiB
 * with pages of 4 KiB) lies within the given memory, the kernel is asked to make one, whatever the
 * system's policy for huge pages is. That takes a tenth of the time, and so does purging it later
 * as a whole; purging parts of a huge page splits it again. ashmem_map() chooses suitable
 * addresses. Changes no contents and no pin.
 *
 * Where the system has no memory to give (strict overcommit), touching a page raises SIGBUS; this
 * call returns an error and raises no signal (D11, docs/architecture.md).
 *
 * @param[in] addr    Address of a page that ashmem_map() mapped.
 * @param[in] length  Bytes, not 0; rounded up to pages.
 * @return 0 on success. On failure some of the pages may be in memory; the others come when they
 *   are touched.
 * @retval -EINVAL  @p addr is NULL or not page aligned, or @p length is 0.
 * @retval -ENOTSUP The kernel has no such request (before Linux 5.14), or the mapping cannot be
 *   read.
 * @retval -ENOMEM  Nothing is mapped at part of the memory, or there is no memory for it.
 * @retval -EFAULT, -EBUSY, -EHWPOISON  See madvise(2).
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_populate(void *addr, size_t length);

/**
 * @brief Read from the area's file position and move it.
 *
 * Each area has one position, shared by all who share the area (rule 8, docs/architecture.md).
 * Bytes that were purged or never written read as zeroes. There is no write call: write through a
 * mapping.
 *
 * @param[in]  area    A materialised area.
 * @param[out] buf     Receives the bytes; the caller owns it.
 * @param[in]  length  Bytes wanted.
 * @return Bytes read: fewer than @p length at the end of the area (its size, not the end of the
 *   page), 0 past the end or if the size is 0.
 * @retval -EINVAL  @p area is NULL, or @p buf is NULL and @p length is not 0.
 * @retval -EBADF   The area has a size and is not materialised; or its descriptor is gone
 *   (@ref ashmem_descriptors).
 * @retval -EACCES  The area was imported through a read-only descriptor, so its position cannot be
 *   moved; use ashmem_pread().
 * @retval -EFAULT  @p buf is not writable memory.
 * @retval -EIO     A page cannot be read back from swap space.
 * @retval -ENOMEM  A page cannot be read back from swap space, or no memory to set up the state.
 * @retval -EINTR   A signal came before anything was read.
 * @retval -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread; two reads at once get different bytes.
 * @since 0.9
 */
int64_t ashmem_read(struct ashmem_area *area, void *buf, size_t length) ASHMEM_MUST_CHECK;

/**
 * @brief Read from an offset; the file position does not move.
 *
 * @param[in]  area    A materialised area.
 * @param[out] buf     Receives the bytes; the caller owns it.
 * @param[in]  length  Bytes wanted.
 * @param[in]  offset  Byte offset into the area; need not be aligned.
 * @return Bytes read: fewer than @p length at the end of the area, 0 past the end or if the size is
 *   0.
 * @retval -EINVAL  @p area is NULL; @p buf is NULL and @p length is not 0; or @p offset is more
 *   than INT64_MAX.
 * @retval -EBADF   The area has a size and is not materialised; or its descriptor is gone
 *   (@ref ashmem_descriptors).
 * @retval -EFAULT  @p buf is not writable memory.
 * @retval -EIO, -ENOMEM  A page cannot be read back from swap space.
 * @retval -EINTR   A signal came before anything was read.
 * @retval -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int64_t ashmem_pread(struct ashmem_area *area, void *buf, size_t length,
	uint64_t offset) ASHMEM_MUST_CHECK;

/**
 * @brief Move the area's file position.
 *
 * @param[in] area    A materialised area.
 * @param[in] offset  Bytes, relative to what @p whence names, as with lseek(2).
 * @param[in] whence  SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA or SEEK_HOLE.
 * @return The new position in bytes.
 * @retval -EINVAL  @p area is NULL; the size is 0; the position would be negative or overflow; or
 *   @p whence is another value.
 * @retval -EBADF   The area has a size and is not materialised; or its descriptor is gone
 *   (@ref ashmem_descriptors).
 * @retval -EACCES  The area was imported through a read-only descriptor, so its position cannot be
 *   moved.
 * @retval -ENXIO   SEEK_DATA or SEEK_HOLE from outside of the area, or SEEK_DATA with no data after
 *   @p offset.
 * @retval -ENOMEM  No memory or address space for the state, which the first call on it sets up.
 * @retval -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int64_t ashmem_seek(struct ashmem_area *area, int64_t offset, int whence);

/** @} */

/**
 * @name Pinning
 *
 * Pin, hold and read-only pin are compared in @ref ashmem_pins. Offsets and lengths are multiples
 * of the page size, else -EINVAL. **Length 0 means "to the end"**, so a cache with empty entries
 * must not pass their length on. (At the very end of the area it is an empty range: the calls
 * return #ASHMEM_NOT_PURGED, 0 or #ASHMEM_IS_PINNED.) A pin is a state and not a count (rule 13,
 * docs/architecture.md).
 * @{
 */

/**
 * @brief Pin a range, so that its pages are not purged, and return whether they were.
 *
 * After #ASHMEM_WAS_PURGED rebuild the contents; the purge mark is cleared, so no later pin reports
 * this purge. It may be a false alarm (a part of a purged range that was never freed);
 * #ASHMEM_NOT_PURGED never is. When the call returns no purge of these pages is under way (rule 16,
 * docs/architecture.md).
 *
 * Pages that were unpinned leave the range list. The parts of an unpinned range before and after
 * the pinned pages stay unpinned, with their age and purge mark (rule 11, docs/architecture.md).
 *
 * **Read-only peers.** A handle imported through a read-only descriptor (ashmem_export_read_only(),
 * or after ashmem_set_prot() dropped PROT_WRITE) pins by a lock of the kernel (@ref ashmem_pins).
 * Other peers still see the pages as they were and cannot undo the pin. It ends with
 * ashmem_unpin(), the last ashmem_close(), or the process. Without `/proc` the lock is shared by
 * all who have a duplicate of the descriptor: the unpin of one, or the death of the last, is the
 * unpin of all.
 *
 * @param[in] area    A materialised area.
 * @param[in] offset  First byte, page aligned.
 * @param[in] length  Bytes, a multiple of the page size; 0: to the end of the area.
 * @return #ASHMEM_WAS_PURGED if an overlapping unpinned range was purged, else #ASHMEM_NOT_PURGED.
 * @retval -EINVAL  @p area is NULL or not materialised; or the range is misaligned, overflows, or
 *   reaches past the size rounded up to pages (rule 9, docs/architecture.md).
 * @retval -EACCES  The area was imported through a descriptor that was made read-only without this
 *   library, so that purges do not look for its pins.
 * @retval -ENOMEM  No memory or address space for the state, which the first call on it sets up; or
 *   none for a read-only peer's lock.
 * @retval -EMFILE, -ENFILE  A read-only peer: no descriptor left for its locks; the first pin opens
 *   one.
 * @retval -ENOTSUP A read-only peer: the kernel has no locks on open file descriptions (some
 *   sandboxes).
 * @retval -EOVERFLOW  (kernel backend) Beyond what the driver can address.
 * @retval -ETIMEDOUT  See @ref ashmem_common_errors. Also for a read-only peer if the owner of the
 *   area's lock died and no writer has called since: a read-only peer cannot recover the state.
 * @retval -EBADF, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread. With a budget it may purge *other* pages before it returns
 * (@ref ashmem_who_purges).
 * @since 0.9
 */
int ashmem_pin(struct ashmem_area *area, uint64_t offset, uint64_t length) ASHMEM_MUST_CHECK;

/**
 * @brief Pin a range, and return exactly which pages of it were lost.
 *
 * Pins as ashmem_pin() does. With #ASHMEM_WAS_PURGED, @p lost receives the lost pages as extents:
 * bytes, page exact, ascending, within the given range, neighbours as one extent. All other pages
 * of the range are unchanged. Each lost page is reported once: after this call or ashmem_pin() it
 * no longer counts as lost.
 *
 * - @p count can be 0 with #ASHMEM_WAS_PURGED: the mark came from pages outside of the given range,
 *   or from pages that were unpinned together with lost ones.
 * - If there are more extents than @p capacity, the last one reaches to the end of the last lost
 *   page, so no loss is hidden. A @p capacity of 1 gives the span from the first lost page to the
 *   last.
 * - Backends that know only ranges, as the kernel backend does, report the whole given range as one
 *   extent: all of it may be lost.
 * - A page that was lost and then written while unpinned counts as lost. After a peer died in a
 *   purge, or sealed the area during one, pages that are still there can be reported.
 *
 * @param[in]  area      A materialised area.
 * @param[in]  offset    First byte, page aligned.
 * @param[in]  length    Bytes, a multiple of the page size; 0: to the end of the area.
 * @param[out] lost      Receives the extents; the caller owns it. Elements from @p count on are
 *   undefined, and all of them after a failure.
 * @param[in]  capacity  How many extents @p lost can hold, at least 1.
 * @param[out] count     Receives how many there are: 0 with #ASHMEM_NOT_PURGED. Not written on
 *   failure.
 * @return #ASHMEM_WAS_PURGED if an overlapping unpinned range was purged, else #ASHMEM_NOT_PURGED.
 * @retval -EINVAL  @p lost or @p count is NULL, or @p capacity is 0; @p area is NULL or not
 *   materialised; or the range is misaligned, overflows, or leaves the area.
 * @retval -EACCES, -ENOMEM, -EMFILE, -ENFILE, -ENOTSUP, -EOVERFLOW  See ashmem_pin().
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors and ashmem_pin().
 *
 * Threads: any thread. With a budget it may purge *other* pages before it returns
 * (@ref ashmem_who_purges).
 * @since 0.9
 */
int ashmem_pin_lost(struct ashmem_area *area, uint64_t offset, uint64_t length,
	struct ashmem_extent *lost, uint32_t capacity, uint32_t *count) ASHMEM_MUST_CHECK;

/**
 * @brief Unpin a range: from now on its pages may be purged.
 *
 * If the range lies wholly inside one unpinned range nothing changes, not even its age. Else it is
 * merged with every unpinned range that it overlaps into one: purged if any of them was, and the
 * newest in age (rule 10, docs/architecture.md).
 *
 * On a handle that was imported read-only it ends the pin of that handle, and nothing else.
 *
 * While the program has a pressure watch, this call checks the free memory periodically and purges
 * if it is short (@ref ashmem_pressure_unpin). With a budget it purges what exceeds it.
 *
 * **So it may call the program's purge subscribers and shrinkers** on this thread before it
 * returns, also in a debug mode. Do not call it while holding a lock that one of them waits for;
 * with notices from a queue (ashmem_purge_queue_open()) there is nothing to wait for.
 *
 * @param[in] area    A materialised area.
 * @param[in] offset  First byte, page aligned.
 * @param[in] length  Bytes, a multiple of the page size; 0: to the end of the area.
 * @return 0 on success.
 * @retval -EINVAL  @p area is NULL or not materialised; or the range is misaligned, overflows, or
 *   reaches past the size rounded up to pages (rule 9, docs/architecture.md).
 * @retval -EACCES  The area was imported through a descriptor that was made read-only without this
 *   library.
 * @retval -ENOTSUP The area is a foreign memfd, which has no pin state and is always pinned.
 * @retval -ENOMEM  No memory or address space for the state, which the first call on it sets up.
 * @retval -EOVERFLOW  (kernel backend) Beyond what the driver can address.
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread. It may call purge subscribers and shrinkers on this thread: hold no lock
 * that they wait for (@ref ashmem_who_purges).
 * @since 0.9
 */
int ashmem_unpin(struct ashmem_area *area, uint64_t offset, uint64_t length);

/**
 * @brief Unpin a range, and choose when its turn to be purged comes.
 *
 * Purges take unpinned ranges of a lower priority first, whatever their age, over all areas of the
 * process. Within one priority they take first the ranges with #ASHMEM_ORDER_LIFO, the most
 * recently unpinned first; then those with #ASHMEM_ORDER_FIFO, the least recently unpinned first.
 * ashmem_unpin() is this call with #ASHMEM_PRIORITY_NORMAL and #ASHMEM_ORDER_FIFO. Use
 * last-in-first-out for data that is read in a circle: there the oldest is needed next.
 *
 * Otherwise it works as ashmem_unpin() (rule 10, docs/architecture.md). If the range lies wholly
 * inside one unpinned range nothing changes, so that range keeps its priority: to change it, pin
 * and unpin again. A range merged with others gets the priority and order of this call as a whole.
 * The parts that a pin leaves keep theirs, and so do the pages that ashmem_release() renews.
 *
 * On a handle that was imported read-only it ends the pin of that handle; priority and order have
 * no effect.
 *
 * @param[in] area      A materialised area.
 * @param[in] offset    First byte, page aligned.
 * @param[in] length    Bytes, a multiple of the page size; 0: to the end of the area.
 * @param[in] priority  #ASHMEM_PRIORITY_FIRST (0) to #ASHMEM_PRIORITY_LAST (7).
 * @param[in] order     #ASHMEM_ORDER_FIFO or #ASHMEM_ORDER_LIFO. No order has the value of a
 *   priority, so that the two cannot be swapped unnoticed.
 * @return 0 on success.
 * @retval -EINVAL  @p priority is above #ASHMEM_PRIORITY_LAST, or @p order is another value;
 *   @p area is NULL or not materialised; or the range is misaligned, overflows, or leaves the area.
 * @retval -ENOTSUP The kernel backend, unless priority and order are those of ashmem_unpin(): the
 *   driver has no priorities. Or the area is a foreign memfd.
 * @retval -EACCES, -ENOMEM, -EOVERFLOW  See ashmem_unpin().
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread. It may call purge subscribers and shrinkers on this thread: hold no lock
 * that they wait for (@ref ashmem_who_purges).
 * @since 0.9
 */
int ashmem_unpin_with(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t priority,
	uint32_t order);

/**
 * @brief Read whether a range is pinned.
 *
 * On a handle that was imported read-only, pages that the handle itself has pinned count as pinned.
 * Other handles do not see the pins of such peers.
 *
 * @param[in] area    A materialised area.
 * @param[in] offset  First byte, page aligned.
 * @param[in] length  Bytes, a multiple of the page size; 0: to the end of the area.
 * @return #ASHMEM_IS_UNPINNED if any page of the range is unpinned, else #ASHMEM_IS_PINNED (rule
 *   12, docs/architecture.md).
 * @retval -EINVAL  @p area is NULL or not materialised; or the range is misaligned, overflows, or
 *   reaches past the size rounded up to pages (rule 9, docs/architecture.md).
 * @retval -EACCES  The area was imported through a descriptor that was made read-only without this
 *   library.
 * @retval -ENOMEM  No memory or address space for the state, which the first call on it sets up.
 * @retval -EOVERFLOW  (kernel backend) Beyond what the driver can address.
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_get_pin_status(struct ashmem_area *area, uint64_t offset, uint64_t length);

/**
 * @brief Hold a range: a counted pin with an owner, which nobody else can undo.
 *
 * Use it instead of a pin where several threads or processes use the same pages, or where one may
 * crash. While a handle holds pages no process purges them, whatever others pin and unpin. Each
 * hold needs its ashmem_release(); the last ashmem_close() and the end of the process, also by a
 * crash, give up all holds of the handle (@ref ashmem_pins).
 *
 * The range list does not change: unpinned pages stay unpinned and count as evictable, and purge
 * marks stay until they are released. After #ASHMEM_WAS_PURGED rebuild the contents, then release;
 * if you die before, the next holder gets #ASHMEM_WAS_PURGED too. Two holders at once both get it,
 * and must agree who rebuilds.
 *
 * @param[in] area    A materialised area.
 * @param[in] offset  First byte, page aligned.
 * @param[in] length  Bytes, a multiple of the page size; 0: to the end of the area.
 * @return #ASHMEM_WAS_PURGED if an overlapping unpinned range was purged, else #ASHMEM_NOT_PURGED;
 *   false alarms as with ashmem_pin().
 * @retval -EINVAL  @p area is NULL or not materialised; or the range is misaligned, overflows, or
 *   reaches past the size rounded up to pages (rule 9, docs/architecture.md).
 * @retval -EACCES  The area was imported through a descriptor that was made read-only without this
 *   library.
 * @retval -ENOTSUP The kernel backend; or the area is writable and `/proc` is not mounted or
 *   forbids the second open file description that the lock needs; or the kernel has no locks on
 *   open file descriptions (some sandboxes).
 * @retval -EOVERFLOW  A page has 2^32 - 1 holds of this handle.
 * @retval -ENOMEM, -EMFILE, -ENFILE  No memory, or no descriptor for the locks, which the first
 *   hold opens.
 * @retval -ETIMEDOUT  See @ref ashmem_common_errors. Also for a read-only peer if the owner of the
 *   area's lock died and no writer has called since.
 * @retval -EBADF, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_hold(struct ashmem_area *area, uint64_t offset, uint64_t length) ASHMEM_MUST_CHECK;

/**
 * @brief Release a range: remove one hold from each of its pages.
 *
 * Pages without another hold of this handle can be purged, unless they are pinned or another handle
 * holds them.
 *
 * The unpinned ones among the released pages are renewed, as if they had been unpinned just now:
 * without purge mark, and the newest in age. With #ASHMEM_RELEASE_LOST, or on a handle that was
 * imported read-only, they keep marks and ages. Pass the flag while another holder is still
 * rebuilding. A process that dies within the call may have renewed only the first of several
 * ranges, each as a whole; the others keep their marks, and the next holder rebuilds them.
 *
 * @param[in] area    A materialised area.
 * @param[in] offset  First byte, page aligned.
 * @param[in] length  Bytes, a multiple of the page size; 0: to the end of the area.
 * @param[in] flags   0 or #ASHMEM_RELEASE_LOST.
 * @return 0 on success.
 * @retval -EINVAL  @p flags has another bit; this handle does not hold all of the pages; @p area is
 *   NULL or not materialised; or the range is misaligned, overflows, or leaves the area.
 * @retval -ENOTSUP The kernel backend.
 * @retval -ENOMEM  No memory.
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread. With a budget it may purge and call purge subscribers on this thread: hold
 * no lock that they wait for (@ref ashmem_who_purges).
 * @since 0.9
 */
int ashmem_release(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t flags);

/**
 * @brief Find the first unpinned range at or after an offset, to walk the range list.
 *
 * Start with 0 and go on with the end of the range found until the call returns 0. Other threads
 * and processes may change the list between two calls. Nothing is pinned and no mark changes.
 * A walk that goes on after each range ends, whatever a peer does: the range found always ends
 * after @p from.
 *
 * @param[in]  area    A materialised area.
 * @param[in]  from    Byte offset; the range that contains it is found, or else the next one.
 * @param[out] offset  First byte of the range (it can be less than @p from); may be NULL.
 * @param[out] length  Bytes of the range; may be NULL.
 * @param[out] state   #ASHMEM_RANGE_PURGED and #ASHMEM_RANGE_EVICTABLE, as they apply; may be NULL.
 * @return 1 if a range was found, 0 if there is none (no output is written).
 * @retval -EINVAL  @p area is NULL or not materialised.
 * @retval -EACCES  The area was imported through a read-only descriptor.
 * @retval -ENOTSUP The kernel backend: the driver does not report it.
 * @retval -ENOMEM  No memory or address space for the state, which the first call on it sets up.
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_find_unpinned(struct ashmem_area *area, uint64_t from, uint64_t *offset,
	uint64_t *length, uint32_t *state) ASHMEM_MUST_CHECK;

/** @} */

/**
 * @name Sharing
 *
 * With a budget, a call that materialises or imports an area may purge before it returns
 * (@ref ashmem_who_purges).
 * @{
 */

/**
 * @brief Return the area's descriptor, to send to a peer or to map by hand; materialises the area.
 *
 * One descriptor carries data and state: a peer passes it to ashmem_import(). With PROT_WRITE in
 * the mask it allows writing; without, it is read-only. The data start at offset 0, so plain
 * mmap(2) works. On the memfd backend the control block follows the data and fstat(2) counts it
 * (limit L4: use ashmem_get_size()).
 *
 * @param[in] area  An area whose size is not 0.
 * @return The descriptor, borrowed: the area owns it and closes it with the last reference; `dup`
 *   it to keep it.
 * @retval -EINVAL  @p area is NULL, or the size is 0.
 * @retval -EMFILE, -ENFILE, -ENOMEM  The area could not be materialised, or no read-only descriptor
 *   be made.
 * @retval -ENOTSUP The mask lacks PROT_WRITE, and `/proc` is not mounted or forbids the read-only
 *   descriptor.
 * @retval -EPERM   The mask lacks PROT_WRITE, and the file's mode cannot be changed
 *   (ashmem_set_prot()).
 * @retval -ENODEV  No memory can be made: a sandbox forbids memfd_create(2).
 * @retval -EFBIG   Area and control block together are larger than files of this process may be
 *   (`RLIMIT_FSIZE`).
 * @retval -EDQUOT  It does not fit into a budget that refuses (#ASHMEM_BUDGET_REFUSE).
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_fd(struct ashmem_area *area) ASHMEM_MUST_CHECK;

/**
 * @brief Make a descriptor that the caller owns; materialises the area.
 *
 * A duplicate of what ashmem_fd() lends: it shares its open file description, and stays open when
 * the area is closed. ashmem_find() and ashmem_import() take it.
 *
 * If it fails, the area may already be materialised and stays so.
 *
 * @param[in] area  An area whose size is not 0.
 * @return The descriptor, close-on-exec; the caller owns and closes it.
 * @retval -EINVAL  @p area is NULL, or the size is 0.
 * @retval -EMFILE, -ENFILE, -ENOMEM  The area could not be materialised, or no descriptor be made.
 * @retval -ENOTSUP The mask lacks PROT_WRITE, and `/proc` is not mounted or forbids the read-only
 *   descriptor.
 * @retval -EPERM   The mask lacks PROT_WRITE, and the file's mode cannot be changed
 *   (ashmem_set_prot()).
 * @retval -ENODEV  No memory can be made: a sandbox forbids memfd_create(2).
 * @retval -EFBIG   Area and control block together are larger than files of this process may be
 *   (`RLIMIT_FSIZE`).
 * @retval -EDQUOT  It does not fit into a budget that refuses (#ASHMEM_BUDGET_REFUSE).
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 1.0
 */
int ashmem_export(struct ashmem_area *area) ASHMEM_MUST_CHECK;

/**
 * @brief Make a descriptor without materialising the area, so that name and size can still change.
 *
 * For programs that send a descriptor first and set the size later, as with `/dev/ashmem`. Every
 * process that imports it shares the area: each sees name, size and mask as they were set
 * last, and the first that materialises the area makes both final for all.
 *
 * - Do not map it by hand before the area is materialised, and do not write to it: until then it is
 *   a file of some bytes that describe the area. ashmem_map() is what makes it one.
 * - `/proc/PID/maps` shows the name that the area has at this call.
 * - The descriptor allows writing, whatever ashmem_set_prot() says later (limit L2). If `O_APPEND`
 *   is set, the library takes it away.
 * - From this call on, calls that read or set name, size and mask of the area take some system
 *   calls each, until it is materialised. A call that materialises it and fails may leave it
 *   materialised.
 *
 * Of an area that is materialised it returns what ashmem_export() returns.
 *
 * @param[in] area  An area; its size may be 0.
 * @return The descriptor, close-on-exec; the caller owns and closes it.
 * @retval -EINVAL  @p area is NULL.
 * @retval -EBUSY   The process has forked since it made the area, which has no descriptor yet: make
 *   the descriptor before the fork.
 * @retval -EMFILE, -ENFILE, -ENOMEM  No descriptor or memory left.
 * @retval -ENODEV  No memory can be made: a sandbox forbids memfd_create(2).
 * @retval -EFBIG   Files of this process may be no larger than a few hundred bytes
 *   (`RLIMIT_FSIZE`).
 * @retval -ENOTSUP, -EPERM  As ashmem_export(), of an area that is materialised.
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 1.0
 */
int ashmem_export_early(struct ashmem_area *area) ASHMEM_MUST_CHECK;

/**
 * @brief Make a read-only descriptor, for a peer that reads and pins but must not write;
 *   materialises the area.
 *
 * The area stays writable for its owner. The kernel allows no writing through the descriptor: no
 * writable mapping, no raising by mprotect(2), no write, truncation or punching. It is an open file
 * description of its own, so that peers have separate locks: make one for each peer and never share
 * a `dup`. Other users cannot reopen it for writing: an area's file has the mode 0644 from its
 * birth, and 0444 from this call on if the file's owner calls. A process of the file's owner could,
 * through `/proc`.
 *
 * The receiver calls ashmem_import(); its pins are read-only pins (@ref ashmem_pins). From this
 * call on, each purge looks for such pins first.
 *
 * If it fails, the area may already be materialised and stays so.
 *
 * @param[in] area  An area whose size is not 0.
 * @return The descriptor, close-on-exec; the caller owns and closes it.
 * @retval -EINVAL  @p area is NULL, or the size is 0.
 * @retval -EPERM   The file's mode lets other users open it for writing and cannot be changed: it
 *   belongs to another user, and its maker allowed that.
 * @retval -ENOTSUP `/proc` is not mounted or forbids a second open file description; or the kernel
 *   backend.
 * @retval -EMFILE, -ENFILE, -ENOMEM  The area could not be materialised, or no descriptor is left.
 * @retval -ENODEV  No memory can be made: a sandbox forbids memfd_create(2).
 * @retval -EFBIG   Area and control block together are larger than files of this process may be
 *   (`RLIMIT_FSIZE`).
 * @retval -EDQUOT  It does not fit into a budget that refuses (#ASHMEM_BUDGET_REFUSE).
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_export_read_only(struct ashmem_area *area) ASHMEM_MUST_CHECK;

/**
 * @brief Forbid writing to everybody, for good; materialises the area.
 *
 * The kernel refuses new writable mappings, write and the like through every descriptor of the
 * area, in every process, also those handed out before (ashmem_set_prot() binds later ones only).
 * Existing writable mappings keep working, as `F_SEAL_FUTURE_WRITE` of fcntl(2) has it: unmap yours
 * if nobody shall write any more. PROT_WRITE leaves the mask. It cannot be undone.
 *
 * The price: the kernel refuses to free pages as well. **A sealed area is never purged**, and
 * ashmem_shrink_count() and the statistics do not count it. In processes that had the area
 * writable, pin and unpin still work and pins still report purges made before the seal, but an
 * unpin frees nothing. Later imports of the area are read-only.
 *
 * Only areas made with #ASHMEM_CREATE_ALLOW_SEAL can be sealed, since any peer with a writable
 * descriptor can seal and so stop purging.
 *
 * If it fails, the area may already be materialised and stays so.
 *
 * @param[in] area  An area whose size is not 0.
 * @return 0 on success, also if it is sealed already.
 * @retval -EINVAL  @p area is NULL, or the size is 0.
 * @retval -EPERM   The area was made without #ASHMEM_CREATE_ALLOW_SEAL, or a peer forbade further
 *   seals.
 * @retval -EACCES  The area was imported through a read-only descriptor, or is a foreign memfd.
 * @retval -ENOTSUP Linux before 5.1 (its only write seal demands that nobody, the library's own
 *   state included, has the file mapped writable); or the kernel backend.
 * @retval -EMFILE, -ENFILE, -ENOMEM  The area could not be materialised.
 * @retval -ENODEV  No memory can be made: a sandbox forbids memfd_create(2).
 * @retval -EFBIG   Area and control block together are larger than files of this process may be
 *   (`RLIMIT_FSIZE`).
 * @retval -EDQUOT  It does not fit into a budget that refuses (#ASHMEM_BUDGET_REFUSE).
 * @retval -EBADF, -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_seal(struct ashmem_area *area) ASHMEM_MUST_CHECK;

/**
 * @brief Make an area from a descriptor that came from a peer.
 *
 * All shared state that the library relies on is checked first. If the process already holds the
 * area, the same handle is returned with one more reference: each import needs its own
 * ashmem_close(), and the area counts once. A memfd that no libashmem made becomes a *plain* area:
 * its name is unknown, its size is the file's, it is always pinned and cannot be unpinned.
 *
 * An area whose file somebody sealed against writing (ashmem_seal(), or `F_SEAL_FUTURE_WRITE` of
 * fcntl(2)) has no PROT_WRITE in its mask after the import, and is never purged.
 *
 * @param[in]  fd    The descriptor; the library duplicates it (close-on-exec), the caller keeps it.
 * @param[out] area  The area; the caller owns one reference and ends it with ashmem_close().
 * @return 0 on success.
 * @retval -EINVAL   @p area is NULL, or @p fd is neither an ashmem descriptor nor a memfd.
 * @retval -EBADF    @p fd is not open, or was opened write-only or with O_PATH.
 * @retval -EACCES   @p fd is read-only, and the area not materialised yet (ashmem_export_early()).
 * @retval -EPERM    The memfd carries an area's state but lacks the seals against resizing: not
 *   made by libashmem.
 * @retval -EPROTO   The state was made by an incompatible version of libashmem, or with another
 *   page size or byte order; or the memfd is one of huge pages.
 * @retval -EUCLEAN  The state is damaged.
 * @retval -EFBIG    The file is too large to be an area.
 * @retval -EMFILE, -ENFILE, -ENOMEM  No descriptor or memory left.
 * @retval -ETIMEDOUT  Another process held the area's lock for too long.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_import(int fd, struct ashmem_area **area) ASHMEM_MUST_CHECK;

/**
 * @brief Find the area of a descriptor if this process holds it already.
 *
 * Costs one fstat(2), where ashmem_import() maps and checks the state. If the process holds the
 * area through a writable and through a read-only descriptor, the writable handle is found.
 *
 * @param[in]  fd    A descriptor: from ashmem_fd(), ashmem_export(), a peer, or a `dup`.
 * @param[out] area  The area; the caller owns one more reference and ends it with ashmem_close().
 * @return 0 on success.
 * @retval -EINVAL  @p area is NULL.
 * @retval -ENOENT  The process holds no area with this descriptor; ashmem_import() may make one.
 *   Also for an area that was never shared, and on the kernel backend where the kernel does not say
 *   which descriptors are the same (kcmp(2)).
 * @retval -EBADF   @p fd is not open.
 * @retval -ENOMEM  No memory.
 *
 * Threads: any thread.
 * @since 1.0
 */
int ashmem_find(int fd, struct ashmem_area **area) ASHMEM_MUST_CHECK;

/**
 * @brief Ask what a descriptor is, without importing it.
 *
 * Looks at the file and maps nothing. ashmem_import() may still refuse an area, for instance one
 * that is damaged or was made by another version.
 *
 * @param[in] fd  A descriptor.
 * @return #ASHMEM_FD_AREA, #ASHMEM_FD_READ_ONLY or #ASHMEM_FD_FOREIGN; #ASHMEM_FD_NONE for every
 *   other file, and for a descriptor that was opened write-only or with O_PATH.
 * @retval -EBADF  @p fd is not open.
 * @retval -ENOMEM  No memory.
 *
 * Threads: any thread.
 * @since 1.0
 */
int ashmem_fd_kind(int fd) ASHMEM_MUST_CHECK;

/**
 * @brief Send an area to another process over a socket; materialises the area.
 *
 * Sends one byte with the descriptor as SCM_RIGHTS (unix(7)). The receiver uses ashmem_recv(), or
 * recvmsg(2) and ashmem_import().
 *
 * If it fails, the area may already be materialised and stays so.
 *
 * @param[in] socket_fd  A connected AF_UNIX socket of any type.
 * @param[in] area       An area whose size is not 0; the caller keeps it.
 * @return 0 on success.
 * @retval -EINVAL    @p area is NULL, or its size is 0; or not an AF_UNIX socket.
 * @retval -EBADF, -ENOTSOCK, -ENOTCONN  @p socket_fd is not a connected socket. Also -EBADF if the
 *   area's descriptor is gone (@ref ashmem_descriptors).
 * @retval -EPIPE, -ECONNRESET  The peer closed the connection (no SIGPIPE is raised).
 * @retval -EAGAIN    The socket is non-blocking and full.
 * @retval -EINTR     A signal came first.
 * @retval -ETOOMANYREFS  Too many descriptors are under way.
 * @retval -ENOBUFS   The kernel has no memory for the message.
 * @retval -EMFILE, -ENFILE, -ENOMEM  The area could not be materialised, or no read-only descriptor
 *   be made.
 * @retval -ENOTSUP   The mask lacks PROT_WRITE, and `/proc` is not mounted or forbids the read-only
 *   descriptor.
 * @retval -EPERM   The mask lacks PROT_WRITE, and the file's mode cannot be changed
 *   (ashmem_set_prot()).
 * @retval -ENODEV    No memory can be made: a sandbox forbids memfd_create(2).
 * @retval -EFBIG     Area and control block together are larger than files of this process may be
 *   (`RLIMIT_FSIZE`).
 * @retval -EDQUOT    It does not fit into a budget that refuses (#ASHMEM_BUDGET_REFUSE).
 * @retval -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_send(int socket_fd, struct ashmem_area *area);

/**
 * @brief Receive an area from another process over a socket.
 *
 * Takes one message with exactly one descriptor and its one byte, and imports it as ashmem_import()
 * does. Credentials and the like, if the program has asked the socket for them, are ignored.
 *
 * @param[in]  socket_fd  A connected AF_UNIX socket of any type.
 * @param[out] area       The area; the caller owns one reference and ends it with ashmem_close().
 * @return 0 on success.
 * @retval -EINVAL    @p area is NULL, or what came is neither an ashmem descriptor nor a memfd.
 * @retval -EBADF, -ENOTSOCK, -ENOTCONN  @p socket_fd is not a connected socket. Also -EBADF if what
 *   came was opened write-only or with O_PATH.
 * @retval -ECONNRESET  The peer closed the connection.
 * @retval -EBADMSG   The message carried no descriptor, or more than one (all are closed).
 * @retval -EMFILE    No descriptor left to receive it; the message is lost.
 * @retval -EAGAIN    The socket is non-blocking and no message is there.
 * @retval -EINTR     A signal came first.
 * @retval -EPERM, -EPROTO, -EUCLEAN, -EFBIG, -ENFILE, -ENOMEM, -ETIMEDOUT  See ashmem_import().
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_recv(int socket_fd, struct ashmem_area **area) ASHMEM_MUST_CHECK;

/** @} */

#ifdef __cplusplus
}
#endif

/** @} */

#endif /* ASHMEM_AREA_H */
