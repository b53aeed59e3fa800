/* SPDX-License-Identifier: MIT */
/*
 * The kernel backend's table of operations against a real driver, one operation at a time, without
 * the area layer:
 *
 *   gcc -static -Iinclude -Ilib -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -o probe_kernel \
 *       lib/kernel/[a-z]*.c lib/base/descriptor.c lib/base/sys.c tests/vm/programs/probe_kernel.c
 *   tests/vm/run --kernel debian11 -- probe_kernel
 *
 * Each test runs in a process of its own, because the backend remembers which node answered. Prints
 * PASS or FAIL a test; ends with 77 where no driver answers. Run by root it also takes nodes away
 * and puts others in their place, so it belongs into a guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/sys.h"
#include "kernel/abi.h"
#include "kernel/backend.h"

#define RW (PROT_READ | PROT_WRITE)
#define RWX (RW | PROT_EXEC)

static const struct ashmem_backend *const ops = &backend_kernel;
static size_t page;
static int failures;

/* The library's process.c would call the hooks of all modules. */
int process_start(void)
{
	static int started;

	if (!started)
		pthread_atfork(kernel_before_fork, kernel_after_fork, kernel_after_fork);
	started = 1;
	return 0;
}

static void expect_at(int line, const char *what, long long got, long long want)
{
	if (got == want)
		return;
	printf("  line %d: %s is %lld, not %lld\n", line, what, got, want);
	failures++;
}
#define EXPECT(got, want) expect_at(__LINE__, #got, (long long)(got), (long long)(want))

/* -- helpers -- */

static void *make(const char *name, uint64_t size_bytes)
{
	void *area = NULL;
	int r = ops->create(NULL, name, size_bytes, 0, &area);

	if (r < 0) {
		printf("  create: %s\n", strerror(-r));
		_exit(1);
	}
	return area;
}

static uint64_t size_of(void *area, int *materialised)
{
	uint64_t size = 12345;
	int ignored;

	EXPECT(ops->get_size(area, &size, materialised ? materialised : &ignored), 0);
	return size;
}

static int is_materialised(void *area)
{
	int materialised = -1;

	size_of(area, &materialised);
	return materialised;
}

static unsigned char *map_at(void *area, uint64_t offset, size_t length, int prot, int flags)
{
	void *addr = NULL;
	int r = ops->map(area, offset, length, prot, flags, &addr);

	EXPECT(r, 0);
	if (r < 0)
		_exit(1);
	return addr;
}

static int raw_node(void)
{
	int fd = open(KERNEL_NODE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		_exit(1);
	return fd;
}

static int run_child(void (*work)(void *), void *context)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		failures = 0;
		work(context);
		fflush(stdout);
		_exit(failures != 0);
	}
	waitpid(child, &status, 0);
	return status;
}

/* -- the node -- */

static void test_probe(void)
{
	EXPECT(ops->probe(NULL), 0);
	EXPECT(ops->probe(NULL), 0);
}

static void test_probe_forgets_exhaustion(void)
{
	struct rlimit limit, none;

	getrlimit(RLIMIT_NOFILE, &limit);
	none = limit;
	none.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &none);
	EXPECT(ops->probe(NULL), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &limit);
	EXPECT(ops->probe(NULL), 0);
}

static void boot_id_path(char path[64])
{
	char id[64] = "";
	FILE *file = fopen(KERNEL_BOOT_ID, "re");

	if (!file || !fgets(id, sizeof(id), file))
		_exit(1);
	fclose(file);
	id[strcspn(id, "\n")] = '\0';
	snprintf(path, 64, "%s%s", KERNEL_NODE, id);
}

static void test_boot_id_node(void)
{
	struct stat status;
	char path[64];
	void *area;

	boot_id_path(path);
	stat(KERNEL_NODE, &status);
	EXPECT(mknod(path, S_IFCHR | 0666, status.st_rdev), 0);
	rename(KERNEL_NODE, "/dev/hidden");
	EXPECT(ops->probe(NULL), 0);
	area = make("x", page);
	ops->close(area);
	unlink(path);
	EXPECT(ops->create(NULL, "", 0, 0, &area), -ENODEV);
	rename("/dev/hidden", KERNEL_NODE);
	EXPECT(ops->probe(NULL), 0);
}

static void test_fake_nodes_are_no_driver(void)
{
	char path[64];
	void *area;

	boot_id_path(path);
	rename(KERNEL_NODE, "/dev/hidden");
	mknod(path, S_IFCHR | 0666, makedev(1, 3));
	mknod(KERNEL_NODE, S_IFCHR | 0666, makedev(1, 5));
	EXPECT(ops->probe(NULL), -ENODEV);
	EXPECT(ops->create(NULL, "", 0, 0, &area), -ENODEV);
	EXPECT(ops->purge_all(NULL), -ENODEV);
	unlink(path);
	unlink(KERNEL_NODE);
	rename("/dev/hidden", KERNEL_NODE);
	EXPECT(ops->probe(NULL), -ENODEV); /* remembered */
}

