/* SPDX-License-Identifier: MIT */
/*
 * What a program under ashmem-run must not see, and what the driver of Linux 5.10 answers otherwise
 * (D6), so that answers.c cannot ask it: the state behind the data, the library's descriptors, what
 * pins cost. Prints what failed; the exit status says whether anything did.
 *
 *   hidden              all
 *   hidden purged FIFO  pressure is told through it, and something is purged
 *   hidden pairs N      N pairs of unpin and pin, for counting their instructions
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver.h"

static size_t page;
static int failures;

#define EXPECT(condition)                                                                    \
	do {                                                                                 \
		if (!(condition)) {                                                          \
			printf("line %d: not %s (errno %d)\n", __LINE__, #condition, errno); \
			failures++;                                                          \
		}                                                                            \
	} while (0)

static int made(size_t pages, char **base)
{
	int fd = open(ASHMEM_NODE, O_RDWR);

	ioctl(fd, ASHMEM_SET_SIZE, pages * page);
	*base = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || *base == MAP_FAILED) {
		perror(ASHMEM_NODE);
		exit(1);
	}
	return fd;
}

static int fails_to_map(int fd, size_t pages, size_t offset_pages)
{
	return mmap(NULL, pages * page, PROT_READ, MAP_SHARED, fd, (off_t)(offset_pages * page)) ==
		MAP_FAILED &&
		errno == EINVAL;
}

static void the_state_cannot_be_mapped(void)
{
	char *base;
	int fd = made(2, &base);

	EXPECT(fails_to_map(fd, 3, 0));
	EXPECT(fails_to_map(fd, 1, 2));
	EXPECT(fails_to_map(fd, 2, 1));
	EXPECT(fails_to_map(fd, 1, 1000));
	EXPECT(mremap(base, 2 * page, 3 * page, MREMAP_MAYMOVE) == MAP_FAILED);
	char *half = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, (off_t)page);
	EXPECT(mremap(half, page, 2 * page, MREMAP_MAYMOVE) == MAP_FAILED);
	char *first = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
	strcpy(base + page, "second page");
	first = mremap(first, page, 2 * page, MREMAP_MAYMOVE);
	EXPECT(first != MAP_FAILED && strcmp(first + page, "second page") == 0);
	EXPECT(mremap(first, 2 * page, 3 * page, MREMAP_MAYMOVE) == MAP_FAILED);
	close(fd);
}

static void the_state_cannot_be_read(void)
{
	char *base, *bytes = malloc(20 * page), byte;
	int fd = made(2, &base), pipes[2], null = open("/dev/null", O_WRONLY);
	struct stat status;
	off_t at = (off_t)(2 * page);
	off64_t large = at;

	EXPECT(pipe(pipes) == 0);
	EXPECT(read(fd, bytes, 20 * page) == (ssize_t)(2 * page));
	EXPECT(pread(fd, bytes, 20 * page, at) == 0);
	EXPECT(lseek(fd, 0, SEEK_END) == at);
	EXPECT(lseek(fd, 100, SEEK_END) == at + 100);
	EXPECT(read(fd, &byte, 1) == 0);
	EXPECT(sendfile(null, fd, &at, 10) < 0);
	EXPECT(splice(fd, &large, pipes[1], NULL, 10, 0) < 0);
	EXPECT(copy_file_range(fd, &large, null, NULL, 10, 0) < 0);
	EXPECT(fstat(fd, &status) == 0 && status.st_size == 0 && status.st_blocks == 0);
	EXPECT(write(fd, "x", 1) < 0 && pwrite(fd, "x", 1, at) < 0);
	EXPECT(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, 4096) < 0);
	free(bytes);
	close(fd);
	close(null);
	close(pipes[0]);
	close(pipes[1]);
}

/* Of the sizes in the numbers of SET_SIZE and SET_PROT_MASK, 4 and 8, one is the other width's. */
static void numbers_of_both_widths(void)
{
	int fd = open(ASHMEM_NODE, O_RDWR);

	EXPECT(ioctl(fd, _IOW(0x77, 3, uint32_t), 3 * page) == 0);
	EXPECT(ioctl(fd, ASHMEM_GET_SIZE) == (int)(3 * page));
	EXPECT(ioctl(fd, _IOW(0x77, 3, uint64_t), 2 * page) == 0);
	EXPECT(ioctl(fd, ASHMEM_GET_SIZE) == (int)(2 * page));
	EXPECT(ioctl(fd, _IOW(0x77, 5, uint32_t), PROT_READ | PROT_WRITE) == 0);
	EXPECT(ioctl(fd, _IOW(0x77, 5, uint64_t), PROT_READ) == 0);
	EXPECT(ioctl(fd, ASHMEM_GET_PROT_MASK) == PROT_READ);
	close(fd);
}

