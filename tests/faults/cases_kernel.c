/* SPDX-License-Identifier: MIT */
/* Operations of the kernel backend, on a driver made of memfds (driver.c). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "faults.h"

#define UNTOUCHED ((void *)(uintptr_t)0x5a5a)
#define BYTES(pages) ((pages)*page_bytes())

static void nothing(struct world *world)
{
	(void)world;
	driver_present = 1;
}

static void newborn(struct world *world)
{
	nothing(world);
	if (ashmem_create("faulty", BYTES(PAGES) - 100, 0, &world->area[0]) < 0 ||
		strcmp(ashmem_backend_name(world->area[0]), "kernel") != 0)
		die("an area of the driver");
}

static void mapped(struct world *world)
{
	newborn(world);
	map_area(world, 0, PROT_READ | PROT_WRITE);
	unpin_pages(world, 0, 1, 3);
	ashmem_purge_all();
	unpin_pages(world, 0, 6, 2);
}

/* Made by others: an open file, and another description of nothing that is known. */
static void strange_fd(struct world *world)
{
	nothing(world);
	world->fd = driver_open("/dev/ashmem");
}

static void known_fd(struct world *world)
{
	mapped(world);
	world->fd = fcntl(ashmem_fd(world->area[0]), F_DUPFD_CLOEXEC, 0);
}

static void with_sockets(struct world *world)
{
	mapped(world);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, world->sockets) < 0)
		die("socketpair");
}

/* -- operations -- */

static int64_t do_create(struct world *world)
{
	struct ashmem_area *area = UNTOUCHED;
	int r = ashmem_create("made", BYTES(PAGES), 0, &area);

	world->touched = r < 0 && area != UNTOUCHED;
	if (r == 0)
		world->made = area;
	return r;
}

static int64_t do_close(struct world *world)
{
	size_t bytes = (size_t)ashmem_get_size(world->area[0]);

	ashmem_close(world->area[0]);
	world->area[0] = NULL;
	if (world->base[0])
		ashmem_unmap(world->base[0], bytes);
	world->base[0] = NULL;
	return 0;
}

static int64_t do_set_name(struct world *world)
{
	return ashmem_set_name(world->area[0], "other");
}

static int64_t do_get_name(struct world *world)
{
	char name[ASHMEM_NAME_LEN] = "untouched";
	int r = ashmem_get_name(world->area[0], name, sizeof(name));

	world->touched = r < 0 && strcmp(name, "untouched") != 0;
	return r < 0 ? r : strcmp(name, "faulty") == 0;
}

static int64_t do_set_size(struct world *world)
{
	return ashmem_set_size(world->area[0], BYTES(PAGES / 2));
}

static int64_t do_set_prot(struct world *world)
{
	return ashmem_set_prot(world->area[0], PROT_READ);
}

static int64_t do_get_prot(struct world *world)
{
	return ashmem_get_prot(world->area[0]);
}

static int64_t map_it(struct world *world, int prot, int flags)
{
	void *addr = UNTOUCHED;
	int r = ashmem_map(world->area[0], BYTES(2), (size_t)BYTES(PAGES - 2), prot, flags, &addr);

	world->touched = r < 0 && addr != UNTOUCHED;
	if (r == 0) {
		world->mapped = addr;
		world->mapped_bytes = (size_t)BYTES(PAGES - 2);
	}
	return r;
}

static int64_t do_map(struct world *world)
{
	return map_it(world, PROT_READ | PROT_WRITE, MAP_SHARED);
}

