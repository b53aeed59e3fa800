/* SPDX-License-Identifier: MIT */
/*
 * ashmemctl: find areas through /proc/PID/fd and read what they are like.
 *
 * A descriptor of another process is opened anew, as an open file description of its own, so that
 * process is not disturbed. Reading takes the area's lock for a moment, as in any peer. Each area
 * is closed at once: nothing lives longer because somebody looked. Areas of the kernel's driver
 * cannot be seen: opening their descriptor again makes a new area.
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

/* The link in /proc of a memfd that is an area begins with this. */
#define LINK_START "/memfd:/dev/ashmem"

uint64_t ctl_page(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

pid_t ctl_pid(const char *text)
{
	size_t length = strlen(text);

	if (length == 0 || length > 9 || strspn(text, "0123456789") != length)
		return 0;
	return (pid_t)strtol(text, NULL, 10);
}

int ctl_import(const char *path, struct ashmem_area **area, int *read_only)
{
	/* Another kind of file could make open() wait: a FIFO, a lease. */
	int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	int fd = open(path, O_RDWR | flags);

	*read_only = 0;
	if (fd < 0 && (errno == EACCES || errno == EPERM || errno == EROFS)) {
		*read_only = 1;
		fd = open(path, O_RDONLY | flags);
	}
	if (fd < 0)
		return -errno;
	int r = ashmem_import(fd, area);
	close(fd);
	return r;
}

void ctl_read(struct ashmem_area *area, struct ctl_area *into)
{
	if (ashmem_get_name(area, into->name, sizeof(into->name)) < 0)
		strcpy(into->name, "?");
	into->size_bytes = ashmem_get_size(area);
	into->prot = ashmem_get_prot(area);
	into->stats = (struct ashmem_area_stats){.struct_size = sizeof(into->stats)};
	into->stats_error = ashmem_area_get_stats(area, &into->stats);
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
	struct ashmem_area *handle = NULL;
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
		area->error = ctl_import(path, &handle, &area->read_only);
		if (area->error == 0) {
			ctl_read(handle, area);
			ashmem_close(handle);
		}
	}
	add_holder(area, pid);
	return 0;
}

static int is_area(int directory, const char *name)
{
	char target[sizeof(LINK_START)];
	ssize_t length = readlinkat(directory, name, target, sizeof(target));

	return length >= (ssize_t)sizeof(LINK_START) - 1 &&
		strncmp(target, LINK_START, sizeof(LINK_START) - 1) == 0;
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
		if (!is_area(dirfd(directory), entry->d_name))
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
	int r = 0;
	DIR *directory = opendir("/proc");

	if (!directory)
		return -errno;
	while (r != -ENOMEM && (entry = readdir(directory)) != NULL) {
		pid_t pid = ctl_pid(entry->d_name);

		if (pid == 0)
			continue;
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
BY(size, size_bytes)
BY(resident, stats.resident_pages)
BY(unpinned, stats.unpinned_pages)
BY(evictable, stats.evictable_pages)
BY(purged, stats.purged_pages)
BY(users, holders)

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct ctl_area *)a)->name, ((const struct ctl_area *)b)->name);
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

static void json_stats(const struct ashmem_area_stats *stats)
{
	json_pages("resident", stats->resident_pages);
	json_pages("pinned", stats->pinned_pages);
	json_pages("unpinned", stats->unpinned_pages);
	json_pages("evictable", stats->evictable_pages);
	json_pages("purged", stats->purged_pages);
	printf(",\"unpinned_ranges\":%" PRIu64 ",\"pins_found_purged\":%" PRIu64
	       ",\"recoveries\":%" PRIu64 ",\"lock_waits\":%" PRIu64 ",\"lock_timeouts\":%" PRIu64,
		stats->unpinned_ranges, stats->pins_found_purged, stats->recoveries,
		stats->lock_waits, stats->lock_timeouts);
	printf(",\"has_readers\":%s,\"sealed\":%s", stats->readers ? "true" : "false",
		stats->sealed ? "true" : "false");
}

void ctl_json_area(const struct ctl_area *area)
{
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
	ctl_json_string(area->name);
	printf(",\"size_bytes\":%" PRIu64 ",\"read_only\":%s", area->size_bytes,
		area->read_only ? "true" : "false");
	if (area->prot >= 0)
		printf(",\"mask\":\"%c%c%c\"", area->prot & PROT_READ ? 'r' : '-',
			area->prot & PROT_WRITE ? 'w' : '-', area->prot & PROT_EXEC ? 'x' : '-');
	if (area->stats_error == 0) {
		json_stats(&area->stats);
	} else {
		printf(",\"state_error\":");
		ctl_json_string(strerror(-area->stats_error));
	}
}
