/* SPDX-License-Identifier: MIT */
/*
 * The edge to the kernel: system calls that libc may lack, constants that headers may lack, and the
 * fallbacks. Nothing above this file names a kernel version. Every function returns a negative
 * errno on failure.
 */
#ifndef ASHMEM_LIB_BASE_SYS_H
#define ASHMEM_LIB_BASE_SYS_H

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* Seals and memfd flags, for headers older than the running kernel: fcntl(2), memfd_create(2). */
#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034
#endif
#ifndef F_SEAL_SEAL
#define F_SEAL_SEAL 0x1
#define F_SEAL_SHRINK 0x2
#define F_SEAL_GROW 0x4
#define F_SEAL_WRITE 0x8
#endif
#ifndef F_SEAL_FUTURE_WRITE /* Linux 5.1 */
#define F_SEAL_FUTURE_WRITE 0x10
#endif
/* Either of these forbids writing through new mappings and punching holes. */
#define SYS_WRITE_SEALS (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)

/* Kernel's struct robust_list_head, set_robust_list(2). */
struct sys_robust_head {
	void *next;
	long futex_offset;
	void *list_op_pending;
};

/*
 * A memfd above the standard streams, close-on-exec, that can be sealed and not executed as a
 * program where the kernel has that (6.3). -ENODEV if there are none, or they are forbidden.
 */
int sys_memfd_create(const char *name);

extern size_t sys_known_page_size;
size_t sys_ask_page_size(void);

/* Bytes of a page of the running system. */
static inline size_t sys_page_size(void)
{
	size_t size = __atomic_load_n(&sys_known_page_size, __ATOMIC_RELAXED);

	return size ? size : sys_ask_page_size();
}

/* Read a small file as text: its length, cut to size - 1, or a negative errno. */
int sys_read_file(const char *path, char *text, size_t size);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t sys_now_ns(void);

/*
 * Random bytes that nobody can guess: getrandom(2). Where a sandbox has neither that nor
 * /dev/urandom, they are merely different each time.
 */
void sys_random(void *bytes, size_t size);

/* Whether mmap(2) adds PROT_EXEC to PROT_READ: personality(2). */
int sys_read_implies_exec(void);

/* Whether a descriptor that has seals is of a memfd, and not of a file on a tmpfs. */
int sys_is_memfd(int fd);
/* The same, with what fstat(2) says of it. */
int sys_is_memfd_file(int fd, const struct stat *status);
/* Whether the file consists of huge pages. */
int sys_is_huge(int fd, const struct stat *status);

/*
 * A record lock on a byte past a file's end, against other processes only: fcntl(2). -EAGAIN if
 * another process has it; does not wait. wait_lock_file() does.
 */
int sys_lock_file(int fd);
void sys_unlock_file(int fd);

/*
 * Locks on a byte range, which belong to the open file description and end with it: fcntl(2),
 * F_OFD_SETLK, Linux 3.15. A read lock needs a descriptor that reads, a write lock one that writes.
 * -EAGAIN if another description's lock is in the way; does not wait. -ENOMEM, also where the
 * kernel says ENOLCK; -ENOTSUP where there are no such locks.
 */
enum sys_range_lock { SYS_LOCK_NONE, SYS_LOCK_READ, SYS_LOCK_WRITE };
int sys_lock_range(int fd, enum sys_range_lock kind, uint64_t offset, uint64_t length);
/*
 * Whether another open file description has a lock on any of these bytes: 1 or 0; -ENOTSUP where
 * there are no such locks, or as fcntl(2). The kernel may look without a lock of its own, so what
 * was stored before is seen by those who lock later only if a fence is in between.
 */
int sys_is_range_locked(int fd, uint64_t offset, uint64_t length);

/* One such lock, not always the first: the bytes *start..*end-1 and 1, or 0 if there is none. */
int sys_find_lock(int fd, uint64_t offset, uint64_t length, uint64_t *start, uint64_t *end);

