/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_BACKEND_H
#define ASHMEM_BACKEND_H

/**
 * @file
 * @brief Backends: where areas come from, which one is used, and how to add another.
 *
 * @defgroup ashmem_backend Backends
 * @brief Where areas come from.
 *
 * A backend makes areas. Most programs never choose one.
 *
 * - "memfd" works on every Linux since 4.14 without privilege. The processes that hold an area
 *   purge it (@ref ashmem_who_purges).
 * - "kernel" uses the driver at `/dev/ashmem` where there is one. The driver purges.
 * - "auto", the default, takes "kernel" where it works and "memfd" elsewhere.
 *
 * The environment variable `ASHMEM_BACKEND` names another default (ignored in set-user-ID programs,
 * secure_getenv(3)); ashmem_backend_select() overrides both. The choice is made when an area is
 * created. An imported area gets the backend that recognises its descriptor, whatever is selected.
 * ashmem_backend_register() adds a backend of the program's own.
 * @{
 */

#include <stddef.h>
#include <stdint.h>

#include <ashmem/area.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Capability: the library keeps the LRU. `evictable`, `oldest` and `purge` are there. */
#define ASHMEM_BACKEND_CAP_LRU 1u
/** Capability: somebody else (the kernel) purges, and `purge_all` asks for it. */
#define ASHMEM_BACKEND_CAP_PURGE_ALL 2u
/** Capability: `find_unpinned` and `get_stats` are there. */
#define ASHMEM_BACKEND_CAP_INSPECT 4u
/** Capability: `seal` is there, and `create` takes #ASHMEM_CREATE_ALLOW_SEAL. */
#define ASHMEM_BACKEND_CAP_SEAL 8u
/** Capability: `export_read_only` is there. */
#define ASHMEM_BACKEND_CAP_EXPORT 16u
/** Capability: `hold` and `release` are there. */
#define ASHMEM_BACKEND_CAP_HOLDS 32u
/** Capability: `unpin_with` is there. */
#define ASHMEM_BACKEND_CAP_PRIORITIES 64u
/** Capability: `pin_lost` is there. */
#define ASHMEM_BACKEND_CAP_LOST 128u

/**
 * @brief The operations of one backend, filled in by the program that adds it.
 *
 * **Not frozen before 1.0**: until then members may move, and a program with a backend of its own
 * is compiled anew for each release.
 *
 * A backend must have `create`, `close`, `get_size`, `map`, `pin` and `unpin`. The other operations
 * are optional: NULL, or beyond `struct_size`. A capability calls for those that its description
 * names.
 *
 * The library checks arguments once, before it calls: pointers are not NULL, ranges are page
 * aligned, not empty and within the area, sizes fit. Every operation returns 0 or a positive
 * result, or a negative errno value with outputs untouched and nothing changed. Operations on one
 * area can be called by several threads at once; after the last `close` none comes. `pin`, `unpin`
 * and `get_pin_status` must not be cancellation points (pthreads(7)); the others are called with
 * cancellation disabled.
 *
 * **Calling the library from an operation.** Operations are called with no lock of the library
 * held, and may call it, but for these:
 *
 * 1. `get_size`, `evictable`, `present`, `resident`, `oldest` and `begin_purge` can be called with
 *    locks held. They must not call the library, ashmem_backend_key() apart.
 * 2. `purge` is called with the lock that lets one purge of the process run at a time. It may call
 *    the library, but no other purge begins: ashmem_shrink(), ashmem_purge_all(),
 *    ashmem_budget_set_limits() and ashmem_purge_unsubscribe() return -EDEADLK;
 *    ashmem_shrink_count() counts areas alone; ashmem_shrinker_unregister() does not wait for calls
 *    under way. What a budget, a debug mode or a watch on memory pressure would purge after a call
 *    is left to a later call. It must not fork, not call a function of a watch, and not wait for a
 *    thread that calls the library.
 * 3. While the debug mode "trap-unpinned" is on, the same holds for `pin`, `pin_lost`, `unpin`,
 *    `unpin_with`, `hold`, `release` and `get_pin_status`.
 */
struct ashmem_backend {
	/** Set by the caller: bytes of this structure that it fills in, at least up to `unpin`. */
	size_t struct_size;
	const char *name;      /**< Short and unique; not "auto". Must stay valid for good. */
	uint32_t capabilities; /**< ASHMEM_BACKEND_CAP_ bits. */
	void *userdata;        /**< Passed to `create`, `probe`, `import` and `purge_all`. */

