/* SPDX-License-Identifier: MIT */
/*
 * The areas of a case, and images of what is in them.
 *
 * An image has the control blocks byte for byte and of each page of data its first word, which is
 * pattern() or, once the page was purged, 0. A control block's id stays each area's own. Putting an
 * image back takes an area back in time, which no living process is prepared for: so what the
 * handles remember of the list is made void, and then looked up again.
 */
#include <string.h>
#include <stdlib.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "handle/handle.h"
#include "crash.h"
#include "memfd/area.h"
#include "base/sys.h"

uint64_t pattern(int area, uint32_t page)
{
	return (uint64_t)(area + 1) << 56 | (page + UINT64_C(1)) * 0x10001;
}

uint64_t *page_word(const struct area *area, uint32_t page)
{
	return (uint64_t *)(void *)(area->base + (size_t)page * sys_page_size());
}

uint64_t word_of(const struct area *area, uint32_t page)
{
	uint64_t word = 0;

	if (pread(area->fd, &word, sizeof(word), (off_t)page * (off_t)sys_page_size()) !=
		(ssize_t)sizeof(word))
		die("pread");
	return word;
}

void put_word(const struct area *area, uint32_t page, uint64_t word)
{
	uint64_t bytes = sys_page_size();

	if (word_of(area, page) == word)
		return;
	if (word != 0)
		*page_word(area, page) = word;
	else if (sys_punch(area->fd, page * bytes, bytes) < 0)
		die("punch");
}

struct control_map *control_of(const struct area *area)
{
	return &((struct memfd_area *)area->handle->state)->control;
}

static void area_make(struct area *area, int number, uint32_t pages)
{
	struct ashmem_area *handle;
	struct stat status;

	if (ashmem_create("crash", (uint64_t)pages * sys_page_size(), 0, &handle) < 0)
		die("ashmem_create");
	area->fd = fcntl(ashmem_fd(handle), F_DUPFD_CLOEXEC, 0);
	area->handle = handle;
	if (area->fd < 0 || fstat(area->fd, &status) < 0)
		die("the area's descriptor");
	area->pages = pages;
	area->data_bytes = (size_t)pages * sys_page_size();
	area->control_bytes = (size_t)status.st_size - area->data_bytes;
	area->device = status.st_dev;
	area->inode = status.st_ino;
	area->base =
		mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, area->fd, 0);
	if (area->base == MAP_FAILED)
		die("mmap");
	area->control =
		(struct control *)(void *)(area->base + status.st_size - sizeof(struct control));
	for (uint32_t page = 0; page < pages; page++)
		*page_word(area, page) = pattern(number, page);
}

void world_make(struct world *world, int areas, uint32_t pages)
{
	world->areas = areas;
	for (int a = 0; a < areas; a++)
		area_make(&world->area[a], a, pages);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, world->sockets) < 0)
		die("socketpair");
}

void world_import(struct world *world)
{
	for (int a = 0; a < world->areas; a++)
		if (ashmem_import(world->area[a].fd, &world->area[a].handle) < 0)
			world->area[a].handle = NULL;
}

void world_close(struct world *world)
{
	for (int a = 0; a < world->areas; a++) {
		ashmem_close(world->area[a].handle);
		world->area[a].handle = NULL;
	}
}

void world_drop(struct world *world)
{
	world_close(world);
	for (int a = 0; a < world->areas; a++) {
		munmap(world->area[a].base,
			world->area[a].data_bytes + world->area[a].control_bytes);
		close(world->area[a].fd);
	}
	close(world->sockets[0]);
	close(world->sockets[1]);
}

/* -- images -- */

/* Bytes of the control block but for its id. */
static size_t state_bytes(const struct area *area)
{
	return area->control_bytes - sizeof(struct control) + offsetof(struct control, id);
}

void image_make(struct image *image, const struct world *world)
{
	memset(image, 0, sizeof(*image));
	for (int a = 0; a < world->areas; a++) {
		image->control[a] = calloc(1, world->area[a].control_bytes);
		image->words[a] = calloc(world->area[a].pages, sizeof(uint64_t));
		if (!image->control[a] || !image->words[a])
			die("calloc");
	}
	image_update(image, world, 1);
}

void image_drop(struct image *image)
{
	for (int a = 0; a < AREAS_MAX; a++) {
		free(image->control[a]);
		free(image->words[a]);
	}
}

void image_copy(struct image *to, const struct image *from, const struct world *world)
{
	for (int a = 0; a < world->areas; a++) {
		const struct area *area = &world->area[a];
		memcpy(to->control[a], from->control[a], area->control_bytes);
		memcpy(to->words[a], from->words[a], area->pages * sizeof(uint64_t));
	}
}

int image_update(struct image *image, const struct world *world, int with_data)
{
	int changed = 0;

	for (int a = 0; a < world->areas; a++) {
		const struct area *area = &world->area[a];
		const unsigned char *control = area->base + area->data_bytes;
		if (memcmp(image->control[a], control, area->control_bytes) != 0) {
			memcpy(image->control[a], control, area->control_bytes);
			changed = 1;
		}
		for (uint32_t page = 0; with_data && page < area->pages; page++) {
			uint64_t word = word_of(area, page);
			changed |= image->words[a][page] != word;
			image->words[a][page] = word;
		}
	}
	return changed;
}

void image_put(struct world *world, const struct image *image)
{
	for (int a = 0; a < world->areas; a++) {
		struct area *area = &world->area[a];
		memcpy(area->base + area->data_bytes, image->control[a], state_bytes(area));
		for (uint32_t page = 0; page < area->pages; page++)
			put_word(area, page, image->words[a][page]);
		if (area->handle)
			control_of(area)->list.path_low = control_of(area)->list.path_high = 0;
	}
}
