/* SPDX-License-Identifier: MIT */
/*
 * What a program gets to see that talks to /dev/ashmem by system calls alone: one line for each
 * question, `question: answer`. It knows no library, so the same binary runs on the real driver and
 * under ashmem-run, and the two must print the same. answers.txt holds what the driver of Linux
 * 5.10 printed (tests/vm/check takes it anew and compares).
 *
 * Pages are of 4 KiB where the answers were recorded; nothing printed depends on it.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "area.h"
#include "say.h"

/* mmap(2) as 0 or -1. */
static int map(int fd, size_t length, int prot, int flags, off_t offset)
{
	return mmap(NULL, length, prot, flags, fd, offset) == MAP_FAILED ? -1 : 0;
}

/* Bytes that end where a page ends after which there is none. */
static char *before_a_hole(size_t bytes)
{
	char *both =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(both + page, page);
	memset(both, 0x5a, page);
	return both + page - bytes;
}

static void names(void)
{
	char name[300], long_name[300], *base;
	int fd = fresh(O_RDWR);
	char *edge;

	part("names");
	memset(name, 0x11, sizeof(name));
	SAY(ioctl(fd, ASHMEM_GET_NAME, name));
	SAY(strcmp(name, "dev/ashmem"));
	SAY((unsigned char)name[11]);
	SAY((unsigned char)name[255]);
	SAY((unsigned char)name[256]);
	SAY(ioctl(fd, ASHMEM_SET_NAME, "some name"));
	memset(name, 0x11, sizeof(name));
	SAY(ioctl(fd, ASHMEM_GET_NAME, name));
	SAY(strcmp(name, "some name"));
	SAY((unsigned char)name[10]);
	SAY((unsigned char)name[255]);
	memset(long_name, 'x', sizeof(long_name));
	long_name[299] = '\0';
	SAY(ioctl(fd, ASHMEM_SET_NAME, long_name));
	memset(name, 0x11, sizeof(name));
	SAY(ioctl(fd, ASHMEM_GET_NAME, name));
	SAY(strnlen(name, sizeof(name)));
	SAY((unsigned char)name[256]);
	SAY(ioctl(fd, ASHMEM_SET_NAME, NULL));
	SAY(ioctl(fd, ASHMEM_SET_NAME, 8));
	SAY(ioctl(fd, ASHMEM_GET_NAME, NULL));
	SAY(ioctl(fd, ASHMEM_GET_NAME, 8));
	edge = before_a_hole(5);
	strcpy(edge, "edge");
	SAY(ioctl(fd, ASHMEM_SET_NAME, edge));
	SAY(ioctl(fd, ASHMEM_GET_NAME, name));
	SAY(strcmp(name, "edge"));
	SAY(ioctl(fd, ASHMEM_GET_NAME, before_a_hole(5)));
	SAY(ioctl(fd, ASHMEM_GET_NAME, before_a_hole(4)));
	SAY(ioctl(fd, ASHMEM_SET_NAME, before_a_hole(4)));
	SAY(ioctl(fd, ASHMEM_SET_NAME, ""));
	SAY(ioctl(fd, ASHMEM_GET_NAME, name));
	SAY(strcmp(name, "dev/ashmem"));
	close(fd);
	fd = made(NULL, 1, &base);
	SAY(ioctl(fd, ASHMEM_SET_NAME, "late"));
	SAY(ioctl(fd, ASHMEM_SET_NAME, NULL));
	SAY(ioctl(fd, ASHMEM_GET_NAME, name));
	SAY(ioctl(fd, ASHMEM_GET_NAME, NULL));
	close(fd);
}

static void sizes(void)
{
	int fd = fresh(O_RDWR);
	char *base;

	part("sizes");
	SAY(ioctl(fd, ASHMEM_GET_SIZE, NULL));
	SAY(ioctl(fd, ASHMEM_SET_SIZE, 1));
	SAY(ioctl(fd, ASHMEM_GET_SIZE, NULL));
	SAY(ioctl(fd, ASHMEM_GET_SIZE, 8));
	SAY(ioctl(fd, ASHMEM_SET_SIZE, 0x7fffffff));
	SAY(ioctl(fd, ASHMEM_GET_SIZE));
	SAY(ioctl(fd, ASHMEM_SET_SIZE, 0x80000001));
	SAY(ioctl(fd, ASHMEM_GET_SIZE));
	SAY(ioctl(fd, ASHMEM_SET_SIZE, 0));
	SAY(ioctl(fd, ASHMEM_GET_SIZE));
	close(fd);
	fd = made(NULL, 2, &base);
	SAY(ioctl(fd, ASHMEM_SET_SIZE, page));
	SAY(ioctl(fd, ASHMEM_GET_SIZE) == (int)(2 * page));
	munmap(base, 2 * page);
	SAY(ioctl(fd, ASHMEM_SET_SIZE, 2 * page));
	close(fd);
}

