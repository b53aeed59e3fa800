/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_PEEK_H
#define ASHMEM_PEEK_H

/**
 * @file
 * @brief Look at an area, and purge in it, by its descriptor alone.
 *
 * @defgroup ashmem_peek Areas of others
 * @brief For a service or a tool that cares for the areas of other processes.
 *
 * Free 16 MiB of an area that another process holds, without waiting for anybody:
 *
 * @code{.c}
 * #include <ashmem/ashmem.h>
 * #include <fcntl.h>
 * #include <stdio.h>
 * #include <unistd.h>
 *
 * int main(int argc, char **argv)
 * {
 *     struct ashmem_peek_result peek = {.struct_size = sizeof(peek)};
 *
 *     if (argc != 2)
 *         return 0; // give it /proc/PID/fd/N
 *     int fd = open(argv[1], O_RDWR | O_CLOEXEC | O_NONBLOCK);
 *     if (fd < 0 || ashmem_peek(fd, &peek) < 0)
 *         return 1;
 *     struct ashmem_purge_fd_options options = {
 *         .struct_size = sizeof(options),
 *         .most_pages = (16 << 20) / (uint64_t)sysconf(_SC_PAGESIZE),
 *         .serial = {peek.serial[0], peek.serial[1]}, // of this area and no other
 *     };
 *     int64_t pages = ashmem_purge_fd(fd, &options);
 *     printf("%lld pages freed\n", (long long)(pages < 0 ? 0 : pages));
 *     close(fd);
 *     return 0;
 * }
 * @endcode
 *
 * Both take a descriptor of an area of the memfd backend, such as one opened through
 * `/proc/PID/fd`. Open it with O_NONBLOCK: a lease on the file would make open(2) wait. They import
 * nothing, and keep nothing when they return. So an area does not live longer because somebody
 * looks at it, if the descriptor is closed soon. The areas of the process itself need neither.
 * @{
 */

#include <stddef.h>
#include <stdint.h>

#include <ashmem/area.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An area as it was at one moment. Peers wrote all of it, and may have written anything. */
struct ashmem_peek_result {
	size_t struct_size;       /**< Set by the caller: bytes of this structure that it knows. */
	uint64_t size_bytes;      /**< The area's size. */
	uint64_t serial[2];       /**< Tells it apart from any other area, also from later ones. */
	uint64_t unpinned_ranges; /**< Ranges in the range list. */
	uint64_t unpinned_pages;  /**< Pages in those ranges. */
	uint64_t evictable_pages; /**< Pages that a purge could free; 0 if sealed. */
	uint64_t resident_pages;  /**< Pages of the data that use memory or swap space. */
	uint64_t purged_pages;    /**< Pages purged since the area was made. */
	/**
	 * The key of the range to purge first, to compare with that of other areas: the smallest is
	 * purged first. UINT64_MAX if there is none.
	 */
	uint64_t oldest_key;
	uint32_t prot;     /**< The protection mask. */
	uint32_t busy;     /**< 1: a call had it locked at that moment; else 0. */
	uint32_t readers;  /**< 1: there may be read-only pins or holds; else 0. */
	uint32_t sealed;   /**< 1: sealed against writing, so nothing can be purged; else 0. */
	uint32_t damaged;  /**< 1: calls on it return -EUCLEAN; else 0. */
	uint32_t reserved; /**< 0. */
	char name[ASHMEM_NAME_LEN]; /**< Its name, "" for none. Escape it before printing it. */
};

/** How to purge. Zero is the default of every member but the first. */
struct ashmem_purge_fd_options {
	size_t struct_size;  /**< Set by the caller: bytes of this structure that it fills in. */
	uint64_t most_pages; /**< Stop when so many are freed; 0: all that can be. */
	uint64_t newest_key; /**< Purge no range with a larger key (`oldest_key`); 0: any. */
	uint64_t serial[2];  /**< Only if the area has it; all 0: any area. */
	uint32_t wait_ms;    /**< Longest wait for the area's lock, up to 5000; 0: one try. */
	uint32_t reserved;   /**< 0. */
};

/**
 * @brief Look at an area without locking or mapping it.
 *
 * It costs some ten system calls. What it sees while another process changes the area (`busy`) can
 * be half of one state and half of the next.
 *
 * @param[in]     fd    A descriptor of the area, readable.
 * @param[in,out] peek  Filled up to the bytes in `struct_size`; the caller owns it.
 * @return 0 on success.
 * @retval -EINVAL  @p peek is NULL, or `struct_size` is too small (@ref ashmem_structs).
 * @retval -EBADF   @p fd is no descriptor, or cannot be read.
 * @retval -ENOTTY  It is no area of the memfd backend, or has no pin state yet.
 * @retval -EPROTO  Its state has another version.
 * @retval -EPERM   It can be resized, which no area can.
 * @retval -EUCLEAN What it says of its size is not true, or cannot be read.
 * @retval -ENOMEM  The kernel has no memory to read with.
 *
 * Threads: any thread. It may move the file position of the description that @p fd refers to.
 * @since 1.0
 */
int ashmem_peek(int fd, struct ashmem_peek_result *peek) ASHMEM_MUST_CHECK;

/**
 * @brief Purge unpinned pages of one area, the least recently unpinned first.
 *
 * Pinned and held pages stay. Only pages that hold memory count and are freed.
 *
 * @param[in] fd       A descriptor of the area, readable and writable.
 * @param[in] options  NULL: all defaults.
 * @return The number of pages freed; 0 if there were none.
 * @retval -EINVAL  `struct_size` is too small (@ref ashmem_structs), or `wait_ms` is above 5000.
 * @retval -E2BIG   `struct_size` is larger than what this library knows, and the rest is not all
 *   zero.
 * @retval -ESTALE  The area has another serial.
 * @retval -EACCES  @p fd cannot be written through, or the area is sealed.
 * @retval -EAGAIN  Another call has the area locked and nothing was freed; with `wait_ms`, it had
 *   it so long.
 * @retval -EBADF, -ENOTTY, -EPROTO, -EPERM, -EUCLEAN  As ashmem_peek().
 * @retval -EIO     The kernel refused to free pages, and nothing was freed.
 * @retval -ENOMEM  No memory or address space to map the state.
 * @retval -EDEADLK Called from an operation of a registered backend, within a purge (@ref
 *   ashmem_backend).
 *
 * Threads: any thread. It may move the file position of the description that @p fd refers to.
 * @since 1.0
 */
int64_t ashmem_purge_fd(int fd, const struct ashmem_purge_fd_options *options) ASHMEM_MUST_CHECK;

#ifdef __cplusplus
}
#endif

/** @} */

#endif /* ASHMEM_PEEK_H */
