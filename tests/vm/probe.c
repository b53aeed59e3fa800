/* SPDX-License-Identifier: MIT */
/*
 * What the self-test of the VM harness runs in its guests: one small program that
 * shows where it runs, does what a test program may do to the harness (ends with a
 * status, dies of a signal, hangs, prints any bytes), and asks a real /dev/ashmem a
 * few questions whose answers are known.
 *
 * It depends on nothing of libashmem: the ioctl numbers are written out from the
 * facts in the contract (type 0x77), so that a broken library cannot hide a broken
 * harness.  Built for x86-64, i386 and arm64, static and dynamic.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

struct ashmem_pin_range {
	uint32_t offset;
	uint32_t len;
};

#define ASHMEM_DEVICE "/dev/ashmem"
#define ASHMEM_SET_NAME _IOW(0x77, 1, char[256])
#define ASHMEM_GET_NAME _IOR(0x77, 2, char[256])
#define ASHMEM_SET_SIZE _IOW(0x77, 3, size_t)
#define ASHMEM_GET_SIZE _IO(0x77, 4)
#define ASHMEM_GET_PROT_MASK _IO(0x77, 6)
#define ASHMEM_PIN _IOW(0x77, 7, struct ashmem_pin_range)
#define ASHMEM_UNPIN _IOW(0x77, 8, struct ashmem_pin_range)
#define ASHMEM_GET_PIN_STATUS _IO(0x77, 9)
#define ASHMEM_PURGE_ALL_CACHES _IO(0x77, 10)

static int failures;

/* Compares an answer with what the contract says, and prints both if they differ. */
static void expect(const char *what, long got, long wanted)
{
	if (got == wanted)
		return;
	printf("%s: got %ld, expected %ld\n", what, got, wanted);
	failures++;
}

/* The result of an ioctl, or the negative error number. */
static long ask(int fd, unsigned long request, void *argument)
{
	int result = ioctl(fd, request, argument);

	return result < 0 ? -(long)errno : result;
}

/* One area's life against the driver: name, size, pinning, purging. */
static int probe_ashmem(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct ashmem_pin_range second = {(uint32_t)page, (uint32_t)page};
	char name[256] = "probe";
	char *data;
	int may_purge = geteuid() == 0;
	int fd = open(ASHMEM_DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		printf("ashmem: no (%s)\n", strerror(errno));
		return 1;
	}
	expect("size of a new area", ask(fd, ASHMEM_GET_SIZE, NULL), 0);
	expect("mask of a new area", ask(fd, ASHMEM_GET_PROT_MASK, NULL),
		PROT_READ | PROT_WRITE | PROT_EXEC);
	expect("set name", ask(fd, ASHMEM_SET_NAME, name), 0);
	memset(name, 0, sizeof name);
	expect("get name", ask(fd, ASHMEM_GET_NAME, name), 0);
	expect("name is the one set", strcmp(name, "probe"), 0);
	/* The size goes by value. */
	expect("set size", ask(fd, ASHMEM_SET_SIZE, (void *)(3 * page)), 0);
	expect("get size", ask(fd, ASHMEM_GET_SIZE, NULL), (long)(3 * page));
	data = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED) {
		printf("ashmem: no (mmap: %s)\n", strerror(errno));
		return 1;
	}
	memset(data, 'x', 3 * page);
	expect("set size of a mapped area", ask(fd, ASHMEM_SET_SIZE, (void *)page), -EINVAL);
	expect("unpin", ask(fd, ASHMEM_UNPIN, &second), 0);
	expect("status unpinned", ask(fd, ASHMEM_GET_PIN_STATUS, &second), 0);
	expect("purge", ask(fd, ASHMEM_PURGE_ALL_CACHES, NULL), may_purge ? 1 : -EPERM);
	expect("pin", ask(fd, ASHMEM_PIN, &second), may_purge);
	expect("status pinned", ask(fd, ASHMEM_GET_PIN_STATUS, &second), 1);
	expect("byte before the range", data[page - 1], 'x');
	expect("byte in the range", data[page], may_purge ? 0 : 'x');
	expect("byte behind the range", data[2 * page], 'x');
	printf("ashmem: %s\n", failures ? "wrong answers" : "yes");
	return failures != 0;
}

static int show_system(void)
{
	struct utsname system_name;

	if (uname(&system_name) < 0)
		return 1;
	printf("release: %s\n", system_name.release);
	printf("machine: %s\n", system_name.machine);
	printf("page size: %ld\n", sysconf(_SC_PAGESIZE));
	printf("pointer bits: %d\n", (int)(8 * sizeof(void *)));
	printf("processors: %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
	return 0;
}

/* Every byte value, in runs that are no multiple of any buffer size. */
static int print_bytes(void)
{
	int byte, repeat;

	for (repeat = 0; repeat < 257; repeat++)
		for (byte = 0; byte < 256; byte++)
			putchar(byte);
	return fflush(stdout) != 0;
}

static int print_arguments(int count, char **arguments)
{
	int i;

	for (i = 0; i < count; i++)
		printf("argument: <%s>\n", arguments[i]);
	printf("variable: <%s>\n", getenv("PROBE") ? getenv("PROBE") : "");
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "system";
	int number = argc > 2 ? atoi(argv[2]) : 0;

	if (strcmp(what, "system") == 0)
		return show_system();
	if (strcmp(what, "ashmem") == 0)
		return probe_ashmem();
	if (strcmp(what, "bytes") == 0)
		return print_bytes();
	if (strcmp(what, "arguments") == 0)
		return print_arguments(argc - 2, argv + 2);
	if (strcmp(what, "exit") == 0)
		return number;
	if (strcmp(what, "signal") == 0)
		return raise(number);
	if (strcmp(what, "hang") == 0) {
		puts("about to hang");
		fflush(stdout);
		for (;;)
			pause();
	}
	fprintf(stderr, "probe: what is %s?\n", what);
	return 2;
}
