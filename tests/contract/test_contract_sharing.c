/* SPDX-License-Identifier: MIT */
/*
 * Contract, rule 3, by descriptor: ashmem_send() and ashmem_recv(), plain SCM_RIGHTS and
 * ashmem_import(), areas that reach one process twice, creators that are gone. The errors of
 * sockets are in test_contract_sockets.c, those of descriptors in test_descriptors.c, fork in
 * test_contract_fork.c.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * The peer of most tests here: a child that was there before the area was, so that it knows nothing
 * but what comes over the socket.
 */
struct peer {
	int ends[2];
	pid_t child;
};

static void peer_start(struct peer *peer, void (*fn)(void *peer))
{
	make_socket_pair(peer->ends);
	peer->child = child_start(fn, peer);
}

static void peer_join(struct peer *peer)
{
	child_join(peer->child);
	close(peer->ends[0]);
	close(peer->ends[1]);
}

/* ashmem_send() and ashmem_recv() */

static void receive_and_check(void *argument)
{
	struct peer *peer = argument;
	struct ashmem_area *area = NULL;
	struct view view;

	expect_eq(ashmem_recv(peer->ends[1], &area), 0);
	expect_name(area, "shared");
	expect_eq(ashmem_get_size(area), 4 * page_bytes() - 9);
	expect_eq(ashmem_get_prot(area), PROT_RW);
	expect_str(pin_picture(area, 4), "UU.U");
	expect(fcntl(ashmem_fd(area), F_GETFD) & FD_CLOEXEC);
	view = view_of(area);
	expect(pages_hold(&view, 0, 2, 0));
	expect(pages_hold(&view, 2, 1, 0x19));
	fill_pages(&view, 2, 1, 0x20);
	expect_eq(pin_pages(area, 0, 1), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(area, 3, 1), ASHMEM_NOT_PURGED);
}

CONTRACT_TEST(sharing, received_area_carries_data_and_state)
{
	struct peer peer;
	struct ashmem_area *area = NULL;
	struct view view;

	peer_start(&peer, receive_and_check);
	expect_eq(ashmem_create("shared", 4 * page_bytes() - 9, 0, &area), 0);
	expect_eq(ashmem_set_prot(area, PROT_RW), 0);
	view = view_of(area);
	fill_pages(&view, 0, 4, 0x19);
	unpin_pages(area, 0, 2);
	expect_eq(purge_everything(), 2);
	unpin_pages(area, 3, 1);
	expect_eq(ashmem_send(peer.ends[0], area), 0);
	peer_join(&peer);
	expect(pages_hold(&view, 2, 1, 0x20));
	expect_str(pin_picture(area, 4), ".U..");
	view_drop(&view);
}

static void receive_and_import(void *argument)
{
	struct peer *peer = argument;
	int fd = receive_descriptor(peer->ends[1]);
	struct ashmem_area *area = import_area(fd);

	close(fd);
	expect_name(area, "by hand");
	expect_str(pin_picture(area, 3), ".U.");
	expect_eq(ashmem_pin(area, 0, 0), ASHMEM_NOT_PURGED);
	unpin_pages(area, 2, 1);
	ashmem_close(area);
}

CONTRACT_TEST(sharing, plain_scm_rights_and_import_do_as_well)
{
	struct peer peer;
	struct ashmem_area *area = NULL;
	int fd;

	peer_start(&peer, receive_and_import);
	expect_eq(ashmem_create("by hand", 3 * page_bytes(), 0, &area), 0);
	fd = ashmem_fd(area);
	expect(fd >= 0);
	unpin_pages(area, 1, 1);
	send_descriptors(peer.ends[0], &fd, 1);
	peer_join(&peer);
	expect_str(pin_picture(area, 3), "..U");
	ashmem_close(area);
}

static void send_it_back(void *argument)
{
	struct peer *peer = argument;
	struct ashmem_area *area = NULL;

	expect_eq(ashmem_recv(peer->ends[1], &area), 0);
	expect_eq(ashmem_send(peer->ends[1], area), 0);
	ashmem_close(area);
}

CONTRACT_TEST(sharing, area_sent_back_is_the_same_area)
{
	struct peer peer;
	struct view view;
	struct ashmem_area *back = NULL;

	peer_start(&peer, send_it_back);
	view = view_make(2);
	unpin_pages(view.area, 0, 1);
	expect_eq(ashmem_send(peer.ends[0], view.area), 0);
	expect_eq(ashmem_recv(peer.ends[0], &back), 0);
	peer_join(&peer);
	expect(back == view.area);
	expect_str(pin_picture(back, 2), "U.");
	ashmem_close(back);
	view_drop(&view);
}