static void test_fake_boot_id_node_is_passed_over(void)
{
	char path[64];

	boot_id_path(path);
	mknod(path, S_IFCHR | 0666, makedev(1, 3));
	EXPECT(ops->probe(NULL), 0);
	ops->close(make("x", page));
	unlink(path);
}

/* -- name, size, protection -- */

static void test_names(void)
{
	char name[ASHMEM_NAME_LEN], longest[ASHMEM_NAME_LEN];
	void *area = make("", page);

	memset(longest, 'n', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	EXPECT(ops->get_name(area, name), 0);
	EXPECT(strcmp(name, ""), 0);
	EXPECT(ops->set_name(area, longest), 0);
	EXPECT(ops->get_name(area, name), 0);
	EXPECT(strcmp(name, longest), 0);
	EXPECT(ops->set_name(area, "a/b\n"), 0);
	EXPECT(ops->get_name(area, name), 0);
	EXPECT(strcmp(name, "a/b\n"), 0);
	EXPECT(ops->set_name(area, ""), 0);
	EXPECT(ops->get_name(area, name), 0);
	EXPECT(strcmp(name, ""), 0);
	EXPECT(ops->get_fd(area) >= 0, 1);
	EXPECT(ops->set_name(area, "late"), -EINVAL);
	EXPECT(ops->set_name(area, ""), -EINVAL);
	ops->close(area);
	area = make("first", 0);
	EXPECT(ops->get_name(area, name), 0);
	EXPECT(strcmp(name, "first"), 0);
	ops->close(area);
}

static void test_sizes(void)
{
	void *area = make("", 0);
	int materialised = -1;

	EXPECT(size_of(area, &materialised), 0);
	EXPECT(materialised, 0);
	EXPECT(ops->set_size(area, 3 * page - 5), 0);
	EXPECT(size_of(area, &materialised), 3 * page - 5);
	EXPECT(materialised, 0);
	EXPECT(ops->set_size(area, 0), 0);
	EXPECT(size_of(area, &materialised), 0);
	EXPECT(ops->set_size(area, 1), 0);
	EXPECT(ops->get_fd(area) >= 0, 1);
	EXPECT(size_of(area, &materialised), 1);
	EXPECT(materialised, 1);
	EXPECT(ops->set_size(area, 2), -EINVAL);
	EXPECT(ops->set_size(area, 0), -EINVAL);
	EXPECT(size_of(area, &materialised), 1);
	ops->close(area);
}

static void test_sizes_that_do_not_fit(void)
{
	uint64_t limit = (uint64_t)(UINT32_MAX - 3) * page, fits = ((uint64_t)1 << 32) - page;
	void *area = make("", page), *none = NULL;

	EXPECT(ops->set_size(area, limit + 1), -EFBIG);
	EXPECT(ops->create(NULL, "", UINT64_MAX, 0, &none), -EFBIG);
	EXPECT(ops->set_size(area, limit), -EOVERFLOW);
	EXPECT(ops->set_size(area, fits + 1), -EOVERFLOW);
	EXPECT(ops->create(NULL, "", fits + 1, 0, &none), -EOVERFLOW);
	EXPECT(ops->set_size(area, fits), 0);
	EXPECT(size_of(area, NULL), fits);
	EXPECT(ops->set_size(area, page), 0);
	EXPECT(none == NULL, 1);
	EXPECT(size_of(area, NULL), page);
	ops->close(area);
}

/* A descriptor from elsewhere: nothing but the driver's answers to go by. */
/* An area that another program made, of a size that this library refuses to make. */
static void *foreign_area(uint64_t size)
{
	int fd = raw_node();
	void *area = NULL;

	ioctl(fd, KERNEL_SET_SIZE, (size_t)size);
	EXPECT(ops->import(NULL, fd, &area), 0);
	close(fd);
	return area;
}

static void check_foreign_size(uint64_t size)
{
	int materialised = -1;
	void *area = foreign_area(size);

	EXPECT((uint32_t)size_of(area, &materialised), (uint32_t)size);
	EXPECT(materialised, 0);
	EXPECT(ops->get_fd(area) >= 0, 1);
	EXPECT(size_of(area, &materialised), size);
	EXPECT(materialised, 1);
	ops->close(area);
}

static void test_large_sizes_are_told_whole(void)
{
	static const uint64_t sizes[] = {0x7fffffff, 0x80000000, 0xfffff000, 0xfffff001, 0xffffffea,
		0xffffffff, 0x100000000, 0x100000001, 0x140000005, 0x7ffffffff, 0xffffffff000};
	void *area;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes) && sizes[i] <= SIZE_MAX; i++) {
		check_foreign_size(sizes[i]);
		if (sizes[i] > ((uint64_t)1 << 32) - page)
			continue;
		area = make("", sizes[i]);
		EXPECT(size_of(area, NULL), sizes[i]);
		EXPECT(ops->get_fd(area) >= 0, 1);
		EXPECT(size_of(area, NULL), sizes[i]);
		ops->close(area);
	}
}

static void materialise_elsewhere(void *area)
{
	EXPECT(ops->get_fd(area) >= 0, 1);
}

static void resize_elsewhere(void *area)
{
	EXPECT(ops->set_size(area, 5 * page), 0);
}

