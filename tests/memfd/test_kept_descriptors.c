/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that the library keeps and the program closes: the number then names a file that is
 * none of the library's business. Nothing of that file is freed, cut, locked, read or closed, and
 * calls that needed the descriptor say so. Also what the library's files are to others: their mode,
 * and core dumps.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/strangers.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Memfds too, so that the kernel would do all that the library does to its own. */
static int stranger_at(int number, uint64_t pages)
{
	int fd = foreign_memfd(pages * page_bytes());

	for (uint64_t i = 0; i < pages; i++)
		expect_eq(pwrite(fd, "theirs", 6, (off_t)(i * page_bytes())), 6);
	expect_eq(dup3(fd, number, O_CLOEXEC), number);
	close(fd);
	return number;
}

static void expect_untouched(int fd, uint64_t pages)
{
	char bytes[6];
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	expect_eq(fd_bytes(fd), pages * page_bytes());
	for (uint64_t i = 0; i < pages; i++) {
		expect_eq(pread(fd, bytes, 6, (off_t)(i * page_bytes())), 6);
		expect(memcmp(bytes, "theirs", 6) == 0);
	}
	expect_eq(lseek(fd, 0, SEEK_CUR), 0);
	expect_eq(fcntl(fd, F_GET_SEALS), 0);
	expect_eq(fcntl(fd, F_OFD_GETLK, &lock), 0);
	expect_eq(lock.l_type, F_UNLCK);
}

CHILD_TEST(kept_descriptors, purge_leaves_a_strangers_file_alone)
{
	struct view view;
	int fd;

	if (backend_is_kernel())
		return;
	view = full_view(8);
	unpin_pages(view.area, 0, 8);
	fd = stranger_at(ashmem_fd(view.area), 8);
	expect_eq(ashmem_shrink(100), -EBADF);
	expect_eq(ashmem_purge_all(), -EBADF);
	expect_untouched(fd, 8);
	expect_eq(pin_pages(view.area, 0, 8), ASHMEM_NOT_PURGED);
	expect(pages_hold(&view, 0, 8, 0x11));
}

CHILD_TEST(kept_descriptors, purge_frees_the_other_areas)
{
	struct view view, other;

	if (backend_is_kernel())
		return;
	view = full_view(8);
	other = full_view(4);
	unpin_pages(view.area, 0, 8);
	unpin_pages(other.area, 0, 4);
	stranger_at(ashmem_fd(view.area), 8);
	expect_eq(ashmem_shrink(100), 4);
}

CHILD_TEST(kept_descriptors, calls_say_that_the_descriptor_is_gone)
{
	struct view view;
	void *base = NULL;
	char byte = 'x';
	int fd;

	if (backend_is_kernel())
		return;
	view = full_view(8);
	unpin_pages(view.area, 0, 1);
	fd = stranger_at(ashmem_fd(view.area), 8);
	expect_eq(ashmem_fd(view.area), -EBADF);
	expect_eq(ashmem_map(view.area, 0, page_bytes(), PROT_RW, MAP_SHARED, &base), -EBADF);
	expect_eq(ashmem_pread(view.area, &byte, 1, 0), -EBADF);
	expect_eq(ashmem_read(view.area, &byte, 1), -EBADF);
	expect_eq(ashmem_seek(view.area, 0, SEEK_DATA), -EBADF);
	expect_eq(ashmem_hold(view.area, 0, 0), -EBADF);
	expect_eq(ashmem_export_read_only(view.area), -EBADF);
	expect_eq(ashmem_set_prot(view.area, PROT_READ), -EBADF);
	expect_eq(ashmem_get_prot(view.area), PROT_RWX);
	expect_eq(byte, 'x');
	expect_untouched(fd, 8);
	close(fd); /* and nothing has its number */
	expect_eq(ashmem_fd(view.area), -EBADF);
	expect_eq(ashmem_shrink(100), -EBADF);
}

CHILD_TEST(kept_descriptors, seal_leaves_a_strangers_file_alone)
{
	struct ashmem_area *area;
	int fd;

	if (backend_is_kernel())
		return;
	expect_eq(ashmem_create("sealed", page_bytes(), ASHMEM_CREATE_ALLOW_SEAL, &area), 0);
	fd = stranger_at(ashmem_fd(area), 1);
	expect_eq(ashmem_seal(area), -EBADF);
	expect_untouched(fd, 1);
}

CHILD_TEST(kept_descriptors, first_state_of_an_area_is_not_written_into_a_strangers_file)
{
	struct ashmem_area *area;
	struct view view;
	int fd, next;

	if (backend_is_kernel())
		return;
	next = fcntl(0, F_DUPFD_CLOEXEC, 3);
	close(next);
	view = view_make(2); /* which gets this number */
	area = view.area;
	fd = stranger_at(next, 2);
	expect_eq(ashmem_unpin(area, 0, 0), -EBADF);
	expect_untouched(fd, 2);
}

