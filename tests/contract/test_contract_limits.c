/* SPDX-License-Identifier: MIT */
/*
 * Contract, section 4: what the memfd backend promises less, L1 to L6, pinned down so that nobody
 * mistakes it for more, and next to each limit what holds nevertheless. With the driver the tests
 * show its side where there is one.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/strangers.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static void skip_unless_memfd(const char *why)
{
	if (backend_is_kernel())
		contract_skip(why);
}

/* L1 */

CONTRACT_TEST(limits, l1_exec_dropped_from_the_mask_binds_map_alone)
{
	struct ashmem_area *area;
	unsigned char *base;
	void *refused = NULL;

	skip_unless_memfd("L1: the driver enforces its whole mask");
	area = area_of_pages(1);
	expect_eq(ashmem_set_prot(area, PROT_RW), 0);
	expect_eq(ashmem_map(area, 0, 1, PROT_READ | PROT_EXEC, MAP_SHARED, &refused), -EPERM);
	base = map_whole(area, PROT_RW);
	expect_eq(mprotect(base, page_bytes(), PROT_READ | PROT_EXEC), 0);
	expect_eq(ashmem_unmap(base, page_bytes()), 0);
	ashmem_close(area);
}

CONTRACT_TEST(limits, l1_read_dropped_from_the_mask_binds_map_alone)
{
	struct ashmem_area *area;
	void *base = NULL;

	skip_unless_memfd("L1: the driver enforces its whole mask");
	area = area_of_pages(1);
	expect_eq(ashmem_set_prot(area, PROT_WRITE), 0);
	expect_eq(ashmem_map(area, 0, 1, PROT_READ, MAP_SHARED, &base), -EPERM);
	base = mmap(NULL, page_bytes(), PROT_READ, MAP_SHARED, ashmem_fd(area), 0);
	expect(base != MAP_FAILED);
	expect_eq(munmap(base, page_bytes()), 0);
	ashmem_close(area);
}

CONTRACT_TEST(limits, l1_dropping_write_is_enforced_by_the_kernel)
{
	struct ashmem_area *area = area_of_pages(1);
	unsigned char *base;

	expect_eq(ashmem_set_prot(area, PROT_READ), 0);
	base = map_whole(area, PROT_READ);
	expect_eq(mprotect(base, page_bytes(), PROT_RW), -1);
	expect_eq(errno, EACCES);
	expect(mmap(NULL, page_bytes(), PROT_RW, MAP_SHARED, ashmem_fd(area), 0) == MAP_FAILED);
	expect_eq(ashmem_unmap(base, page_bytes()), 0);
	ashmem_close(area);
}

/* L2 */

CONTRACT_TEST(limits, l2_descriptor_handed_out_before_keeps_its_rights)
{
	struct ashmem_area *area = area_of_pages(1);
	int early = fcntl(ashmem_fd(area), F_DUPFD_CLOEXEC, 0);
	void *base;

	expect(early >= 0);
	expect_eq(ashmem_set_prot(area, PROT_READ), 0);
	base = mmap(NULL, page_bytes(), PROT_RW, MAP_SHARED, early, 0);
	if (backend_is_kernel()) {
		expect(base == MAP_FAILED);
	} else {
		expect(base != MAP_FAILED);
		*(char *)base = 'w';
		expect_eq(munmap(base, page_bytes()), 0);
	}
	close(early);
	ashmem_close(area);
}

CONTRACT_TEST(limits, l2_mapping_handed_out_before_keeps_its_rights)
{
	struct ashmem_area *area = area_of_pages(1);
	unsigned char *base = map_whole(area, PROT_RW);

	expect_eq(ashmem_set_prot(area, PROT_READ), 0);
	base[0] = 3;
	expect_eq(base[0], 3);
	expect_eq(ashmem_unmap(base, page_bytes()), 0);
	ashmem_close(area);
}

static void expect_mask_binds_here(void *argument)
{
	struct ashmem_area *area = argument;
	void *base = NULL;

	expect_eq(ashmem_set_prot(area, PROT_READ), 0);
	expect_eq(ashmem_map(area, 0, 1, PROT_RW, MAP_SHARED, &base), -EPERM);
}

CONTRACT_TEST(limits, l2_mask_binds_the_library_in_every_process_all_the_same)
{
	struct view view = view_make(1);
	void *base = NULL;

	run_child(expect_mask_binds_here, view.area);
	expect_eq(ashmem_get_prot(view.area), PROT_READ);
	expect_eq(ashmem_map(view.area, 0, 1, PROT_RW, MAP_SHARED, &base), -EPERM);
	view_drop(&view);
}

/* L3 */

struct strangers {
	struct gate unpinned;
	struct gate purged;
};

