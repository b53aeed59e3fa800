/* SPDX-License-Identifier: MIT */
/*
 * Operations that share areas of the memfd backend: descriptors, sockets, seals, holds, peers that
 * cannot write.
 */
#include <sys/mman.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "faults.h"

static void peer_fd(struct world *world, enum peer_area kind)
{
	use_memfd(world);
	world->fd = peer_area(kind);
}

static void writable_fd(struct world *world)
{
	peer_fd(world, PEER_AREA);
}

static void read_only_fd(struct world *world)
{
	peer_fd(world, PEER_READ_ONLY);
}

static void sealed_fd(struct world *world)
{
	peer_fd(world, PEER_SEALED);
}

static void plain_fd(struct world *world)
{
	peer_fd(world, PEER_PLAIN);
}

static void known_fd(struct world *world)
{
	writable_fd(world);
	if (ashmem_import(world->fd, &world->area[0]) < 0)
		die("ashmem_import");
}

static void reader(struct world *world)
{
	read_only_fd(world);
	if (ashmem_import(world->fd, &world->area[0]) < 0)
		die("ashmem_import");
}

static void pinned_reader(struct world *world)
{
	reader(world);
	if (ashmem_pin(world->area[0], BYTES(2), BYTES(6)) < 0)
		die("ashmem_pin");
}

static void holding_reader(struct world *world)
{
	reader(world);
	if (ashmem_hold(world->area[0], BYTES(2), BYTES(6)) < 0)
		die("ashmem_hold");
}

static void holder(struct world *world)
{
	known_fd(world);
	if (ashmem_hold(world->area[0], BYTES(2), BYTES(6)) < 0)
		die("ashmem_hold");
}

static void established(struct world *world)
{
	mapped(world);
	unpin_pages(world, 0, 1, 3);
	unpin_pages(world, 0, 6, 2);
}

static void newborn_to_send(struct world *world)
{
	newborn(world);
	open_sockets(world);
}

static void newborn_to_send_without_write(struct world *world)
{
	newborn_without_write(world);
	open_sockets(world);
}

static void established_to_send(struct world *world)
{
	established(world);
	open_sockets(world);
}

static void sent(struct world *world)
{
	use_memfd(world);
	open_sockets(world);
	world->fd = peer_area(PEER_AREA);
	struct ashmem_area *area;
	if (ashmem_import(world->fd, &area) < 0 || ashmem_send(world->sockets[0], area) < 0)
		die("ashmem_send");
	ashmem_close(area);
}

/* What is no area: an end of a socket. */
static void sent_a_socket(struct world *world)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec io = {.iov_base = "A", .iov_len = 1};
	struct msghdr message = {.msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};

	newborn_to_send(world);
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	*header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(header), &world->sockets[0], sizeof(int));
	if (sendmsg(world->sockets[0], &message, 0) != 1)
		die("sendmsg");
}

/* -- operations -- */

/* Its descriptor is out, and it has no memory. */
static void early(struct world *world)
{
	newborn(world);
	world->fd = ashmem_export_early(world->area[0]);
	if (world->fd < 0)
		die("ashmem_export_early");
}

static void with_descriptor(struct world *world)
{
	established(world);
	world->fd = ashmem_export(world->area[0]);
	if (world->fd < 0)
		die("ashmem_export");
}

static int64_t do_export(struct world *world)
{
	int r = ashmem_export_read_only(world->area[0]);

	if (r >= 0)
		world->made_fd = r;
	return r < 0 ? r : 0;
}

static int64_t do_export_own(struct world *world)
{
	int r = ashmem_export(world->area[0]);

	if (r >= 0)
		world->made_fd = r;
	return r < 0 ? r : 0;
}

static int64_t do_export_early(struct world *world)
{
	int r = ashmem_export_early(world->area[0]);

	if (r >= 0)
		world->made_fd = r;
	return r < 0 ? r : 0;
}

static int64_t do_find(struct world *world)
{
	struct ashmem_area *area = UNTOUCHED;
	int r = ashmem_find(world->fd, &area);

	return area_made(world, r, area);
}

/* Success is to know what it is. */
static int64_t do_fd_kind(struct world *world)
{
	int r = ashmem_fd_kind(world->fd);

	return r == ASHMEM_FD_AREA ? 0 : r;
}

static int64_t do_get_id(struct world *world)
{
	uint64_t device = 1, inode = 2;
	int r = ashmem_get_id(world->area[0], &device, &inode);

	world->touched = r < 0 && (device != 1 || inode != 2);
	return r;
}

static int64_t do_ask_materialised(struct world *world)
{
	int r = ashmem_is_materialised(world->area[0]);

	return r > 0 ? 0 : r;
}

static int64_t do_ref(struct world *world)
{
	int r = ashmem_ref(world->area[0]);

	if (r == 0)
		world->made = world->area[0];
	return r;
}

static int64_t do_seal(struct world *world)
{
	return ashmem_seal(world->area[0]);
}

/* Success is to be refused. */
static int64_t do_recv_strange(struct world *world)
{
	int64_t r = do_recv(world);

	return r == -EINVAL ? 0 : r;
}

static int64_t pin_more(struct world *world)
{
	return ashmem_pin(world->area[0], BYTES(5), BYTES(4));
}

static int64_t unpin_inside(struct world *world)
{
	return ashmem_unpin(world->area[0], BYTES(3), BYTES(2));
}

