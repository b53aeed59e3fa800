/* SPDX-License-Identifier: MIT */
/*
 * ashmemctl: find areas through /proc/PID/fd and read what they are like.
 *
 * A descriptor of another process is opened anew, as an open file description of its own, looked at
 * without a lock, and closed at once: nobody is disturbed or waited for, and nothing lives longer
 * because somebody looked. Areas of the kernel's driver cannot be seen: opening their descriptor
 * again makes a new area.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"
#include "proc.h"

uint64_t ctl_page(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

int ctl_open(const char *path, int *read_only)
{
	struct stat status;
	int fd, found = proc_find(AT_FDCWD, path, &status);

	*read_only = 0;
	if (found < 0)
		return found;
	fd = proc_open(found, O_RDWR);
	if (fd == -EACCES || fd == -EPERM || fd == -EROFS) {
		*read_only = 1;
		fd = proc_open(found, O_RDONLY);
	}
	close(found);
	return fd;
}

int ctl_import(const char *path, struct ashmem_area **area, int *read_only)
{
	int fd = ctl_open(path, read_only);

	if (fd < 0)
		return fd;
	int r = ashmem_import(fd, area);
	close(fd);
	return r;
}

/* Read like any reader of the cache, through a descriptor of its own: nothing is counted for it. */
static void look_at_cache(struct ctl_area *area)
{
	int fd = open(ctl_path(area), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct ashmem_cache *cache;

	area->cache = (struct ashmem_cache_stats){.struct_size = sizeof(area->cache)};
	area->is_cache = 0;
	if (fd >= 0 && ashmem_cache_import(fd, &cache) == 0) {
		area->is_cache = ashmem_cache_get_stats(cache, &area->cache) == 0;
		ashmem_cache_close(cache);
	}
	if (fd >= 0)
		close(fd);
}

int ctl_hit_percent(const struct ctl_area *area)
{
	double hits = (double)area->cache.hits, reads = hits + (double)area->cache.misses;

	return reads > 0 ? (int)(100 * hits / reads) : -1;
}

void ctl_look(struct ctl_area *area)
{
	int fd = ctl_open(ctl_path(area), &area->read_only);

	area->seen = (struct ashmem_peek_result){.struct_size = sizeof(area->seen)};
	area->error = fd < 0 ? fd : ashmem_peek(fd, &area->seen);
	if (fd >= 0)
		close(fd);
	if (!area->error)
		look_at_cache(area);
}

static struct ctl_area *lookup(struct ctl_areas *areas, const struct stat *status)
{
	for (size_t i = areas->count; i-- > 0;)
		if (areas->area[i].inode == status->st_ino &&
			areas->area[i].device == status->st_dev)
			return &areas->area[i];
	return NULL;
}

static struct ctl_area *append(struct ctl_areas *areas)
{
	if (areas->count == areas->room) {
		size_t room = areas->room ? 2 * areas->room : 64;
		struct ctl_area *area = realloc(areas->area, room * sizeof(*area));

		if (!area)
			return NULL;
		areas->area = area;
		areas->room = room;
	}
	return memset(&areas->area[areas->count++], 0, sizeof(*areas->area));
}

static void add_holder(struct ctl_area *area, pid_t pid)
{
	uint32_t known = area->holders;

	if (known > 0 && area->pids[(known - 1) % 16] == pid)
		return; /* another descriptor of the same process */
	if (known < sizeof(area->pids) / sizeof(area->pids[0]))
		area->pids[known] = pid;
	area->holders++;
}

/* Look at one descriptor. 0, or -ENOMEM. */
static int add(struct ctl_areas *areas, pid_t pid, const char *path)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return 0; /* closed meanwhile */
	struct ctl_area *area = lookup(areas, &status);
	if (!area) {
		area = append(areas);
		if (!area)
			return -ENOMEM;
		area->device = status.st_dev;
		area->inode = status.st_ino;
		area->owner = status.st_uid;
		snprintf(area->path, sizeof(area->path), "%s", path);
		ctl_look(area);
	}
	add_holder(area, pid);
	return 0;
}