static void test_other_processes_are_noticed(void)
{
	void *area = make("", page);

	EXPECT(size_of(area, NULL), page);
	EXPECT(run_child(resize_elsewhere, area), 0);
	EXPECT(size_of(area, NULL), 5 * page);
	EXPECT(is_materialised(area), 0);
	EXPECT(run_child(materialise_elsewhere, area), 0);
	EXPECT(is_materialised(area), 1);
	EXPECT(ops->set_name(area, "x"), -EINVAL);
	ops->close(area);
}

static void test_masks(void)
{
	void *area = make("", page);

	EXPECT(ops->get_prot(area), RWX);
	EXPECT(ops->set_prot(area, RW), 0);
	EXPECT(ops->set_prot(area, RWX), -EINVAL);
	EXPECT(ops->set_prot(area, 8), -EINVAL);
	EXPECT(ops->get_prot(area), RW);
	EXPECT(ops->set_prot(area, PROT_NONE), 0);
	EXPECT(ops->get_prot(area), 0);
	EXPECT(ops->set_prot(area, PROT_READ), -EINVAL);
	ops->close(area);
}

/* -- descriptor and mappings -- */

static void test_get_fd_materialises_under_every_mask(void)
{
	for (int mask = 0; mask <= RWX; mask++) {
		void *area = make("", 1);
		int fd;

		EXPECT(ops->set_prot(area, mask), 0);
		EXPECT(is_materialised(area), 0);
		fd = ops->get_fd(area);
		EXPECT(fd >= 0, 1);
		EXPECT(fcntl(fd, F_GETFD), FD_CLOEXEC);
		EXPECT(is_materialised(area), 1);
		EXPECT(ops->get_fd(area), fd);
		EXPECT(ops->get_prot(area), mask);
		EXPECT(ops->seek(area, 0, SEEK_CUR), 0);
		EXPECT(ops->seek(area, 0, SEEK_DATA), -ENXIO);
		ops->close(area);
	}
}

static void test_map_under_every_mask(void)
{
	static const int kinds[] = {MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE};

	for (int mask = 0; mask <= RWX; mask++)
		for (int prot = 0; prot <= RWX; prot++)
			for (int k = 0; k < 3; k++) {
				void *area = make("", 2 * page - 7), *addr = area;
				int r;

				ops->set_prot(area, mask);
				r = ops->map(area, 0, 2 * page, prot, kinds[k], &addr);
				EXPECT(r, prot & ~mask ? -EPERM : 0);
				EXPECT(addr == area, r < 0);
				if (r == 0)
					for (int more = 0; more <= RWX; more++)
						EXPECT(mprotect(addr, page, more) == 0,
							!(more & ~mask));
				if (r == 0)
					munmap(addr, 2 * page);
				ops->close(area);
			}
}

static void test_failed_map_does_not_materialise(void)
{
	void *area = make("", page), *addr;

	ops->set_prot(area, PROT_READ);
	EXPECT(ops->map(area, 0, page, RW, MAP_SHARED, &addr), -EPERM);
	EXPECT(ops->map(area, 0, page, RW, MAP_PRIVATE, &addr), -EPERM);
	EXPECT(ops->map(area, 0, page, PROT_READ, 0, &addr), -EINVAL);
	EXPECT(is_materialised(area), 0);
	ops->close(area);
}

/* -- how the memory is charged (D11) -- */

static long long meminfo_bytes(const char *name)
{
	FILE *file = fopen("/proc/meminfo", "re");
	long long kib = -1;
	char line[200];

	while (file && kib < 0 && fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0)
			kib = strtoll(line + strlen(name), NULL, 10);
	if (file)
		fclose(file);
	return kib * 1024;
}

/* Whether the first map, of a page of a large area, charges all of it. The sum is not exact. */
static int charges_all(int flags)
{
	const uint64_t size = (uint64_t)256 << 20;
	long long before = meminfo_bytes("Committed_AS:");
	void *area = make("", size);

	munmap(map_at(area, 0, page, RW, flags), page);
	long long more = meminfo_bytes("Committed_AS:") - before;
	ops->close(area);
	EXPECT(llabs(more) < (64 << 20) || llabs(more - (long long)size) < (64 << 20), 1);
	return more > (long long)size / 2;
}

static void test_first_map_charges_the_size_unless_noreserve(void)
{
	EXPECT(charges_all(MAP_SHARED), 1);
	EXPECT(charges_all(MAP_SHARED | MAP_NORESERVE), 0);
	EXPECT(charges_all(MAP_PRIVATE), 1);
	EXPECT(charges_all(MAP_PRIVATE | MAP_NORESERVE), 0);
}

static void test_descriptor_charges_nothing(void)
{
	long long before = meminfo_bytes("Committed_AS:");
	void *area = make("", (uint64_t)256 << 20);

	EXPECT(ops->get_fd(area) >= 0, 1);
	EXPECT(meminfo_bytes("Committed_AS:") - before < (64 << 20), 1);
	ops->close(area);
}

static void set_overcommit(char mode)
{
	int fd = open("/proc/sys/vm/overcommit_memory", O_WRONLY | O_CLOEXEC);

	EXPECT(write(fd, &mode, 1), 1);
	close(fd);
}