static void send_over(int type)
{
	int ends[2];
	struct ashmem_area *area = area_of_pages(1);
	struct ashmem_area *again = NULL;

	expect_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
	expect_eq(ashmem_send(ends[0], area), 0);
	expect_eq(ashmem_send(ends[0], area), 0);
	expect_eq(ashmem_recv(ends[1], &again), 0);
	expect(again == area);
	ashmem_close(again);
	expect_eq(ashmem_recv(ends[1], &again), 0);
	ashmem_close(again);
	ashmem_close(area);
	close(ends[0]);
	close(ends[1]);
}

CONTRACT_TEST(sharing, sockets_of_every_unix_type_will_do)
{
	send_over(SOCK_STREAM);
	send_over(SOCK_DGRAM);
	send_over(SOCK_SEQPACKET);
}

/* Creators that are gone */

static void create_send_and_exit(void *argument)
{
	struct peer *peer = argument;
	struct ashmem_area *area = NULL;
	struct view view;

	expect_eq(ashmem_create("legacy", 3 * page_bytes(), 0, &area), 0);
	view = view_of(area);
	fill_pages(&view, 0, 3, 0x0f);
	unpin_pages(area, 0, 1);
	expect_eq(purge_everything(), 1);
	unpin_pages(area, 1, 1);
	expect_eq(ashmem_send(peer->ends[1], area), 0);
}

CONTRACT_TEST(sharing, state_survives_the_creators_exit)
{
	struct peer peer;
	struct ashmem_area *area = NULL;
	struct view view;

	peer_start(&peer, create_send_and_exit);
	child_join(peer.child);
	expect_eq(ashmem_recv(peer.ends[0], &area), 0);
	expect_name(area, "legacy");
	expect_str(pin_picture(area, 3), "UU.");
	view = view_of(area);
	expect(pages_hold(&view, 1, 2, 0x0f));
	expect_eq(pin_pages(area, 0, 1), ASHMEM_WAS_PURGED);
	expect_eq(purge_everything(), 1);
	expect_eq(pin_pages(area, 1, 1), ASHMEM_WAS_PURGED);
	view_drop(&view);
	close(peer.ends[0]);
	close(peer.ends[1]);
}

CONTRACT_TEST(sharing, state_dies_with_the_last_reference)
{
	struct view view = view_make(2);
	struct holdings before = holdings_now();
	struct view fresh;

	unpin_pages(view.area, 0, 2);
	expect_eq(purge_everything(), 2);
	view_drop(&view);
	expect(holdings_now().descriptors < before.descriptors);
	fresh = view_make(2);
	expect_eq(ashmem_pin(fresh.area, 0, 0), ASHMEM_NOT_PURGED);
	view_drop(&fresh);
}

/* One process, several references */

