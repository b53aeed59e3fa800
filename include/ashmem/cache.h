/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_CACHE_H
#define ASHMEM_CACHE_H

/**
 * @file
 * @brief A cache of keys and values that processes share, and that gives memory back.
 *
 * @defgroup ashmem_cache Caches
 * @brief Keys and values, shared by processes, purged when memory is short.
 *
 * Make one, put what is expensive to make, read it again, make it anew when it is gone:
 *
 * @code{.c}
 * #include <ashmem/ashmem.h>
 * #include <stdio.h>
 * #include <string.h>
 *
 * int main(void)
 * {
 *     struct ashmem_cache_options options = {
 *         .struct_size = sizeof(options),
 *         .most_bytes = 64 << 20,
 *     };
 *     struct ashmem_cache *cache;
 *     char page[100];
 *
 *     if (ashmem_cache_create("pages", &options, &cache) < 0)
 *         return 1;
 *     int64_t bytes = ashmem_cache_read(cache, "/index", 6, page, sizeof(page));
 *     if (bytes < 0) { // not there, or not any more: make it
 *         bytes = snprintf(page, sizeof(page), "<h1>Hello</h1>");
 *         ashmem_cache_put(cache, "/index", 6, page, (size_t)bytes, 60000);
 *     }
 *     fwrite(page, 1, (size_t)bytes, stdout);
 *     ashmem_cache_close(cache);
 *     return 0;
 * }
 * @endcode
 *
 * - One cache is one area, so one descriptor: children inherit it, peers get it by a socket and
 *   call ashmem_cache_import(), or all open it by name (ashmem_cache_open()). Nobody serves: each
 *   process reads and writes the shared memory itself.
 * - **What was put may be gone at any time.** It was purged (by ashmem_shrink(), a budget or a
 *   pressure watch of any process that has the cache), it had to give way to newer entries, it
 *   expired, or it was removed. Then a read returns -ENOENT. What a read does return is whole, and
 *   is what was put last under that key.
 * - A process may be killed at any moment. Its unfinished put is never seen, and nobody waits for
 *   it: what it held is free when it is dead.
 * - Keys are 1 to #ASHMEM_CACHE_KEY_MOST bytes of any content. Values are any bytes, also none.
 * - All peers that can write are trusted with the contents: what they write into the memory beside
 *   the calls is not checked. They cannot make a call crash or wait for ever.
 * - Times are those of CLOCK_MONOTONIC: processes in different time namespaces (time_namespaces(7))
 *   disagree when a value expires.
 * - Do not pin, unpin, hold or release pages of a cache's area yourself.
 * - A cache is always made by the memfd backend. Writing, and holding a value in place, need
 *   `/proc`.
 *
 * There are no counters. A counter in memory that may be purged starts again at 0 without anybody
 * noticing, and what needs one (a rate limit, a quota) must not forget.
 *
 * @section ashmem_cache_errors Errors
 *
 * Any call can return -EINVAL for a NULL pointer or an unknown flag, and those that take a key
 * -EINVAL for an empty key and -EFBIG for one of more than #ASHMEM_CACHE_KEY_MOST bytes.
 * -ETIMEDOUT, -EUCLEAN and -EBADF are as in @ref ashmem_common_errors. Calls that write return
 * **-EACCES** through a descriptor that allows no writing. On failure nothing has changed.
 * @{
 */

#include <stddef.h>
#include <stdint.h>

#include <ashmem/area.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes of the longest key. */
#define ASHMEM_CACHE_KEY_MOST 1024u

/** ashmem_cache_put_with(): only if the key has no value yet, else -EEXIST. */
#define ASHMEM_PUT_ADD 1u
/** ashmem_cache_put_with(): only if the key has a value, else -ENOENT. */
#define ASHMEM_PUT_REPLACE 2u

/** ashmem_cache_claim(): the value is there. */
#define ASHMEM_CLAIM_FOUND 0
/** ashmem_cache_claim(): there is no value, and the caller is the one who builds it. */
#define ASHMEM_CLAIM_BUILD 1

/** One reference to a cache. Opaque. */
struct ashmem_cache;

/** A value in place, room for one, or a claim. Opaque; ends with ashmem_entry_release(). */
struct ashmem_entry;