/*
 * Set a file's size; -EFBIG if it is too large for the file system or the process (RLIMIT_FSIZE).
 * No SIGXFSZ, unless another thread lowers the limit at this moment.
 */
int sys_truncate(int fd, uint64_t size_bytes);

/* Read all of `size` bytes at an offset: how many there were, less only at the end of the file. */
int64_t sys_read_at(int fd, void *bytes, size_t size, uint64_t offset);

/*
 * Write all of `size` bytes at an offset. -EFBIG, and no SIGXFSZ, as sys_truncate(). Others may
 * have the same open file description and set O_APPEND, which is taken away; -EUCLEAN if it never
 * stays away.
 */
int sys_write_at(int fd, const void *bytes, size_t size, uint64_t offset);

/*
 * The first byte from an offset on that a file has, as far as the kernel tells holes; UINT64_MAX:
 * there is none. Memory that was allocated and never written does not show. Moves the file's
 * position.
 */
uint64_t sys_find_data(int fd, uint64_t from);

/*
 * Bytes of a file from an offset on that take memory or space, as far as the kernel tells holes.
 * Moves the file's position.
 */
uint64_t sys_data_bytes(int fd, uint64_t from);

/* Bytes of a huge page: what one table of small pages maps, with entries of eight bytes. */
static inline size_t sys_huge_bytes(void)
{
	return sys_page_size() * (sys_page_size() / 8);
}

/*
 * Put the memory of a mapping of a file into huge pages now: madvise(2), MADV_COLLAPSE. -EINVAL
 * before Linux 6.1, or if it never will.
 */
int sys_collapse(void *addr, size_t length);

/*
 * Have the pages of a mapping in memory, whole huge pages where that works: madvise(2),
 * MADV_POPULATE_READ. -ENOTSUP before Linux 5.14.
 */
int sys_populate(void *addr, size_t length);

/*
 * Have the pages of a byte range of a file, so that touching them raises no signal: fallocate(2).
 * -ENOMEM if the system, or a limit, has none left; 0 also where that cannot be known in advance.
 */
int sys_allocate(int fd, uint64_t offset, uint64_t length);

/*
 * Free the pages of a byte range of a file; they read as zeroes then. fallocate(2),
 * FALLOC_FL_PUNCH_HOLE.
 */
int sys_punch(int fd, uint64_t offset, uint64_t length);

/*
 * Seal a file against writing through anything but the mappings that exist, and against more seals.
 * -EINVAL before Linux 5.1.
 */
int sys_seal_writing(int fd);
int sys_is_write_sealed(int fd);

/*
 * A second open file description of the same file, read-only, through /proc. -ENOTSUP if /proc is
 * not mounted or forbids it; -EAGAIN while a peer has a lease on the file (fcntl(2), F_SETLEASE):
 * wait_reopen_read_only() waits.
 */
int sys_reopen_read_only(int fd);

/*
 * Wait while *word is `value`, at most `timeout_ns`; returns at any wake-up, signal or timeout.
 * futex(2), shared.
 */
void sys_futex_wait(uint32_t *word, uint32_t value, uint64_t timeout_ns);
void sys_futex_wake(uint32_t *word, int count);

uint32_t sys_gettid(void);

/*
 * Give the calling thread this real-time priority (SCHED_FIFO; its children begin as usual). If
 * that is not allowed, the best nice value that is, which `*nice_value` then has, and a negative
 * errno. sched_setscheduler(2), setpriority(2).
 */
int sys_become_urgent(int priority, int *nice_value);

/*
 * The calling thread's robust list head as libc registered it, or NULL. If the kernel knows none,
 * `inherited` (the thread's before it was cloned, or NULL) is registered.
 */
struct sys_robust_head *sys_robust_head(struct sys_robust_head *inherited);

/*
 * A word that reads 1 now and 0 in a child after fork, or NULL if the kernel cannot do that. Linux
 * 4.14.
 */
uint32_t *sys_wiped_on_fork(void);

#endif /* ASHMEM_LIB_BASE_SYS_H */