static void files_have_ids(void)
{
	unsigned long id = 0, again = 0, other = 0;
	uint32_t narrow = 0;
	char *base;
	int unborn = open(ASHMEM_NODE, O_RDWR), fd = made(1, &base), second = made(1, &base);
	int copy = dup(fd);

	EXPECT(ioctl(unborn, ASHMEM_GET_FILE_ID, &id) < 0 && errno == EINVAL);
	EXPECT(ioctl(fd, ASHMEM_GET_FILE_ID, &id) == 0 && id != 0);
	EXPECT(ioctl(copy, ASHMEM_GET_FILE_ID, &again) == 0 && again == id);
	EXPECT(ioctl(second, ASHMEM_GET_FILE_ID, &other) == 0 && other != id);
	EXPECT(ioctl(fd, _IOR(0x77, 11, uint32_t), &narrow) == 0 && narrow == (uint32_t)id);
	EXPECT(ioctl(fd, ASHMEM_GET_FILE_ID, 8) < 0 && errno == EFAULT);
	close(unborn);
	close(fd);
	close(second);
	close(copy);
}

static int count_of_descriptors(void)
{
	DIR *numbers = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(numbers))
		count++;
	closedir(numbers);
	return count;
}

static int lines_with(const char *text)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[1024];
	int found = 0;

	while (fgets(line, sizeof(line), maps))
		found += strstr(line, text) != NULL;
	fclose(maps);
	return found;
}

/* One way to end a region: nothing of it stays, and what else there is can be purged. */
static void closing_ends_all(void (*end)(int fd))
{
	struct ashmem_range all = {0, 0};
	char *base, *kept_base;
	int kept = made(4, &kept_base), before = count_of_descriptors();
	int mappings = lines_with("/dev/ashmem");

	for (int i = 0; i < 200; i++) {
		int fd = made(4, &base);
		ioctl(fd, ASHMEM_UNPIN, &all);
		munmap(base, 4 * page);
		end(fd);
	}
	EXPECT(count_of_descriptors() == before);
	EXPECT(lines_with("/dev/ashmem") <= mappings + 1); /* the kept one's state */
	memset(kept_base, 1, 4 * page);
	EXPECT(ioctl(kept, ASHMEM_UNPIN, &all) == 0);
	EXPECT(ioctl(kept, ASHMEM_PURGE_ALL_CACHES) == 4);
	EXPECT(ioctl(kept, ASHMEM_PIN, &all) == 1);
	EXPECT(kept_base[0] == 0);
	munmap(kept_base, 4 * page);
	close(kept);
}

static void by_close(int fd)
{
	close(fd);
}

static void by_dup2(int fd)
{
	int null = open("/dev/null", O_RDWR);

	dup2(null, fd);
	close(null);
	close(fd);
}

static void by_close_range(int fd)
{
	close_range((unsigned)fd, (unsigned)fd, 0);
}

/* What a program puts at high numbers, as some do, takes nothing away from the library. */
static void high_numbers_do_not_meet_the_library(void)
{
	struct ashmem_range all = {0, 0};
	char *base;
	int fd = made(2, &base), null = open("/dev/null", O_RDWR), refused = 0;

	memset(base, 1, 2 * page);
	for (int i = 256; i < 1024; i++)
		refused += dup2(null, i) < 0 && errno == EBADF;
	EXPECT(refused > 0 && refused < 10);
	EXPECT(ioctl(fd, ASHMEM_UNPIN, &all) == 0);
	EXPECT(ioctl(fd, ASHMEM_PURGE_ALL_CACHES) == 2);
	EXPECT(ioctl(fd, ASHMEM_PIN, &all) == 1);
	EXPECT(base[0] == 0);
	EXPECT(mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
	for (int i = 256; i < 1024; i++)
		close(i);
	close(null);
	close(fd);
}

/* A number that was closed unseen and is another file by now. */
static void a_raw_close_is_noticed(void)
{
	struct stat status;
	char *base, byte = 1;
	int fd = made(1, &base);

	syscall(SYS_close, fd);
	int zero = (int)syscall(SYS_openat, AT_FDCWD, "/dev/zero", O_RDWR, 0);
	EXPECT(zero == fd);
	EXPECT(read(fd, &byte, 1) == 1 && byte == 0);
	EXPECT(fstat(fd, &status) == 0 && status.st_rdev != 0);
	EXPECT(ioctl(fd, ASHMEM_GET_SIZE) < 0);
	close(fd);
}

/* The driver's would go on as another file: here it fails, and ends as a failure does. */
static void a_stream_is_not_opened_anew(void)
{
	char *base;
	int fd = made(1, &base);
	FILE *stream = fdopen(fd, "r+");

	EXPECT(stream && freopen("/dev/null", "r", stream) == NULL && errno == EOPNOTSUPP);
	EXPECT(fcntl(fd, F_GETFD) < 0 && errno == EBADF);
	stream = fopen("/dev/null", "r");
	EXPECT(stream && freopen(ASHMEM_NODE, "r", stream) == NULL && errno == EOPNOTSUPP);
}

/* libc's own standard streams are back as soon as the numbers are other files'. */
static void standard_streams_come_back(void)
{
	char *base;
	int fd = made(1, &base), out = dup(STDOUT_FILENO), in = dup(STDIN_FILENO), pipes[2];
	FILE *libcs = stdout;

	fflush(stdout);
	EXPECT(pipe(pipes) == 0 && write(pipes[1], "typed", 5) == 5);
	for (int i = 0; i < 2; i++) {
		dup2(fd, STDOUT_FILENO);
		EXPECT(fputs("lost", stdout) < 0 || fflush(stdout) < 0);
		dup2(out, STDOUT_FILENO);
		EXPECT(stdout == libcs && fileno(stdout) == STDOUT_FILENO);
		dup2(fd, STDIN_FILENO);
		EXPECT(lseek(fd, 0, SEEK_SET) == 0 && getchar() == 0);
		dup2(pipes[0], STDIN_FILENO);
		EXPECT(i > 0 || getchar() == 't');
	}
	EXPECT(base[0] == 0);
	dup2(in, STDIN_FILENO);
	close(pipes[0]);
	close(pipes[1]);
	close(in);
	close(out);
	close(fd);
}

/* -- what pins cost -- */

static void pairs(int fd, long count)
{
	struct ashmem_range range = {(uint32_t)(5 * page), (uint32_t)page};

	for (long i = 0; i < count; i++)
		if (ioctl(fd, ASHMEM_UNPIN, &range) != 0 || ioctl(fd, ASHMEM_PIN, &range) != 0)
			_exit(3);
}

/* From here on any system call but exit ends the process with a signal: 0, or -1. */
static int forbid_system_calls(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL),
	};
	struct sock_fprog program = {sizeof(rules) / sizeof(*rules), rules};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void pins_make_no_system_call(void)
{
	char *base;
	int fd = made(16, &base), status = -1;