/** How a new cache is laid out; it grows as @ref ashmem_structs says. */
struct ashmem_cache_options {
	size_t struct_size; /**< Set by the caller: bytes of this structure that it knows. */
	/** Bytes for keys and values together; 0: 64 MiB. At least 1 MiB are used. */
	uint64_t most_bytes;
	/**
	 * Entries that are expected; 0: one for each KiB of @ref most_bytes. The index, which is
	 * never purged, takes about 16 bytes for each. With more, old ones are dropped.
	 */
	uint64_t entries;
	/**
	 * Bytes of the largest value; 0: a 64th of @ref most_bytes, and at most 1 MiB. At most a
	 * quarter of @ref most_bytes, and at most 1 GiB. A value that is larger than a segment
	 * (@ref ashmem_cache_stats.segment_bytes) takes some next to each other, for itself alone.
	 * With more than a 64th here, segments are larger too, and so is what a purge takes at
	 * once.
	 */
	uint64_t value_most_bytes;
	uint32_t flags;    /**< 0. */
	uint32_t reserved; /**< 0. */
};

/**
 * Counts of a cache since it was made, over all processes that can write to it. Reads are counted
 * in batches, so those of other processes may be some hundred behind. Reads through read-only
 * descriptors are not counted.
 */
struct ashmem_cache_stats {
	size_t struct_size;      /**< Set by the caller: bytes of this structure that it knows. */
	uint64_t hits;           /**< Reads that found a value. */
	uint64_t misses;         /**< Reads that did not: the sum of the following four. */
	uint64_t misses_never;   /**< Nothing shows that the key was ever there. */
	uint64_t misses_purged;  /**< A purge freed the value. */
	uint64_t misses_expired; /**< Its time was over. */
	uint64_t
		misses_dropped; /**< It had given way to newer entries, or the cache was cleared. */
	uint64_t puts;          /**< Values put. */
	uint64_t removes;       /**< Values removed. */
	uint64_t evictions;     /**< Segments whose entries gave way to newer ones. */
	uint64_t carried;       /**< Entries that were kept then, because they are used. */
	uint64_t segments;      /**< Pieces that the memory is divided into, purged one by one. */
	uint64_t segment_bytes; /**< Bytes of each. */
	uint64_t bytes;         /**< Bytes of all segments: most that entries can take. */
	uint64_t bytes_unused;  /**< Of `bytes`: never used, or purged and not used since. */
	uint64_t bytes_filled; /**< Of the rest: with entries, those that were replaced included. */
	uint64_t bytes_index;  /**< Bytes of the index and what else is never purged. */
	uint64_t entries_most; /**< Slots of the index. */
};

/**
 * @brief Make a cache.
 *
 * @param[in]  name     Name for `/proc/PID/maps` and ashmem_get_name(); NULL or "" for none. Two
 *   caches with one name are two caches: ashmem_cache_open() is what meets by name.
 * @param[in]  options  NULL: all defaults.
 * @param[out] cache    The cache; the caller ends it with ashmem_cache_close().
 * @return 0 on success.
 * @retval -EINVAL  @p cache is NULL, or a flag is unknown.
 * @retval -E2BIG   An option that this library does not know is not 0.
 * @retval -EFBIG   512 GiB or more, 2^32 entries or more, or a largest value of more than a quarter
 *   of the cache or of 1 GiB.
 * @retval -ENOTSUP `/proc` is not mounted or forbids what writing needs.
 * @retval -ENODEV, -EMFILE, -ENFILE, -ENOMEM, -EDQUOT, -ETIMEDOUT, -EUCLEAN, -EBADF  As
 *   ashmem_fd().
 *
 * Threads: any thread.
 * @since 1.0
 */
int ashmem_cache_create(const char *name, const struct ashmem_cache_options *options,
	struct ashmem_cache **cache) ASHMEM_MUST_CHECK;

