/* SPDX-License-Identifier: MIT */
/*
 * Using a cache: look, use what is there, put what is not.
 *
 * A value is a piece of a file. Its key is the file's path and stamp and the piece's place, so what
 * was put before a file changed is never found again. Both processes do the same calls on the same cache: nothing
 * has to be agreed between them.
 */
#define _GNU_SOURCE 1
#define _FILE_OFFSET_BITS 64

#include "cache.h"
#include "screen.h"
#include "system.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES 131072u

int cache_create(struct cache *cache, const struct catalog *catalog)
{
	/* Room to spare, for heads of entries and what is being written; unused, it costs nothing. */
	struct ashmem_cache_options options = {.struct_size = sizeof(options),
		.most_bytes = 2 * catalog->pages * catalog->page_bytes + 16 * PIECE_BYTES,
		.value_most_bytes = PIECE_BYTES};

	cache->catalog = catalog;
	cache->is_left_out = calloc(catalog->files.count + 1, sizeof(bool));
	cache->counts = mmap(NULL, sizeof(*cache->counts), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!cache->is_left_out || cache->counts == MAP_FAILED)
		return -ENOMEM;
	options.entries = catalog->files.count + options.most_bytes / PIECE_BYTES;
	return ashmem_cache_create("filecache", &options, &cache->handle);
}

void cache_close(struct cache *cache)
{
	ashmem_cache_close(cache->handle);
	free(cache->is_left_out);
}

/* A piece of a file: its key, and what the file contains there. */
struct piece {
	const struct file *file;
	uint64_t at;
	char key[ASHMEM_CACHE_KEY_MOST];
	size_t key_bytes;
	char bytes[PIECE_BYTES];
	size_t size;
};

/* Longer paths make keys that no call takes. */
static void make_key(struct piece *piece)
{
	const struct stamp *stamp = &piece->file->stamp;

	memcpy(piece->key, stamp, sizeof(*stamp));
	memcpy(piece->key + sizeof(*stamp), &piece->at, sizeof(piece->at));
	piece->key_bytes = sizeof(*stamp) + sizeof(piece->at);
	size_t length = strlen(piece->file->path);
	if (piece->key_bytes + length <= sizeof(piece->key))
		memcpy(piece->key + piece->key_bytes, piece->file->path, length);
	piece->key_bytes += length;
}

static int put_piece(struct cache *cache, const struct piece *piece)
{
	return ashmem_cache_put(cache->handle, piece->key, piece->key_bytes, piece->bytes,
		piece->size, 0);
}

static void compare(struct cache *cache, const struct piece *piece, struct ashmem_entry *entry)
{
	uint64_t bytes;
	const void *value = ashmem_entry_value(entry, &bytes);

	atomic_fetch_add(&cache->counts->hits, 1);
	if (bytes == piece->size && memcmp(value, piece->bytes, piece->size) == 0) {
		atomic_fetch_add(&cache->counts->bytes, piece->size);
		return;
	}
	atomic_fetch_add(&cache->counts->mismatches, 1);
	screen_warn("MISMATCH: %s: at byte %llu or after", screen_path(piece->file->path),
		(unsigned long long)piece->at);
}

/* Use what is there, and put what is not. */
static int use_piece(struct cache *cache, const struct piece *piece)
{
	struct ashmem_entry *entry;
	int r = ashmem_cache_get(cache->handle, piece->key, piece->key_bytes, &entry);

	if (r == -ENOENT) {
		atomic_fetch_add(&cache->counts->rebuilds, 1);
		return put_piece(cache, piece);
	}
	if (r < 0)
		return r;
	compare(cache, piece, entry);
	ashmem_entry_release(entry);
	return 0;
}

