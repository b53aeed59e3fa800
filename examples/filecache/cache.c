/* SPDX-License-Identifier: MIT */
/*
 * The server's side of the cache: areas, entries, rebuilding, squeezing.
 *
 * The files lie one behind the other in a few areas, each from a page border on, because pages are
 * what can be pinned and purged: the pages of a file are its entry. A new area is wholly pinned, so
 * it is filled first; from then on an entry is pinned only while somebody uses it.
 *
 * Single-threaded. Who may touch an entry when: protocol.c.
 */
#define _FILE_OFFSET_BITS 64

#include "cache.h"
#include "screen.h"
#include "system.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t round_to_pages(const struct share *share, uint64_t bytes)
{
	return (bytes + share->page_bytes - 1) / share->page_bytes * share->page_bytes;
}

static int create_area(const char *name, uint64_t size_bytes, struct ashmem_area **area,
	void **base)
{
	int error = ashmem_create(name, size_bytes, 0, area);

	return error ? error : share_map(*area, PROT_READ | PROT_WRITE, base);
}

static int create_index(struct share *share, const struct catalog *catalog)
{
	uint64_t path_offset = sizeof(struct index) + catalog->files.count * sizeof(struct entry);
	uint64_t size = path_offset;
	void *base;
	int error;

	for (size_t i = 0; i < catalog->files.count; i++)
		size += strlen(catalog->files.file[i].path) + 1;
	error = create_area("filecache index", size, &share->index_area, &base);
	if (error)
		return error;
	share->index = base;
	share->index->entries = (uint32_t)catalog->files.count;
	for (size_t i = 0; i < catalog->files.count; i++) {
		const struct file *file = &catalog->files.file[i];
		struct entry *entry = &share->index->entry[i];

		atomic_init(&entry->owner, OWNER_SERVER);
		entry->stamp = file->stamp;
		entry->path_offset = path_offset;
		strcpy((char *)base + path_offset, file->path);
		path_offset += strlen(file->path) + 1;
	}
	return 0;
}

/* Give each entry its place, so that the areas become about equally large. Empty ones need none. */
static void place_entries(struct share *share, uint64_t total_bytes, uint64_t *area_bytes)
{
	uint64_t target = total_bytes / MAX_AREAS + 1;
	uint32_t area = 0;

	for (uint32_t i = 0; i < share->index->entries; i++) {
		struct entry *entry = &share->index->entry[i];

		if (!entry->stamp.size_bytes)
			continue;
		if (area_bytes[area] >= target)
			area++;
		entry->area = area;
		entry->offset_bytes = area_bytes[area];
		area_bytes[area] += round_to_pages(share, entry->stamp.size_bytes);
	}
	share->index->areas = area + 1;
}

int cache_create(struct cache *cache, const struct catalog *catalog)
{
	struct share *share = &cache->share;
	uint64_t area_bytes[MAX_AREAS] = {0};
	int error;

	share->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	cache->pages = catalog->pages;
	error = create_index(share, catalog);
	if (error)
		return error;
	place_entries(share, catalog->pages * share->page_bytes, area_bytes);
	for (uint32_t i = 0; i < share->index->areas; i++) {
		char name[32];
		void *base;

		snprintf(name, sizeof(name), "filecache %u", i);
		error = create_area(name, area_bytes[i], &share->area[i], &base);
		if (error)
			return error;
		share->base[i] = base;
	}
	return 0;
}

void cache_close(struct cache *cache)
{
	share_close(&cache->share);
}

void cache_drop(struct cache *cache, uint32_t number, const struct message *why)
{
	struct entry *entry = &cache->share.index->entry[number];
	const char *path = screen_path(entry_path(&cache->share, entry));

	entry->dropped = 1;
	switch (why->verdict) {
	case VERDICT_CHANGED:
		cache->changed++;
		screen_warn("changed: %s", path);
		break;
	case VERDICT_UNREADABLE:
		cache->unreadable++;
		screen_warn("unreadable: %s: %s", path, strerror(-why->error));
		break;
	default:
		cache->mismatches++;
		screen_warn("MISMATCH: %s: at byte %llu", path, (unsigned long long)why->value);
		break;
	}
}