	/**
	 * Make an area, not materialised; `name` is at most 255 bytes, "" for none. `*state` is
	 * passed to the other operations.
	 */
	int (*create)(void *userdata, const char *name, uint64_t size_bytes, uint32_t flags,
		void **state);
	/** End the process's use of the area: close its descriptor; mappings stay. */
	void (*close)(void *state);
	/**
	 * Read the size and, in `*materialised`, 1 if the area is materialised. Both are final
	 * then.
	 */
	int (*get_size)(void *state, uint64_t *size_bytes, int *materialised);
	/** Materialise and map; offset and length are checked, `prot` is within the mask. */
	int (*map)(void *state, uint64_t offset, size_t length, int prot, int map_flags,
		void **addr);
	/** Pin bytes of a materialised area; #ASHMEM_WAS_PURGED or #ASHMEM_NOT_PURGED. */
	int (*pin)(void *state, uint64_t offset, uint64_t length);
	/** Unpin bytes of a materialised area. */
	int (*unpin)(void *state, uint64_t offset, uint64_t length);

	/* From here on every operation may be NULL. */

	/**
	 * Whether the backend works here: 0, or a negative errno. Called often: make it cheap, or
	 * remember the result. NULL: it works.
	 */
	int (*probe)(void *userdata);
	/**
	 * Recognise a descriptor and duplicate it (close-on-exec). -ENOTTY: not one of mine. If
	 * this is an area that it returned before and that is not closed yet, it returns the same
	 * state; `close` is called once for every success. NULL: it knows no descriptor.
	 */
	int (*import)(void *userdata, int fd, void **state);
	/**
	 * Set the name; -EINVAL if materialised. At most 255 bytes, "" for none. NULL: -ENOTSUP.
	 */
	int (*set_name)(void *state, const char *name);
	/** Read the name into ASHMEM_NAME_LEN bytes; "" for none. NULL: there is none. */
	int (*get_name)(void *state, char *name);
	/** Set the size; -EINVAL if materialised. NULL: -ENOTSUP, the size is that of `create`. */
	int (*set_size)(void *state, uint64_t size_bytes);
	/** Remove bits from the mask; -EINVAL for a bit that is not in it. NULL: -ENOTSUP. */
	int (*set_prot)(void *state, int prot);
	/** Read the mask. NULL: everything is allowed. */
	int (*get_prot)(void *state);
	/**
	 * Materialise (the size is not 0) and return the descriptor to hand out, which the area
	 * owns. NULL: -ENOTSUP, areas cannot be shared.
	 */
	int (*get_fd)(void *state);
	/** Read at the shared position and move it. The area is materialised. NULL: -ENOTSUP. */
	int64_t (*read)(void *state, void *buf, size_t length);
	/** Read at an offset. The area is materialised. NULL: -ENOTSUP. */
	int64_t (*pread)(void *state, void *buf, size_t length, uint64_t offset);
	/** Move the position, as lseek(2). The area is materialised. NULL: -ENOTSUP. */
	int64_t (*seek)(void *state, int64_t offset, int whence);
	/** #ASHMEM_IS_PINNED or #ASHMEM_IS_UNPINNED. NULL: -ENOTSUP. */
	int (*get_pin_status)(void *state, uint64_t offset, uint64_t length);

	/** CAP_LRU: pages that a purge could free now. */
	uint64_t (*evictable)(void *state);
	/**
	 * CAP_LRU: 1 and the key (ashmem_backend_key()) of the evictable range to purge first, or 0
	 * if there is none. Takes no lock.
	 */
	int (*oldest)(void *state, uint64_t *key);
	/**
	 * CAP_LRU: purge ranges (noting each by ashmem_backend_note_purged()) in the order of their
	 * keys, none with a key above `newest`, until `nr_pages` are freed or a bounded piece of
	 * work is done; returns the pages freed, 0 if there was nothing.
	 */
	int64_t (*purge)(void *state, uint64_t newest, uint64_t nr_pages);
	/**
	 * With CAP_LRU, NULL: nothing. A purge over several areas begins or has ended: ranges that
	 * it passed over, because another process held them, count for `oldest` and `purge` again.
	 * Not called by two threads at once.
	 */
	void (*begin_purge)(void *state);
	/**
	 * With CAP_LRU, NULL: the whole size, once materialised. Pages of a materialised area that
	 * are not purged, for budgets.
	 */
	uint64_t (*present)(void *state);
	/**
	 * With CAP_LRU, NULL: all that is `present`. Pages that the area's data take in memory or
	 * swap space, or a little more, for budgets.
	 */
	uint64_t (*resident)(void *state);
	/**
	 * CAP_PURGE_ALL: purge all areas of the system; returns the pages that were purgeable.
	 */
	int64_t (*purge_all)(void *userdata);

	/** CAP_INSPECT: as ashmem_find_unpinned(); the outputs are not NULL. */
	int (*find_unpinned)(void *state, uint64_t from, uint64_t *offset, uint64_t *length,
		uint32_t *range_state);
	/**
	 * CAP_INSPECT: as ashmem_area_get_stats(), into a struct ashmem_area_stats of zeroes, no
	 * more than its `struct_size`.
	 */
	int (*get_stats)(void *state, void *stats);