/**
 * @brief Open the calling user's cache of that name; make it if there is none.
 *
 * Unrelated processes of one user meet by name, as @ref ashmem_names says; of several that open at
 * once, one makes it. The cache lives as long as one process has it. The options count for who
 * makes it: a cache that is there keeps its own.
 *
 * A child of `fork` has the cache too, and is not found by its name: if its parent ends first, the
 * next one to open the name makes another cache. So let a process that lasts open it, or each
 * worker for itself.
 *
 * @param[in]  name     1 to 200 bytes, without `/`.
 * @param[in]  options  NULL: all defaults.
 * @param[out] cache    The cache; the caller ends it with ashmem_cache_close().
 * @return 0 on success.
 * @retval -EINVAL  @p name or @p cache is NULL, the name is empty, longer than 200 bytes or has a
 *   `/`; or an option is not valid, and the cache had to be made.
 * @retval -EPROTO  The area of that name is no cache, or one of another version.
 * @retval -EPERM   Another user made or can change the directory or the file of the name.
 * @retval -EACCES  A process has a cache of this name, and this one may not look into it; or the
 *   directory cannot be made.
 * @retval -ENOSPC, -EROFS, -EIO, -ENOENT  The directory or the file of the name cannot be written.
 * @retval -E2BIG, -EFBIG, -ENOTSUP, -ENODEV, -EMFILE, -ENFILE, -ENOMEM, -EDQUOT  As
 *   ashmem_cache_create().
 * @retval -EBADF, -EUCLEAN  As ashmem_cache_import().
 * @retval -ETIMEDOUT  Another process works on the name for more than five seconds, or has the
 *   cache's lock.
 *
 * Threads: any thread.
 * @since 1.0
 */
int ashmem_cache_open(const char *name, const struct ashmem_cache_options *options,
	struct ashmem_cache **cache) ASHMEM_MUST_CHECK;

/**
 * @brief Make a cache from a descriptor that came from a peer, or from a parent.
 *
 * Through a read-only descriptor (ashmem_export_read_only() of ashmem_cache_area()) the cache can
 * be read and not written. A process that already has the cache writable gets it writable again.
 *
 * @param[in]  fd     The descriptor; the library duplicates it, the caller keeps it.
 * @param[out] cache  The cache; the caller ends it with ashmem_cache_close().
 * @return 0 on success.
 * @retval -EPROTO  The area is no cache, or one of another version.
 * @retval -EUCLEAN Its layout is damaged.
 * @retval -ENOTSUP Writable, and `/proc` is not mounted or forbids what writing needs.
 * @retval -EINVAL, -EBADF, -EPERM, -EFBIG, -EMFILE, -ENFILE, -ENOMEM, -ETIMEDOUT  As
 *   ashmem_import().
 *
 * Threads: any thread.
 * @since 1.0
 */
int ashmem_cache_import(int fd, struct ashmem_cache **cache) ASHMEM_MUST_CHECK;

/**
 * @brief Return the cache's descriptor, to send to a peer.
 *
 * @param[in] cache  A cache.
 * @return The descriptor, borrowed: the cache owns it; `dup` it to keep it.
 * @retval -EINVAL, -EBADF  See @ref ashmem_cache_errors.
 *
 * Threads: any thread.
 * @since 1.0
 */
int ashmem_cache_fd(struct ashmem_cache *cache) ASHMEM_MUST_CHECK;

/**
 * @brief Return the cache's area, for a budget, for statistics, to send it or to export it.
 *
 * @param[in] cache  A cache.
 * @return The area, borrowed: the cache owns it; NULL if @p cache is NULL.
 *
 * Threads: any thread.
 * @since 1.0
 */
struct ashmem_area *ashmem_cache_area(struct ashmem_cache *cache);

/**
 * @brief Give back one reference to a cache.
 *
 * Its entries stay good, each until it is released: a value in place, room, which can still be
 * committed, or a claim. The memory of the cache stays in the process until the last of them is
 * released. Other processes are not affected.
 *
 * @param[in] cache  A cache; NULL is allowed.
 *
 * Threads: any thread, but no other call may use this reference at the same time or later; calls on
 * its entries may.
 * @since 1.0
 */
void ashmem_cache_close(struct ashmem_cache *cache);

/**
 * @brief Read a value: copy it.
 *
 * Takes no lock and makes no system call.
 *
 * @param[in]  cache      A cache.
 * @param[in]  key        The key.
 * @param[in]  key_bytes  Bytes of @p key.
 * @param[out] buf        Receives the value, or as much of it as fits. May be NULL if @p buf_bytes
 *   is 0. On failure its bytes are undefined.
 * @param[in]  buf_bytes  Bytes of @p buf.
 * @return The bytes of the value, also if they are more than @p buf_bytes.
 * @retval -ENOENT  There is no such value, or no more.
 * @retval -EINVAL, -EFBIG  See @ref ashmem_cache_errors.
 *
 * Threads: any thread.
 * @since 1.0
 */
int64_t ashmem_cache_read(struct ashmem_cache *cache, const void *key, size_t key_bytes, void *buf,
	size_t buf_bytes) ASHMEM_MUST_CHECK;

