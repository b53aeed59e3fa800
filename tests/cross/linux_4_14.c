/* SPDX-License-Identifier: MIT */
/*
 * Runs a program without what Linux got after 4.14, by a seccomp filter that answers as that kernel
 * would: ENOSYS for system calls that it had not, EINVAL for flags and commands that it did not
 * know.
 *
 *     linux_4_14 PROGRAM [ARGUMENT...]      status of the program; 77 if filters are not allowed
 *                                           here
 *     linux_4_14 --check                    looks, under the filter, whether it does what it says;
 *                                           0 or 1
 *
 * /proc/pressure (4.20) is hidden too, where a mount namespace can be had. What a filter can't do:
 * let a flag be ignored as old kernels ignored MAP_FIXED_NOREPLACE (4.17), and take files out of
 * cgroups.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The last system call of 4.14, by which numbers it can be told: new ones were only ever added
 * behind.
 */
#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#define LAST_CALL 332 /* statx */
#elif defined(__i386__)
#define ARCH AUDIT_ARCH_I386
#define LAST_CALL 384 /* arch_prctl */
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#define LAST_CALL 291 /* statx */
#endif

#define NEW_MEMFD_FLAGS (0x8u | 0x10u) /* MFD_NOEXEC_SEAL, MFD_EXEC: 6.3 */
#define ADD_SEALS 1033u
#define NEW_SEALS (0x10u | 0x20u) /* F_SEAL_FUTURE_WRITE: 5.1, F_SEAL_EXEC: 6.3 */
#define NEW_ADVICE 20u            /* MADV_COLD: 5.4; what is above is newer, but for poisoning */
#define ADVICE_POISON 100u
#define MAP_TYPE_VALIDATE 0x3u   /* MAP_SHARED_VALIDATE: 4.15 */
#define DONTUNMAP 4u             /* MREMAP_DONTUNMAP: 5.7 */
#define ID_OF_FD 3u              /* P_PIDFD of waitid: 5.4 */
#define INSECURE 4u              /* GRND_INSECURE: 5.6 */
#define LOCK_PI2 13u             /* FUTEX_LOCK_PI2: 5.14 */
#define NAME_MAPPING 0x53564d41u /* PR_SET_VMA: 5.17 */

#ifdef ARCH

/* Little-endian: an argument's low half comes first. */
#define ARGUMENT(n) (offsetof(struct seccomp_data, args) + 8 * (n))
#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)
#define ANSWER(error) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define IS(value, steps_if_not) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, steps_if_not)
#define HAS(bits, steps_if_not) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, steps_if_not)

/*
 * The call `nr` with any of `bits` in argument `n` fails with `error`. The call's number is loaded,
 * before and after.
 */
#define REFUSE_BITS(nr, n, bits, error) \
	IS(nr, 4), LOAD(ARGUMENT(n)), HAS(bits, 1), ANSWER(error), ALLOW
#define REFUSE_VALUE(nr, n, mask, value, error)                                                \
	IS(nr, 5), LOAD(ARGUMENT(n)), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask), IS(value, 1), \
		ANSWER(error), ALLOW

#ifdef SYS_mmap2 /* i386 */
#define SYS_MAP SYS_mmap2
#else
#define SYS_MAP SYS_mmap
#endif
#ifdef SYS_fcntl64
#define SYS_CONTROL SYS_fcntl64
#else
#define SYS_CONTROL SYS_fcntl
#endif

static struct sock_filter filter[] = {
	LOAD(offsetof(struct seccomp_data, arch)),
	IS(ARCH, 1),
	BPF_STMT(BPF_JMP | BPF_JA, 1),
	ALLOW, /* a program of another kind: nothing is promised */
	LOAD(offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, LAST_CALL, 0, 1),
	ANSWER(ENOSYS),
	REFUSE_BITS(SYS_memfd_create, 1, NEW_MEMFD_FLAGS, EINVAL),
	IS(SYS_CONTROL, 6),
	LOAD(ARGUMENT(1)),
	IS(ADD_SEALS, 3),
	LOAD(ARGUMENT(2)),
	HAS(NEW_SEALS, 1),
	ANSWER(EINVAL),
	ALLOW,
	IS(SYS_madvise, 5),
	LOAD(ARGUMENT(2)),
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, ADVICE_POISON, 2, 0),
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, NEW_ADVICE, 0, 1),
	ANSWER(EINVAL),
	ALLOW,
	REFUSE_VALUE(SYS_MAP, 3, 0xf, MAP_TYPE_VALIDATE, EINVAL),
	REFUSE_BITS(SYS_mremap, 3, DONTUNMAP, EINVAL),
	REFUSE_VALUE(SYS_waitid, 0, 0xffffffffu, ID_OF_FD, EINVAL),
	REFUSE_BITS(SYS_getrandom, 2, INSECURE, EINVAL),
	REFUSE_VALUE(SYS_futex, 1, ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME), LOCK_PI2, ENOSYS),
	REFUSE_VALUE(SYS_prctl, 0, 0xffffffffu, NAME_MAPPING, EINVAL),
	ALLOW,
};

static int install(void)
{
	struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

#else

static int install(void)
{
	return -ENOSYS;
}

#endif

/* Other sources of memory pressure stay. */
static void hide_pressure(void)
{
	if (access("/proc/pressure", F_OK) == 0 && unshare(CLONE_NEWNS) == 0 &&
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		mount("none", "/proc/pressure", "tmpfs", MS_RDONLY, "mode=0555");
}

static int wrong;

static void expect(const char *what, long result, int error)
{
	if (error ? result != -1 || errno != error : result == -1) {
		printf("%s: %ld, %s\n", what, result, result == -1 ? strerror(errno) : "no error");
		wrong = 1;
	}
}

static int check(void)
{
	int fd = (int)syscall(SYS_memfd_create, "check", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *addr = mmap(NULL, page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	expect("memfd_create", fd, 0);
	expect("MFD_NOEXEC_SEAL", syscall(SYS_memfd_create, "check", MFD_CLOEXEC | 8u), EINVAL);
	expect("F_SEAL_FUTURE_WRITE", fcntl(fd, ADD_SEALS, 0x10), EINVAL);
	expect("F_SEAL_GROW", fcntl(fd, ADD_SEALS, F_SEAL_GROW), 0);
	expect("MADV_DONTNEED", madvise(addr, page, MADV_DONTNEED), 0);
	expect("MADV_POPULATE_READ", madvise(addr, page, 22), EINVAL);
	expect("MAP_SHARED_VALIDATE", (long)mmap(NULL, page, PROT_READ, MAP_TYPE_VALIDATE, fd, 0),
		EINVAL);
	expect("close_range", syscall(436, 1000, 1001, 0), ENOSYS);
	expect("pidfd_open", syscall(434, getpid(), 0), ENOSYS);
	expect("statx", syscall(SYS_statx, AT_FDCWD, "/", 0, 0, NULL), EFAULT);
	return wrong;
}

int main(int argc, char **argv)
{
	int r;

	if (argc < 2) {
		fprintf(stderr, "usage: linux_4_14 PROGRAM [ARGUMENT...] | --check\n");
		return 2;
	}
	hide_pressure();
	r = install();
	if (r < 0) {
		fprintf(stderr, "skipped: no seccomp filter here (%s)\n", strerror(-r));
		return 77;
	}
	if (strcmp(argv[1], "--check") == 0)
		return check();
	execvp(argv[1], argv + 1);
	fprintf(stderr, "linux_4_14: %s: %s\n", argv[1], strerror(errno));
	return 2;
}
