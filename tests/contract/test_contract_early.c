/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that are handed out before the area is materialised: whoever has one sees and sets
 * name, size and mask, and the first that maps makes them final for all.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct ashmem_area *early_area(int *fd)
{
	struct ashmem_area *area = area_of_bytes(0);

	*fd = ashmem_export_early(area);
	expect(*fd > STDERR_FILENO);
	return area;
}

CONTRACT_TEST(early, does_not_materialise)
{
	int fd, second;
	struct ashmem_area *area = early_area(&fd);

	expect_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	expect_eq(ashmem_is_materialised(area), 0);
	expect_eq(ashmem_fd_kind(fd), ASHMEM_FD_AREA);
	expect_eq(ashmem_set_name(area, "late name"), 0);
	expect_eq(ashmem_set_size(area, 3 * page_bytes() - 5), 0);
	expect_eq(ashmem_set_prot(area, PROT_RW), 0);
	expect_eq(ashmem_get_size(area), 3 * page_bytes() - 5);
	expect_eq(ashmem_get_prot(area), PROT_RW);
	expect_name(area, "late name");
	expect_eq(ashmem_pin(area, 0, 0), -EINVAL);
	second = ashmem_export_early(area);
	expect(second >= 0 && second != fd);
	expect_eq(ashmem_is_materialised(area), 0);
	expect_eq(ashmem_export_early(NULL), -EINVAL);
	close(second);
	close(fd);
	ashmem_close(area);
}

CONTRACT_TEST(early, the_mapping_shows_zeroes_and_the_state_is_whole)
{
	int fd;
	struct ashmem_area *area = early_area(&fd);
	struct view view;

	expect_eq(ashmem_set_size(area, 4 * page_bytes()), 0);
	expect_eq(ashmem_set_name(area, "grown"), 0);
	view = view_of(area);
	expect(pages_hold(&view, 0, 4, 0));
	expect_name(area, "grown");
	expect_eq(ashmem_set_size(area, page_bytes()), -EINVAL);
	fill_pages(&view, 0, 4, 7);
	unpin_pages(area, 1, 2);
	expect_eq(purge_everything(), 2);
	expect_eq(ashmem_pin(area, 0, 0), ASHMEM_WAS_PURGED);
	expect(pages_hold(&view, 1, 2, 0) && pages_hold(&view, 3, 1, 7));
	/* By hand, through what went out early. */
	unsigned char *raw = mmap(NULL, page_bytes(), PROT_RW, MAP_SHARED, fd, 0);
	expect(raw != MAP_FAILED);
	expect_eq(raw[0], 7);
	munmap(raw, page_bytes());
	close(fd);
	view_drop(&view);
}

CONTRACT_TEST(early, is_found_and_imported_as_the_same_area)
{
	int fd;
	struct ashmem_area *area = early_area(&fd), *found;

	skip_on_kernel("needs kcmp there");
	expect_eq(ashmem_find(fd, &found), 0);
	expect(found == area);
	ashmem_close(found);
	found = import_area(fd);
	expect(found == area);
	expect_eq(ashmem_set_size(found, page_bytes()), 0);
	ashmem_close(found);
	expect(ashmem_fd(area) >= 0);
	expect_eq(ashmem_find(fd, &found), 0);
	expect(found == area);
	ashmem_close(found);
	ashmem_close(area);
	expect_eq(ashmem_find(fd, &found), -ENOENT);
	close(fd);
}

CONTRACT_TEST(early, opens_and_closes_evenly)
{
	struct holdings before = holdings_now();

	for (int i = 0; i < 3; i++) {
		int fd;
		struct ashmem_area *area = early_area(&fd);
		expect_eq(ashmem_set_size(area, page_bytes()), 0);
		if (i > 0)
			expect(ashmem_fd(area) >= 0);
		if (i > 1)
			ashmem_close(import_area(fd));
		close(fd);
		ashmem_close(area);
	}
	expect_holdings(&before);
}

