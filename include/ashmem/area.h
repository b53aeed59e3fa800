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
 * An *area* is one region of memory with its state: name, size, protection mask, the list of
 * unpinned ranges and their purge marks, and one file position. The state belongs to the area and
 * not to the process: everybody who got the descriptor, by `fork`, ashmem_send() or otherwise, sees
 * and changes the same (contract rule 3). It ends with the last reference.
 *
 * A new area is *materialised*, which means that its memory comes into being, by the first
 * ashmem_map(), ashmem_fd() or ashmem_send(). Before, name and size can change and calls on data or
 * pins fail; afterwards they are fixed (contract rule 2).
 *
 * The errors -EINVAL (NULL argument), -ETIMEDOUT, -EUCLEAN and -ESTALE that any call can return are
 * explained in @ref ashmem_common_errors; each call lists those that it can return.
 * @{
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** ashmem_pin(): nothing of the range was purged; its contents are as they were. */
#define ASHMEM_NOT_PURGED 0
/** ashmem_pin(): some of the range may have been purged; rebuild it. */
#define ASHMEM_WAS_PURGED 1
/** ashmem_get_pin_status(): at least one page of the range is unpinned. */
#define ASHMEM_IS_UNPINNED 0
/** ashmem_get_pin_status(): every page of the range is pinned. */
#define ASHMEM_IS_PINNED 1
/** Bytes of the longest name, with its terminating NUL. */
#define ASHMEM_NAME_LEN 256
/** What ashmem_get_name() answers for an area without a name. */
#define ASHMEM_NAME_DEF "dev/ashmem"

/**
 * ashmem_find_unpinned(): the range found carries a purge mark; pinning it answers
 * ASHMEM_WAS_PURGED.
 */
#define ASHMEM_RANGE_PURGED 1u
/** ashmem_find_unpinned(): the range found holds pages that a purge could still free. */
#define ASHMEM_RANGE_EVICTABLE 2u

/** ashmem_unpin_with(): these pages go before all others. */
#define ASHMEM_PRIORITY_FIRST 0u
/** ashmem_unpin_with(): the priority of ashmem_unpin(). */
#define ASHMEM_PRIORITY_NORMAL 4u
/** ashmem_unpin_with(): these pages go when nothing else is left. */
#define ASHMEM_PRIORITY_LAST 7u
/**
 * ashmem_unpin_with(): first in, first out: what was unpinned least recently goes first, as with
 * ashmem_unpin().
 */
#define ASHMEM_ORDER_FIFO 0u
/**
 * ashmem_unpin_with(): last in, first out: what was unpinned most recently goes first, and before
 * all that is #ASHMEM_ORDER_FIFO.
 */
#define ASHMEM_ORDER_LIFO 1u

/** ashmem_release(): the contents are lost still, so the purge marks stay. */
#define ASHMEM_RELEASE_LOST 1u
/**
 * ashmem_create(): ashmem_seal() may be called on the area, by everybody who has a writable
 * descriptor.
 */
#define ASHMEM_CREATE_ALLOW_SEAL 1u

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
 * It starts with the protection mask READ|WRITE|EXEC, everything pinned, not materialised (contract
 * rule 1). Its descriptor, once there is one, is close-on-exec.
 *
 * @param[in]  name        Name for `/proc/PID/maps` and ashmem_get_name(); bytes behind the 255th
 *   are cut off; NULL
 *                         or "" means none.
 * @param[in]  size_bytes  Size in bytes, any count; pages round up. 0: to be set by
 *   ashmem_set_size().
 * @param[in]  flags       0 or #ASHMEM_CREATE_ALLOW_SEAL; other bits are reserved.
 * @param[out] area        The new area; the caller owns it and ends it with ashmem_close().
 * @return 0 on success.
 * @retval -EINVAL  @p area is NULL or @p flags has a reserved bit.
 * @retval -EFBIG   @p size_bytes is more than 2^32 - 3 pages.
 * @retval -EOVERFLOW  (kernel backend) 4 GiB or more when rounded up to pages.
 * @retval -ENOMEM  No memory for the handle.
 * @retval -EMFILE, -ENFILE  (kernel backend) No descriptor left.
 * @retval -ENODEV  The backend that ashmem_backend_select() or `ASHMEM_BACKEND` names does not work
 *   here.
 * @retval -ENOENT  `ASHMEM_BACKEND` names a backend that does not exist.
 * @retval -ENOTSUP #ASHMEM_CREATE_ALLOW_SEAL and the backend cannot seal (the kernel backend).
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_create(const char *name, uint64_t size_bytes, uint32_t flags, struct ashmem_area **area);

/**
 * @brief Give back one reference to an area.
 *
 * Mappings stay valid until they are unmapped; other processes and other references are not
 * affected. A descriptor borrowed through ashmem_fd() is closed with the last reference of the
 * process.
 *
 * @param[in] area  From ashmem_create(), ashmem_import() or ashmem_recv(); NULL is fine.
 *
 * Threads: any thread, but no other call may use this reference at the same time or later.
 * @since 0.9
 */
void ashmem_close(struct ashmem_area *area);

/** @} */

/**
 * @name Name, size, protection
 * @{
 */

/**
 * @brief Name an area that is not materialised yet.
 *
 * `/proc/PID/maps` shows mappings as `dev/ashmem/NAME` (on the memfd backend behind `/memfd:`, and
 * cut at the 249 bytes that a memfd's name holds, memfd_create(2)).
 *
 * @param[in] area  An area.
 * @param[in] name  The name; bytes behind the 255th are cut off; "" takes the name away.
 * @return 0 on success.
 * @retval -EINVAL  @p area or @p name is NULL, or the area is materialised (contract rule 4).
 * @retval -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_set_name(struct ashmem_area *area, const char *name);

/**
 * @brief Read an area's name.
 *
 * @param[in]  area      An area.
 * @param[out] buf       Receives the name with its NUL: #ASHMEM_NAME_DEF if none was set, else what
 *   was set. The caller
 *                       owns it.
 * @param[in]  buf_size  Bytes of @p buf; #ASHMEM_NAME_LEN always suffices.
 * @return 0 on success.
 * @retval -EINVAL  @p area or @p buf is NULL.
 * @retval -ERANGE  The name with its NUL does not fit into @p buf_size bytes.
 * @retval -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_get_name(const struct ashmem_area *area, char *buf, size_t buf_size);

/**
 * @brief Set the size of an area that is not materialised yet.
 *
 * @param[in] area        An area.
 * @param[in] size_bytes  Size in bytes, any count; 0 is allowed (contract rule 5).
 * @return 0 on success.
 * @retval -EINVAL  @p area is NULL, or the area is materialised.
 * @retval -EFBIG   More than 2^32 - 3 pages.
 * @retval -EOVERFLOW  (kernel backend) 4 GiB or more when rounded up to pages.
 * @retval -ESTALE  See @ref ashmem_common_errors.
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
 * @brief Remove bits from an area's protection mask.
 *
 * The mask bounds what later ashmem_map() calls may ask for, in every process. It can only lose
 * bits (contract rule 6). Existing mappings keep their rights. Under the `READ_IMPLIES_EXEC`
 * personality (personality(2)) PROT_READ keeps PROT_EXEC with it.
 *
 * On the memfd backend a mask without PROT_WRITE is enforced by the kernel: from then on
 * ashmem_fd() and ashmem_send() hand out a read-only descriptor, and mappings are made through it.
 * Dropping PROT_EXEC or PROT_READ is enforced by ashmem_map() alone (limit L1), and descriptors
 * handed out before keep their rights (limit L2): set the mask before you share.
 *
 * @param[in] area  An area.
 * @param[in] prot  The new mask, of PROT_READ, PROT_WRITE and PROT_EXEC; PROT_NONE (0) forbids
 *   every mapping
 *                  but an inaccessible one.
 * @return 0 on success.
 * @retval -EINVAL  @p area is NULL; or @p prot has a bit that is not in the mask, or any other bit.
 * @retval -EACCES  The area was imported through a read-only descriptor, or is a foreign memfd.
 * @retval -ENOTSUP PROT_WRITE was to go and `/proc` is not mounted or forbids it, so the kernel
 *   cannot be made to enforce it.
 * @retval -EMFILE, -ENFILE  No descriptor left for the read-only one.
 * @retval -ENOMEM  No memory.
 * @retval -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_set_prot(struct ashmem_area *area, int prot);

/**
 * @brief Read an area's protection mask.
 *
 * @param[in] area  An area.
 * @return The mask, of PROT_READ, PROT_WRITE and PROT_EXEC (0 or positive).
 * @retval -EINVAL  @p area is NULL.
 * @retval -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
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
 *   mapping's own copies
 *                           are never purged), with other flags of mmap(2) that suit a file
 *                           mapping.
 * @param[in,out] addr       Receives the address. Read only with MAP_FIXED or MAP_FIXED_NOREPLACE
 *                           in @p map_flags: the address wanted. The caller ends the mapping with
 *                           ashmem_unmap(); it outlives the handle.
 * @return 0 on success.
 * @retval -EINVAL  A NULL argument; the size is 0; @p length is 0 or reaches past the area; @p
 *   offset is not page aligned;
 *                  @p prot has unknown bits; @p map_flags names no kind of mapping, or
 *                    MAP_ANONYMOUS (contract rule 7).
 * @retval -EPERM   @p prot asks for more than the mask allows, shared or private. Under the
 *   `READ_IMPLIES_EXEC`
 *                  personality PROT_READ asks for PROT_EXEC as well.
 * @retval -EACCES  PROT_WRITE and the area was imported through a read-only descriptor.
 * @retval -ENOMEM  No address space or memory.
 * @retval -EMFILE, -ENFILE  No descriptor left to materialise the area, or for the read-only
 *   descriptor.
 * @retval -ENOTSUP The mask lacks PROT_WRITE and `/proc` is not mounted or forbids it, so that
 *   there is no read-only descriptor.
 * @retval -EIO     (kernel backend) A private mapping, and the area's bytes cannot be read back
 *   from swap space. If the first mapping is a
 *                  private one and fails, the area may be materialised already.
 * @retval -EEXIST  MAP_FIXED_NOREPLACE and something is mapped there.
 * @retval -EAGAIN, -EOPNOTSUPP  As mmap(2).
 * @retval -EOVERFLOW  (kernel backend) Beyond what the driver can address.
 * @retval -ENODEV   The memory cannot come into being: a sandbox forbids memfd_create(2).
 * @retval -EFBIG    With the state behind it the area is larger than files of this process may be
 *   (`RLIMIT_FSIZE`).
 * @retval -EDQUOT  It does not fit into a budget that refuses (#ASHMEM_BUDGET_REFUSE).
 * @retval -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_map(struct ashmem_area *area, uint64_t offset, size_t length, int prot, int map_flags,
	void **addr);

/**
 * @brief End a mapping, or part of one.
 *
 * @param[in] addr    Address of a page that ashmem_map() mapped.
 * @param[in] length  Bytes, not 0.
 * @return 0 on success.
 * @retval -EINVAL  @p addr is NULL or not page aligned, or @p length is 0 (munmap(2)).
 * @retval -ENOMEM  Unmapping the middle of a mapping would make too many mappings.
 *
 * Threads: any thread; nobody may use the memory any more.
 * @since 0.9
 */
int ashmem_unmap(void *addr, size_t length);

/**
 * @brief Have the pages of a mapping in memory before they are used, in huge pages where that is
 *   possible.
 *
 * Call it before filling a large piece of an area that is new or was purged, after pinning it: else
 * each page comes into being when it is first touched, one by one. Where a whole huge page (2 MiB
 * with pages of 4 KiB) lies within the given memory, the kernel is asked to make one of it,
 * whatever the system's policy for huge pages is; that takes a tenth of the time, and so does
 * purging it later as a whole. Purging parts of a huge page splits it again. ashmem_map() chooses
 * addresses that suit. Changes no contents and no pin.
 *
 * @param[in] addr    Address of a page that ashmem_map() mapped.
 * @param[in] length  Bytes, not 0; rounded up to pages.
 * @return 0 on success. On failure some of the pages may be there; the others come when they are
 *   touched.
 * @retval -EINVAL  @p addr is NULL or not page aligned, or @p length is 0.
 * @retval -ENOTSUP The kernel has no such request (before Linux 5.14), or the mapping allows no
 *   reading.
 * @retval -ENOMEM  Nothing is mapped at part of the memory, or there is no memory for it.
 * @retval -EFAULT, -EBUSY, -EHWPOISON  As madvise(2).
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_populate(void *addr, size_t length);

/**
 * @brief Read from the area's file position and move it.
 *
 * There is one position an area, shared by all who share the area (contract rule 8). Purged and
 * never written bytes read as zeroes. There is no write call: write through a mapping.
 *
 * @param[in]  area    A materialised area.
 * @param[out] buf     Receives the bytes; the caller owns it.
 * @param[in]  length  Bytes wanted.
 * @return Bytes read; fewer than @p length at the end of the area (its size, not the page's end); 0
 *   behind it or if the
 * size is 0.
 * @retval -EINVAL  @p area is NULL, or @p buf is NULL and @p length is not 0.
 * @retval -EBADF   The area has a size and is not materialised.
 * @retval -EACCES  The area was imported through a read-only descriptor, so that its position
 *   cannot be moved;
 *                  use ashmem_pread().
 * @retval -EFAULT  @p buf is not writable memory.
 * @retval -EIO, -ENOMEM  A page cannot be read back from swap space, or no memory to set up the
 *   state.
 * @retval -EINTR   A signal came before anything was read.
 * @retval -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread; two reads at once get different bytes.
 * @since 0.9
 */
int64_t ashmem_read(struct ashmem_area *area, void *buf, size_t length);

/**
 * @brief Read from an offset; the file position stays.
 *
 * @param[in]  area    A materialised area.
 * @param[out] buf     Receives the bytes; the caller owns it.
 * @param[in]  length  Bytes wanted.
 * @param[in]  offset  Byte offset into the area, any.
 * @return Bytes read; fewer than @p length at the end of the area; 0 behind it or if the size is 0.
 * @retval -EINVAL  @p area is NULL; @p buf is NULL and @p length is not 0; or @p offset is more
 *   than INT64_MAX.
 * @retval -EBADF   The area has a size and is not materialised.
 * @retval -EFAULT  @p buf is not writable memory.
 * @retval -EIO, -ENOMEM  A page cannot be read back from swap space.
 * @retval -EINTR   A signal came before anything was read.
 * @retval -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int64_t ashmem_pread(struct ashmem_area *area, void *buf, size_t length, uint64_t offset);

/**
 * @brief Move the area's file position.
 *
 * @param[in] area    A materialised area.
 * @param[in] offset  Bytes, counted from where @p whence says, as with lseek(2).
 * @param[in] whence  SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA or SEEK_HOLE.
 * @return The new position in bytes.
 * @retval -EINVAL  @p area is NULL; the size is 0; the position would be negative or overflow; or
 *   @p whence is another value.
 * @retval -EBADF   The area has a size and is not materialised.
 * @retval -EACCES  The area was imported through a read-only descriptor, so that its position
 *   cannot be moved.
 * @retval -ENXIO   SEEK_DATA or SEEK_HOLE from outside of the area, or SEEK_DATA with no data
 *   behind @p offset.
 * @retval -ENOMEM  No memory or address space to set up the state, which the first call on it does.
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
 * Offsets and lengths are multiples of the page size. **Length 0 means "to the end"**, so a cache
 * with empty entries must not pass their length on. (At the very end of the area there is nothing
 * to do then: NOT_PURGED, 0, IS_PINNED.) Pins are a state, not a count (contract rule 13).
 * @{
 */

/**
 * @brief Pin a range: from now on its pages stay.
 *
 * Pages that were unpinned leave the range list; what an unpinned range has left and right of the
 * pages pinned stays unpinned, with its age and purge mark (contract rule 11). No purge of these
 * pages is under way when the call returns (rule 16). A #ASHMEM_WAS_PURGED can be a false alarm (a
 * part of a purged range that was never freed); an #ASHMEM_NOT_PURGED never is.
 *
 * A peer that got the area through a read-only descriptor (ashmem_export_read_only(), or after
 * ashmem_set_prot() dropped PROT_WRITE) pins by a lock of the kernel. Such a pin is the handle's
 * own: other peers see the pages as they were, and cannot undo it; no process purges them until
 * ashmem_unpin(), the last ashmem_close() or the end of the process, and a child of fork does not
 * inherit it. Purge marks stay until somebody who can write pins the pages. Without `/proc` the
 * lock is shared by all who have a duplicate of the descriptor: then the unpin of one is the unpin
 * of all of them, and the last one's death releases.
 *
 * @param[in] area    A materialised area.
 * @param[in] offset  First byte, page aligned.
 * @param[in] length  Bytes, a multiple of the page size; 0: to the end of the area.
 * @return #ASHMEM_WAS_PURGED if an unpinned range that overlaps was purged, else
 *   #ASHMEM_NOT_PURGED.
 * @retval -EINVAL  @p area is NULL or not materialised; or the range is misaligned, overflows, or
 *   reaches past the size
 *                  rounded up to pages (contract rule 9).
 * @retval -EACCES  The area was imported through a descriptor that somebody made read-only without
 *   this library, so that purges do not look
 *                  for its pins.
 * @retval -ENOMEM  No memory or address space to set up the state, which the first call on it does;
 *   or for a read-only peer's lock.
 * @retval -EMFILE, -ENFILE  No descriptor left for a read-only peer's locks; its first pin opens
 *   one.
 * @retval -ENOTSUP A read-only peer, and the kernel has no locks on open file descriptions (some
 *   sandboxes).
 * @retval -EOVERFLOW  (kernel backend) Beyond what the driver can address.
 * @retval -ETIMEDOUT  See @ref ashmem_common_errors. Also for a read-only peer if the owner of the
 *   area's lock died and nobody
 *                  who can write has called since: a read-only peer cannot recover the state.
 * @retval -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_pin(struct ashmem_area *area, uint64_t offset, uint64_t length);

/**
 * @brief Pin a range, and learn exactly which pages of it were lost.
 *
 * As ashmem_pin() in everything. With #ASHMEM_WAS_PURGED the lost pages are told as extents,
 * ascending, page exact, and within the range asked for; neighbours are one extent. All other pages
 * of the range are as they were. There can be none: then the mark came from pages outside of the
 * range, or from those that were unpinned together with lost ones. It is said once: after this call
 * or ashmem_pin() the pages count as there.
 *
 * If there are more than @p capacity, the last one reaches to the end of the last lost page: a loss
 * is never hidden. A @p capacity of 1 so gives the span from the first lost page to the last.
 *
 * Backends that know of ranges only, as the kernel backend does, tell the whole range asked for as
 * one extent: all of it may be lost.
 *
 * A page that was lost and then written while it was unpinned counts as lost. After a peer died in
 * a purge, or sealed the area during one, pages can be told that are there still.
 *
 * @param[in]  area      A materialised area.
 * @param[in]  offset    First byte, page aligned.
 * @param[in]  length    Bytes, a multiple of the page size; 0: to the end of the area.
 * @param[out] lost      Receives the extents; the caller owns it. What is behind @p count means
 *   nothing, and after a failure all of it.
 * @param[in]  capacity  How many extents @p lost can hold, at least 1.
 * @param[out] count     Receives how many there are: 0 with #ASHMEM_NOT_PURGED. Untouched on
 *   failure.
 * @return #ASHMEM_WAS_PURGED or #ASHMEM_NOT_PURGED, as ashmem_pin().
 * @retval -EINVAL  As ashmem_pin(); or @p lost or @p count is NULL, or @p capacity is 0.
 * @retval -EACCES, -ENOMEM, -EMFILE, -ENFILE, -EOVERFLOW  As ashmem_pin().
 * @retval -ETIMEDOUT, -EUCLEAN, -ESTALE  As ashmem_pin().
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_pin_lost(struct ashmem_area *area, uint64_t offset, uint64_t length,
	struct ashmem_extent *lost, uint32_t capacity, uint32_t *count);

/**
 * @brief Unpin a range: from now on its pages may be purged.
 *
 * If the range lies wholly inside one unpinned range nothing changes, not even its age. Else it is
 * merged with every unpinned range that it overlaps into one, purged if any of them was, and the
 * newest in age (contract rule 10).
 *
 * On a handle that was imported read-only it ends the pin of that handle, and nothing else.
 *
 * While the program watches memory pressure, this call now and then looks at it, and purges if
 * memory is short (@ref ashmem_pressure_unpin).
 *
 * @param[in] area    A materialised area.
 * @param[in] offset  First byte, page aligned.
 * @param[in] length  Bytes, a multiple of the page size; 0: to the end of the area.
 * @return 0 on success.
 * @retval -EINVAL  As ashmem_pin().
 * @retval -EACCES  As ashmem_pin().
 * @retval -ENOTSUP The area is a foreign memfd, which has no pin state and is always pinned.
 * @retval -ENOMEM  No memory or address space to set up the state, which the first call on it does.
 * @retval -EOVERFLOW  (kernel backend) Beyond what the driver can address.
 * @retval -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_unpin(struct ashmem_area *area, uint64_t offset, uint64_t length);

/**
 * @brief Unpin a range, and say when its turn to be purged comes.
 *
 * Purges take unpinned ranges of a lower priority first, whatever their age, over all areas of the
 * process. Within one priority come first the ranges with #ASHMEM_ORDER_LIFO, the most recently
 * unpinned first; then those with #ASHMEM_ORDER_FIFO, the least recently unpinned first.
 * ashmem_unpin() is the same as this call with #ASHMEM_PRIORITY_NORMAL and #ASHMEM_ORDER_FIFO. Use
 * last-in-first-out for what is read in a circle: there the oldest is needed next.
 *
 * Everything else is as ashmem_unpin() has it (contract rule 10). If the range lies wholly inside
 * one unpinned range nothing changes, so neither does that range's priority: pin it and unpin it
 * again. If it is merged with ranges that it overlaps, the whole has the priority and order of this
 * call. Parts that a pin leaves keep theirs, and so does what ashmem_release() makes fresh.
 *
 * On a handle that was imported read-only it ends the pin of that handle; priority and order mean
 * nothing there.
 *
 * @param[in] area      A materialised area.
 * @param[in] offset    First byte, page aligned.
 * @param[in] length    Bytes, a multiple of the page size; 0: to the end of the area.
 * @param[in] priority  #ASHMEM_PRIORITY_FIRST (0) to #ASHMEM_PRIORITY_LAST (7).
 * @param[in] order     #ASHMEM_ORDER_FIFO or #ASHMEM_ORDER_LIFO.
 * @return 0 on success.
 * @retval -EINVAL  As ashmem_pin(); or @p priority is above #ASHMEM_PRIORITY_LAST, or @p order is
 *   another value.
 * @retval -ENOTSUP The kernel backend, for anything but what ashmem_unpin() does: the driver knows
 *   no priorities. Or as ashmem_unpin().
 * @retval -EACCES, -ENOMEM, -EOVERFLOW  As ashmem_unpin().
 * @retval -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_unpin_with(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t priority,
	uint32_t order);

/**
 * @brief Ask whether a range is pinned.
 *
 * On a handle that was imported read-only, pages that the handle itself has pinned count as pinned.
 * Pins of such peers do not show elsewhere.
 *
 * @param[in] area    A materialised area.
 * @param[in] offset  First byte, page aligned.
 * @param[in] length  Bytes, a multiple of the page size; 0: to the end of the area.
 * @return #ASHMEM_IS_UNPINNED if any page of the range is unpinned, else #ASHMEM_IS_PINNED
 *   (contract rule 12).
 * @retval -EINVAL  As ashmem_pin().
 * @retval -EACCES  As ashmem_pin().
 * @retval -ENOMEM  No memory or address space to set up the state, which the first call on it does.
 * @retval -EOVERFLOW  (kernel backend) Beyond what the driver can address.
 * @retval -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_get_pin_status(struct ashmem_area *area, uint64_t offset, uint64_t length);

/**
 * @brief Hold a range: a counted pin with an owner, which nobody else can undo.
 *
 * While a handle holds pages no process purges them, whatever others pin and unpin; plain pins stay
 * what they are. A page can be purged if it is unpinned and nobody holds it. A handle's holds
 * count: each needs its ashmem_release(). The last ashmem_close() and the end of the process, also
 * a crash, give up all of its holds; a child of fork inherits none.
 *
 * The range list is not changed: pages that are unpinned stay so and count as evictable, and purge
 * marks stay until they are released. Who is told #ASHMEM_WAS_PURGED rebuilds the contents, then
 * releases; if it dies before, the next one is told as well. Two holders at once are both told, and
 * must agree who rebuilds.
 *
 * A hold costs a few system calls (1 to 2 us), unlike a pin.
 *
 * @param[in] area    A materialised area.
 * @param[in] offset  First byte, page aligned.
 * @param[in] length  Bytes, a multiple of the page size; 0: to the end of the area.
 * @return #ASHMEM_WAS_PURGED if an unpinned range that overlaps was purged, else #ASHMEM_NOT_PURGED
 *   (as ashmem_pin()).
 * @retval -EINVAL  As ashmem_pin().
 * @retval -EACCES  As ashmem_pin().
 * @retval -ENOTSUP The kernel backend; or `/proc` is not mounted or forbids it and the area is
 *   writable, so that there is no description for the
 *                  lock; or the kernel has no locks on open file descriptions (some sandboxes).
 * @retval -EOVERFLOW  A page has 2^32 - 1 holds of this handle.
 * @retval -ENOMEM, -EMFILE, -ENFILE  No memory, or no descriptor for the locks, which the first
 *   hold opens.
 * @retval -ETIMEDOUT  As ashmem_pin().
 * @retval -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_hold(struct ashmem_area *area, uint64_t offset, uint64_t length);

/**
 * @brief Release a range: one hold less on each of its pages.
 *
 * Of these pages, those in the list of unpinned ranges become as if they had been unpinned just
 * now: without purge mark, the newest in age. With #ASHMEM_RELEASE_LOST, or on a handle that was
 * imported read-only, marks and ages stay.
 *
 * Pages that this handle has no hold on any more can be purged, unless they are pinned or somebody
 * else holds them. Do not clear marks, which a release without the flag does, while another holder
 * still rebuilds. A process that dies within the call may have renewed only the first of several
 * ranges, each as a whole; the marks of the others stay, and the next one rebuilds them.
 *
 * @param[in] area    A materialised area.
 * @param[in] offset  First byte, page aligned.
 * @param[in] length  Bytes, a multiple of the page size; 0: to the end of the area.
 * @param[in] flags   0 or #ASHMEM_RELEASE_LOST.
 * @return 0 on success.
 * @retval -EINVAL  As ashmem_pin(); @p flags has another bit; or this handle does not hold all the
 *   pages.
 * @retval -ENOTSUP The kernel backend.
 * @retval -ENOMEM  No memory.
 * @retval -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_release(struct ashmem_area *area, uint64_t offset, uint64_t length, uint32_t flags);

/**
 * @brief Find the first unpinned range at or behind an offset, to walk the range list.
 *
 * Start with 0 and go on with the end of the range found until the answer is 0. Other threads and
 * processes may change the list between two calls.
 *
 * @param[in]  area    A materialised area.
 * @param[in]  from    Byte offset; the range that holds it, or else the next one, is found.
 * @param[out] offset  First byte of the range (it can be less than @p from); may be NULL.
 * @param[out] length  Bytes of the range; may be NULL.
 * @param[out] state   #ASHMEM_RANGE_PURGED and #ASHMEM_RANGE_EVICTABLE, as they apply; may be NULL.
 * @return 1 if a range was found, 0 if there is none (outputs untouched).
 * @retval -EINVAL  @p area is NULL or not materialised.
 * @retval -EACCES  The area was imported through a read-only descriptor.
 * @retval -ENOTSUP The kernel backend: the driver does not tell.
 * @retval -ENOMEM  No memory or address space to set up the state, which the first call on it does.
 * @retval -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_find_unpinned(struct ashmem_area *area, uint64_t from, uint64_t *offset,
	uint64_t *length, uint32_t *state);

/** @} */

/**
 * @name Sharing
 * @{
 */

/**
 * @brief The area's descriptor, for sending to a peer or mapping by hand; materialises the area.
 *
 * One descriptor carries data and state: a peer hands it to ashmem_import(). With PROT_WRITE in the
 * mask it allows writing, without it the descriptor is read-only. The data start at offset 0, so
 * plain mmap(2) works; on the memfd backend the control block lies behind the data and fstat(2)
 * counts it (limit L4: ask ashmem_get_size()).
 *
 * @param[in] area  An area whose size is not 0.
 * @return The descriptor, borrowed: the area owns it and closes it with the last reference; `dup`
 *   it to keep it.
 * @retval -EINVAL  @p area is NULL, or the size is 0.
 * @retval -EMFILE, -ENFILE, -ENOMEM  The area could not be materialised, or no read-only descriptor
 *   be made.
 * @retval -ENOTSUP The mask lacks PROT_WRITE and `/proc` is not mounted or forbids it, so that
 *   there is no read-only descriptor.
 * @retval -ENODEV   The memory cannot come into being: a sandbox forbids memfd_create(2).
 * @retval -EFBIG    With the state behind it the area is larger than files of this process may be
 *   (`RLIMIT_FSIZE`).
 * @retval -EDQUOT  It does not fit into a budget that refuses (#ASHMEM_BUDGET_REFUSE).
 * @retval -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_fd(struct ashmem_area *area);

/**
 * @brief A new read-only descriptor, for a peer that shall look and pin but not write; materialises
 *   the area.
 *
 * The area stays writable for its owner. The kernel allows no writing through the descriptor: no
 * writable mapping, no raising by mprotect(2), no write, truncation or punching. It is an open file
 * description of its own, so that the locks of one peer are not another's: make one for each peer
 * and never share a `dup`. Other users cannot reopen it for writing (the file's mode becomes 0444);
 * a process of the same user could, through `/proc`.
 *
 * The receiver calls ashmem_import(). From this call on, a purge looks for the pins of such peers
 * first, which costs two system calls a range.
 *
 * If it fails, the area may be materialised already and stays so.
 *
 * @param[in] area  An area whose size is not 0.
 * @return The descriptor, close-on-exec; the caller owns and closes it.
 * @retval -EINVAL  @p area is NULL, or the size is 0.
 * @retval -ENOTSUP `/proc` is not mounted or forbids it, so that there is no second description; or
 *   the kernel backend.
 * @retval -EMFILE, -ENFILE, -ENOMEM  The area could not be materialised, or no descriptor is left.
 * @retval -ENODEV   The memory cannot come into being: a sandbox forbids memfd_create(2).
 * @retval -EFBIG    With the state behind it the area is larger than files of this process may be
 *   (`RLIMIT_FSIZE`).
 * @retval -EDQUOT  It does not fit into a budget that refuses (#ASHMEM_BUDGET_REFUSE).
 * @retval -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_export_read_only(struct ashmem_area *area);

/**
 * @brief Take writing away from everybody, for good; materialises the area.
 *
 * The kernel refuses new writable mappings, write and the like through every descriptor of the
 * area, in every process, also those that were handed out before (where ashmem_set_prot() only
 * binds later ones). Writable mappings that exist keep working, as `F_SEAL_FUTURE_WRITE` of
 * fcntl(2) has it: unmap yours if nobody shall write any more. PROT_WRITE leaves the mask. It
 * cannot be undone.
 *
 * The price: the kernel refuses to free pages as well. **A sealed area is never purged**:
 * ashmem_shrink_count() and the statistics do not count it. Pin and unpin go on answering in
 * processes that had the area writable, purge marks made before the seal are still told, but an
 * unpin frees nothing. Who imports the area from now on has it read-only.
 *
 * Only areas made with #ASHMEM_CREATE_ALLOW_SEAL can be sealed, since any peer with a writable
 * descriptor can do it and so stop purging.
 *
 * If it fails, the area may be materialised already and stays so.
 *
 * @param[in] area  An area whose size is not 0.
 * @return 0 on success, also if it is sealed already.
 * @retval -EINVAL  @p area is NULL, or the size is 0.
 * @retval -EPERM   The area was made without #ASHMEM_CREATE_ALLOW_SEAL, or somebody forbade further
 *   seals.
 * @retval -EACCES  The area was imported through a read-only descriptor, or is a foreign memfd.
 * @retval -ENOTSUP Linux before 5.1 (its only write seal demands that nobody, the library's own
 *   state included, has the
 *                  file mapped writable); or the kernel backend.
 * @retval -EMFILE, -ENFILE, -ENOMEM  The area could not be materialised.
 * @retval -ENODEV   The memory cannot come into being: a sandbox forbids memfd_create(2).
 * @retval -EFBIG    With the state behind it the area is larger than files of this process may be
 *   (`RLIMIT_FSIZE`).
 * @retval -EDQUOT  It does not fit into a budget that refuses (#ASHMEM_BUDGET_REFUSE).
 * @retval -ETIMEDOUT, -EUCLEAN, -ESTALE  See @ref ashmem_common_errors.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_seal(struct ashmem_area *area);

/**
 * @brief Make an area from a descriptor that came from a peer.
 *
 * Everything in the shared state that the library relies on is checked first. An area that this
 * process holds already gets one more reference: the same handle comes back, each import needs its
 * own ashmem_close(), and the area counts once. A memfd that no libashmem made becomes a *plain*
 * area: its name is unknown, its size is the file's, it is always pinned and cannot be unpinned.
 *
 * @param[in]  fd    The descriptor; the library duplicates it (close-on-exec), the caller keeps it.
 * @param[out] area  The area; the caller owns one reference and ends it with ashmem_close().
 * @return 0 on success.
 * @retval -EINVAL   @p area is NULL, or @p fd is neither an ashmem descriptor nor a memfd.
 * @retval -EBADF    @p fd is not open, or was opened write-only or with O_PATH.
 * @retval -EPERM    The memfd carries an area's state but lacks the seals against resizing: not
 *   made by libashmem.
 * @retval -EPROTO   The state was made by an incompatible version of libashmem, or with another
 *   page size or byte order; or the memfd is one of huge pages.
 * @retval -EUCLEAN  The state is damaged.
 * @retval -EFBIG    The file is too large to be an area.
 * @retval -EMFILE, -ENFILE, -ENOMEM  No descriptor or memory left.
 * @retval -ETIMEDOUT  The area's lock was held for too long by another process.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_import(int fd, struct ashmem_area **area);

/**
 * @brief Send an area to another process over a socket; materialises the area.
 *
 * One byte goes with the descriptor as SCM_RIGHTS (unix(7)). The receiver uses ashmem_recv(), or
 * recvmsg(2) and ashmem_import().
 *
 * If it fails, the area may be materialised already and stays so.
 *
 * @param[in] socket_fd  A connected AF_UNIX socket of any type.
 * @param[in] area       An area whose size is not 0; stays the caller's.
 * @return 0 on success.
 * @retval -EINVAL    @p area is NULL, or its size is 0; or not an AF_UNIX socket.
 * @retval -EBADF, -ENOTSOCK, -ENOTCONN  @p socket_fd is not a connected socket.
 * @retval -EPIPE, -ECONNRESET  The peer is gone (no SIGPIPE is raised).
 * @retval -EAGAIN    The socket is non-blocking and full.
 * @retval -EINTR     A signal came first.
 * @retval -ETOOMANYREFS  Too many descriptors are under way.
 * @retval -ENOBUFS   The kernel has no memory for the message.
 * @retval -EMFILE, -ENFILE, -ENOMEM  The area could not be materialised, or no read-only descriptor
 *   be made.
 * @retval -ENOTSUP The mask lacks PROT_WRITE and `/proc` is not mounted or forbids it, so that
 *   there is no read-only descriptor.
 * @retval -ENODEV   The memory cannot come into being: a sandbox forbids memfd_create(2).
 * @retval -EFBIG    With the state behind it the area is larger than files of this process may be
 *   (`RLIMIT_FSIZE`).
 * @retval -EDQUOT  It does not fit into a budget that refuses (#ASHMEM_BUDGET_REFUSE).
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
 * does. Credentials and the like, if the program has asked the socket for them, are passed over.
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
 * @retval -EAGAIN    The socket is non-blocking and nothing is there.
 * @retval -EINTR     A signal came first.
 * @retval -EPERM, -EPROTO, -EUCLEAN, -EFBIG, -ENFILE, -ENOMEM, -ETIMEDOUT  As ashmem_import().
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_recv(int socket_fd, struct ashmem_area **area);

/** @} */

#ifdef __cplusplus
}
#endif

/** @} */

#endif /* ASHMEM_AREA_H */