static void test_strict_overcommit_refuses_the_map(void)
{
	void *area = make("", (uint64_t)1 << 31), *addr;

	set_overcommit('2');
	int shared = ops->map(area, 0, page, RW, MAP_SHARED, &addr);
	int private = ops->map(area, 0, page, RW, MAP_PRIVATE, &addr);
	set_overcommit('0');
	EXPECT(shared, -ENOMEM);
	EXPECT(private, -ENOMEM);
	EXPECT(is_materialised(area), 0);
	ops->close(area);
}

/* -- places -- */

/* The place that a private mapping takes first must not count beside it. */
static void test_private_mapping_where_all_memory_is_locked(void)
{
	const struct rlimit limit = {300 * page, 300 * page};
	void *area = make("", 200 * page);
	unsigned char *addr = map_at(area, 0, page, RW, MAP_SHARED);

	addr[0] = 0x5a;
	EXPECT(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	EXPECT(setresuid(1000, 1000, 1000), 0);
	EXPECT(mlockall(MCL_FUTURE), 0);
	addr = map_at(area, 0, 200 * page, RW, MAP_PRIVATE);
	EXPECT(addr[0], 0x5a);
	munmap(addr, 200 * page);
	ops->close(area);
}

static void test_map_at_an_address(void)
{
	static const int kinds[] = {MAP_SHARED, MAP_PRIVATE};
	void *area = make("", 3 * page);
	unsigned char *first = map_at(area, 0, 3 * page, RW, MAP_SHARED);

	memset(first, 0x5a, 3 * page);
	for (int k = 0; k < 2; k++) {
		unsigned char *room =
			mmap(NULL, 4 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		void *addr = room + page;

		EXPECT(ops->map(area, page, page, RW, kinds[k] | MAP_FIXED, &addr), 0);
		EXPECT(addr == room + page, 1);
		EXPECT(room[page + 9], 0x5a);
		EXPECT(ops->map(area, 0, page, RW, kinds[k] | MAP_FIXED_NOREPLACE, &addr), -EEXIST);
		EXPECT(addr == room + page, 1);
		munmap(room, 4 * page);
		EXPECT(ops->map(area, 0, page, RW, kinds[k] | MAP_FIXED_NOREPLACE, &addr), 0);
		EXPECT(addr == room + page, 1);
		EXPECT(room[page + 9], 0x5a);
		munmap(addr, page);
		addr = (void *)3;
		EXPECT(ops->map(area, 0, page, RW, kinds[k], &addr), 0);
		munmap(addr, page);
	}
	ops->close(area);
}

/* D7 */
static void test_private_mapping_shows_the_bytes(void)
{
	void *area = make("", 40 * page - 100);
	unsigned char *shared = map_at(area, 0, 40 * page, RW, MAP_SHARED), *private;

	for (size_t i = 0; i < 40 * page; i++)
		shared[i] = (unsigned char)(i % 251 + i / page);
	private = map_at(area, 0, 40 * page, RW, MAP_PRIVATE);
	EXPECT(memcmp(shared, private, 40 * page), 0);
	private[5] = 1;
	private[39 * page] = 1;
	shared[6] = 2;
	EXPECT(shared[5], 5);
	EXPECT(shared[39 * page], (39 * page) % 251 + 39);
	munmap(private, 40 * page);
	private = map_at(area, 3 * page, 2 * page + 1, PROT_READ, MAP_PRIVATE);
	EXPECT(memcmp(shared + 3 * page, private, 3 * page), 0);
	EXPECT(mprotect(private, page, RW), 0);
	private[0] ^= 0xff;
	EXPECT(private[0] == shared[3 * page], 0);
	munmap(private, 3 * page);
	private = map_at(area, 39 * page, page, PROT_NONE, MAP_PRIVATE);
	EXPECT(mprotect(private, page, PROT_READ), 0);
	EXPECT(memcmp(shared + 39 * page, private, page), 0);
	EXPECT(ops->set_prot(area, PROT_READ), 0);
	private = map_at(area, 0, 40 * page, PROT_READ, MAP_PRIVATE);
	EXPECT(memcmp(shared, private, 40 * page), 0);
	EXPECT(mprotect(private, page, RW), -1);
	ops->close(area);
}

static long resident_pages(unsigned char *addr, size_t length)
{
	char path[] = "/proc/self/pagemap";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	long count = 0;

	for (size_t at = 0; at < length; at += page) {
		uint64_t entry = 0;

		if (pread(fd, &entry, 8, (off_t)(((uintptr_t)addr + at) / page * 8)) == 8)
			count += (long)(entry >> 63);
	}
	close(fd);
	return count;
}

/* What lies behind the size can only be seen through a mapping, which must not ask for READ. */
static void test_private_mapping_under_a_mask_of_write_alone(void)
{
	void *area = make("", 2 * page - 100);
	unsigned char *shared = map_at(area, 0, 2 * page, RW, MAP_SHARED), *private;

	for (size_t i = 0; i < 2 * page; i++)
		shared[i] = (unsigned char)(i % 251 + 1);
	EXPECT(ops->set_prot(area, PROT_WRITE), 0);
	private = map_at(area, 0, 2 * page, PROT_WRITE, MAP_PRIVATE);
	EXPECT(memcmp(shared, private, 2 * page), 0);
	ops->close(area);
}

static void test_private_mapping_costs_what_is_there(void)
{
	void *area = make("", 256 * page);
	unsigned char *shared = map_at(area, 0, 256 * page, RW, MAP_SHARED), *private;

	shared[17 * page] = 1;
	private = map_at(area, 0, 256 * page, RW, MAP_PRIVATE);
	EXPECT(private[17 * page], 1);
	EXPECT(resident_pages(private, 256 * page), 1);
	EXPECT(ops->seek(area, 0, SEEK_DATA), 17 * page);
	EXPECT(ops->seek(area, 17 * (off_t)page, SEEK_HOLE), 18 * page);
	ops->close(area);
}

static void test_private_copies_survive_a_purge(void)
{
	void *area = make("", page);
	unsigned char *shared = map_at(area, 0, page, RW, MAP_SHARED);
	unsigned char *private = map_at(area, 0, page, RW, MAP_PRIVATE);

	private[0] = 9;
	EXPECT(ops->unpin(area, 0, page), 0);
	EXPECT(ops->purge_all(NULL), 1);
	EXPECT(shared[0], 0);
	EXPECT(private[0], 9);
	EXPECT(ops->pin(area, 0, page), ASHMEM_WAS_PURGED);
	ops->close(area);
}

/* -- reading -- */

static void test_read_and_pread(void)
{
	void *area = make("", 3 * page - 5);
	unsigned char *base = map_at(area, 0, 3 * page, RW, MAP_SHARED), got[16];
	void *forbidden = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; i < 3 * page; i++)
		base[i] = (unsigned char)(i % 251);
	EXPECT(ops->read(area, got, 10), 10);
	EXPECT(got[9], 9);
	EXPECT(ops->pread(area, got, 10, 1000), 10);
	EXPECT(got[0], 1000 % 251);
	EXPECT(ops->read(area, got, 1), 1);
	EXPECT(got[0], 10);
	EXPECT(ops->pread(area, got, 16, 3 * page - 8), 3);
	EXPECT(ops->pread(area, got, 16, 3 * page - 5), 0);
	EXPECT(ops->pread(area, got, 16, (uint64_t)1 << 40), 0);
	EXPECT(ops->pread(area, got, 16, INT64_MAX), 0);
	EXPECT(ops->pread(area, NULL, 0, 0), 0);
	EXPECT(ops->read(area, NULL, 0), 0);
	EXPECT(ops->read(area, forbidden, 5), -EFAULT);
	EXPECT(ops->pread(area, forbidden, 5, 0), -EFAULT);
	EXPECT(ops->seek(area, INT64_MAX, SEEK_SET), INT64_MAX);
	EXPECT(ops->read(area, got, 16), 0);
	EXPECT(ops->seek(area, -3, SEEK_END), 3 * page - 8);
	EXPECT(ops->read(area, got, 16), 3);
	EXPECT(ops->read(area, got, 16), 0);
	EXPECT(ops->set_prot(area, PROT_NONE), 0);
	EXPECT(ops->pread(area, got, 16, 0), 16);
	ops->close(area);
}

static void check_position_stays(void *area)
{
	unsigned char got[16];

	EXPECT(ops->seek(area, 50, SEEK_SET), 50);
	EXPECT(ops->pread(area, got, 10, 1000), 10);
	EXPECT(ops->seek(area, 0, SEEK_CUR), 50);
	EXPECT(ops->pread(area, got, 10, 1000), 10);
	EXPECT(ops->seek(area, 7, SEEK_CUR), 57);
	EXPECT(ops->pread(area, got, 10, 1000), 10);
	EXPECT(ops->seek(area, -58, SEEK_CUR), -EINVAL);
	EXPECT(ops->seek(area, INT64_MAX, SEEK_CUR), -EINVAL);
	EXPECT(ops->seek(area, INT64_MIN, SEEK_CUR), -EINVAL);
	EXPECT(ops->read(area, got, 1), 1);
	EXPECT(ops->seek(area, -57, SEEK_CUR), 1);
}

static void check_as_user(void *area)
{
	EXPECT(setresuid(1000, 1000, 1000), 0);
	check_position_stays(area);
}

static void test_pread_leaves_the_position(void)
{
	void *area = make("", 3 * page);
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int other;

	ops->get_fd(area);
	check_position_stays(area);
	EXPECT(run_child(check_position_stays, area), 0);
	EXPECT(ops->seek(area, 0, SEEK_CUR), 1);
	EXPECT(run_child(check_as_user, area), 0);
	EXPECT(ops->seek(area, (int64_t)1 << 50, SEEK_SET), (int64_t)1 << 50);
	EXPECT(ops->seek(area, 1, SEEK_CUR), ((int64_t)1 << 50) + 1);
	EXPECT(ops->seek(area, INT64_MAX - 3, SEEK_SET), INT64_MAX - 3);
	EXPECT(ops->seek(area, 3, SEEK_CUR), INT64_MAX);
	/* Somebody else locks the node: the driver's own answer. */
	other = raw_node();
	EXPECT(ops->seek(area, 100, SEEK_SET), 100);
	EXPECT(fcntl(other, F_OFD_SETLK, &lock), 0);
	EXPECT(ops->seek(area, 5, SEEK_CUR), 105);
	close(other);
	ops->close(area);
}

static void test_seek_data_and_hole(void)
{
	void *area = make("", 6 * page - 3);
	unsigned char *base = map_at(area, 0, 6 * page, RW, MAP_SHARED);

	base[page] = base[4 * page] = 1;
	EXPECT(ops->seek(area, 0, SEEK_DATA), page);
	EXPECT(ops->seek(area, 0, SEEK_CUR), page);
	EXPECT(ops->seek(area, (off_t)page, SEEK_HOLE), 2 * page);
	EXPECT(ops->seek(area, 5 * (off_t)page, SEEK_DATA), -ENXIO);
	EXPECT(ops->seek(area, 6 * (off_t)page - 3, SEEK_HOLE), -ENXIO);
	EXPECT(ops->seek(area, -1, SEEK_DATA), -ENXIO);
	EXPECT(ops->seek(area, -1, SEEK_SET), -EINVAL);
	EXPECT(ops->seek(area, 0, 77), -EINVAL);
	EXPECT(ops->seek(area, 0, SEEK_CUR), 2 * page);
	ops->close(area);
}

enum { READERS = 4, AREA_PAGES = 64 };

static void *read_bytes(void *area)
{
	unsigned char byte;
	long count = 0;

	while (ops->read(area, &byte, 1) == 1)
		count++;
	return (void *)count;
}

static void test_threads_read_different_bytes(void)
{
	void *area = make("", AREA_PAGES * page);
	pthread_t reader[READERS];
	long total = 0;

	ops->get_fd(area);
	for (int i = 0; i < READERS; i++)
		pthread_create(&reader[i], NULL, read_bytes, area);
	for (int i = 0; i < READERS; i++) {
		void *count;

		pthread_join(reader[i], &count);
		total += (long)count;
	}
	EXPECT(total, AREA_PAGES * page);
	ops->close(area);
}

/* -- pinning -- */

static void test_pins(void)
{
	void *area = make("", 8 * page - 5);
	unsigned char *base = map_at(area, 0, 8 * page, RW, MAP_SHARED);

	memset(base, 1, 8 * page);
	EXPECT(ops->get_pin_status(area, 0, 8 * page), ASHMEM_IS_PINNED);
	EXPECT(ops->pin(area, 0, 8 * page), ASHMEM_NOT_PURGED);
	EXPECT(ops->unpin(area, 2 * page, 3 * page), 0);
	EXPECT(ops->unpin(area, 3 * page, page), 0);
	EXPECT(ops->get_pin_status(area, 0, 2 * page), ASHMEM_IS_PINNED);
	EXPECT(ops->get_pin_status(area, 0, 3 * page), ASHMEM_IS_UNPINNED);
	EXPECT(ops->get_pin_status(area, 7 * page, page), ASHMEM_IS_PINNED);
	EXPECT(ops->pin(area, 3 * page, page), ASHMEM_NOT_PURGED);
	EXPECT(ops->purge_all(NULL), 2);
	EXPECT(base[2 * page], 0);
	EXPECT(base[3 * page], 1);
	EXPECT(base[4 * page], 0);
	EXPECT(ops->purge_all(NULL), 0);
	EXPECT(ops->pin(area, 2 * page, page), ASHMEM_WAS_PURGED);
	EXPECT(ops->pin(area, 2 * page, page), ASHMEM_NOT_PURGED);
	EXPECT(ops->pin(area, 0, 8 * page), ASHMEM_WAS_PURGED);
	EXPECT(ops->pin(area, 8 * page, page), -EINVAL);
	EXPECT(ops->unpin(area, 7 * page, 2 * page), -EINVAL);
	ops->close(area);
}

static void test_pins_before_materialising(void)
{
	void *area = make("", page);

	EXPECT(ops->pin(area, 0, page), -EINVAL);
	EXPECT(ops->unpin(area, 0, page), -EINVAL);
	EXPECT(ops->get_pin_status(area, 0, page), -EINVAL);
	ops->close(area);
}

static void test_ranges_that_do_not_fit(void)
{
	uint64_t gib4 = (uint64_t)1 << 32, huge = UINT64_MAX - page + 1;
	void *area;

	area = foreign_area(sizeof(size_t) < 8 ? 0xffffffffu : (size_t)(gib4 + 8 * page));
	EXPECT(ops->get_fd(area) >= 0, 1);
	EXPECT(ops->unpin(area, gib4 - 2 * page, page), 0);
	EXPECT(ops->get_pin_status(area, gib4 - 2 * page, page), ASHMEM_IS_UNPINNED);
	EXPECT(ops->pin(area, gib4 - 2 * page, page), ASHMEM_NOT_PURGED);
	EXPECT(ops->unpin(area, 0, gib4 - page), 0);
	EXPECT(ops->pin(area, 0, gib4 - page), ASHMEM_NOT_PURGED);
	for (int i = 0; i < 5; i++) {
		const uint64_t ranges[5][2] = {
			{gib4 - page, page}, {0, gib4}, {gib4, page}, {page, gib4}, {huge, huge}};

		EXPECT(ops->unpin(area, ranges[i][0], ranges[i][1]), -EOVERFLOW);
		EXPECT(ops->pin(area, ranges[i][0], ranges[i][1]), -EOVERFLOW);
		EXPECT(ops->get_pin_status(area, ranges[i][0], ranges[i][1]), -EOVERFLOW);
	}
	EXPECT(ops->get_pin_status(area, 0, gib4 - page), ASHMEM_IS_PINNED);
	ops->close(area);
}

static void purge_as_user(void *area)
{
	EXPECT(setresuid(1000, 1000, 1000), 0);
	EXPECT(ops->purge_all(NULL), -EPERM);
	EXPECT(ops->unpin(area, 0, page), 0);
}

static void test_purge_needs_privilege(void)
{
	void *area = make("", page);
	unsigned char *base = map_at(area, 0, page, RW, MAP_SHARED);

	base[0] = 4;
	EXPECT(run_child(purge_as_user, area), 0);
	EXPECT(base[0], 4);
	EXPECT(ops->get_pin_status(area, 0, page), ASHMEM_IS_UNPINNED);
	EXPECT(ops->pin(area, 0, page), ASHMEM_NOT_PURGED);
	ops->close(area);
}

/* -- import -- */

static void test_import_finds_the_area_again(void)
{
	char name[ASHMEM_NAME_LEN];
	void *area = make("shared", 2 * page), *again = NULL, *other = NULL;
	int fd = ops->get_fd(area), copy = dup(fd), fresh = raw_node();

	EXPECT(ops->import(NULL, copy, &again), 0);
	EXPECT(again == area, 1);
	EXPECT(ops->import(NULL, fresh, &other), 0);
	EXPECT(other == area, 0);
	ops->close(area);
	EXPECT(ops->get_name(again, name), 0);
	EXPECT(strcmp(name, "shared"), 0);
	EXPECT(ops->get_fd(again), fd);
	ops->close(again);
	EXPECT(fcntl(fd, F_GETFD), -1);
	EXPECT(ops->import(NULL, copy, &again), 0);
	EXPECT(size_of(again, NULL), 2 * page);
	EXPECT(ops->get_fd(again) != copy, 1);
	EXPECT(fcntl(ops->get_fd(again), F_GETFD), FD_CLOEXEC);
	ops->close(other);
	ops->close(again);
}

static void forbid_kcmp(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_kcmp, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void test_import_works_where_files_cannot_be_compared(void)
{
	void *area = make("", page), *again = NULL;
	int fd = ops->get_fd(area);

	forbid_kcmp();
	EXPECT(ops->import(NULL, fd, &again), 0);
	EXPECT(again == area, 0);
	EXPECT(ops->unpin(again, 0, page), 0);
	EXPECT(ops->get_pin_status(area, 0, page), ASHMEM_IS_UNPINNED);
	EXPECT(ops->seek(again, 9, SEEK_SET), 9);
	EXPECT(ops->seek(area, 0, SEEK_CUR), 9);
	ops->close(area);
	EXPECT(ops->pin(again, 0, page), ASHMEM_NOT_PURGED);
	ops->close(again);
}

static void test_import_refuses_what_is_not_an_area(void)
{
	static const char *const paths[] = {
		"/dev/null", "/dev/zero", "/dev/tty", "/dev/urandom", "/proc/self/exe", "/"};
	void *area = NULL;
	int ends[2], fd;

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		EXPECT(ops->import(NULL, fd, &area), -ENOTTY);
		close(fd);
	}
	if (pipe(ends) == 0)
		EXPECT(ops->import(NULL, ends[0], &area), -ENOTTY);
	EXPECT(ops->import(NULL, sys_memfd_create("x"), &area), -ENOTTY);
	EXPECT(ops->import(NULL, 900, &area), -EBADF);
	EXPECT(ops->import(NULL, -1, &area), -EBADF);
	EXPECT(ops->import(NULL, open(KERNEL_NODE, O_PATH | O_CLOEXEC), &area), -EBADF);
	EXPECT(ops->import(NULL, open(KERNEL_NODE, O_WRONLY | O_CLOEXEC), &area), -EBADF);
	EXPECT(area == NULL, 1);
}

static void test_import_of_a_read_only_descriptor(void)
{
	int fd = open(KERNEL_NODE, O_RDONLY | O_CLOEXEC);
	void *area, *addr;

	EXPECT(ops->import(NULL, fd, &area), 0);
	EXPECT(ops->set_size(area, page), 0);
	EXPECT(ops->get_fd(area) >= 0, 1);
	EXPECT(ops->map(area, 0, page, RW, MAP_SHARED, &addr), -EACCES);
	map_at(area, 0, page, PROT_READ, MAP_SHARED);
	map_at(area, 0, page, RW, MAP_PRIVATE);
	EXPECT(ops->unpin(area, 0, page), 0);
	EXPECT(ops->pin(area, 0, page), ASHMEM_NOT_PURGED);
	EXPECT(ops->seek(area, 3, SEEK_SET), 3);
	EXPECT(ops->seek(area, 3, SEEK_CUR), 6);
	ops->close(area);
}

static void test_exhausted_descriptors(void)
{
	struct rlimit limit = {0, 0};
	void *area = make("", page), *other = NULL;
	int fd = dup(ops->get_fd(area)), fresh = raw_node();

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = (rlim_t)fresh + 1;
	setrlimit(RLIMIT_NOFILE, &limit);
	EXPECT(ops->create(NULL, "", 0, 0, &other), -EMFILE);
	EXPECT(ops->import(NULL, fresh, &other), -EMFILE);
	EXPECT(ops->purge_all(NULL), -EMFILE);
	EXPECT(ops->import(NULL, fd, &other), 0);
	EXPECT(other == area, 1);
	EXPECT(ops->probe(NULL), 0);
	ops->close(other);
	ops->close(area);
}

/* -- fork -- */

static void *read_and_import(void *area)
{
	for (;;) {
		unsigned char byte;
		void *again;

		ops->seek(area, 0, SEEK_SET);
		ops->read(area, &byte, 1);
		if (ops->import(NULL, ops->get_fd(area), &again) == 0)
			ops->close(again);
	}
	return NULL;
}

static void use_after_fork(void *area)
{
	void *again;

	alarm(1200);
	EXPECT(ops->seek(area, 0, SEEK_CUR) >= 0, 1);
	EXPECT(ops->import(NULL, ops->get_fd(area), &again), 0);
	EXPECT(again == area, 1);
	ops->close(make("child", page));
}

static void test_fork_in_the_middle(void)
{
	void *area = make("", page);
	pthread_t thread[2];

	ops->get_fd(area);
	for (int i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, read_and_import, area);
	for (int i = 0; i < 200; i++)
		EXPECT(run_child(use_after_fork, area), 0);
}

/* -- all of them -- */

static const struct {
	const char *name;
	void (*run)(void);
	int needs_root;
} tests[] = {
/* clang-format off */
#define TEST(name) {#name, test_##name, 0}
#define ROOT_TEST(name) {#name, test_##name, 1}
	/* clang-format on */
	TEST(probe),
	TEST(probe_forgets_exhaustion),
	ROOT_TEST(boot_id_node),
	ROOT_TEST(fake_nodes_are_no_driver),
	ROOT_TEST(fake_boot_id_node_is_passed_over),
	TEST(names),
	TEST(sizes),
	TEST(sizes_that_do_not_fit),
	TEST(large_sizes_are_told_whole),
	TEST(other_processes_are_noticed),
	TEST(masks),
	TEST(get_fd_materialises_under_every_mask),
	TEST(map_under_every_mask),
	TEST(failed_map_does_not_materialise),
	TEST(first_map_charges_the_size_unless_noreserve),
	TEST(descriptor_charges_nothing),
	ROOT_TEST(strict_overcommit_refuses_the_map),
	ROOT_TEST(private_mapping_where_all_memory_is_locked),
	TEST(map_at_an_address),
	TEST(private_mapping_shows_the_bytes),
	TEST(private_mapping_under_a_mask_of_write_alone),
	TEST(private_mapping_costs_what_is_there),
	ROOT_TEST(private_copies_survive_a_purge),
	TEST(read_and_pread),
	ROOT_TEST(pread_leaves_the_position),
	TEST(seek_data_and_hole),
	TEST(threads_read_different_bytes),
	ROOT_TEST(pins),
	TEST(pins_before_materialising),
	TEST(ranges_that_do_not_fit),
	ROOT_TEST(purge_needs_privilege),
	TEST(import_finds_the_area_again),
	TEST(import_works_where_files_cannot_be_compared),
	TEST(import_refuses_what_is_not_an_area),
	TEST(import_of_a_read_only_descriptor),
	TEST(exhausted_descriptors),
	TEST(fork_in_the_middle),
};

static void run_test(void *context)
{
	/* On a busy machine an emulated clock can run many times too fast. */
	alarm(1200);
	tests[*(size_t *)context].run();
}

static void ask_probe(void *answer)
{
	*(int *)answer = ops->probe(NULL);
}

int main(void)
{
	int *answer = mmap(NULL, sizeof(*answer), RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int failed = 0, passed = 0, skipped = 0;

	page = sys_page_size();
	run_child(ask_probe, answer);
	if (*answer < 0) {
		printf("no driver: %s\n", strerror(-*answer));
		return *answer == -ENODEV ? 77 : 1;
	}
	for (size_t i = 0; i < sizeof(tests) / sizeof(*tests); i++) {
		if (tests[i].needs_root && geteuid() != 0) {
			printf("SKIP %s (needs root)\n", tests[i].name);
			skipped++;
			continue;
		}
		int status = run_child(run_test, &i);
		if (WIFSIGNALED(status))
			printf("  killed by signal %d\n", WTERMSIG(status));
		printf("%s %s\n", status ? "FAIL" : "PASS", tests[i].name);
		failed += status != 0;
		passed += status == 0;
	}
	printf("kernel backend: %d passed, %d failed, %d skipped\n", passed, failed, skipped);
	return failed != 0;
}
