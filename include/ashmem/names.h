/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_NAMES_H
#define ASHMEM_NAMES_H

/**
 * @file
 * @brief Areas by name: processes of one user meet without a socket and without a server.
 *
 * @defgroup ashmem_names Areas by name
 * @brief Processes of one user meet by a name, without a socket and without a server.
 *
 * One process publishes an area, and any process of the same user opens it:
 *
 * @code{.unparsed}
 * ashmem_publish(area, "org.example.tiles");          // in one process
 *
 * struct ashmem_area *area;                           // in another
 * if (ashmem_open_named("org.example.tiles", &area) == 0)
 *     ...                                             // the same area
 * @endcode
 *
 * - A name lasts **as long as a process that is listed under it holds the area**. A process is
 *   listed by ashmem_publish() and by ashmem_open_named(). Nothing needs to be called at the end:
 *   processes that closed the area, or died, are passed over, and their names are removed by the
 *   next call that opens a name.
 * - **A child of fork is not listed**, though it holds the area. It becomes so by a call of its
 *   own. A daemon publishes after it has forked.
 * - **Who meets:** processes with the same effective user id, in the same process namespace, that
 *   see the same directory. This is `ashmem` below `/run/user/UID` or `ashmem-UID` below `/tmp`,
 *   whichever exists; if none does, the first that can be made. The environment does not count. A
 *   service with a `/tmp` of its own (systemd: `PrivateTmp=`) meets the others only where it sees
 *   `/run/user/UID`. If the system removes `/run/user/UID` at the end of the user's last session,
 *   the names in it are gone; the areas are not.
 * - **Who can open:** any process of the user, and root if it takes the user's id. Openers can
 *   write, unless the area was exported read-only or sealed before: then they get a read-only
 *   handle. A directory or file that another user can change is never used.
 * - A process whose memory others must not see (prctl(2), `PR_SET_DUMPABLE`; more capabilities
 *   than the opener) cannot be opened through: -EACCES, unless another holder can.
 * - At most 1,024 processes are listed under a name. More can hold the area; nobody finds it
 *   through them.
 *
 * A **name** has 1 to 200 bytes, any but '/' and NUL. Names of all programs of a user share one
 * space, so begin them with a domain or program of yours.
 *
 * These calls work on areas of the memfd backend alone, and need `/proc`. Threads: any thread. Each
 * waits at most five seconds for another process that is working on the same name.
 * @{
 */

#include <ashmem/area.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief Let processes of this user open an area by a name.
 *
 * Materialises a new area. Publishing an area again, under this name or another, is fine.
 *
 * @param[in] area  The area. It stays the caller's; the name lasts until it is closed.
 * @param[in] name  The name.
 * @return 0 on success.
 * @retval -EEXIST  A process holds another area under this name.
 * @retval -EINVAL  @p area is NULL or has no size; @p name is NULL, empty, longer than 200 bytes or
 *   contains '/'.
 * @retval -ENOTSUP `/proc` is not mounted, or the area is not one of the memfd backend with state
 *   of its own.
 * @retval -EPERM   Another user made or can change the directory or the file of the name.
 * @retval -EACCES  A process holds an area under this name, and this one may not look into it; or
 *   the directory cannot be made.
 * @retval -ENOSPC, -EDQUOT, -EROFS, -EIO  The directory or the file cannot be written.
 * @retval -ENOENT  There is neither `/run/user/UID` nor `/tmp`.
 * @retval -EBADF, -ENODEV, -EFBIG, -ESTALE, -EUCLEAN  As ashmem_fd().
 * @retval -ENOMEM, -EMFILE, -ENFILE  Out of memory or descriptors.
 * @retval -ETIMEDOUT  Another process works on the name for more than five seconds.
 *
 * @since 1.0
 */
int ashmem_publish(struct ashmem_area *area, const char *name) ASHMEM_MUST_CHECK;

/**
 * @brief Open an area by its name.
 *
 * The caller is listed under the name from then on.
 *
 * @param[in]  name  The name.
 * @param[out] area  The area; the caller owns it and ends it with ashmem_close(). If this process
 *   holds it already, it is another reference to the same.
 * @return 0 on success.
 * @retval -ENOENT  No process holds an area under this name.
 * @retval -EINVAL  @p area is NULL; @p name is NULL, empty, longer than 200 bytes or contains '/'.
 * @retval -ENOTSUP `/proc` is not mounted.
 * @retval -EPERM   Another user made or can change the directory or the file of the name.
 * @retval -EACCES  A process holds an area under this name, and this one may not look into it; or
 *   the directory cannot be made.
 * @retval -ENOSPC, -EDQUOT, -EROFS, -EIO  The directory or the file cannot be written.
 * @retval -EPROTO  Another version of the library made the area.
 * @retval -EBADF, -EUCLEAN  As ashmem_import().
 * @retval -ENOMEM, -EMFILE, -ENFILE  Out of memory or descriptors.
 * @retval -ETIMEDOUT  Another process works on the name for more than five seconds, or holds the
 *   area's lock.
 *
 * @since 1.0
 */
int ashmem_open_named(const char *name, struct ashmem_area **area) ASHMEM_MUST_CHECK;

/**
 * @brief Take a name away from its area.
 *
 * The area goes on in the processes that hold it. The next to publish that name is free to.
 *
 * @param[in] name  The name.
 * @return 0 on success.
 * @retval -ENOENT  No process holds an area under this name.
 * @retval -EINVAL  @p name is NULL, empty, longer than 200 bytes or contains '/'.
 * @retval -ENOTSUP `/proc` is not mounted.
 * @retval -EPERM   Another user made or can change the directory or the file of the name.
 * @retval -EACCES  The directory cannot be made.
 * @retval -ENOSPC, -EDQUOT, -EROFS, -EIO  The directory or the file cannot be written.
 * @retval -ENOMEM, -EMFILE, -ENFILE  Out of memory or descriptors.
 * @retval -ETIMEDOUT  Another process works on the name for more than five seconds.
 *
 * @since 1.0
 */
int ashmem_unpublish(const char *name);

#ifdef __cplusplus
}
#endif

/** @} */

#endif /* ASHMEM_NAMES_H */