static int find_in(pid_t pid, struct ctl_areas *areas)
{
	char path[64];
	struct dirent *entry;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *directory = opendir(path);
	if (!directory)
		return -errno;
	while (r == 0 && (entry = readdir(directory)) != NULL) {
		if (!proc_is_area(dirfd(directory), entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/fd/%.12s", (int)pid, entry->d_name);
		r = add(areas, pid, path);
	}
	closedir(directory);
	return r;
}

static int find_in_all(struct ctl_areas *areas)
{
	struct dirent *entry;
	size_t looked = 0;
	int r = 0;
	DIR *directory = opendir("/proc");

	if (!directory)
		return -errno;
	while (r != -ENOMEM && (entry = readdir(directory)) != NULL) {
		pid_t pid = proc_pid(entry->d_name);

		if (pid == 0)
			continue;
		ctl_progress("processes looked at", ++looked);
		r = find_in(pid, areas);
		areas->unseen += r == -EACCES || r == -EPERM;
	}
	closedir(directory);
	return r == -ENOMEM ? r : 0;
}

int ctl_areas_find(pid_t pid, struct ctl_areas *areas)
{
	*areas = (struct ctl_areas){0};
	int r = pid ? find_in(pid, areas) : find_in_all(areas);
	ctl_progress_end();
	if (r < 0)
		ctl_areas_free(areas);
	return r;
}

void ctl_areas_free(struct ctl_areas *areas)
{
	free(areas->area);
	*areas = (struct ctl_areas){0};
}

/* ---------------------------------------------------------------- order */

static int by_number(uint64_t a, uint64_t b)
{
	return a < b ? 1 : a > b ? -1 : 0; /* largest first */
}

#define BY(column, member)                                             \
	static int by_##column(const void *a, const void *b)           \
	{                                                              \
		return by_number(((const struct ctl_area *)a)->member, \
			((const struct ctl_area *)b)->member);         \
	}
BY(size, seen.size_bytes)
BY(resident, seen.resident_pages)
BY(unpinned, seen.unpinned_pages)
BY(evictable, seen.evictable_pages)
BY(purged, seen.purged_pages)
BY(users, holders)

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct ctl_area *)a)->seen.name,
		((const struct ctl_area *)b)->seen.name);
}

static int by_pid(const void *a, const void *b)
{
	pid_t first = ((const struct ctl_area *)a)->pids[0];
	pid_t second = ((const struct ctl_area *)b)->pids[0];

	return first < second ? -1 : first > second;
}

int ctl_areas_sort(struct ctl_areas *areas)
{
	static const struct {
		const char *name;
		int (*compare)(const void *a, const void *b);
	} orders[] = {
		{"evictable", by_evictable},
		{"size", by_size},
		{"resident", by_resident},
		{"unpinned", by_unpinned},
		{"purged", by_purged},
		{"users", by_users},
		{"name", by_name},
		{"pid", by_pid},
	};

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		if (ctl.sort && strcmp(ctl.sort, orders[i].name) != 0)
			continue;
		if (areas->count > 0)
			qsort(areas->area, areas->count, sizeof(*areas->area), orders[i].compare);
		return CTL_OK;
	}
	ctl_complain(ctl.sort,
		"no such column: evictable, size, resident, unpinned, purged, users, "
		"name or pid");
	return CTL_USAGE;
}

/* ---------------------------------------------------------------- JSON */

static void json_pages(const char *key, uint64_t pages)
{
	printf(",\"%s_bytes\":%" PRIu64, key, pages * ctl_page());
}

static void json_flag(const char *key, int flag)
{
	printf(",\"%s\":%s", key, flag ? "true" : "false");
}

static void json_cache(const struct ctl_area *area)
{
	const struct ashmem_cache_stats *cache = &area->cache;

	printf(",\"cache\":{\"hits\":%" PRIu64 ",\"misses\":%" PRIu64 ",\"misses_purged\":%" PRIu64
	       ",\"hit_ratio\":",
		cache->hits, cache->misses, cache->misses_purged);
	if (ctl_hit_percent(area) < 0)
		printf("null");
	else
		printf("%.4f", (double)cache->hits / ((double)cache->hits + (double)cache->misses));
	printf(",\"puts\":%" PRIu64 ",\"removes\":%" PRIu64 ",\"evictions\":%" PRIu64
	       ",\"bytes\":%" PRIu64 ",\"bytes_filled\":%" PRIu64 "}",
		cache->puts, cache->removes, cache->evictions, cache->bytes, cache->bytes_filled);
}

void ctl_json_area(const struct ctl_area *area)
{
	const struct ashmem_peek_result *seen = &area->seen;

	printf("\"path\":");
	ctl_json_string(ctl_path(area));
	printf(",\"device\":%" PRIu64 ",\"inode\":%" PRIu64 ",\"owner\":%u,\"holders\":%u,"
	       "\"pids\":[",
		(uint64_t)area->device, (uint64_t)area->inode, (unsigned)area->owner,
		(unsigned)area->holders);
	for (uint32_t i = 0; i < area->holders && i < 16; i++)
		printf("%s%d", i ? "," : "", (int)area->pids[i]);
	printf("]");
	if (area->error) {
		printf(",\"error\":");
		ctl_json_string(strerror(-area->error));
		return;
	}
	printf(",\"name\":");
	ctl_json_string(seen->name);
	printf(",\"size_bytes\":%" PRIu64 ",\"mask\":\"%c%c%c\"", seen->size_bytes,
		seen->prot & PROT_READ ? 'r' : '-', seen->prot & PROT_WRITE ? 'w' : '-',
		seen->prot & PROT_EXEC ? 'x' : '-');
	json_pages("resident", seen->resident_pages);
	json_pages("unpinned", seen->unpinned_pages);
	json_pages("evictable", seen->evictable_pages);
	json_pages("purged", seen->purged_pages);
	printf(",\"unpinned_ranges\":%" PRIu64, seen->unpinned_ranges);
	json_flag("read_only", area->read_only);
	json_flag("busy", (int)seen->busy);
	json_flag("has_readers", (int)seen->readers);
	json_flag("sealed", (int)seen->sealed);
	json_flag("damaged", (int)seen->damaged);
	if (area->is_cache)
		json_cache(area);
}
