/* SPDX-License-Identifier: MIT */
/*
 * What ashmem_import() makes of descriptors: those that are none, that are something else, that
 * lack rights or seals, that were cut off. Each failure leaves the output alone and nothing open.
 * Memfds that no libashmem made are in test_contract_plain.c, damaged contents in
 * test_corrupt.c.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/strangers.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SAFE_SEALS = F_SEAL_SHRINK | F_SEAL_GROW };

static void expect_refused(int fd, int want)
{
	struct holdings before = holdings_now();
	struct ashmem_area *area = (struct ashmem_area *)&before;

	expect_eq(ashmem_import(fd, &area), want);
	expect((void *)area == (void *)&before);
	expect_holdings(&before);
}

static void add_seals(int fd, int seals)
{
	expect_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
}

/* Not open, or not readable */

CONTRACT_TEST(import, null_is_refused)
{
	struct ashmem_area *area = area_of_pages(1);
	struct holdings before;
	int fd = ashmem_fd(area);

	before = holdings_now();
	expect_eq(ashmem_import(fd, NULL), -EINVAL);
	expect_holdings(&before);
	ashmem_close(area);
}

CONTRACT_TEST(import, closed_descriptor_is_refused)
{
	int fd = foreign_memfd(page_bytes());

	close(fd);
	expect_refused(fd, -EBADF);
	expect_refused(-1, -EBADF);
	expect_refused(1 << 20, -EBADF);
}

CONTRACT_TEST(import, descriptor_of_a_closed_area_is_refused)
{
	struct ashmem_area *area = area_of_pages(1);
	int fd = ashmem_fd(area);

	ashmem_close(area);
	expect_refused(fd, -EBADF);
}

CONTRACT_TEST(import, path_descriptor_is_refused)
{
	int fd = foreign_memfd(page_bytes());
	int path = reopen_fd(fd, O_PATH);

	expect_refused(path, -EBADF);
	close(path);
	path = open("/", O_PATH | O_CLOEXEC);
	expect_refused(path, -EBADF);
	close(path);
	close(fd);
}

CONTRACT_TEST(import, write_only_descriptor_is_refused)
{
	int fd = foreign_memfd(page_bytes());
	int writer = reopen_fd(fd, O_WRONLY);

	expect_refused(writer, -EBADF);
	close(writer);
	close(fd);
	skip_on_kernel("the rest is about memfds");
	fd = stranger_fd(PROT_RWX);
	writer = reopen_fd(fd, O_WRONLY);
	expect_refused(writer, -EBADF);
	close(writer);
	close(fd);
}

/* Something else */

CONTRACT_TEST(import, files_directories_and_devices_are_refused)
{
	static const char *const paths[] = {
		"/proc/self/exe", "/proc/self/maps", "/", "/dev/null", "/dev/zero"};
	size_t i;

	for (i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		int fd = open(paths[i], O_RDONLY | O_CLOEXEC);

		expect(fd >= 0);
		/*
		 * An emulator may answer with a memfd that it wrote, which is an area like any
		 * other.
		 */
		if (strncmp(paths[i], "/proc/", 6) != 0 || fcntl(fd, F_GET_SEALS) < 0)
			expect_refused(fd, -EINVAL);
		close(fd);
	}
}

CONTRACT_TEST(import, pipes_sockets_and_events_are_refused)
{
	int pipe_ends[2], socket_ends[2];
	int events = eventfd(0, EFD_CLOEXEC), epoll = epoll_create1(EPOLL_CLOEXEC);

	expect_eq(pipe2(pipe_ends, O_CLOEXEC), 0);
	make_socket_pair(socket_ends);
	expect_refused(pipe_ends[0], -EINVAL);
	expect_refused(socket_ends[0], -EINVAL);
	expect_refused(events, -EINVAL);
	expect_refused(epoll, -EINVAL);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
	close(socket_ends[0]);
	close(socket_ends[1]);
	close(events);
	close(epoll);
}

/* Seals and cuts: copies of an area that hold the same bytes in another file */