static void hold_an_area_of_its_own(void *argument)
{
	struct strangers *strangers = argument;
	struct view view = view_make(3);
	int reached = backend_is_kernel();

	fill_pages(&view, 0, 3, 7);
	unpin_pages(view.area, 0, 3);
	gate_open(&strangers->unpinned);
	gate_wait(&strangers->purged);
	expect(pages_hold(&view, 0, 3, reached ? 0 : 7));
	expect_eq(pin_pages(view.area, 0, 3), reached ? ASHMEM_WAS_PURGED : ASHMEM_NOT_PURGED);
}

CONTRACT_TEST(limits, l3_purge_all_reaches_only_the_areas_that_the_process_holds)
{
	struct strangers strangers;
	pid_t child;

	gate_make(&strangers.unpinned);
	gate_make(&strangers.purged);
	child = child_start(hold_an_area_of_its_own, &strangers);
	gate_wait(&strangers.unpinned);
	expect_eq(ashmem_purge_all(), backend_is_kernel() ? 3 : 0);
	gate_open(&strangers.purged);
	child_join(child);
}

CONTRACT_TEST(limits, l3_closed_area_is_out_of_reach_even_while_mapped)
{
	struct view view;

	skip_unless_memfd("L3: the driver reaches the whole system");
	view = view_make(2);
	fill_pages(&view, 0, 2, 7);
	unpin_pages(view.area, 0, 2);
	expect_eq(ashmem_shrink_count(), 2);
	ashmem_close(view.area);
	expect_eq(ashmem_shrink_count(), 0);
	expect_eq(ashmem_purge_all(), 0);
	expect_eq(ashmem_shrink(2), 0);
	expect(pages_hold(&view, 0, 2, 7));
	expect_eq(ashmem_unmap(view.base, 2 * page_bytes()), 0);
}