CHILD_TEST(kept_descriptors, close_leaves_strangers_open)
{
	struct view view;
	int fd, next, held;

	if (backend_is_kernel())
		return;
	view = full_view(2);
	fd = ashmem_fd(view.area);
	next = fcntl(0, F_DUPFD_CLOEXEC, 3);
	close(next);
	expect_eq(ashmem_hold(view.area, 0, 0), ASHMEM_NOT_PURGED); /* the locks' */
	held = next;
	expect(fcntl(held, F_GETFD) >= 0);
	next = fcntl(0, F_DUPFD_CLOEXEC, 3);
	close(next);
	expect_eq(ashmem_set_prot(view.area, PROT_READ), 0); /* the read-only one */
	expect_eq(ashmem_fd(view.area), next);
	stranger_at(fd, 1);
	stranger_at(held, 1);
	stranger_at(next, 1);
	expect_eq(ashmem_release(view.area, 0, 0, 0), 0);
	expect_eq(ashmem_fd(view.area), -EBADF);
	ashmem_close(view.area);
	expect_untouched(fd, 1);
	expect_untouched(held, 1);
	expect_untouched(next, 1);
}

static int number_of_birth;

static void make_in_a_strangers_file(void *argument)
{
	struct ashmem_area *area = argument;
	void *base = NULL;

	expect(fcntl(number_of_birth, F_GET_SEALS) >= 0); /* the file that both share */
	stranger_at(number_of_birth, 3);
	expect_eq(ashmem_map(area, 0, page_bytes(), PROT_RW, MAP_SHARED, &base), -EBADF);
	expect_untouched(number_of_birth, 3);
}

CHILD_TEST(kept_descriptors, newborn_of_two_processes_is_not_made_in_a_strangers_file)
{
	struct ashmem_area *area;

	if (backend_is_kernel())
		return;
	area = area_of_pages(2);
	number_of_birth = fcntl(0, F_DUPFD_CLOEXEC, 3);
	close(number_of_birth);
	run_child(make_in_a_strangers_file, area);
}

CHILD_TEST(kept_descriptors, lost_pages_of_a_large_area_are_not_freed_in_a_strangers_file)
{
	const uint64_t pages = 5 * 8 * page_bytes();
	struct ashmem_area *area;
	int fd;

	if (backend_is_kernel())
		return;
	area = area_of_pages(pages);
	fd = ashmem_fd(area);
	expect_eq(ashmem_unpin(area, 0, 0), 0);
	expect(ashmem_purge_all() >= 0);
	/* As large, so that the place of the marks lies within it. */
	expect_eq(dup3(foreign_memfd(2 * pages * page_bytes()), fd, O_CLOEXEC), fd);
	expect_eq(pwrite(fd, "theirs", 6, (off_t)(pages * page_bytes() + page_bytes())), 6);
	expect_eq(ashmem_pin(area, 0, 0), ASHMEM_WAS_PURGED);
	char bytes[6] = "";
	expect_eq(pread(fd, bytes, 6, (off_t)(pages * page_bytes() + page_bytes())), 6);
	expect(memcmp(bytes, "theirs", 6) == 0);
}

/* A thread with a descriptor table of its own does not have what others open later. */

static struct ashmem_area *late;
static int late_fd, step;
static int64_t shrunk;
static char first_bytes[6];

static void *shrink_with_own_table(void *unused)
{
	if (unshare(CLONE_FILES) < 0)
		shrunk = -ENOSYS;
	__atomic_store_n(&step, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&step, __ATOMIC_SEQ_CST) != 2)
		sched_yield();
	if (shrunk == 0) {
		int fd = memfd_create("theirs", MFD_CLOEXEC);
		if (pwrite(fd, "theirs", 6, 0) == 6 && dup2(fd, late_fd) == late_fd)
			shrunk = ashmem_shrink(100);
		if (pread(late_fd, first_bytes, 6, 0) != 6)
			shrunk = 0;
	}
	return unused;
}

CHILD_TEST(kept_descriptors, thread_with_a_table_of_its_own_frees_no_stranger)
{
	pthread_t thread;
	struct view view;

	if (backend_is_kernel())
		return;
	expect_eq(pthread_create(&thread, NULL, shrink_with_own_table, NULL), 0);
	while (__atomic_load_n(&step, __ATOMIC_SEQ_CST) != 1)
		sched_yield();
	view = full_view(4);
	late = view.area;
	unpin_pages(late, 0, 4);
	late_fd = ashmem_fd(late);
	__atomic_store_n(&step, 2, __ATOMIC_SEQ_CST);
	expect_eq(pthread_join(thread, NULL), 0);
	if (shrunk == -ENOSYS)
		return; /* an emulator that has no such tables */
	expect_eq(shrunk, -EBADF);
	expect(memcmp(first_bytes, "theirs", 6) == 0);
	expect_eq(ashmem_shrink(100), 4);
}