static int64_t do_map_private(struct world *world)
{
	return map_it(world, PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

static int64_t do_map_private_read(struct world *world)
{
	return map_it(world, PROT_READ, MAP_PRIVATE);
}

static int64_t do_read(struct world *world)
{
	char bytes[5000];

	return ashmem_read(world->area[0], bytes, sizeof(bytes));
}

static int64_t do_pread(struct world *world)
{
	char bytes[5000];

	return ashmem_pread(world->area[0], bytes, sizeof(bytes), 100);
}

static int64_t do_seek(struct world *world)
{
	return ashmem_seek(world->area[0], 77, SEEK_SET);
}

static int64_t do_seek_from_here(struct world *world)
{
	return ashmem_seek(world->area[0], 7, SEEK_CUR);
}

static int64_t do_pin(struct world *world)
{
	return ashmem_pin(world->area[0], BYTES(2), BYTES(1));
}

static int64_t do_unpin(struct world *world)
{
	return ashmem_unpin(world->area[0], BYTES(5), BYTES(6));
}

static int64_t do_status(struct world *world)
{
	return ashmem_get_pin_status(world->area[0], BYTES(5), BYTES(6));
}

static int64_t do_fd(struct world *world)
{
	int r = ashmem_fd(world->area[0]);

	return r < 0 ? r : 0;
}

static int64_t do_import(struct world *world)
{
	struct ashmem_area *area = UNTOUCHED;
	int r = ashmem_import(world->fd, &area);

	world->touched = r < 0 && area != UNTOUCHED;
	if (r == 0)
		world->made = area;
	return r;
}

static int64_t do_send(struct world *world)
{
	return ashmem_send(world->sockets[0], world->area[0]);
}

static int64_t do_purge_all(struct world *world)
{
	(void)world;
	return ashmem_purge_all();
}

static int64_t do_select(struct world *world)
{
	(void)world;
	return ashmem_backend_select("kernel");
}

const struct fault_case kernel_cases[] = {
	/*
	 * If the driver cannot be asked now, the first area may come from memfd: that is what
	 * "auto" means.
	 */
	{"driver: create, the first call of a process", "ashmem_create", nothing, do_create,
		ANY_SUCCESS},
	{"driver: create", "ashmem_create", newborn, do_create, 0},
	{"driver: close", "ashmem_close", mapped, do_close, NO_RETRY},
	{"driver: set_name", "ashmem_set_name", newborn, do_set_name, 0},
	{"driver: get_name", "ashmem_get_name", mapped, do_get_name, 0},
	{"driver: set_size", "ashmem_set_size", newborn, do_set_size, 0},
	{"driver: set_prot", "ashmem_set_prot", mapped, do_set_prot, 0},
	{"driver: get_prot", "ashmem_get_prot", mapped, do_get_prot, 0},
	{"driver: first map", "ashmem_map", newborn, do_map, 0},
	{"driver: map", "ashmem_map", mapped, do_map, 0},
	{"driver: first map, private", "ashmem_map", newborn, do_map_private, MAY_MATERIALISE},
	{"driver: map, private", "ashmem_map", mapped, do_map_private, 0},
	{"driver: map, private, to read", "ashmem_map", mapped, do_map_private_read, 0},
	{"driver: read", "ashmem_read", mapped, do_read, ANY_SUCCESS},
	{"driver: pread", "ashmem_pread", mapped, do_pread, ANY_SUCCESS},
	{"driver: seek", "ashmem_seek", mapped, do_seek, 0},
	{"driver: seek from here", "ashmem_seek", mapped, do_seek_from_here, 0},
	{"driver: pin", "ashmem_pin", mapped, do_pin, 0},
	{"driver: unpin", "ashmem_unpin", mapped, do_unpin, 0},
	{"driver: status", "ashmem_get_pin_status", mapped, do_status, 0},
	{"driver: fd", "ashmem_fd", newborn, do_fd, 0},
	{"driver: import", "ashmem_import", strange_fd, do_import, 0},
	{"driver: import of a known area", "ashmem_import", known_fd, do_import, ANY_SUCCESS},
	{"driver: send", "ashmem_send", with_sockets, do_send, 0},
	{"driver: purge_all", "ashmem_purge_all", mapped, do_purge_all, 0},
	{"driver: select", "ashmem_backend_select", nothing, do_select, NO_RETRY},
	{NULL, NULL, NULL, NULL, 0},
};
