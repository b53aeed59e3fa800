/* SPDX-License-Identifier: MIT */
/* Areas for tests: see areas.h. */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/contract.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

uint64_t page_bytes(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

struct ashmem_area *area_of_bytes(uint64_t size_bytes)
{
	struct ashmem_area *area = NULL;

	expect_eq(ashmem_create(NULL, size_bytes, 0, &area), 0);
	expect(area != NULL);
	return area;
}

struct ashmem_area *area_of_pages(uint64_t pages)
{
	return area_of_bytes(pages * page_bytes());
}

unsigned char *map_whole(struct ashmem_area *area, int prot)
{
	size_t pages = (size_t)((ashmem_get_size(area) + page_bytes() - 1) / page_bytes());
	void *base = NULL;

	expect_eq(ashmem_map(area, 0, pages * (size_t)page_bytes(), prot, MAP_SHARED, &base), 0);
	expect(base != NULL);
	return base;
}

struct view view_of(struct ashmem_area *area)
{
	struct view view = {area, map_whole(area, PROT_RW), 0};

	view.pages = (ashmem_get_size(area) + page_bytes() - 1) / page_bytes();
	return view;
}

struct view view_make(uint64_t pages)
{
	return view_of(area_of_pages(pages));
}

void view_drop(struct view *view)
{
	expect_eq(ashmem_unmap(view->base, (size_t)(view->pages * page_bytes())), 0);
	ashmem_close(view->area);
}

void fill_pages(const struct view *view, uint64_t first, uint64_t count, int byte)
{
	memset(view->base + first * page_bytes(), byte, (size_t)(count * page_bytes()));
}

int pages_hold(const struct view *view, uint64_t first, uint64_t count, int byte)
{
	const unsigned char *bytes = view->base + first * page_bytes();
	size_t length = (size_t)(count * page_bytes());

	return length == 0 ||
		(bytes[0] == (unsigned char)byte && memcmp(bytes, bytes + 1, length - 1) == 0);
}

int first_byte(const struct view *view, uint64_t page)
{
	unsigned char byte = 0;

	expect_eq(ashmem_pread(view->area, &byte, 1, page * page_bytes()), 1);
	return byte;
}

struct view full_view(uint64_t pages)
{
	struct view view = view_make(pages);

	fill_pages(&view, 0, pages, 0x11);
	return view;
}

const char *purge_picture(const struct view *view)
{
	static char picture[65];

	expect(view->pages < sizeof picture);
	for (uint64_t page = 0; page < view->pages; page++)
		picture[page] = first_byte(view, page) == 0x11 ? '.' : 'P';
	picture[view->pages] = '\0';
	return picture;
}

struct ashmem_area *import_area(int fd)
{
	struct ashmem_area *area = NULL;

	expect_eq(ashmem_import(fd, &area), 0);
	expect(area != NULL);
	return area;
}

void expect_name(struct ashmem_area *area, const char *want)
{
	char name[ASHMEM_NAME_LEN] = "";

	expect_eq(ashmem_get_name(area, name, sizeof name), 0);
	expect_str(name, want);
}

void give_memory(struct ashmem_area *area, uint64_t first, uint64_t count)
{
	static const char zeroes[65536]; /* a page of any system */
	uint64_t page = page_bytes();
	int fd = ashmem_fd(area);

	for (uint64_t at = first * page; fd >= 0 && at < (first + count) * page; at += page) {
		off_t data = lseek(fd, (off_t)at, SEEK_DATA);
		if ((data < 0 || (uint64_t)data >= at + page) &&
			ashmem_get_pin_status(area, at, page) == ASHMEM_IS_PINNED &&
			pwrite(fd, zeroes, page, (off_t)at) < 0)
			break; /* the driver's, or a read-only one */
	}
}

void unpin_pages(struct ashmem_area *area, uint64_t first, uint64_t count)
{
	give_memory(area, first, count);
	expect_eq(ashmem_unpin(area, first * page_bytes(), count * page_bytes()), 0);
}

int pin_pages(struct ashmem_area *area, uint64_t first, uint64_t count)
{
	return ashmem_pin(area, first * page_bytes(), count * page_bytes());
}

int status_pages(struct ashmem_area *area, uint64_t first, uint64_t count)
{
	return ashmem_get_pin_status(area, first * page_bytes(), count * page_bytes());
}

const char *pin_picture(struct ashmem_area *area, uint64_t pages)
{
	static char picture[257];
	uint64_t page;
	int status;

	expect(pages < sizeof picture);
	for (page = 0; page < pages; page++) {
		status = status_pages(area, page, 1);
		expect(status == ASHMEM_IS_PINNED || status == ASHMEM_IS_UNPINNED);
		picture[page] = status == ASHMEM_IS_PINNED ? '.' : 'U';
	}
	picture[pages] = '\0';
	return picture;
}

int backend_is_kernel(void)
{
	struct ashmem_area *area = area_of_bytes(0);
	int is_kernel = strcmp(ashmem_backend_name(area), "kernel") == 0;

	ashmem_close(area);
	return is_kernel;
}

void skip_on_kernel(const char *why)
{
	if (backend_is_kernel())
		contract_skip(why);
}

int64_t purge_everything(void)
{
	int64_t purged = ashmem_purge_all();

	expect(purged >= 0);
	return purged;
}

/* The bytes preset here show that the library writes every member. */
struct ashmem_area_stats stats_of(struct ashmem_area *area)
{
	struct ashmem_area_stats stats;

	memset(&stats, 0xee, sizeof stats);
	stats.struct_size = sizeof stats;
	expect_eq(ashmem_area_get_stats(area, &stats), 0);
	expect_eq(stats.struct_size, sizeof stats);
	return stats;
}

struct ashmem_process_stats process_stats(void)
{
	struct ashmem_process_stats stats;

	memset(&stats, 0xee, sizeof stats);
	stats.struct_size = sizeof stats;
	expect_eq(ashmem_process_get_stats(&stats), 0);
	return stats;
}

static int count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	expect(directory != NULL);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* The permissions are the second word of a line: "rw-s" is a shared mapping. */
static int is_area_mapping(const char *line)
{
	const char *permissions = strchr(line, ' ');

	return permissions && (permissions[4] == 's' || strstr(line, "/dev/ashmem"));
}

static int count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[1024];
	int count = 0;

	expect(maps != NULL);
	while (fgets(line, sizeof line, maps))
		count += is_area_mapping(line);
	fclose(maps);
	return count;
}

struct holdings holdings_now(void)
{
	struct holdings holdings = {count_descriptors(), count_mappings()};

	return holdings;
}

void expect_holdings(const struct holdings *before)
{
	struct holdings now = holdings_now();

	expect_eq(now.descriptors, before->descriptors);
	expect_eq(now.mappings, before->mappings);
}

void limit_descriptors_to_those_open(void)
{
	struct rlimit limit;
	int next = open("/dev/null", O_RDONLY | O_CLOEXEC);

	expect(next >= 0);
	close(next);
	expect_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = (rlim_t)next;
	expect_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

int maps_line(const void *address, char *line, size_t line_size)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	uint64_t first = 0, end = 0;
	int found = 0;

	expect(maps != NULL);
	while (!found && fgets(line, (int)line_size, maps)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &first, &end) == 2)
			found = first <= (uintptr_t)address && (uintptr_t)address < end;
	}
	fclose(maps);
	return found;
}