/* Every piece of an open file, one at least. -ESTALE if the file changes meanwhile. */
static int with_pieces(struct cache *cache, const struct file *file, int fd,
	int (*act)(struct cache *cache, const struct piece *piece))
{
	static struct piece piece;
	int error = 0;

	piece.file = file;
	piece.at = 0;
	do {
		uint64_t left = file->stamp.size_bytes - piece.at;
		piece.size = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
		int64_t got = source_read(fd, piece.bytes, piece.size);
		if (got < 0)
			return (int)got;
		if ((size_t)got != piece.size || !source_unchanged(fd, &file->stamp))
			return -ESTALE;
		make_key(&piece);
		error = act(cache, &piece);
		piece.at += piece.size;
	} while (!error && piece.at < file->stamp.size_bytes);
	return error;
}

/* Open a file that is still the one of the catalog, and do something with it. */
static int with_file(struct cache *cache, size_t number,
	int (*act)(struct cache *cache, const struct piece *piece))
{
	const struct file *file = &cache->catalog->files.file[number];
	struct stamp stamp;
	int fd = source_open(file->path, &stamp);
	int r = fd < 0 ? fd : -ESTALE;

	/* What was just written can be written again without a new stamp. */
	if (fd >= 0 && stamp_equal(&stamp, &file->stamp) && !stamp_is_fresh(&stamp))
		r = with_pieces(cache, file, fd, act);
	if (fd >= 0)
		close(fd);
	return r;
}

/* A file that cannot be cached or compared is left out; 0, or what ends the run. */
static int leave_out(struct cache *cache, size_t number, int error)
{
	const char *path = screen_path(cache->catalog->files.file[number].path);

	if (error >= 0 || error == -EAGAIN) /* the cache is busy: next time */
		return 0;
	if (error == -ENOMEM || error == -EMFILE || error == -ENFILE || error == -ETIMEDOUT ||
		error == -EUCLEAN)
		return error;
	cache->is_left_out[number] = true;
	if (source_is_gone(error)) {
		atomic_fetch_add(&cache->counts->changed, 1);
		screen_warn("changed: %s", path);
	} else {
		atomic_fetch_add(&cache->counts->unreadable, 1);
		screen_warn("unreadable: %s: %s", path, strerror(-error));
	}
	return 0;
}

/* What a handle appends to next is not purged. A new one appends to something else. */
static int renew_handle(struct cache *cache)
{
	struct ashmem_cache *renewed;
	int error = ashmem_cache_import(ashmem_cache_fd(cache->handle), &renewed);

	if (error)
		return error;
	ashmem_cache_close(cache->handle);
	cache->handle = renewed;
	return 0;
}

int cache_fill(struct cache *cache)
{
	size_t count = cache->catalog->files.count;

	for (size_t i = 0; i < count; i++) {
		if (system_interrupted())
			return -EINTR;
		int error = leave_out(cache, i, with_file(cache, i, put_piece));
		if (error)
			return error;
		screen_progress("caching", i + 1, count);
	}
	return renew_handle(cache);
}

int cache_visit(struct cache *cache, size_t number)
{
	int error = cache->is_left_out[number]
		? 0
		: leave_out(cache, number, with_file(cache, number, use_piece));

	atomic_fetch_add(&cache->counts->visits, 1);
	return error;
}

/* An independent witness of what purging frees: the kernel's count of blocks. */
static uint64_t held_bytes(const struct cache *cache)
{
	struct stat st;

	return fstat(ashmem_cache_fd(cache->handle), &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

int cache_squeeze(struct cache *cache, uint64_t pages, struct squeeze *squeeze)
{
	uint64_t start;

	squeeze->asked_pages = pages;
	squeeze->held_before = held_bytes(cache);
	start = system_now_ns();
	squeeze->freed_pages = pages ? ashmem_shrink(pages) : ashmem_purge_all();
	squeeze->took_ns = system_now_ns() - start;
	squeeze->held_after = held_bytes(cache);
	return squeeze->freed_pages < 0 ? (int)squeeze->freed_pages : 0;
}