CONTRACT_TEST(early, of_a_materialised_area_it_is_an_ordinary_one)
{
	struct view view = view_make(2);
	int fd = ashmem_export_early(view.area);

	expect(fd >= 0 && fd != ashmem_fd(view.area));
	close(fd);
	view_drop(&view);
}

/* Another process, which got nothing but the descriptor */

struct talk {
	int ends[2];
	struct gate go, done;
};

static void talk_make(struct talk *talk)
{
	make_socket_pair(talk->ends);
	gate_make(&talk->go);
	gate_make(&talk->done);
}

static void talk_drop(struct talk *talk)
{
	close(talk->ends[0]);
	close(talk->ends[1]);
	gate_drop(&talk->go);
	gate_drop(&talk->done);
}

static struct ashmem_area *receive_early(struct talk *talk)
{
	int fd = receive_descriptor(talk->ends[1]);
	struct ashmem_area *area = import_area(fd);

	close(fd);
	return area;
}

static void peer_maps_first(void *argument)
{
	struct talk *talk = argument;
	struct ashmem_area *area = receive_early(talk);

	expect_eq(ashmem_is_materialised(area), 0);
	expect_eq(ashmem_get_size(area), 0);
	gate_open(&talk->done);
	gate_wait(&talk->go);
	expect_eq(ashmem_get_size(area), 2 * page_bytes());
	expect_name(area, "from the sender");
	struct view view = view_of(area);
	fill_pages(&view, 0, 2, 0x33);
	unpin_pages(area, 1, 1);
}

CONTRACT_TEST(early, the_peer_sees_what_is_set_later_and_can_materialise)
{
	struct talk talk;
	pid_t child;
	int fd;
	struct ashmem_area *area;

	talk_make(&talk);
	child = child_start(peer_maps_first, &talk);
	area = early_area(&fd);
	send_descriptors(talk.ends[0], &fd, 1);
	gate_wait(&talk.done);
	expect_eq(ashmem_set_size(area, 2 * page_bytes()), 0);
	expect_eq(ashmem_set_name(area, "from the sender"), 0);
	gate_open(&talk.go);
	child_join(child);
	expect_eq(ashmem_is_materialised(area), 1);
	expect_eq(ashmem_set_size(area, page_bytes()), -EINVAL);
	struct view view = view_of(area);
	expect(pages_hold(&view, 0, 2, 0x33));
	expect_str(pin_picture(area, 2), ".U");
	view_drop(&view);
	close(fd);
	talk_drop(&talk);
}

static void peer_sets_the_size(void *argument)
{
	struct talk *talk = argument;
	struct ashmem_area *area = receive_early(talk);

	expect_eq(ashmem_set_size(area, 3 * page_bytes()), 0);
	expect_eq(ashmem_set_prot(area, PROT_READ | PROT_EXEC), 0);
	gate_open(&talk->done);
	gate_wait(&talk->go);
	expect_eq(ashmem_is_materialised(area), 1);
	expect_eq(ashmem_get_pin_status(area, 0, 0), ASHMEM_IS_UNPINNED);
}

CONTRACT_TEST(early, the_sender_sees_what_the_peer_set)
{
	struct talk talk;
	pid_t child;
	int fd;
	struct ashmem_area *area;
	void *at;

	talk_make(&talk);
	child = child_start(peer_sets_the_size, &talk);
	area = early_area(&fd);
	send_descriptors(talk.ends[0], &fd, 1);
	gate_wait(&talk.done);
	expect_eq(ashmem_get_size(area), 3 * page_bytes());
	expect_eq(ashmem_get_prot(area), PROT_READ | PROT_EXEC);
	expect_eq(ashmem_map(area, 0, page_bytes(), PROT_RW, MAP_SHARED, &at), -EPERM);
	expect_eq(ashmem_map(area, 0, page_bytes(), PROT_READ, MAP_SHARED, &at), 0);
	unpin_pages(area, 0, 3);
	gate_open(&talk.go);
	child_join(child);
	expect_eq(ashmem_unmap(at, page_bytes()), 0);
	ashmem_close(area);
	close(fd);
	talk_drop(&talk);
}