CONTRACT_TEST(import, area_without_resize_seals_is_refused)
{
	int fd, copy;

	skip_on_kernel("a device has no seals");
	fd = stranger_fd(PROT_RWX);
	copy = copied_memfd(fd, fd_bytes(fd));
	expect_refused(copy, -EPERM);
	add_seals(copy, F_SEAL_SHRINK);
	expect_refused(copy, -EPERM);
	close(copy);
	copy = copied_memfd(fd, fd_bytes(fd));
	add_seals(copy, F_SEAL_GROW | F_SEAL_SEAL);
	expect_refused(copy, -EPERM);
	close(copy);
	close(fd);
}

CONTRACT_TEST(import, sealed_copy_of_an_area_is_an_area_of_its_own)
{
	int fd, copy;
	struct ashmem_area *original, *area;

	skip_on_kernel("a device has no seals");
	fd = stranger_fd(PROT_RWX);
	copy = copied_memfd(fd, fd_bytes(fd));
	add_seals(copy, SAFE_SEALS);
	original = import_area(fd);
	area = import_area(copy);
	expect(area != original);
	expect_str(pin_picture(area, STRANGER_PAGES), "UU.U..");
	expect_eq(pin_pages(area, 0, 1), ASHMEM_WAS_PURGED);
	expect_str(pin_picture(original, STRANGER_PAGES), "UU.U..");
	ashmem_close(area);
	ashmem_close(original);
	close(copy);
	close(fd);
}

/*
 * Whatever the answer is: it is one that area.h names, and an area that comes of it can be used
 * and dropped.
 */
static void expect_documented_import(int fd)
{
	struct holdings before = holdings_now();
	struct ashmem_area *area = NULL;
	int result = ashmem_import(fd, &area);
	void *base = NULL;

	expect_msg(result == 0 || result == -EPERM || result == -EPROTO || result == -EUCLEAN ||
			result == -EINVAL,
		"import answers %d", result);
	if (result == 0) {
		uint64_t size = ashmem_get_size(area);

		expect(size <= fd_bytes(fd));
		if (size > 0 &&
			ashmem_map(area, 0, (size_t)size, PROT_READ, MAP_SHARED, &base) == 0)
			expect_eq(ashmem_unmap(base, (size_t)size), 0);
		expect(ashmem_pin(area, 0, 0) != -EBADF);
		ashmem_close(area);
	}
	expect_holdings(&before);
}

CONTRACT_TEST(import, write_sealed_areas_do_no_harm)
{
	static const int seals[] = {
		F_SEAL_WRITE, F_SEAL_WRITE | F_SEAL_SEAL, 0x10 /* FUTURE_WRITE */};
	size_t i;
	int fd, copy;

	skip_on_kernel("a device has no seals");
	fd = stranger_fd(PROT_RWX);
	for (i = 0; i < sizeof seals / sizeof seals[0]; i++) {
		copy = copied_memfd(fd, fd_bytes(fd));
		if (fcntl(copy, F_ADD_SEALS, SAFE_SEALS | seals[i]) == 0)
			expect_documented_import(copy);
		close(copy);
	}
	close(fd);
}

CONTRACT_TEST(import, truncated_areas_do_no_harm)
{
	uint64_t length, total;
	int fd, copy;

	skip_on_kernel("a device cannot be cut");
	fd = stranger_fd(PROT_RWX);
	total = fd_bytes(fd);
	for (length = 0; length <= total; length += page_bytes() / 2) {
		copy = copied_memfd(fd, length);
		expect_documented_import(copy);
		add_seals(copy, SAFE_SEALS);
		expect_documented_import(copy);
		close(copy);
	}
	for (length = total - 70; length < total; length++) {
		copy = copied_memfd(fd, length);
		add_seals(copy, SAFE_SEALS);
		expect_documented_import(copy);
		close(copy);
	}
	close(fd);
}