	/** CAP_SEAL: as ashmem_seal(); the size is not 0. */
	int (*seal)(void *state);
	/** CAP_EXPORT: as ashmem_export_read_only(); the size is not 0. */
	int (*export_read_only)(void *state);
	/** CAP_HOLDS: as ashmem_hold(), of bytes of a materialised area. */
	int (*hold)(void *state, uint64_t offset, uint64_t length);
	/** CAP_HOLDS: as ashmem_release(). */
	int (*release)(void *state, uint64_t offset, uint64_t length, uint32_t flags);
	/** CAP_PRIORITIES: as ashmem_unpin_with(), of bytes of a materialised area. */
	int (*unpin_with)(void *state, uint64_t offset, uint64_t length, uint32_t priority,
		uint32_t order);
	/** CAP_LOST: as ashmem_pin_lost(), of bytes of a materialised area; `capacity` is not 0. */
	int (*pin_lost)(void *state, uint64_t offset, uint64_t length, struct ashmem_extent *lost,
		uint32_t capacity, uint32_t *count);

	/**
	 * Find the area whose descriptor this is among those that are not closed; success counts as
	 * an `import`. -ENOENT or -ENOTTY: none of them. NULL: it finds none.
	 */
	int (*find)(void *userdata, int fd, void **state);
	/** As ashmem_fd_kind(); -ENOTTY: not one of mine. NULL: it knows no descriptor. */
	int (*fd_kind)(void *userdata, int fd);
	/** As ashmem_get_id(). NULL: -ENOTSUP. */
	int (*get_id)(void *state, uint64_t *device, uint64_t *inode);
	/** As ashmem_export_early(). NULL: -ENOTSUP. */
	int (*export_early)(void *state);
};

/**
 * @brief The key of an unpinned range, for `oldest` and `purge`: the smallest key is purged
 *   first.
 *
 * @param[in] priority  #ASHMEM_PRIORITY_FIRST to #ASHMEM_PRIORITY_LAST; #ASHMEM_PRIORITY_NORMAL for
 *   a plain unpin. A higher number counts as #ASHMEM_PRIORITY_LAST.
 * @param[in] order     #ASHMEM_ORDER_FIFO, also for a plain unpin, or #ASHMEM_ORDER_LIFO.
 * @param[in] stamp_ns  CLOCK_MONOTONIC at the unpin, in nanoseconds.
 * @return The key; never fails.
 *
 * Threads: any thread.
 * @since 0.9
 */
uint64_t ashmem_backend_key(uint32_t priority, uint32_t order, uint64_t stamp_ns);

/**
 * @brief Choose the backend for areas created from now on.
 *
 * The choice holds for the whole process. Existing areas keep their backend.
 *
 * @param[in] name  "auto", "kernel", "memfd", or the name of a registered backend.
 * @return 0 on success.
 * @retval -EINVAL  @p name is NULL.
 * @retval -ENOENT  There is no backend of that name.
 * @retval -ENODEV  That backend does not work on this system.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_backend_select(const char *name);

/**
 * @brief Read the name of an area's backend.
 *
 * @param[in] area  An area.
 * @return "kernel", "memfd", or a registered backend's name: a static string; NULL if @p area is
 *   NULL.
 *
 * Threads: any thread.
 * @since 0.9
 */
const char *ashmem_backend_name(const struct ashmem_area *area);

/**
 * @brief Add a backend.
 *
 * "auto" never takes it. It is used when it is selected by name, and ashmem_import() calls it
 * before the built-in ones. A backend cannot be removed.
 *
 * @param[in] backend  The operations; copied, and not used after the call. Name, functions and
 *   `userdata` must stay valid until the process ends.
 * @return 0 on success.
 * @retval -EINVAL  @p backend is NULL, `struct_size` ends before `unpin` or within a member, its
 *                  name is NULL, "" or "auto", it has an unknown capability, or an operation that
 *                  every backend must have or that its capabilities call for is NULL.
 * @retval -E2BIG   `struct_size` is larger than what this library knows, and the rest is not all
 *   zero.
 * @retval -EEXIST  There is already a backend of that name.
 * @retval -ENOSPC  Eight have been registered already.
 *
 * Threads: any thread.
 * @since 0.9
 */
int ashmem_backend_register(const struct ashmem_backend *backend);

/**
 * @brief Called by a backend within its `purge` operation: these bytes of the area are gone.
 *
 * The subscribers of ashmem_purge_subscribe() are called with them when the purge is done. If a
 * `purge` freed something and did not call this, they are called with the whole area. Free at most
 * 96 pieces that are no neighbours in one `purge`, and return then: from there on a notice may
 * cover what lies between them. Elsewhere, and if nobody has subscribed, it does nothing.
 *
 * @param[in] offset  First byte, page aligned.
 * @param[in] length  Bytes, a multiple of the page size, not 0.
 *
 * Threads: the one that `purge` was called on. Takes no lock.
 * @since 0.9
 */
void ashmem_backend_note_purged(uint64_t offset, uint64_t length);

#ifdef __cplusplus
}
#endif

/** @} */

#endif /* ASHMEM_BACKEND_H */
