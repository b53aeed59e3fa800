/* SPDX-License-Identifier: MIT */
/* A backend as a third party might add one: see toy_backend.h. */
#define _GNU_SOURCE 1
#include "support/toy_backend.h"
#include "support/contract.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TOY_PAGES = 64, TOY_AREAS = 512 };

struct toy_area {
	char name[ASHMEM_NAME_LEN];
	uint64_t size_bytes;
	int answers; /* of create and import, each to be closed */
	int fd;      /* -1: not materialised */
	int prot;
	int64_t position;
	uint64_t key;
	char unpinned[TOY_PAGES];
	char purged[TOY_PAGES];
};

struct toy_calls toy_calls;
int toy_probe_result;

static char toy_userdata;
static struct toy_area *toy_areas[TOY_AREAS];

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static int toy_probe(void *userdata)
{
	toy_calls.probes++;
	toy_calls.last_userdata_ok = userdata == &toy_userdata;
	return toy_probe_result;
}

static int toy_create(void *userdata, const char *name, uint64_t size_bytes, uint32_t flags,
	void **state)
{
	struct toy_area *area = calloc(1, sizeof *area);
	int slot = 0;

	(void)flags;
	while (slot < TOY_AREAS && toy_areas[slot])
		slot++;
	if (!area || slot == TOY_AREAS) {
		free(area);
		return -ENOMEM;
	}
	memcpy(area->name, name, strnlen(name, sizeof area->name - 1));
	area->size_bytes = size_bytes;
	area->fd = -1;
	area->answers = 1;
	area->prot = PROT_READ | PROT_WRITE | PROT_EXEC;
	toy_areas[slot] = area;
	toy_calls.creates++;
	toy_calls.last_userdata_ok = userdata == &toy_userdata;
	*state = area;
	return 0;
}

/* Only descriptors of areas that are held already are recognised. */
static int toy_import(void *userdata, int fd, void **state)
{
	struct stat wanted, have;
	int slot;

	toy_calls.imports++;
	toy_calls.last_userdata_ok = userdata == &toy_userdata;
	if (fstat(fd, &wanted) != 0)
		return -errno;
	for (slot = 0; slot < TOY_AREAS; slot++) {
		if (!toy_areas[slot] || toy_areas[slot]->fd < 0 ||
			fstat(toy_areas[slot]->fd, &have) != 0)
			continue;
		if (have.st_ino != wanted.st_ino || have.st_dev != wanted.st_dev)
			continue;
		toy_areas[slot]->answers++;
		*state = toy_areas[slot];
		return 0;
	}
	return -ENOTTY;
}

static void toy_close(void *state)
{
	struct toy_area *area = state;
	int slot;

	toy_calls.closes++;
	if (--area->answers > 0)
		return;
	for (slot = 0; slot < TOY_AREAS; slot++) {
		if (toy_areas[slot] == area)
			toy_areas[slot] = NULL;
	}
	if (area->fd >= 0)
		close(area->fd);
	free(area);
}

static int toy_set_name(void *state, const char *name)
{
	struct toy_area *area = state;

	if (area->fd >= 0)
		return -EINVAL;
	memset(area->name, 0, sizeof area->name);
	memcpy(area->name, name, strnlen(name, sizeof area->name - 1));
	return 0;
}

static int toy_get_name(void *state, char *name)
{
	memcpy(name, ((struct toy_area *)state)->name, ASHMEM_NAME_LEN);
	return 0;
}

static int toy_set_size(void *state, uint64_t size_bytes)
{
	struct toy_area *area = state;

	if (area->fd >= 0)
		return -EINVAL;
	area->size_bytes = size_bytes;
	return 0;
}

static int toy_get_size(void *state, uint64_t *size_bytes, int *materialised)
{
	struct toy_area *area = state;

	*size_bytes = area->size_bytes;
	*materialised = area->fd >= 0;
	return 0;
}

static int toy_set_prot(void *state, int prot)
{
	struct toy_area *area = state;

	if (prot & ~area->prot)
		return -EINVAL;
	area->prot = prot;
	return 0;
}

static int toy_get_prot(void *state)
{
	return ((struct toy_area *)state)->prot;
}

static int toy_get_fd(void *state)
{
	struct toy_area *area = state;
	int fd;

	if (area->fd >= 0)
		return area->fd;
	fd = memfd_create("toy", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd,
		    (off_t)((area->size_bytes + page_size() - 1) / page_size() * page_size())) !=
		0) {
		close(fd);
		return -ENOMEM;
	}
	area->fd = fd;
	return fd;
}

static int toy_map(void *state, uint64_t offset, size_t length, int prot, int map_flags,
	void **addr)
{
	int fd = toy_get_fd(state);
	void *base;

	if (fd < 0)
		return fd;
	base = mmap(map_flags & MAP_FIXED ? *addr : NULL, length, prot, map_flags, fd,
		(off_t)offset);
	if (base == MAP_FAILED)
		return -errno;
	*addr = base;
	return 0;
}

static int64_t toy_pread(void *state, void *buf, size_t length, uint64_t offset)
{
	struct toy_area *area = state;
	ssize_t got;

	if (offset >= area->size_bytes)
		return 0;
	if (length > area->size_bytes - offset)
		length = (size_t)(area->size_bytes - offset);
	got = pread(area->fd, buf, length, (off_t)offset);
	return got < 0 ? -errno : got;
}

static int64_t toy_read(void *state, void *buf, size_t length)
{
	struct toy_area *area = state;
	int64_t got = toy_pread(state, buf, length, (uint64_t)area->position);

	if (got > 0)
		area->position += got;
	return got;
}

