/* SPDX-License-Identifier: MIT */
/* Operations of the kernel backend, on a driver made of memfds (driver.c). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "faults.h"

static void with_driver(struct world *world)
{
	(void)world;
	driver_present = 1;
}

static void newborn_driver_area(struct world *world)
{
	with_driver(world);
	if (ashmem_create("faulty", BYTES(PAGES) - 100, 0, &world->area[0]) < 0 ||
		strcmp(ashmem_backend_name(world->area[0]), "kernel") != 0)
		die("an area of the driver");
}

static void mapped_driver_area(struct world *world)
{
	newborn_driver_area(world);
	map_area(world, 0, PROT_READ | PROT_WRITE);
	unpin_pages(world, 0, 1, 3);
	ashmem_purge_all();
	unpin_pages(world, 0, 6, 2);
}

/* Made by others: an open file, and another description of one that is known. */
static void strange_fd(struct world *world)
{
	with_driver(world);
	world->fd = driver_open("/dev/ashmem");
}

static void known_fd(struct world *world)
{
	mapped_driver_area(world);
	world->fd = fcntl(ashmem_fd(world->area[0]), F_DUPFD_CLOEXEC, 0);
}

static void with_sockets(struct world *world)
{
	mapped_driver_area(world);
	open_sockets(world);
}

/* -- operations -- */

static int64_t do_seek_from_here(struct world *world)
{
	return ashmem_seek(world->area[0], 7, SEEK_CUR);
}

static int64_t select_kernel(struct world *world)
{
	(void)world;
	return ashmem_backend_select("kernel");
}

const struct fault_case kernel_cases[] = {
	/*
	 * If the driver cannot be asked now, the first area may come from memfd: that is what
	 * "auto" means.
	 */
	{"driver: create, the first call of a process", "ashmem_create", with_driver, do_create,
		ANY_SUCCESS},
	{"driver: create", "ashmem_create", newborn_driver_area, do_create, 0},
	{"driver: close", "ashmem_close", mapped_driver_area, do_close, NO_RETRY},
	{"driver: set_name", "ashmem_set_name", newborn_driver_area, do_set_name, 0},
	{"driver: get_name", "ashmem_get_name", mapped_driver_area, do_get_name, 0},
	{"driver: set_size", "ashmem_set_size", newborn_driver_area, do_set_size, 0},
	{"driver: get_size", "ashmem_get_size", mapped_driver_area, do_get_size, 0},
	{"driver: set_prot", "ashmem_set_prot", mapped_driver_area, do_set_prot_read, 0},
	{"driver: get_prot", "ashmem_get_prot", mapped_driver_area, do_get_prot, 0},
	{"driver: first map", "ashmem_map", newborn_driver_area, do_map, 0},
	{"driver: map", "ashmem_map", mapped_driver_area, do_map, 0},
	{"driver: first map, private", "ashmem_map", newborn_driver_area, do_map_private,
		MAY_MATERIALISE},
	{"driver: map, private", "ashmem_map", mapped_driver_area, do_map_private, 0},
	{"driver: map, private, to read", "ashmem_map", mapped_driver_area, do_map_private_read, 0},
	{"driver: read", "ashmem_read", mapped_driver_area, do_read, ANY_SUCCESS},
	{"driver: pread", "ashmem_pread", mapped_driver_area, do_pread, ANY_SUCCESS},
	{"driver: seek", "ashmem_seek", mapped_driver_area, do_seek, 0},
	{"driver: seek from here", "ashmem_seek", mapped_driver_area, do_seek_from_here, 0},
	{"driver: pin", "ashmem_pin", mapped_driver_area, do_pin, 0},
	{"driver: unpin", "ashmem_unpin", mapped_driver_area, do_unpin, 0},
	{"driver: status", "ashmem_get_pin_status", mapped_driver_area, do_status, 0},
	{"driver: fd", "ashmem_fd", newborn_driver_area, do_fd, 0},
	{"driver: import", "ashmem_import", strange_fd, do_import, 0},
	{"driver: import of a known area", "ashmem_import", known_fd, do_import, ANY_SUCCESS},
	{"driver: send", "ashmem_send", with_sockets, do_send, 0},
	{"driver: purge_all", "ashmem_purge_all", mapped_driver_area, do_purge_all, 0},
	{"driver: select", "ashmem_backend_select", with_driver, select_kernel, NO_RETRY},
	{NULL, NULL, NULL, NULL, 0},
};