static void materialise_in_child(void *argument)
{
	struct ashmem_area *area = argument;

	expect_eq(ashmem_set_size(area, page_bytes()), 0);
	struct view view = view_of(area);
	fill_pages(&view, 0, 1, 9);
}

CONTRACT_TEST(early, a_forked_child_shares_it)
{
	int fd;
	struct ashmem_area *area = early_area(&fd);

	run_child(materialise_in_child, area);
	expect_eq(ashmem_get_size(area), page_bytes());
	struct view view = view_of(area);
	expect(pages_hold(&view, 0, 1, 9));
	view_drop(&view);
	close(fd);
}

static void nothing(void *argument)
{
	(void)argument;
}

CONTRACT_TEST(early, comes_before_the_first_fork)
{
	struct ashmem_area *area = area_of_pages(1);

	skip_on_kernel("the driver's area has its descriptor from the start");
	run_child(nothing, NULL);
	expect_eq(ashmem_export_early(area), -EBUSY);
	expect_eq(ashmem_set_name(area, "unharmed"), 0);
	expect(ashmem_fd(area) >= 0);
	ashmem_close(area);
}

/* Flags of the descriptor */

CONTRACT_TEST(early, o_append_of_its_owner_moves_nothing_that_the_library_writes)
{
	int fd;
	struct ashmem_area *area = early_area(&fd);

	expect_eq(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK), 0);
	expect_eq(ashmem_set_name(area, "appended"), 0);
	expect(fcntl(fd, F_GETFL) & O_NONBLOCK);
	expect_eq(fcntl(fd, F_SETFL, O_APPEND), 0);
	expect_eq(ashmem_set_size(area, 2 * page_bytes()), 0);
	expect_eq(fcntl(fd, F_SETFL, O_APPEND), 0);
	expect_eq(ashmem_set_prot(area, PROT_RW), 0);
	expect_eq(ashmem_get_size(area), 2 * page_bytes());
	expect_name(area, "appended");
	expect_eq(ashmem_get_prot(area), PROT_RW);
	expect_eq(fcntl(fd, F_SETFL, O_APPEND), 0);
	struct view view = view_of(area);
	fill_pages(&view, 0, 2, 7);
	unpin_pages(area, 0, 1);
	expect_str(pin_picture(area, 2), "U.");
	expect_eq(purge_everything(), 1);
	expect_eq(ashmem_pin(area, 0, 0), ASHMEM_WAS_PURGED);
	expect(pages_hold(&view, 0, 1, 0) && pages_hold(&view, 1, 1, 7));
	view_drop(&view);
	close(fd);
}

/* A peer that spoils the file */

CONTRACT_TEST(early, a_spoilt_file_is_found_out)
{
	int fd;
	struct ashmem_area *area = early_area(&fd);
	void *at;

	skip_on_kernel("the descriptor is the driver's");
	expect_eq(ashmem_set_size(area, page_bytes()), 0);
	expect_eq(ftruncate(fd, 0), 0);
	expect_eq(ashmem_get_size(area), 0);
	expect_eq(ashmem_is_materialised(area), -EUCLEAN);
	expect_eq(ashmem_map(area, 0, page_bytes(), PROT_READ, MAP_SHARED, &at), -EUCLEAN);
	expect_eq(ashmem_set_name(area, "x"), -EUCLEAN);
	ashmem_close(area);
	close(fd);
}

CONTRACT_TEST(early, a_file_sealed_by_a_peer_is_found_out)
{
	int fd;
	struct ashmem_area *area = early_area(&fd);
	void *at;

	skip_on_kernel("the descriptor is the driver's");
	expect_eq(ashmem_set_size(area, page_bytes()), 0);
	expect_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	expect_eq(ashmem_map(area, 0, page_bytes(), PROT_READ, MAP_SHARED, &at), -EUCLEAN);
	ashmem_close(area);
	close(fd);
}