	pid_t child = fork();
	if (child == 0) {
		pairs(fd, 10);
		if (forbid_system_calls() < 0)
			syscall(SYS_exit, 77);
		pairs(fd, 1000);
		syscall(SYS_exit, 0);
	}
	waitpid(child, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		puts("skipped: no filters of seccomp here");
	else
		EXPECT(status == 0);
	close(fd);
}

/* A thread's stack is found too, and memory elsewhere is asked for. */
static void *pin_in_thread(void *argument)
{
	struct ashmem_range range = {0, 0}, *far = malloc(sizeof(*far));
	int fd = *(int *)argument;

	*far = range;
	EXPECT(ioctl(fd, ASHMEM_UNPIN, &range) == 0);
	EXPECT(ioctl(fd, ASHMEM_PIN, far) == 0);
	EXPECT(ioctl(fd, ASHMEM_PIN, (void *)(uintptr_t)16) < 0 && errno == EFAULT);
	free(far);
	return NULL;
}

static void pointers_of_threads(void)
{
	pthread_t thread;
	char *base;
	int fd = made(2, &base);

	pthread_create(&thread, NULL, pin_in_thread, &fd);
	pthread_join(thread, NULL);
	close(fd);
}

/* Tell of pressure, by what MEMORY_PRESSURE_WATCH names, until something was purged: 0, or 1. */
static int purged_under_pressure(const char *fifo)
{
	struct ashmem_range all = {0, 0};
	char *base;
	int fd = made(64, &base), told = open(fifo, O_RDWR | O_NONBLOCK);

	memset(base, 1, 64 * page);
	if (told < 0 || ioctl(fd, ASHMEM_UNPIN, &all) != 0)
		return 1;
	for (int i = 0; i < 600 && base[0]; i++) {
		if (write(told, "x", 1) < 0 && errno != EAGAIN)
			return 1;
		usleep(100000);
	}
	return base[0] != 0 || ioctl(fd, ASHMEM_PIN, &all) != 1;
}

/* The same in a child, which has no thread of its parent's. */
static int purged_in_both(const char *fifo)
{
	int status = -1, r = purged_under_pressure(fifo);
	pid_t child = fork();

	if (child == 0)
		_exit(purged_under_pressure(fifo));
	waitpid(child, &status, 0);
	return r || status != 0;
}

int main(int argc, char **argv)
{
	char *base;

	page = (size_t)sysconf(_SC_PAGESIZE);
	if (argc > 2 && strcmp(argv[1], "purged") == 0)
		return purged_in_both(argv[2]);
	if (argc > 2) {
		pairs(made(16, &base), atol(argv[2]));
		return 0;
	}
	the_state_cannot_be_mapped();
	the_state_cannot_be_read();
	numbers_of_both_widths();
	files_have_ids();
	closing_ends_all(by_close);
	closing_ends_all(by_dup2);
	closing_ends_all(by_close_range);
	high_numbers_do_not_meet_the_library();
	a_raw_close_is_noticed();
	a_stream_is_not_opened_anew();
	standard_streams_come_back();
	pins_make_no_system_call();
	pointers_of_threads();
	return failures != 0;
}