/* Read a file into its pages. 0, -ESTALE if it is not the file of the index, or another errno. */
static int read_entry(struct cache *cache, struct entry *entry)
{
	struct stamp stamp;
	int64_t got;
	int fd = source_open(entry_path(&cache->share, entry), &stamp);

	if (fd < 0)
		return fd;
	if (!stamp_equal(&stamp, &entry->stamp)) {
		close(fd);
		return -ESTALE;
	}
	entry->fresh = stamp_is_fresh(&stamp);
	got = stamp.size_bytes ? source_read(fd, entry_data(&cache->share, entry), stamp.size_bytes)
			       : 0;
	if (got >= 0 && ((uint64_t)got != stamp.size_bytes || !source_unchanged(fd, &stamp)))
		got = -ESTALE;
	close(fd);
	return got < 0 ? (int)got : 0;
}

/* Fill an entry that we own and that is pinned, or drop it. */
static void fill_entry(struct cache *cache, uint32_t number)
{
	struct message why = {.verdict = VERDICT_CHANGED};

	why.error = read_entry(cache, &cache->share.index->entry[number]);
	if (!why.error)
		return;
	if (!source_is_gone(why.error))
		why.verdict = VERDICT_UNREADABLE;
	cache_drop(cache, number, &why);
}

int cache_fill(struct cache *cache)
{
	struct index *index = cache->share.index;

	for (uint32_t i = 0; i < index->entries; i++) {
		int error;

		if (system_interrupted())
			return -EINTR;
		fill_entry(cache, i);
		error = entry_unpin(&cache->share, &index->entry[i]);
		if (error)
			return error;
		entry_hand_over(&index->entry[i], OWNER_NOBODY);
		screen_progress("caching", i + 1, index->entries);
	}
	return 0;
}

int cache_rebuild(struct cache *cache, uint32_t number)
{
	struct index *index = cache->share.index;

	if (number >= index->entries || !entry_is_owned_by(&index->entry[number], OWNER_SERVER))
		return -EPROTO;
	fill_entry(cache, number); /* under the reader's pin: rule 4 of protocol.c */
	cache->rebuilt_on_request += !index->entry[number].dropped;
	entry_hand_over(&index->entry[number], OWNER_READER);
	return 0;
}

int cache_refill(struct cache *cache)
{
	struct index *index = cache->share.index;
	uint32_t number = (uint32_t)(system_random(&cache->random) % index->entries);
	struct entry *entry = &index->entry[number];
	int error = 0;

	if (!entry_claim(entry, OWNER_SERVER))
		return 0; /* the reader has it */
	if (!entry->dropped) {
		int pinned = entry_pin(&cache->share, entry);

		if (pinned < 0)
			return pinned;
		if (pinned == ASHMEM_WAS_PURGED) {
			fill_entry(cache, number);
			cache->rebuilt_ahead += !entry->dropped;
		}
		error = entry_unpin(&cache->share, entry);
	}
	entry_hand_over(entry, OWNER_NOBODY);
	return error;
}

/* An independent witness of what purging frees: the kernel's count of the areas' blocks. */
static uint64_t held_bytes(const struct share *share)
{
	uint64_t held = 0;

	for (uint32_t i = 0; i < share->index->areas; i++) {
		struct stat st;

		if (fstat(ashmem_fd(share->area[i]), &st) == 0)
			held += (uint64_t)st.st_blocks * 512;
	}
	return held;
}

int cache_squeeze(struct cache *cache, uint64_t pages, struct squeeze *squeeze)
{
	uint64_t start;

	squeeze->asked_pages = pages;
	squeeze->held_before = held_bytes(&cache->share);
	start = system_now_ns();
	squeeze->freed_pages = pages ? ashmem_shrink(pages) : ashmem_purge_all();
	squeeze->took_ns = system_now_ns() - start;
	squeeze->held_after = held_bytes(&cache->share);
	return squeeze->freed_pages < 0 ? (int)squeeze->freed_pages : 0;
}