/**
 * @brief Get a value that stays until it is released.
 *
 * A large value is given in place, in one piece: it is not copied, and no purge takes it while it
 * is held. A small one (below 16 KiB) and every one through a read-only descriptor is given as a
 * private copy, which is cheaper, or the only way.
 *
 * @param[in]  cache      A cache.
 * @param[in]  key        The key.
 * @param[in]  key_bytes  Bytes of @p key.
 * @param[out] entry      The value: ashmem_entry_value(). End it with ashmem_entry_release().
 * @return 0 on success.
 * @retval -ENOENT  There is no such value, or no more.
 * @retval -ENOMEM  No memory.
 * @retval -ENOTSUP The kernel has no locks on open file descriptions (some sandboxes).
 * @retval -EINVAL, -EFBIG, -ETIMEDOUT, -EUCLEAN, -EBADF  See @ref ashmem_cache_errors.
 *
 * Threads: any thread. A child of `fork` has a copy of the entry, with a hold of its own.
 * @since 1.0
 */
int ashmem_cache_get(struct ashmem_cache *cache, const void *key, size_t key_bytes,
	struct ashmem_entry **entry) ASHMEM_MUST_CHECK;

/**
 * @brief Put a value under a key, in place of the one that was there.
 *
 * With a budget it may purge and call purge subscribers on this thread (@ref ashmem_who_purges).
 *
 * @param[in] cache        A cache.
 * @param[in] key          The key.
 * @param[in] key_bytes    Bytes of @p key.
 * @param[in] value        The value; may be NULL if @p value_bytes is 0.
 * @param[in] value_bytes  Bytes of @p value.
 * @param[in] ttl_ms       Milliseconds until it expires; 0: it does not.
 * @return 0 on success.
 * @retval -EFBIG   The value is larger than the cache was made for, or the key is too long.
 * @retval -EAGAIN  Others hold so much of the cache that no room is left, or for a value of several
 *   segments, none in one piece; try later.
 * @retval -EINVAL, -EACCES, -ETIMEDOUT, -EUCLEAN, -EBADF  See @ref ashmem_cache_errors.
 * @retval -ENOTSUP, -ENOMEM, -EMFILE, -ENFILE  In a child of `fork`, whose first put opens a
 *   description of its own.
 *
 * Threads: any thread.
 * @since 1.0
 */
int ashmem_cache_put(struct ashmem_cache *cache, const void *key, size_t key_bytes,
	const void *value, size_t value_bytes, uint64_t ttl_ms);

/**
 * @brief Put a value under a key if there is none, or only if there is one.
 *
 * Of two processes that add one key at the same time, one succeeds.
 *
 * @param[in] cache        A cache.
 * @param[in] key          The key.
 * @param[in] key_bytes    Bytes of @p key.
 * @param[in] value        The value; may be NULL if @p value_bytes is 0.
 * @param[in] value_bytes  Bytes of @p value.
 * @param[in] ttl_ms       Milliseconds until it expires; 0: it does not.
 * @param[in] flags        0, #ASHMEM_PUT_ADD or #ASHMEM_PUT_REPLACE.
 * @return 0 on success.
 * @retval -EEXIST  #ASHMEM_PUT_ADD, and the key has a value.
 * @retval -ENOENT  #ASHMEM_PUT_REPLACE, and the key has none.
 * @retval -EFBIG, -EAGAIN, -EINVAL, -EACCES, -ETIMEDOUT, -EUCLEAN, -EBADF, -ENOTSUP, -ENOMEM,
 *   -EMFILE, -ENFILE  As ashmem_cache_put().
 *
 * Threads: any thread.
 * @since 1.0
 */
int ashmem_cache_put_with(struct ashmem_cache *cache, const void *key, size_t key_bytes,
	const void *value, size_t value_bytes, uint64_t ttl_ms, uint32_t flags) ASHMEM_MUST_CHECK;