CONTRACT_TEST(import, areas_with_bytes_appended_do_no_harm)
{
	uint64_t extra, total;
	int fd, copy;

	skip_on_kernel("a device cannot grow");
	fd = stranger_fd(PROT_RWX);
	total = fd_bytes(fd);
	for (extra = 1; extra <= 3 * page_bytes(); extra += page_bytes() / 2 - 1) {
		copy = copied_memfd(fd, total);
		expect_eq(ftruncate(copy, (off_t)(total + extra)), 0);
		add_seals(copy, SAFE_SEALS);
		expect_documented_import(copy);
		close(copy);
	}
	close(fd);
}

/* Read-only descriptors of areas that can be written elsewhere */

static void expect_read_only_answers(struct ashmem_area *area)
{
	struct ashmem_area_stats stats = {.struct_size = sizeof stats};
	void *base = NULL;
	char bytes[4];

	expect_eq(ashmem_area_get_stats(area, &stats), 0);
	expect_eq(ashmem_pin(area, 0, 0), -EACCES);
	expect_eq(ashmem_unpin(area, 0, 0), -EACCES);
	expect_eq(ashmem_get_pin_status(area, 0, 0), -EACCES);
	expect_eq(ashmem_find_unpinned(area, 0, NULL, NULL, NULL), -EACCES);
	expect_eq(ashmem_set_prot(area, PROT_READ), -EACCES);
	expect_eq(ashmem_read(area, bytes, 4), -EACCES);
	expect_eq(ashmem_seek(area, 0, SEEK_SET), -EACCES);
	expect_eq(ashmem_map(area, 0, 1, PROT_RW, MAP_SHARED, &base), -EACCES);
	expect(base == NULL);
}

CONTRACT_TEST(import, read_only_descriptor_reads_and_maps_but_changes_nothing)
{
	struct ashmem_area *area;
	char name[ASHMEM_NAME_LEN], bytes[4] = {0};
	unsigned char *base;
	int fd, reader;

	skip_on_kernel("the driver knows no read-only sharing");
	fd = stranger_fd(PROT_RWX);
	reader = reopen_fd(fd, O_RDONLY);
	area = import_area(reader);
	expect_read_only_answers(area);
	expect_eq(ashmem_get_name(area, name, sizeof name), 0);
	expect_str(name, "stranger");
	expect_eq(ashmem_get_size(area), STRANGER_PAGES * page_bytes());
	expect_eq(ashmem_pread(area, bytes, 4, 2 * page_bytes()), 4);
	expect_eq(bytes[3], STRANGER_BYTE + 2);
	base = map_whole(area, PROT_READ);
	expect_eq(base[5 * page_bytes()], STRANGER_BYTE + 5);
	expect_eq(mprotect(base, page_bytes(), PROT_RW), -1);
	expect_eq(ashmem_unmap(base, STRANGER_PAGES * page_bytes()), 0);
	ashmem_close(area);
	close(reader);
	close(fd);
}

CONTRACT_TEST(import, writable_descriptor_after_a_read_only_one_changes_the_area)
{
	struct ashmem_area *reader, *writer;
	int fd, reopened;

	skip_on_kernel("the driver knows no read-only sharing");
	fd = stranger_fd(PROT_RWX);
	reopened = reopen_fd(fd, O_RDONLY);
	reader = import_area(reopened);
	writer = import_area(fd);
	expect_str(pin_picture(writer, STRANGER_PAGES), "UU.U..");
	expect_eq(ashmem_shrink_count(), 1);
	expect_eq(pin_pages(writer, 0, 1), ASHMEM_WAS_PURGED);
	ashmem_close(reader);
	expect_eq(pin_pages(writer, 1, 1), ASHMEM_WAS_PURGED);
	ashmem_close(writer);
	close(reopened);
	close(fd);
}

/* Exhaustion */

static void import_without_descriptors(void *argument)
{
	struct rlimit limit;
	int *fd = argument;
	int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct ashmem_area *area = NULL;

	close(next);
	expect_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = (rlim_t)next;
	expect_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	expect_eq(ashmem_import(*fd, &area), -EMFILE);
	expect(area == NULL);
}

CONTRACT_TEST(import, no_descriptor_left_is_reported)
{
	int fd = stranger_fd(PROT_RWX);

	run_child(import_without_descriptors, &fd);
	close(fd);
}