static void numbers(void)
{
	int fd = fresh(O_RDWR), value = 7;
	unsigned long id = 7;
	char *base;

	part("other numbers");
	SAY(ioctl(fd, _IO(0x77, 12), 0));
	SAY(ioctl(fd, _IO(0x77, 0), 0));
	SAY(ioctl(fd, _IO(0x77, 7), 0));
	SAY(ioctl(fd, _IO(0x78, 4), 0));
	SAY(ioctl(fd, FIONREAD, &value));
	SAY(value);
	SAY(ioctl(fd, TIOCGWINSZ, &value));
	SAY(ioctl(fd, FIOCLEX));
	SAY(fcntl(fd, F_GETFD));
	SAY(ioctl(fd, FIONCLEX));
	SAY(fcntl(fd, F_GETFD));
	value = 1;
	SAY(ioctl(fd, FIONBIO, &value));
	SAY(ioctl(fd, _IO(0, 2) /* FIGETBSZ */, &value));
	SAY(ioctl(99, ASHMEM_GET_SIZE));
	SAY(ioctl(-1, ASHMEM_GET_SIZE));
	close(fd);
	SAY(ioctl(fd, ASHMEM_GET_SIZE));
	fd = open("/dev/null", O_RDWR);
	SAY(ioctl(fd, ASHMEM_GET_SIZE));
	SAY(ioctl(fd, ASHMEM_SET_SIZE, 5));
	close(fd);
	/* GET_FILE_ID is of Android alone. */
	fd = made(NULL, 1, &base);
	value = ioctl(fd, ASHMEM_GET_FILE_ID, &id) < 0 ? errno == ENOTTY : id != 7;
	SAY(value);
	close(fd);
}

static void masks(void)
{
	int fd = fresh(O_RDWR);
	char *base;

	part("masks");
	SAY(ioctl(fd, ASHMEM_GET_PROT_MASK));
	SAY(ioctl(fd, ASHMEM_SET_PROT_MASK, 8));
	SAY(ioctl(fd, ASHMEM_SET_PROT_MASK, PROT_READ | PROT_GROWSDOWN));
	SAY(ioctl(fd, ASHMEM_SET_PROT_MASK, PROT_READ | PROT_EXEC));
	SAY(ioctl(fd, ASHMEM_SET_PROT_MASK, PROT_READ | PROT_WRITE));
	SAY(ioctl(fd, ASHMEM_GET_PROT_MASK));
	SAY(ioctl(fd, ASHMEM_SET_SIZE, page));
	SAY(map(fd, page, PROT_READ | PROT_WRITE, MAP_SHARED, 0));
	SAY(map(fd, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0));
	SAY(map(fd, page, PROT_READ, MAP_SHARED, 0));
	SAY(ioctl(fd, ASHMEM_SET_PROT_MASK, PROT_READ));
	SAY(map(fd, page, PROT_READ | PROT_EXEC, MAP_SHARED, 0));
	SAY(map(fd, 2 * page, PROT_WRITE, MAP_SHARED, 0));
	SAY(ioctl(fd, ASHMEM_SET_PROT_MASK, PROT_NONE));
	SAY(map(fd, page, PROT_NONE, MAP_SHARED, 0));
	SAY(map(fd, page, PROT_READ, MAP_SHARED, 0));
	close(fd);

	fd = made(NULL, 2, &base);
	SAY(mprotect(base, page, PROT_READ));
	SAY(ioctl(fd, ASHMEM_SET_PROT_MASK, PROT_READ));
	SAY(mprotect(base, page, PROT_READ | PROT_WRITE));
	SAY(mprotect(base, page, PROT_READ | PROT_EXEC));
	base = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, fd, 0);
	SAY(mprotect(base, page, PROT_READ | PROT_WRITE));
	SAY(mprotect(base, page, PROT_READ | PROT_EXEC));
	SAY(mprotect(base, page, PROT_NONE));
	SAY(mprotect(base, page, PROT_READ));
	base = mmap(NULL, 2 * page, PROT_READ, MAP_PRIVATE, fd, 0);
	SAY(mprotect(base, page, PROT_READ | PROT_WRITE));
	SAY(mprotect(base, page, PROT_READ | PROT_EXEC));
	base = mmap(NULL, 2 * page, PROT_NONE, MAP_SHARED, fd, 0);
	SAY(mprotect(base + page, page, PROT_READ));
	SAY(munmap(base, page));
	SAY(mprotect(base + page, page, PROT_READ | PROT_EXEC));
	SAY(ioctl(fd, ASHMEM_SET_PROT_MASK, PROT_NONE));
	base = mmap(NULL, 2 * page, PROT_NONE, MAP_SHARED, fd, 0);
	SAY(mprotect(base, page, PROT_READ));
	SAY(mprotect(base, page, PROT_NONE));
	munmap(base, 2 * page);
	SAY(mmap(base, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == base);
	SAY(mprotect(base, page, PROT_READ | PROT_WRITE | PROT_EXEC));
	close(fd);
}