/**
 * @brief Reserve room, to build a value in place.
 *
 * Fill ashmem_entry_room(), then ashmem_entry_commit(). Nobody sees the value before that. The room
 * has any bytes at first. A process that dies, or releases without a commit, has put nothing; a
 * clear before the commit removes the value too.
 *
 * @param[in]  cache        A cache.
 * @param[in]  key          The key.
 * @param[in]  key_bytes    Bytes of @p key.
 * @param[in]  value_bytes  Bytes of the value.
 * @param[in]  ttl_ms       Milliseconds from now until it expires; 0: it does not.
 * @param[out] entry        The room. End it with ashmem_entry_release().
 * @return 0 on success.
 * @retval -EFBIG, -EAGAIN, -EINVAL, -EACCES, -ETIMEDOUT, -EUCLEAN, -EBADF, -ENOTSUP, -ENOMEM,
 *   -EMFILE, -ENFILE  As ashmem_cache_put().
 *
 * Threads: any thread. A child of `fork` cannot use its copy of the entry, but release it.
 * @since 1.0
 */
int ashmem_cache_reserve(struct ashmem_cache *cache, const void *key, size_t key_bytes,
	size_t value_bytes, uint64_t ttl_ms, struct ashmem_entry **entry) ASHMEM_MUST_CHECK;

/**
 * @brief Look at the value of an entry.
 *
 * @param[in]  entry        From ashmem_cache_get(), from ashmem_cache_claim() that found a value,
 *   or committed.
 * @param[out] value_bytes  Bytes of the value; may be NULL.
 * @return The value, until the entry is released; NULL if the entry has none to look at (it is a
 *   claim, or room that is not committed).
 *
 * Threads: any thread.
 * @since 1.0
 */
const void *ashmem_entry_value(const struct ashmem_entry *entry, uint64_t *value_bytes);

/**
 * @brief The room of a reservation.
 *
 * @param[in]  entry       From ashmem_cache_reserve(), not committed.
 * @param[out] room_bytes  Bytes of the room; may be NULL.
 * @return The room, to write to until the commit; NULL if the entry is no reservation, is
 *   committed, or was inherited from the parent process.
 *
 * Threads: any thread.
 * @since 1.0
 */
void *ashmem_entry_room(struct ashmem_entry *entry, uint64_t *room_bytes);

/**
 * @brief Put what was built in reserved room.
 *
 * From here on the room must not be written to. The entry remains the caller's, as if it had got
 * the value, until ashmem_entry_release().
 *
 * @param[in] entry  From ashmem_cache_reserve().
 * @return 0 on success.
 * @retval -EINVAL  The entry is no reservation, or is committed.
 * @retval -ESTALE  The reservation was made by the parent process.
 * @retval -ETIMEDOUT, -EUCLEAN, -EBADF  See @ref ashmem_cache_errors.
 *
 * Threads: any thread; one call at a time on one entry.
 * @since 1.0
 */
int ashmem_entry_commit(struct ashmem_entry *entry) ASHMEM_MUST_CHECK;

/**
 * @brief Release a value, room, or a claim.
 *
 * The last one of a cache that was closed gives back the cache.
 *
 * @param[in] entry  An entry; NULL is allowed. It must not be used afterwards.
 *
 * Threads: any thread.
 * @since 1.0
 */
void ashmem_entry_release(struct ashmem_entry *entry);

/**
 * @brief Get a value, or the task of building it: one builder, for all processes.
 *
 * Returns the value if it is there. If not, and nobody builds it, the caller becomes the builder:
 * it puts the value and releases the entry, or releases it without. Others wait meanwhile. A
 * builder that dies is one no more, and one of those who wait takes over. The wait sleeps and looks
 * again, at most 5 ms apart, so it has no descriptor: an event loop calls with @p wait_ms 0, from a
 * timer.
 *
 * @param[in]  cache      A cache.
 * @param[in]  key        The key.
 * @param[in]  key_bytes  Bytes of @p key.
 * @param[in]  wait_ms    Longest wait for another builder, in milliseconds; 0: none.
 * @param[out] entry      The value, or the claim. End it with ashmem_entry_release().
 * @return #ASHMEM_CLAIM_FOUND or #ASHMEM_CLAIM_BUILD.
 * @retval -EBUSY   Another one is still building it, or one whose key shares this claim's place.
 * @retval -EINVAL, -EFBIG, -EACCES, -ETIMEDOUT, -EUCLEAN, -EBADF, -ENOMEM, -ENOTSUP, -EMFILE,
 *   -ENFILE  As ashmem_cache_put().
 *
 * Threads: any thread. A child of `fork` does not inherit the claim.
 * @since 1.0
 */
int ashmem_cache_claim(struct ashmem_cache *cache, const void *key, size_t key_bytes,
	uint32_t wait_ms, struct ashmem_entry **entry) ASHMEM_MUST_CHECK;