CONTRACT_TEST(sharing, importing_a_held_area_gives_the_same_handle)
{
	struct view view = view_make(4);
	struct ashmem_area *again = import_area(ashmem_fd(view.area));
	int copy = fcntl(ashmem_fd(view.area), F_DUPFD_CLOEXEC, 0);
	struct ashmem_area *third = import_area(copy);

	expect(again == view.area);
	expect(third == view.area);
	close(copy);
	ashmem_close(third);
	ashmem_close(again);
	expect_eq(ashmem_pin(view.area, 0, 0), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(sharing, each_reference_keeps_the_area_until_the_last_close)
{
	struct view view = view_make(2);
	struct ashmem_area *again = import_area(ashmem_fd(view.area));

	ashmem_close(view.area);
	unpin_pages(again, 0, 1);
	expect_eq(purge_everything(), 1);
	expect_eq(ashmem_pin(again, 0, 0), ASHMEM_WAS_PURGED);
	expect_eq(ashmem_get_size(again), 2 * page_bytes());
	expect_eq(ashmem_unmap(view.base, 2 * page_bytes()), 0);
	ashmem_close(again);
}

CONTRACT_TEST(sharing, area_imported_twice_counts_once)
{
	struct view view = view_make(6);
	struct ashmem_area *again = import_area(ashmem_fd(view.area));

	unpin_pages(view.area, 0, 2);
	unpin_pages(again, 3, 1);
	if (!backend_is_kernel())
		expect_eq(ashmem_shrink_count(), 3);
	expect_eq(purge_everything(), 3);
	expect_eq(pin_pages(again, 0, 1), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(view.area, 0, 1), ASHMEM_NOT_PURGED);
	ashmem_close(again);
	view_drop(&view);
}

CONTRACT_TEST(sharing, descriptor_of_a_read_only_area_imports_as_the_same_area)
{
	struct view view = view_make(2);
	struct ashmem_area *again;

	expect_eq(ashmem_set_prot(view.area, PROT_READ), 0);
	again = import_area(ashmem_fd(view.area));
	expect(again == view.area);
	unpin_pages(again, 0, 1);
	expect_eq(purge_everything(), 1);
	ashmem_close(again);
	view_drop(&view);
}

CONTRACT_TEST(sharing, import_takes_its_own_duplicate)
{
	struct peer peer;
	struct ashmem_area *area;
	int fd, own;

	peer_start(&peer, create_send_and_exit);
	child_join(peer.child);
	fd = receive_descriptor(peer.ends[0]);
	area = import_area(fd);
	own = ashmem_fd(area);
	expect(own >= 0 && own != fd);
	expect(fcntl(own, F_GETFD) & FD_CLOEXEC);
	expect(fcntl(fd, F_GETFD) >= 0);
	close(fd);
	expect_eq(pin_pages(area, 0, 1), ASHMEM_WAS_PURGED);
	ashmem_close(area);
	expect_eq(fcntl(own, F_GETFD), -1);
	close(peer.ends[0]);
	close(peer.ends[1]);
}

CONTRACT_TEST(sharing, many_imports_hold_no_more_than_one)
{
	struct view view = view_make(2);
	struct ashmem_area *first = import_area(ashmem_fd(view.area));
	struct holdings before = holdings_now();
	int i;

	for (i = 0; i < 100; i++)
		expect(import_area(ashmem_fd(view.area)) == first);
	expect_holdings(&before);
	for (i = 0; i < 100; i++)
		ashmem_close(first);
	expect_holdings(&before);
	ashmem_close(first);
	unpin_pages(view.area, 0, 2);
	view_drop(&view);
}

CONTRACT_TEST(sharing, imported_area_can_be_closed_and_imported_again)
{
	struct peer peer;
	struct ashmem_area *area;
	int fd;

	peer_start(&peer, create_send_and_exit);
	child_join(peer.child);
	fd = receive_descriptor(peer.ends[0]);
	area = import_area(fd);
	unpin_pages(area, 2, 1);
	ashmem_close(area);
	area = import_area(fd);
	expect_str(pin_picture(area, 3), "UUU");
	expect_eq(pin_pages(area, 2, 1), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(area, 0, 1), ASHMEM_WAS_PURGED);
	ashmem_close(area);
	close(fd);
	close(peer.ends[0]);
	close(peer.ends[1]);
}

/* Two peers that never met */

static void purge_it_again(void *argument)
{
	struct peer *peer = argument;
	struct ashmem_area *area = NULL;

	expect_eq(ashmem_recv(peer->ends[1], &area), 0);
	expect_eq(pin_pages(area, 0, 1), ASHMEM_WAS_PURGED);
	unpin_pages(area, 0, 1);
	expect_eq(purge_everything(), 1);
}

CONTRACT_TEST(sharing, strangers_see_each_others_purges)
{
	struct peer first, second;
	struct view view;

	peer_start(&first, purge_it_again);
	peer_start(&second, purge_it_again);
	view = view_make(2);
	unpin_pages(view.area, 0, 1);
	expect_eq(purge_everything(), 1);
	expect_eq(ashmem_send(first.ends[0], view.area), 0);
	peer_join(&first);
	expect_eq(status_pages(view.area, 0, 1), ASHMEM_IS_UNPINNED);
	expect_eq(ashmem_send(second.ends[0], view.area), 0);
	peer_join(&second);
	expect_eq(pin_pages(view.area, 0, 1), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(view.area, 0, 1), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

static void read_only_peer(void *argument)
{
	struct peer *peer = argument;
	struct ashmem_area *area = NULL;
	unsigned char *base;
	void *none = NULL;

	expect_eq(ashmem_recv(peer->ends[1], &area), 0);
	expect_eq(ashmem_get_prot(area), PROT_READ);
	base = map_whole(area, PROT_READ);
	expect_eq(base[0], 0x33);
	expect_eq(mprotect(base, page_bytes(), PROT_RW), -1);
	expect_eq(ashmem_map(area, 0, 1, PROT_WRITE, MAP_SHARED, &none), -EPERM);
	expect(mmap(NULL, 1, PROT_RW, MAP_SHARED, ashmem_fd(area), 0) == MAP_FAILED);
}

CONTRACT_TEST(sharing, peer_of_an_area_without_write_can_only_read)
{
	struct peer peer;
	struct view view;

	peer_start(&peer, read_only_peer);
	view = view_make(1);
	fill_pages(&view, 0, 1, 0x33);
	expect_eq(ashmem_set_prot(view.area, PROT_READ), 0);
	expect_eq(ashmem_send(peer.ends[0], view.area), 0);
	peer_join(&peer);
	view_drop(&view);
}