static void mappings(void)
{
	char *base, *place;
	int fd = fresh(O_RDWR);

	part("mappings");
	SAY(map(fd, page, PROT_READ, MAP_SHARED, 0));
	ioctl(fd, ASHMEM_SET_SIZE, 2 * page - 1);
	SAY(map(fd, 0, PROT_READ, MAP_SHARED, 0));
	SAY(map(fd, page, PROT_READ, MAP_SHARED, 1));
	SAY(map(fd, page, PROT_READ, 0, 0));
	SAY(map(fd, 3 * page, PROT_READ, MAP_SHARED, 0));
	SAY(map(fd, page, PROT_READ, MAP_SHARED_VALIDATE, 0));
	SAY(map(fd, page, PROT_READ, MAP_SHARED_VALIDATE | 0x80000, 0));
	SAY(map(fd, page, PROT_READ, MAP_SHARED | MAP_POPULATE | MAP_NORESERVE, page));
	SAY(map(fd, page + 1, PROT_READ, MAP_SHARED, 0));
	place = mmap(NULL, 2 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SAY(mmap(place, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == place);
	SAY(mmap(place + 1, page, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED);
	SAY(mmap(place, page, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0) == MAP_FAILED);
	munmap(place, 2 * page);
	SAY(mmap(place, page, PROT_READ, MAP_SHARED, fd, 0) == place);
	SAY(map(fd, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, 0));
	SAY(map(99, page, PROT_READ, MAP_SHARED, 0));
	close(fd);

	/* Seen through both of two mappings; after the descriptor. */
	fd = made(NULL, 1, &base);
	place = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
	strcpy(base, "both");
	SAY(strcmp(place, "both"));
	close(fd);
	strcpy(base, "after");
	SAY(strcmp(place, "after"));
	SAY(mremap(base, page, 0, 0) == MAP_FAILED);
	SAY(msync(base, page, MS_SYNC));
	SAY(madvise(base, page, MADV_DONTNEED));
	SAY(strcmp(base, "after"));
}

static void descriptors_of_less(void)
{
	int fd = fresh(O_RDONLY);
	char byte = 0;

	part("read-only and write-only descriptors");
	SAY(fcntl(fd, F_GETFL) & O_ACCMODE);
	SAY(ioctl(fd, ASHMEM_SET_NAME, "read-only"));
	SAY(ioctl(fd, ASHMEM_SET_SIZE, page));
	SAY(write(fd, "x", 1));
	SAY(map(fd, page, PROT_READ | PROT_WRITE, MAP_SHARED, 0));
	SAY(map(fd, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0));
	SAY(mprotect(mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0), page, PROT_WRITE));
	SAY(mprotect(mmap(NULL, page, PROT_READ, MAP_PRIVATE, fd, 0), page, PROT_WRITE));
	SAY(read(fd, &byte, 1));
	SAY(ftruncate(fd, 1));
	SAY(fallocate(fd, 0, 0, 1));
	close(fd);
	fd = fresh(O_WRONLY);
	SAY(fcntl(fd, F_GETFL) & O_ACCMODE);
	SAY(ioctl(fd, ASHMEM_SET_SIZE, page));
	SAY(map(fd, page, PROT_READ | PROT_WRITE, MAP_SHARED, 0));
	SAY(map(fd, page, PROT_WRITE, MAP_SHARED, 0));
	SAY(map(fd, page, PROT_NONE, MAP_PRIVATE, 0));
	SAY(read(fd, &byte, 1));
	SAY(pread(fd, &byte, 1, 0));
	SAY(write(fd, "x", 1));
	close(fd);
}

static void reading(void)
{
	char byte[8] = "", *base, *edge;
	struct iovec two[2] = {{byte, 2}, {byte + 4, 2}};
	int fd = fresh(O_RDWR);

	part("reading");
	SAY(read(fd, byte, 1));
	SAY(read(fd, byte, 0));
	SAY(read(fd, NULL, 1));
	SAY(pread(fd, byte, 1, 0));
	SAY(lseek(fd, 0, SEEK_SET));
	SAY(lseek(fd, 0, 77));
	ioctl(fd, ASHMEM_SET_SIZE, 10);
	SAY(read(fd, byte, 1));
	SAY(read(fd, byte, 0));
	SAY(pread(fd, byte, 1, 0));
	SAY(pread(fd, byte, 1, -1));
	SAY(lseek(fd, 0, SEEK_SET));
	SAY(lseek(fd, 0, SEEK_END));
	SAY(lseek(fd, 0, 77));
	base = mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	memcpy(base, "0123456789more", 15);
	SAY(lseek(fd, 0, SEEK_CUR));
	SAY(read(fd, byte, 4));
	SAY(memcmp(byte, "0123", 4));
	SAY(lseek(fd, 0, SEEK_CUR));
	SAY(readv(fd, two, 2));
	SAY(byte[5]);
	SAY(lseek(fd, 0, SEEK_CUR));
	SAY(read(fd, byte, 8));
	SAY(read(fd, byte, 8));
	SAY(lseek(fd, -3, SEEK_END));
	SAY(read(fd, byte, 8));
	SAY(lseek(fd, 100, SEEK_SET));
	SAY(read(fd, byte, 8));
	SAY(lseek(fd, -1, SEEK_SET));
	SAY(lseek(fd, 0, 77));
	SAY(lseek(fd, 0, SEEK_SET));
	SAY(read(fd, NULL, 4));
	SAY(read(fd, (char *)8, 4));
	SAY(read(fd, byte, 0));
	SAY(lseek(fd, 0, SEEK_SET));
	edge = before_a_hole(2);
	SAY(read(fd, edge, 4));
	SAY(lseek(fd, 0, SEEK_SET));
	SAY(pread(fd, byte, 3, 8));
	SAY(byte[1]);
	SAY(pread(fd, byte, 3, 10));
	SAY(pread(fd, NULL, 3, 8));
	SAY(pread(fd, byte, 3, -5));
	SAY(preadv(fd, two, 2, 7));
	SAY(lseek(fd, 0, SEEK_SET));
	close(fd);
	SAY(read(fd, byte, 1));
}

static void other_calls(void)
{
	char *base;
	int fd = made(NULL, 2, &base), null = open("/dev/null", O_RDWR), pipes[2];
	struct iovec one = {"x", 1};
	off_t from = 0;

	if (pipe(pipes) < 0)
		return;
	part("other calls");
	SAY(write(fd, "x", 1));
	SAY(write(fd, NULL, 1));
	SAY(write(fd, "", 0));
	SAY(pwrite(fd, "x", 1, 0));
	SAY(writev(fd, &one, 1));
	SAY(pwritev(fd, &one, 1, 0));
	SAY(ftruncate(fd, 0));
	SAY(ftruncate(fd, -1));
	SAY(fallocate(fd, 0, 0, page));
	SAY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, page));
	SAY(fallocate(fd, 0, -1, page));
	SAY(fallocate(fd, 0, 0, 0));
	SAY(posix_fallocate(fd, 0, page));
	SAY(fsync(fd));
	SAY(fdatasync(fd));
	SAY(flock(fd, LOCK_EX | LOCK_NB));
	SAY(fcntl(fd, F_GET_SEALS));
	SAY(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	SAY(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
	SAY(sendfile(null, fd, &from, 10));
	SAY(splice(fd, NULL, pipes[1], NULL, 10, 0));
	SAY(splice(pipes[0], NULL, fd, NULL, 10, SPLICE_F_NONBLOCK));
	SAY(copy_file_range(fd, NULL, null, NULL, 10, 0));
	SAY(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	SAY(epoll_ctl(epoll_create1(0), EPOLL_CTL_ADD, fd,
		&(struct epoll_event){.events = EPOLLIN}));
	SAY(poll(&(struct pollfd){.fd = fd, .events = POLLIN | POLLOUT}, 1, 0));
	close(fd);
}

static void status_of(const char *what, int r, const struct stat *status)
{
	struct stat node;

	if (r < 0) {
		printf("%s: %s\n", what, error_name(errno));
		return;
	}
	if (stat(ASHMEM_NODE, &node) < 0)
		perror(ASHMEM_NODE);
	printf("%s: %s %o, size %lld, blocks %lld, %s, rdev %s, major %d, links %d\n", what,
		S_ISCHR(status->st_mode) ? "character device" : "else",
		(unsigned)status->st_mode & 07777, (long long)status->st_size,
		(long long)status->st_blocks,
		status->st_ino == node.st_ino && status->st_dev == node.st_dev ? "same file"
									       : "another file",
		status->st_rdev == node.st_rdev ? "same" : "another", (int)major(status->st_rdev),
		(int)status->st_nlink);
}

static void looking(void)
{
	struct stat status;
	struct statx extended;
	char *base, path[64];
	int fd = made(NULL, 2, &base), dev, lowest;

	part("looking");
	status_of("fstat", fstat(fd, &status), &status);
	status_of("stat", stat(ASHMEM_NODE, &status), &status);
	status_of("lstat", lstat(ASHMEM_NODE, &status), &status);
	status_of("fstatat", fstatat(AT_FDCWD, ASHMEM_NODE, &status, 0), &status);
	status_of("fstatat of the descriptor", fstatat(fd, "", &status, AT_EMPTY_PATH), &status);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	status_of("stat of /proc/self/fd", stat(path, &status), &status);
	SAY(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &extended));
	SAY(extended.stx_size);
	SAY(S_ISCHR(extended.stx_mode));
	SAY(statx(AT_FDCWD, ASHMEM_NODE, 0, STATX_BASIC_STATS, &extended));
	SAY(S_ISCHR(extended.stx_mode));
	SAY(access(ASHMEM_NODE, F_OK));
	SAY(access(ASHMEM_NODE, R_OK | W_OK));
	SAY(access(ASHMEM_NODE, X_OK));
	SAY(access(ASHMEM_NODE, 0x100));
	SAY(faccessat(AT_FDCWD, ASHMEM_NODE, R_OK, 0));
	SAY(open(ASHMEM_NODE, O_RDWR | O_CREAT | O_EXCL, 0600));
	SAY(open(ASHMEM_NODE, O_RDWR | O_DIRECTORY));
	SAY(open(ASHMEM_NODE "/", O_RDWR));
	SAY(close(open(ASHMEM_NODE, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600)));
	SAY(close(openat(99, ASHMEM_NODE, O_RDWR)));
	dev = open("/dev", O_RDONLY | O_DIRECTORY);
	SAY(close(openat(dev, "ashmem", O_RDWR)));
	close(dev);
	dev = open(ASHMEM_NODE, O_RDWR | O_APPEND | O_NONBLOCK | O_CLOEXEC);
	SAY(fcntl(dev, F_GETFD));
	SAY(fcntl(dev, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
	close(dev);
	lowest = dup(0);
	close(lowest);
	dev = open(ASHMEM_NODE, O_RDWR);
	SAY(fcntl(dev, F_GETFD));
	SAY(dev - lowest);
	close(dev);
	/* Opened through the descriptor: another area. */
	dev = open(path, O_RDWR);
	SAY(ioctl(dev, ASHMEM_GET_SIZE));
	close(dev);
	memset(path, 0, sizeof(path));
	close(fd);
}

static void pins(void)
{
	struct ashmem_range range = {0, 0}, *edge;
	char *base;
	int fd = fresh(O_RDWR);

	part("pins");
	SAY(ioctl(fd, ASHMEM_PIN, &range));
	SAY(ioctl(fd, ASHMEM_PIN, NULL));
	SAY(ioctl(fd, ASHMEM_UNPIN, &range));
	SAY(ioctl(fd, ASHMEM_GET_PIN_STATUS, &range));
	close(fd);
	fd = made(NULL, 8, &base);
	SAY(ioctl(fd, ASHMEM_PIN, NULL));
	SAY(ioctl(fd, ASHMEM_UNPIN, 8));
	SAY(ioctl(fd, ASHMEM_GET_PIN_STATUS, -8L));
	edge = (struct ashmem_range *)before_a_hole(8);
	memset(edge, 0, 8);
	SAY(ioctl(fd, ASHMEM_GET_PIN_STATUS, edge));
	SAY(ioctl(fd, ASHMEM_GET_PIN_STATUS, (char *)edge + 4));
	SAY(ioctl(fd, ASHMEM_GET_PIN_STATUS, (char *)edge + 1));
	SAY(ioctl(fd, ASHMEM_UNPIN, edge));
	SAY(ioctl(fd, ASHMEM_GET_PIN_STATUS, edge));
	SAY(ioctl(fd, ASHMEM_PIN, edge));
	SAY(ioctl(fd, ASHMEM_GET_PIN_STATUS, edge));
	range = (struct ashmem_range){1, 0};
	SAY(ioctl(fd, ASHMEM_UNPIN, &range));
	range = (struct ashmem_range){0, 1};
	SAY(ioctl(fd, ASHMEM_UNPIN, &range));
	range = (struct ashmem_range){0, 9 * page};
	SAY(ioctl(fd, ASHMEM_UNPIN, &range));
	range = (struct ashmem_range){9 * page, 0};
	SAY(ioctl(fd, ASHMEM_UNPIN, &range));
	range = (struct ashmem_range){-page, 2 * page};
	SAY(ioctl(fd, ASHMEM_UNPIN, &range));
	range = (struct ashmem_range){2 * page, 3 * page};
	SAY(ioctl(fd, ASHMEM_UNPIN, &range));
	memset(base, 1, 8 * page);
	SAY(ioctl(fd, ASHMEM_PURGE_ALL_CACHES) >= 3);
	SAY(base[page]);
	SAY(base[2 * page]);
	SAY(base[4 * page]);
	SAY(base[5 * page]);
	SAY(ioctl(fd, ASHMEM_PURGE_ALL_CACHES, NULL));
	range = (struct ashmem_range){0, page};
	SAY(ioctl(fd, ASHMEM_PIN, &range));
	range = (struct ashmem_range){3 * page, page};
	SAY(ioctl(fd, ASHMEM_GET_PIN_STATUS, &range));
	SAY(ioctl(fd, ASHMEM_PIN, &range));
	SAY(ioctl(fd, ASHMEM_PIN, &range));
	SAY(ioctl(fd, ASHMEM_GET_PIN_STATUS, &range));
	range = (struct ashmem_range){0, 0};
	SAY(ioctl(fd, ASHMEM_PIN, &range));
	SAY(ioctl(fd, ASHMEM_PIN, &range));
	close(fd);
}

static void duplicates(void)
{
	char *base, byte;
	int fd = made(NULL, 1, &base), copy, third;

	part("duplicates");
	copy = dup(fd);
	third = dup(copy);
	SAY(third > copy);
	close(third);
	SAY(ioctl(copy, ASHMEM_GET_SIZE) == (int)page);
	third = fcntl(fd, F_DUPFD_CLOEXEC, 50);
	SAY(third);
	SAY(fcntl(third, F_GETFD));
	SAY(dup2(fd, 60));
	SAY(dup2(60, 60));
	SAY(dup3(60, 60, 0));
	SAY(dup3(60, 61, O_CLOEXEC));
	SAY(read(copy, &byte, 1));
	SAY(lseek(61, 0, SEEK_CUR));
	SAY(close(fd));
	SAY(ioctl(fd, ASHMEM_GET_SIZE));
	SAY(ioctl(61, ASHMEM_GET_SIZE) == (int)page);
	fd = open("/dev/null", O_RDWR);
	SAY(dup2(fd, 61));
	SAY(ioctl(61, ASHMEM_GET_SIZE));
	SAY(read(61, &byte, 1));
	SAY(dup2(60, 61));
	SAY(ioctl(61, ASHMEM_GET_SIZE) == (int)page);
	close(fd);
	close(copy);
	close(third);
	SAY(close_range(60, 61, 4 /* CLOSE_RANGE_CLOEXEC */) == 0 || errno == EINVAL ||
		errno == ENOSYS);
	SAY(ioctl(60, ASHMEM_GET_SIZE) == (int)page);
	SAY(close_range(60, 61, 0));
	SAY(ioctl(60, ASHMEM_GET_SIZE));
	SAY(close(60));
	SAY(dup(60));
	base[0] = 1; /* the mapping holds the memory */
}

int main(void)
{
	page = (size_t)sysconf(_SC_PAGESIZE);
	setvbuf(stdout, NULL, _IOLBF, 0);
	names();
	sizes();
	numbers();
	masks();
	mappings();
	descriptors_of_less();
	reading();
	other_calls();
	looking();
	pins();
	duplicates();
	return 0;
}
