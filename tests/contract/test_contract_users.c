/* SPDX-License-Identifier: MIT */
/*
 * Contract: a peer of another user that gets a read-only descriptor can never write, also if the
 * process changed its user between making the area and sharing it. Needs root, to be several users.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAKER = 20001, PEER = 20002 };

static int can_become_others(void)
{
	return geteuid() == 0;
}

static void become(uid_t user)
{
	expect_eq(setgroups(0, NULL), 0);
	expect_eq(setresgid(user, user, user), 0);
	expect_eq(setresuid(user, user, user), 0);
}

static void expect_no_way_to_write(void *argument)
{
	const int *fd = argument;
	char path[40];

	become(PEER);
	snprintf(path, sizeof path, "/proc/self/fd/%d", *fd);
	expect_eq(open(path, O_RDWR | O_CLOEXEC), -1);
	expect_eq(errno, EACCES);
	expect(mmap(NULL, page_bytes(), PROT_RW, MAP_SHARED, *fd, 0) == MAP_FAILED);
}

/* In a child that stays root, and so can make a peer; `fd` is to be inherited. */
static void expect_peer_cannot_write(int fd)
{
	run_child(expect_no_way_to_write, &fd);
}

static void skip_unless_root(void)
{
	skip_on_kernel("the driver has no read-only descriptors");
	if (!can_become_others())
		contract_skip("needs root, to become other users");
}

/* -- the mode -- */

static void share_after_the_change(struct ashmem_area *area, int by_mask)
{
	struct stat status;
	int fd = -1;

	become(MAKER);
	if (by_mask) {
		expect_eq(ashmem_set_prot(area, PROT_READ), 0);
		fd = ashmem_fd(area);
	} else {
		fd = ashmem_export_read_only(area);
	}
	expect(fd >= 0);
	expect_eq(fstat(fd, &status), 0);
	expect_eq(status.st_mode & 0022, 0);
}

static void export_after_the_change(void *argument)
{
	share_after_the_change(argument, 0);
}

static void narrow_after_the_change(void *argument)
{
	share_after_the_change(argument, 1);
}

CONTRACT_TEST(users, area_from_before_a_change_of_user_is_shared_read_only)
{
	struct view view;
	int fd;

	skip_unless_root();
	view = view_make(1);
	run_child(export_after_the_change, view.area);
	/* What such a child gives away is this file, with the mode that it has there. */
	fd = ashmem_export_read_only(view.area);
	expect(fd >= 0);
	expect_peer_cannot_write(fd);
	close(fd);
	run_child(narrow_after_the_change, view.area);
	view_drop(&view);
}

CONTRACT_TEST(users, no_other_user_can_reopen_a_new_area_for_writing)
{
	struct ashmem_area *area;
	int fd, reader;
	char path[40];

	skip_unless_root();
	area = area_of_pages(1);
	fd = ashmem_fd(area);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	reader = open(path, O_RDONLY | O_CLOEXEC); /* as a peer of an older library gets it */
	expect(reader >= 0);
	expect_peer_cannot_write(reader);
	close(reader);
	ashmem_close(area);
}

/* -- where it cannot be had -- */

static void be_refused(void *argument)
{
	struct ashmem_area *area = argument;

	become(MAKER);
	expect_eq(ashmem_export_read_only(area), -EPERM);
	expect_eq(ashmem_set_prot(area, PROT_READ), -EPERM);
	expect_eq(ashmem_get_prot(area), PROT_RWX);
	expect((fcntl(ashmem_fd(area), F_GETFL) & O_ACCMODE) == O_RDWR);
}

static void be_refused_the_import(void *argument)
{
	const int *fd = argument;
	struct ashmem_area *area;

	become(MAKER);
	area = import_area(*fd);
	expect_eq(ashmem_export_read_only(area), -EPERM);
	expect_eq(ashmem_set_prot(area, PROT_READ), -EPERM);
}

CONTRACT_TEST(users, export_of_a_file_that_others_can_write_is_refused)
{
	static const mode_t modes[] = {0666, 0777, 0664, 0646};
	struct view view;

	skip_unless_root();
	for (unsigned i = 0; i < sizeof modes / sizeof modes[0]; i++) {
		view = view_make(1);
		int fd = ashmem_fd(view.area);
		/* As older versions of the library left it. Where memfds are sealed against
		 * execution, 0777 cannot be had. */
		if (fchmod(fd, modes[i]) == 0)
			run_child(be_refused, view.area);
		view_drop(&view);
	}
}

CONTRACT_TEST(users, export_of_an_imported_file_that_others_can_write_is_refused)
{
	struct ashmem_area *area;
	int fd;

	skip_unless_root();
	area = area_of_pages(1);
	fd = fcntl(ashmem_fd(area), F_DUPFD_CLOEXEC, 3);
	ashmem_close(area);
	expect_eq(fchmod(fd, 0666), 0);
	run_child(be_refused_the_import, &fd);
	close(fd);
}