static int64_t status_across(struct world *world)
{
	return ashmem_get_pin_status(world->area[0], BYTES(5), BYTES(4));
}

static int64_t do_hold(struct world *world)
{
	return ashmem_hold(world->area[0], BYTES(1), BYTES(6));
}

static int64_t do_release(struct world *world)
{
	return ashmem_release(world->area[0], BYTES(3), BYTES(4), 0);
}

static int64_t do_release_lost(struct world *world)
{
	return ashmem_release(world->area[0], BYTES(3), BYTES(4), ASHMEM_RELEASE_LOST);
}

const struct fault_case sharing_cases[] = {
	{"fd of a newborn", "ashmem_fd", newborn, do_fd, 0},
	{"fd of a newborn without write", "ashmem_fd", newborn_without_write, do_fd, 0},
	{"fd of a mapped area", "ashmem_fd", mapped, do_fd, MAY_ESTABLISH},
	{"export", "ashmem_export", established, do_export_own, 0},
	{"export of a newborn", "ashmem_export", newborn, do_export_own, MAY_MATERIALISE},
	{"export_early", "ashmem_export_early", newborn, do_export_early, 0},
	{"export_early of a mapped area", "ashmem_export_early", mapped, do_export_early,
		MAY_ESTABLISH},
	{"export_early again", "ashmem_export_early", early, do_export_early, 0},
	{"set_name of an early one", "ashmem_set_name", early, do_set_name, 0},
	{"set_size of an early one", "ashmem_set_size", early, do_set_size, 0},
	{"set_prot of an early one", "ashmem_set_prot", early, do_set_prot_read, 0},
	{"get_name of an early one", "ashmem_get_name", early, do_get_name, 0},
	{"get_prot of an early one", "ashmem_get_prot", early, do_get_prot, 0},
	{"map of an early one", "ashmem_map", early, do_map, 0},
	{"fd of an early one", "ashmem_fd", early, do_fd, MAY_MATERIALISE},
	{"find of an early one", "ashmem_find", early, do_find, 0},
	{"fd_kind of an early one", "ashmem_fd_kind", early, do_fd_kind, ANY_SUCCESS},
	{"get_id of an early one", "ashmem_get_id", early, do_get_id, 0},
	{"is_materialised of an early one", "ashmem_is_materialised", early, do_ask_materialised,
		0},
	{"find", "ashmem_find", with_descriptor, do_find, 0},
	{"fd_kind", "ashmem_fd_kind", with_descriptor, do_fd_kind, ANY_SUCCESS},
	{"get_id", "ashmem_get_id", established, do_get_id, 0},
	{"is_materialised", "ashmem_is_materialised", mapped, do_ask_materialised, 0},
	{"ref", "ashmem_ref", established, do_ref, 0},
	{"export_read_only of a newborn", "ashmem_export_read_only", newborn, do_export,
		MAY_MATERIALISE},
	{"export_read_only of a mapped area", "ashmem_export_read_only", mapped, do_export,
		MAY_ESTABLISH},
	{"export_read_only", "ashmem_export_read_only", established, do_export, 0},
	{"export_read_only of a reader", "ashmem_export_read_only", reader, do_export, 0},
	{"seal of a newborn", "ashmem_seal", newborn, do_seal, MAY_MATERIALISE},
	{"seal of a mapped area", "ashmem_seal", mapped, do_seal, MAY_ESTABLISH},
	{"seal", "ashmem_seal", established, do_seal, 0},
	{"import, the first call of a process", "ashmem_import", writable_fd, do_import, 0},
	{"import of a known area", "ashmem_import", known_fd, do_import, 0},
	{"import of a read-only area", "ashmem_import", read_only_fd, do_import, 0},
	{"import of a sealed area", "ashmem_import", sealed_fd, do_import, 0},
	{"import of a plain memfd", "ashmem_import", plain_fd, do_import, 0},
	{"send of a newborn", "ashmem_send", newborn_to_send, do_send, MAY_MATERIALISE},
	{"send of a newborn without write", "ashmem_send", newborn_to_send_without_write, do_send,
		MAY_MATERIALISE},
	{"send", "ashmem_send", established_to_send, do_send, 0},
	{"recv", "ashmem_recv", sent, do_recv, NO_RETRY},
	{"recv of what is no area", "ashmem_recv", sent_a_socket, do_recv_strange, NO_RETRY},
	{"pin of a reader", "ashmem_pin", reader, pin_more, 0},
	{"another pin of a reader", "ashmem_pin", pinned_reader, pin_more, 0},
	{"unpin of a reader", "ashmem_unpin", pinned_reader, unpin_inside, LOCKS_MAY_STAY},
	{"status of a reader", "ashmem_get_pin_status", pinned_reader, status_across, 0},
	{"hold of a reader", "ashmem_hold", reader, do_hold, 0},
	{"release of a reader", "ashmem_release", holding_reader, do_release, LOCKS_MAY_STAY},
	{"first hold", "ashmem_hold", mapped, do_hold, MAY_ESTABLISH},
	{"hold", "ashmem_hold", known_fd, do_hold, 0},
	{"another hold", "ashmem_hold", holder, do_hold, 0},
	{"release", "ashmem_release", holder, do_release, LOCKS_MAY_STAY},
	{"release of what is lost", "ashmem_release", holder, do_release_lost, LOCKS_MAY_STAY},
	{NULL, NULL, NULL, NULL, 0},
};
