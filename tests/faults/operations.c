/* SPDX-License-Identifier: MIT */
/*
 * What the cases of several backends do, and what they do it on. Outputs are preset; an operation
 * that fails and changes one says so in world->touched.
 */
#include "faults.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* A mapping that an operation makes starts at page 2 and ends with the area. */
#define MAPPED_PAGES (PAGES - 2)

/* -- what they are done on -- */

void use_memfd(struct world *world)
{
	(void)world;
	ashmem_backend_select("memfd");
}

void newborn(struct world *world)
{
	use_memfd(world);
	if (ashmem_create("faulty", BYTES(PAGES), ASHMEM_CREATE_ALLOW_SEAL, &world->area[0]) < 0)
		die("ashmem_create");
}

void newborn_without_write(struct world *world)
{
	newborn(world);
	if (ashmem_set_prot(world->area[0], PROT_READ) < 0)
		die("ashmem_set_prot");
}

void mapped(struct world *world)
{
	newborn(world);
	map_area(world, 0, PROT_READ | PROT_WRITE);
}

void open_sockets(struct world *world)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, world->sockets) < 0)
		die("socketpair");
}

/* -- operations -- */

int64_t area_made(struct world *world, int r, struct ashmem_area *area)
{
	world->touched = r < 0 && area != UNTOUCHED;
	if (r == 0)
		world->made = area;
	return r;
}

int64_t do_create(struct world *world)
{
	struct ashmem_area *area = UNTOUCHED;
	int r = ashmem_create("made", BYTES(PAGES), 0, &area);

	return area_made(world, r, area);
}

int64_t do_import(struct world *world)
{
	struct ashmem_area *area = UNTOUCHED;
	int r = ashmem_import(world->fd, &area);

	return area_made(world, r, area);
}

int64_t do_recv(struct world *world)
{
	struct ashmem_area *area = UNTOUCHED;
	int r = ashmem_recv(world->sockets[1], &area);

	return area_made(world, r, area);
}

int64_t do_send(struct world *world)
{
	return ashmem_send(world->sockets[0], world->area[0]);
}

int64_t do_fd(struct world *world)
{
	int r = ashmem_fd(world->area[0]);

	return r < 0 ? r : 0;
}

int64_t do_close(struct world *world)
{
	ashmem_close(world->area[0]);
	world->area[0] = NULL;
	if (world->base[0])
		ashmem_unmap(world->base[0], (size_t)BYTES(PAGES));
	world->base[0] = NULL;
	return 0;
}

int64_t do_set_name(struct world *world)
{
	return ashmem_set_name(world->area[0], "other");
}

int64_t do_get_name(struct world *world)
{
	char name[ASHMEM_NAME_LEN] = "untouched";
	int r = ashmem_get_name(world->area[0], name, sizeof(name));

	world->touched = r < 0 && strcmp(name, "untouched") != 0;
	return r < 0 ? r : strcmp(name, "faulty") == 0;
}

int64_t do_set_size(struct world *world)
{
	return ashmem_set_size(world->area[0], BYTES(PAGES / 2));
}

int64_t do_get_size(struct world *world)
{
	return (int64_t)ashmem_get_size(world->area[0]);
}

int64_t do_set_prot_read(struct world *world)
{
	return ashmem_set_prot(world->area[0], PROT_READ);
}

int64_t do_get_prot(struct world *world)
{
	return ashmem_get_prot(world->area[0]);
}

static int64_t map_at(struct world *world, int prot, int flags, void *place)
{
	void *addr = place;
	int r = ashmem_map(world->area[0], BYTES(2), (size_t)BYTES(MAPPED_PAGES), prot, flags,
		&addr);

	world->touched = r < 0 && addr != place;
	if (r == 0) {
		world->mapped = addr;
		world->mapped_bytes = (size_t)BYTES(MAPPED_PAGES);
	}
	return r;
}

int64_t do_map(struct world *world)
{
	return map_at(world, PROT_READ | PROT_WRITE, MAP_SHARED, UNTOUCHED);
}

int64_t do_map_read(struct world *world)
{
	return map_at(world, PROT_READ, MAP_SHARED, UNTOUCHED);
}

int64_t do_map_private(struct world *world)
{
	return map_at(world, PROT_READ | PROT_WRITE, MAP_PRIVATE, UNTOUCHED);
}

int64_t do_map_private_read(struct world *world)
{
	return map_at(world, PROT_READ, MAP_PRIVATE, UNTOUCHED);
}

int64_t do_map_noreplace(struct world *world)
{
	size_t bytes = (size_t)BYTES(MAPPED_PAGES);
	void *place = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(place, bytes);
	return map_at(world, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, place);
}

int64_t do_read(struct world *world)
{
	char bytes[5000];

	return ashmem_read(world->area[0], bytes, sizeof(bytes));
}

int64_t do_pread(struct world *world)
{
	char bytes[5000];

	return ashmem_pread(world->area[0], bytes, sizeof(bytes), 100);
}

int64_t do_seek(struct world *world)
{
	return ashmem_seek(world->area[0], 77, SEEK_SET);
}

int64_t do_pin(struct world *world)
{
	return ashmem_pin(world->area[0], BYTES(2), BYTES(1));
}

int64_t do_unpin(struct world *world)
{
	return ashmem_unpin(world->area[0], BYTES(5), BYTES(6));
}

int64_t do_status(struct world *world)
{
	return ashmem_get_pin_status(world->area[0], BYTES(5), BYTES(6));
}

int64_t do_purge(struct world *world)
{
	return ashmem_purge(world->area[0], BYTES(2), BYTES(9));
}

int64_t do_purge_all(struct world *world)
{
	(void)world;
	return ashmem_purge_all();
}
