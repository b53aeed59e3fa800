/* SPDX-License-Identifier: MIT */
/*
 * libc's own functions, from a library that stands in front of them.
 *
 * NEXT(name) is libc's function of that name, looked up at its first use; a hook calls it for what
 * is not ashmem. The libc_ functions are the few that the preload library itself uses. The copy of
 * libashmem within calls them too, under other names (redefine.syms), so that it never meets a hook
 * and its descriptors stay out of the program's way.
 *
 * The functions of file offsets are the 64-bit ones. No lock is taken here.
 */
#ifndef ASHMEM_COMPAT_RUN_LIBC_H
#define ASHMEM_COMPAT_RUN_LIBC_H

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* What only these files may see: everything that is not a hook. */
#define RUN_HIDDEN __attribute__((visibility("hidden")))
#define RUN_HOOK __attribute__((visibility("default")))

#ifdef __GLIBC__
#define LARGE(name) name##64
typedef struct stat64 run_stat;
typedef off64_t run_offset;
typedef struct flock64 run_flock;
#else
#define LARGE(name) name
typedef struct stat run_stat;
typedef off_t run_offset;
typedef struct flock run_flock;
#endif

/* Ends the program if libc has no such function: nothing but a hook of it asks. */
RUN_HIDDEN void *libc_find(const char *name);

#define NEXT(name)                                                          \
	({                                                                  \
		static void *next_;                                         \
		void *found_ = __atomic_load_n(&next_, __ATOMIC_RELAXED);   \
		if (!found_) {                                              \
			found_ = libc_find(#name);                          \
			__atomic_store_n(&next_, found_, __ATOMIC_RELAXED); \
		}                                                           \
		(__typeof__(&name))found_;                                  \
	})

RUN_HIDDEN int libc_open(const char *path, int flags);
RUN_HIDDEN int libc_close(int fd);
RUN_HIDDEN int libc_fcntl(int fd, int command, long argument);
RUN_HIDDEN int libc_fstat(int fd, run_stat *status);
RUN_HIDDEN int libc_stat(const char *path, run_stat *status);
RUN_HIDDEN int libc_stat_at(int folder, const char *path, run_stat *status);
RUN_HIDDEN void *libc_mmap(void *addr, size_t length, int prot, int flags, int fd,
	run_offset offset);
RUN_HIDDEN int libc_munmap(void *addr, size_t length);

#endif /* ASHMEM_COMPAT_RUN_LIBC_H */