static int64_t toy_seek(void *state, int64_t offset, int whence)
{
	struct toy_area *area = state;

	if (whence != SEEK_SET || offset < 0)
		return -EINVAL;
	area->position = offset;
	return offset;
}

static int toy_pin(void *state, uint64_t offset, uint64_t length)
{
	struct toy_area *area = state;
	uint64_t page, end = (offset + length) / page_size();
	int was_purged = ASHMEM_NOT_PURGED;

	toy_calls.pins++;
	for (page = offset / page_size(); page < end; page++) {
		if (area->unpinned[page] && area->purged[page])
			was_purged = ASHMEM_WAS_PURGED;
		area->unpinned[page] = area->purged[page] = 0;
	}
	return was_purged;
}

static int toy_unpin(void *state, uint64_t offset, uint64_t length)
{
	struct toy_area *area = state;
	struct timespec now;

	memset(area->unpinned + offset / page_size(), 1, (size_t)(length / page_size()));
	clock_gettime(CLOCK_MONOTONIC, &now);
	area->key = ashmem_backend_key(ASHMEM_PRIORITY_NORMAL, ASHMEM_ORDER_FIFO,
		(uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	return 0;
}

static int toy_get_pin_status(void *state, uint64_t offset, uint64_t length)
{
	struct toy_area *area = state;

	if (memchr(area->unpinned + offset / page_size(), 1, (size_t)(length / page_size())))
		return ASHMEM_IS_UNPINNED;
	return ASHMEM_IS_PINNED;
}

static uint64_t evictable(const struct toy_area *area)
{
	uint64_t count = 0;
	int page;

	for (page = 0; page < TOY_PAGES; page++)
		count += area->unpinned[page] && !area->purged[page];
	return count;
}

static uint64_t toy_evictable(void *state)
{
	toy_calls.looks++;
	return evictable(state);
}

static int toy_oldest(void *state, uint64_t *key)
{
	toy_calls.looks++;
	if (evictable(state) == 0)
		return 0;
	*key = ((struct toy_area *)state)->key;
	return 1;
}

static int64_t toy_purge(void *state, uint64_t newest, uint64_t nr_pages)
{
	struct toy_area *area = state;
	int64_t freed = (int64_t)evictable(state);
	int page;

	if (area->key > newest || nr_pages == 0)
		return 0;
	for (page = 0; page < TOY_PAGES; page++) {
		if (!area->unpinned[page] || area->purged[page])
			continue;
		if (fallocate(area->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    (off_t)page * (off_t)page_size(), (off_t)page_size()) != 0)
			return -errno;
		area->purged[page] = 1;
	}
	return freed;
}

static int64_t toy_purge_all(void *userdata)
{
	toy_calls.purge_alls++;
	toy_calls.last_userdata_ok = userdata == &toy_userdata;
	return TOY_PURGE_ALL_PAGES;
}

static int toy_find_unpinned(void *state, uint64_t from, uint64_t *offset, uint64_t *length,
	uint32_t *range_state)
{
	struct toy_area *area = state;
	uint64_t page = from / page_size();

	while (page < TOY_PAGES && !area->unpinned[page])
		page++;
	if (page == TOY_PAGES)
		return 0;
	*offset = page * page_size();
	*length = page_size();
	*range_state = area->purged[page] ? ASHMEM_RANGE_PURGED : ASHMEM_RANGE_EVICTABLE;
	return 1;
}

static int toy_get_stats(void *state, void *stats)
{
	struct ashmem_area_stats *whole = stats;

	whole->size_pages =
		(((struct toy_area *)state)->size_bytes + page_size() - 1) / page_size();
	whole->evictable_pages = evictable(state);
	whole->recoveries = 4711;
	return 0;
}

struct ashmem_backend toy_backend(const char *name, uint32_t capabilities)
{
	struct ashmem_backend backend = {
		.struct_size = sizeof backend,
		.name = name,
		.capabilities = capabilities,
		.userdata = &toy_userdata,
		.probe = toy_probe,
		.create = toy_create,
		.import = toy_import,
		.close = toy_close,
		.set_name = toy_set_name,
		.get_name = toy_get_name,
		.set_size = toy_set_size,
		.get_size = toy_get_size,
		.set_prot = toy_set_prot,
		.get_prot = toy_get_prot,
		.get_fd = toy_get_fd,
		.map = toy_map,
		.read = toy_read,
		.pread = toy_pread,
		.seek = toy_seek,
		.pin = toy_pin,
		.unpin = toy_unpin,
		.get_pin_status = toy_get_pin_status,
	};

	if (capabilities & ASHMEM_BACKEND_CAP_LRU) {
		backend.evictable = toy_evictable;
		backend.oldest = toy_oldest;
		backend.purge = toy_purge;
	}
	if (capabilities & ASHMEM_BACKEND_CAP_PURGE_ALL)
		backend.purge_all = toy_purge_all;
	if (capabilities & ASHMEM_BACKEND_CAP_INSPECT) {
		backend.find_unpinned = toy_find_unpinned;
		backend.get_stats = toy_get_stats;
	}
	return backend;
}

void toy_register(uint32_t capabilities)
{
	static struct ashmem_backend toy;

	toy = toy_backend("toy", capabilities);
	expect_eq(ashmem_backend_register(&toy), 0);
}

void toy_use(uint32_t capabilities)
{
	toy_register(capabilities);
	expect_eq(ashmem_backend_select("toy"), 0);
}