/* The standard streams */

static void expect_streams_closed(void)
{
	for (int fd = 0; fd < 3; fd++)
		expect_eq(fcntl(fd, F_GETFD), -1);
}

CHILD_TEST(kept_descriptors, no_area_takes_the_standard_streams)
{
	struct ashmem_area *area, *received, *imported;
	struct view view;
	int ends[2], export, fd = backend_is_kernel() ? -1 : stranger_fd(PROT_READ);

	make_socket_pair(ends);
	for (int i = 0; i < 3; i++)
		close(i);
	view = view_make(4);
	expect_streams_closed();
	fill_pages(&view, 0, 4, 'a');
	expect(ashmem_fd(view.area) > 2);
	expect_eq(ashmem_send(ends[0], view.area), 0);
	expect_eq(ashmem_recv(ends[1], &received), 0);
	expect_streams_closed();
	area = area_of_pages(1);
	child_join(child_start((void (*)(void *))expect_streams_closed, NULL));
	expect_streams_closed();
	expect(ashmem_fd(area) > 2);
	if (backend_is_kernel())
		return;
	export = ashmem_export_read_only(view.area);
	expect(export > 2);
	expect_eq(ashmem_hold(view.area, 0, 0), ASHMEM_NOT_PURGED);
	imported = import_area(fd);
	expect_eq(ashmem_set_prot(view.area, PROT_READ), 0);
	expect(ashmem_fd(view.area) > 2);
	expect(ashmem_fd(imported) > 2);
	expect_streams_closed();
}

CHILD_TEST(kept_descriptors, stranger_received_as_a_standard_stream_is_moved)
{
	struct ashmem_area *area;
	int ends[2], fd = stranger_fd(PROT_RWX);

	make_socket_pair(ends);
	send_descriptors(ends[0], &fd, 1);
	close(fd);
	for (int i = 0; i < 3; i++)
		close(i);
	expect_eq(ashmem_recv(ends[1], &area), 0);
	expect_streams_closed();
	expect(ashmem_fd(area) > 2);
}

/* What the files are to others */

CONTRACT_TEST(kept_descriptors, other_users_cannot_open_an_area_for_writing)
{
	struct ashmem_area *area = area_of_pages(1);
	struct stat status;

	skip_on_kernel("the node's mode is the system's");
	expect_eq(fstat(ashmem_fd(area), &status), 0);
	expect_eq(status.st_mode & 0777, 0644);
	ashmem_close(area);
}

static int is_line_of_mapping(const char *line)
{
	unsigned long from, to;

	return sscanf(line, "%lx-%lx ", &from, &to) == 2;
}

CONTRACT_TEST(kept_descriptors, core_dump_leaves_the_control_block_out)
{
	struct ashmem_area *area = area_of_pages(1);
	char line[512];
	int ours = 0, is_example = 0, blocks = 0, left_out = 0, shows_dont_dump = 0;
	void *example;
	FILE *smaps;

	skip_on_kernel("the driver has no control block");
	expect(ashmem_fd(area) >= 0);
	expect_eq(ashmem_unpin(area, 0, 0), 0);
	/* A mapping of our own shows whether flags of mappings are to be seen. */
	example = mmap(NULL, page_bytes(), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(example != MAP_FAILED);
	expect_eq(madvise(example, page_bytes(), MADV_DONTDUMP), 0);
	smaps = fopen("/proc/self/smaps", "re");
	if (!smaps)
		contract_skip("no smaps");
	while (fgets(line, sizeof line, smaps)) {
		if (is_line_of_mapping(line)) {
			ours = strstr(line, ASHMEM_NAME_DEF) != NULL;
			is_example = strtoull(line, NULL, 16) == (uintptr_t)example;
		}
		if (is_example && strncmp(line, "VmFlags:", 8) == 0)
			shows_dont_dump = strstr(line, " dd") != NULL;
		if (ours && strncmp(line, "VmFlags:", 8) == 0) {
			blocks++;
			left_out += strstr(line, " dd") != NULL;
		}
	}
	fclose(smaps);
	munmap(example, page_bytes());
	if (blocks == 0 || !shows_dont_dump)
		contract_skip("smaps shows no flags (qemu-user?)");
	expect_eq(blocks, 1);
	expect_eq(left_out, 1);
	ashmem_close(area);
}