CONTRACT_TEST(limits, l3_shrinking_leaves_the_drivers_areas_alone)
{
	struct view view;

	if (!backend_is_kernel())
		contract_skip("only the kernel shrinks the driver's areas");
	view = view_make(2);
	unpin_pages(view.area, 0, 2);
	expect_eq(ashmem_shrink(2), 0);
	expect_eq(ashmem_shrink_count(), 0);
	expect_eq(pin_pages(view.area, 0, 2), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

/* L4 */

CONTRACT_TEST(limits, l4_fstat_shows_data_and_control_block)
{
	struct ashmem_area *area;
	struct stat status;

	skip_unless_memfd("L4: the driver's descriptor is a device");
	area = area_of_bytes(3 * page_bytes() + 5);
	expect_eq(fstat(ashmem_fd(area), &status), 0);
	expect((uint64_t)status.st_size > 4 * page_bytes());
	expect_eq(ashmem_get_size(area), 3 * page_bytes() + 5);
	ashmem_close(area);
}

/* L5 */

/* Writer and reader of one area, the reader imported first: else it would be the same handle. */
struct reader_pair {
	struct ashmem_area *reader;
	struct view view;
};

struct exporting {
	int socket_fd;
};

static void export_and_leave(void *argument)
{
	struct exporting *exporting = argument;
	struct view view = full_view(4);
	int fds[2] = {ashmem_export_read_only(view.area), ashmem_fd(view.area)};

	expect(fds[0] >= 0 && fds[1] >= 0);
	send_descriptors(exporting->socket_fd, &fds[0], 1);
	send_descriptors(exporting->socket_fd, &fds[1], 1);
}

static struct reader_pair reader_pair(void)
{
	struct reader_pair pair;
	struct exporting exporting;
	int ends[2], fds[2];

	make_socket_pair(ends);
	exporting.socket_fd = ends[1];
	run_child(export_and_leave, &exporting);
	for (int i = 0; i < 2; i++)
		fds[i] = receive_descriptor(ends[0]);
	pair.reader = import_area(fds[0]);
	pair.view = view_of(import_area(fds[1]));
	expect(pair.reader != pair.view.area);
	for (int i = 0; i < 2; i++) {
		close(fds[i]);
		close(ends[i]);
	}
	return pair;
}

CONTRACT_TEST(limits, l5_pins_of_a_read_only_peer_are_its_own)
{
	struct reader_pair pair;

	skip_unless_memfd("L5: the driver has no read-only peers");
	pair = reader_pair();
	unpin_pages(pair.view.area, 0, 4);
	expect_eq(pin_pages(pair.reader, 1, 1), ASHMEM_NOT_PURGED);
	/* The state that others see has no such pin, and they cannot take it back. */
	expect_eq(status_pages(pair.view.area, 1, 1), ASHMEM_IS_UNPINNED);
	expect_str(pin_picture(pair.view.area, 4), "UUUU");
	unpin_pages(pair.view.area, 0, 4);
	purge_everything();
	expect_eq(purge_picture(&pair.view)[1], '.');
	ashmem_close(pair.reader);
	view_drop(&pair.view);
}

CONTRACT_TEST(limits, l5_what_moves_or_narrows_is_refused_to_a_reader)
{
	struct reader_pair pair;
	char byte = 0;

	skip_unless_memfd("L5: the driver has no read-only peers");
	pair = reader_pair();
	expect_eq(ashmem_read(pair.reader, &byte, 1), -EACCES);
	expect_eq(ashmem_seek(pair.reader, 0, SEEK_SET), -EACCES);
	expect_eq(ashmem_seek(pair.reader, 0, SEEK_CUR), -EACCES);
	expect_eq(ashmem_set_prot(pair.reader, PROT_READ), -EACCES);
	expect_eq(ashmem_pread(pair.reader, &byte, 1, 0), 1);
	expect_eq(byte, 0x11);
	ashmem_close(pair.reader);
	view_drop(&pair.view);
}

/* L6 */

CONTRACT_TEST(limits, l6_raw_descriptor_reads_past_the_size_and_has_its_own_position)
{
	struct ashmem_area *area;
	char bytes[8];
	int fd;

	skip_unless_memfd("L6: the driver's descriptor is the driver's");
	area = area_of_bytes(page_bytes() + 5);
	fd = ashmem_fd(area);
	expect_eq(pread(fd, bytes, sizeof bytes, (off_t)page_bytes() + 5), sizeof bytes);
	expect_eq(ashmem_pread(area, bytes, sizeof bytes, page_bytes() + 5), 0);
	expect_eq(ashmem_seek(area, 7, SEEK_SET), 7);
	expect_eq(lseek(fd, 0, SEEK_CUR), 0);
	expect_eq(lseek(fd, 3, SEEK_SET), 3);
	expect_eq(ashmem_seek(area, 0, SEEK_CUR), 7);
	ashmem_close(area);
}

CONTRACT_TEST(limits, l6_raw_descriptor_can_be_written_and_mapped_to_the_state)
{
	struct ashmem_area *area;
	struct stat status;
	char byte = 0;
	void *base;

	skip_unless_memfd("L6: the driver's descriptor is the driver's");
	area = area_of_pages(1);
	expect_eq(pwrite(ashmem_fd(area), "w", 1, 3), 1);
	expect_eq(ashmem_pread(area, &byte, 1, 3), 1);
	expect_eq(byte, 'w');
	expect_eq(fstat(ashmem_fd(area), &status), 0);
	base = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, ashmem_fd(area), 0);
	expect(base != MAP_FAILED);
	expect_eq(munmap(base, (size_t)status.st_size), 0);
	expect_eq(ashmem_map(area, 0, (size_t)status.st_size, PROT_READ, MAP_SHARED, &base),
		-EINVAL);
	ashmem_close(area);
}

CONTRACT_TEST(limits, l6_raw_descriptor_knows_none_of_the_drivers_requests)
{
	struct ashmem_area *area;

	skip_unless_memfd("L6: the driver's descriptor is the driver's");
	area = area_of_pages(1);
	for (unsigned number = 1; number <= 10; number++) {
		errno = 0;
		expect_eq(ioctl(ashmem_fd(area), _IO(0x77, number), 0), -1);
		if (errno == ENOSYS)
			contract_skip("requests of ioctl(2) do not reach the kernel (qemu-user?)");
		expect_eq(errno, ENOTTY);
	}
	ashmem_close(area);
}

/*
 * What the architecture and area.h promise instead: data from offset 0, and seals that keep every
 * mapping safe.
 */
CONTRACT_TEST(limits, data_start_at_offset_zero_of_the_descriptor)
{
	struct view view = view_make(2);
	unsigned char *base;

	fill_pages(&view, 1, 1, 0x77);
	base = mmap(NULL, 2 * page_bytes(), PROT_READ, MAP_SHARED, ashmem_fd(view.area), 0);
	expect((void *)base != MAP_FAILED);
	expect_eq(base[0], 0);
	expect_eq(base[page_bytes()], 0x77);
	munmap(base, 2 * page_bytes());
	view_drop(&view);
}

CONTRACT_TEST(limits, descriptor_is_sealed_against_resizing_and_further_seals)
{
	struct ashmem_area *area;
	int seals;

	skip_unless_memfd("a device has no seals");
	area = area_of_pages(1);
	seals = fcntl(ashmem_fd(area), F_GET_SEALS);
	expect(seals >= 0);
	expect(seals & F_SEAL_SHRINK);
	expect(seals & F_SEAL_GROW);
	expect(seals & F_SEAL_SEAL);
	expect(!(seals & F_SEAL_WRITE));
	expect(ftruncate(ashmem_fd(area), 0) < 0);
	expect(ftruncate(ashmem_fd(area), (off_t)1 << 24) < 0);
	expect(fcntl(ashmem_fd(area), F_ADD_SEALS, F_SEAL_WRITE) < 0);
	ashmem_close(area);
}