/**
 * @brief Give a value a new time to live, from now on.
 *
 * @param[in] cache      A cache.
 * @param[in] key        The key.
 * @param[in] key_bytes  Bytes of @p key.
 * @param[in] ttl_ms     Milliseconds until it expires; 0: it does not.
 * @return 0 on success.
 * @retval -ENOENT  There is no such value, or no more.
 * @retval -EINVAL, -EFBIG, -EACCES, -ETIMEDOUT, -EUCLEAN, -EBADF, -ENOMEM, -ENOTSUP, -EMFILE,
 *   -ENFILE  As ashmem_cache_put().
 *
 * Threads: any thread.
 * @since 1.0
 */
int ashmem_cache_touch(struct ashmem_cache *cache, const void *key, size_t key_bytes,
	uint64_t ttl_ms);

/**
 * @brief Read how long a value has to live.
 *
 * What it returns can be given to a put, or to ashmem_cache_touch(), as it is. It takes no lock,
 * makes no system call, and is counted neither as a hit nor as a miss.
 *
 * @param[in] cache      A cache.
 * @param[in] key        The key.
 * @param[in] key_bytes  Bytes of @p key.
 * @return Milliseconds until the value expires, at least 1; 0: it does not.
 * @retval -ENOENT  There is no such value, or no more.
 * @retval -EINVAL, -EFBIG  See @ref ashmem_cache_errors.
 *
 * Threads: any thread.
 * @since 1.0
 */
int64_t ashmem_cache_get_ttl(struct ashmem_cache *cache, const void *key,
	size_t key_bytes) ASHMEM_MUST_CHECK;

/**
 * @brief Remove a value. Those who hold it keep it until they release it.
 *
 * @param[in] cache      A cache.
 * @param[in] key        The key.
 * @param[in] key_bytes  Bytes of @p key.
 * @return 0 on success.
 * @retval -ENOENT  There is no such value, or no more.
 * @retval -EINVAL, -EFBIG, -EACCES, -ETIMEDOUT, -EUCLEAN  See @ref ashmem_cache_errors.
 *
 * Threads: any thread.
 * @since 1.0
 */
int ashmem_cache_remove(struct ashmem_cache *cache, const void *key, size_t key_bytes);

/**
 * @brief Remove all values at once.
 *
 * What is put by a call that begins afterwards stays. What was being put or built meanwhile may be
 * removed too. The memory is used again first, by later puts, and purged
 * before all other.
 *
 * @param[in] cache  A cache.
 * @return 0 on success.
 * @retval -EINVAL, -EACCES  See @ref ashmem_cache_errors.
 *
 * Threads: any thread.
 * @since 1.0
 */
int ashmem_cache_clear(struct ashmem_cache *cache);

/**
 * @brief Walk over the keys, in no order.
 *
 * Start with `*position` 0 and call until it returns 0. What others put or remove meanwhile may be
 * seen or not; what is there all the time is seen once.
 *
 * @param[in]     cache        A cache.
 * @param[in,out] position     Where the walk is.
 * @param[out]    key          Receives the key.
 * @param[in]     key_room     Bytes of @p key; #ASHMEM_CACHE_KEY_MOST is always enough.
 * @param[out]    key_bytes    Bytes of the key.
 * @param[out]    value_bytes  Bytes of its value; may be NULL.
 * @return 1 if a key was found, 0 at the end (no output but `*position` is written).
 * @retval -ERANGE  The key does not fit; nothing is written, and a call with more room finds it.
 * @retval -EINVAL  See @ref ashmem_cache_errors.
 *
 * Threads: any thread.
 * @since 1.0
 */
int ashmem_cache_next(struct ashmem_cache *cache, uint64_t *position, void *key, size_t key_room,
	size_t *key_bytes, uint64_t *value_bytes) ASHMEM_MUST_CHECK;

/**
 * @brief Read the counts of a cache.
 *
 * @param[in]     cache  A cache.
 * @param[in,out] stats  Set `struct_size` first; the rest is filled in.
 * @return 0 on success.
 * @retval -EINVAL  @p cache or @p stats is NULL, or `struct_size` is too small.
 *
 * Threads: any thread.
 * @since 1.0
 */
int ashmem_cache_get_stats(struct ashmem_cache *cache, struct ashmem_cache_stats *stats);

/** @} */

#ifdef __cplusplus
}
#endif

#endif /* ASHMEM_CACHE_H */
