/* SPDX-License-Identifier: MIT */
/*
 * Faults at every call: what the parts of the program share.
 *
 *   calls     what the library calls of libc and the kernel, counted and made to fail
 *   errnos    which failures are plausible for which call
 *   driver    a driver made of memfds, for the kernel backend
 *   world     areas to work on, described as text; a peer process that describes them too
 *   operations  what several cases do, and what they do it on
 *   cases     one operation each, and what it is done on
 *   main      each case: once without a fault, then for every call and every plausible failure of
 *             it
 *
 * The library's objects are linked with their calls of libc renamed (`check`), so that nothing but
 * the library's own calls is counted. Every run is a process of its own, forked from one that never
 * called the library.
 */
#ifndef TESTS_FAULTS_H
#define TESTS_FAULTS_H

#include <stddef.h>
#include <stdint.h>

#include <ashmem/ashmem.h>

/* What outputs hold before a call. */
#define UNTOUCHED ((void *)(uintptr_t)0x5a5a)
#define BYTES(pages) ((pages)*page_bytes())

/* -- calls.c -- */

/* One kind of call; fcntl(2), ioctl(2) and syscall(2) are many. */
enum call {
	CALL_MALLOC,
	CALL_CALLOC,
	CALL_REALLOC,
	CALL_GETLINE,
	CALL_FOPEN,
	CALL_OPENDIR,
	CALL_FDOPENDIR,
	CALL_READDIR,
	CALL_ACCESS,
	CALL_CLOCK_GETTIME,
	CALL_NANOSLEEP,
	CALL_CLOSE,
	CALL_CONNECT,
	CALL_SOCKET,
	CALL_GETSOCKOPT,
	CALL_SETSOCKOPT,
	CALL_SEND,
	CALL_SENDMSG,
	CALL_RECVMSG,
	CALL_EPOLL_CREATE,
	CALL_EPOLL_CTL,
	CALL_EPOLL_WAIT,
	CALL_EVENTFD,
	CALL_TIMERFD_CREATE,
	CALL_TIMERFD_SETTIME,
	CALL_POLL,
	CALL_PIPE,
	CALL_FALLOCATE,
	CALL_FCHMOD,
	CALL_FSTAT,
	CALL_FSTATFS,
	CALL_STAT,
	CALL_FTRUNCATE,
	CALL_LSEEK,
	CALL_OPEN,
	CALL_OPENAT,
	CALL_MKDIRAT,
	CALL_UNLINKAT,
	CALL_FLOCK,
	CALL_READLINK,
	CALL_READ,
	CALL_PREAD,
	CALL_PWRITE,
	CALL_WRITE,
	CALL_WAKE, /* write(2) to an eventfd */
	CALL_MMAP,
	CALL_MUNMAP,
	CALL_MPROTECT,
	CALL_MADVISE,
	CALL_MLOCK,
	CALL_PRIORITY,
	CALL_PERSONALITY,
	CALL_PTHREAD_ATFORK,
	CALL_PTHREAD_CREATE,
	CALL_ROBUST_MUTEX, /* pthread_mutexattr_init(3) and what follows it */
	CALL_GETFL,
	CALL_DUPFD,
	CALL_GET_SEALS,
	CALL_ADD_SEALS,
	CALL_SETLK,
	CALL_GETLK,
	CALL_OFD_SETLK,
	CALL_OFD_GETLK,
	CALL_OTHER_FCNTL,
	CALL_IOCTL,
	CALL_IOCTL_PIN,
	CALL_MEMFD_CREATE,
	CALL_FUTEX,
	CALL_GET_ROBUST_LIST,
	CALL_SET_ROBUST_LIST,
	CALL_KCMP,
	CALL_GETRANDOM,
	CALLS,
};

/* Failures that are no errno: what was asked for is done by half, or not at all. */
#define FAULT_SHORT 1000 /* half of the bytes */
#define FAULT_NONE 1001  /* none of them: the end of the file, nothing ready */
#define FAULT_CUT 1002   /* recvmsg(2): the descriptor found no room */
/* With an errno: every such call fails from this one on, as if the kernel did not have it. */
#define FAULT_ALWAYS 0x10000

struct fault {
	uint32_t armed;
	/* 1: calls of other threads than the one that armed it, and not its own */
	uint32_t threads;
	enum call kind; /* which call is to fail: of this kind, */
	uint32_t at;    /* this one, from 0; FAULTS_NEVER: none */
	int error;
	uint32_t count[CALLS]; /* calls so far */
	uint32_t calls;        /* of all kinds */
	uint32_t hits;
	enum call log[4096];
	/* misuse: closing what is not open, freeing what is not allocated; "" for none */
	char wrong[200];
};

#define FAULTS_NEVER UINT32_MAX

extern struct fault fault;

void fault_arm(enum call kind, uint32_t at, int error, int other_threads);
void fault_disarm(void);
/* From now on the calls are this thread's. */
void fault_follow_me(void);
/* What the library holds: allocations, FILEs, mappings but for the page that a fork wipes. */
struct held {
	int allocations, files, mappings;
	size_t mapped_bytes;
	uint64_t descriptors[8]; /* a bit each */
};
void held_now(struct held *held);
int held_equal(const struct held *a, const struct held *b);
const char *held_text(const struct held *held);
/* A caller ends a mapping by itself, or one is made by the test: not the library's. */
void mapping_forget(void *address);

/* -- errnos.c -- */

const char *call_name(enum call kind);
/* Its plausible failures; ends with 0. */
const int *call_errors(enum call kind);
const char *error_text(int error);
/* Whether the header of a function names an error, by its negative value. */
int is_documented(const char *function, int64_t error);

/* -- driver.c -- */

/* Whether there is a driver behind /dev/ashmem. */
extern int driver_present;
/* a descriptor, or -1 with errno, or -2: not the driver's path */
int driver_open(const char *path);
int driver_owns(int fd);
int driver_ioctl(int fd, unsigned long request, unsigned long argument);
void driver_mapped(int fd);
/* bytes that can be read there, or -errno */
int64_t driver_limit(int fd, int64_t offset, size_t length);
void driver_describe(int fd, char *text, size_t size);

/* -- world.c -- */

enum { AREAS = 3, PAGES = 16 };

struct world {
	struct ashmem_area *area[AREAS];
	unsigned char *base[AREAS];
	int bare[AREAS]; /* do not ask it for its state: that would make some */
	int sockets[2];
	int fd; /* something to import */
	struct ashmem_pressure *pressure;
	struct ashmem_budget *budget;
	struct ashmem_cache *cache;
	struct ashmem_entry *entry; /* of the cache */
	struct ashmem_shrinker *shrinker;
	/* What the operation made. */
	struct ashmem_area *made;
	void *mapped;
	size_t mapped_bytes;
	int made_fd;
	int touched; /* an output was written although it failed */
};

void world_begin(struct world *world);
/* Everything closed and unmapped. */
void world_end(struct world *world);
/* All that can be seen of it, from here and by a peer. */
void world_describe(struct world *world, char *text, size_t size);

uint64_t page_bytes(void);
/* An area that is mapped, with data in it. */
void add_area(struct world *world, int at, uint32_t pages, uint32_t flags);
void map_area(struct world *world, int at, int prot);
void unpin_pages(struct world *world, int at, uint64_t first, uint64_t count);

/* The peer: another process. */
void peer_start(void);
void peer_stop(void);
/* A descriptor of an area that another process made; `kind` is one of these. */
enum peer_area { PEER_AREA, PEER_READ_ONLY, PEER_SEALED, PEER_PLAIN };
int peer_area(enum peer_area kind);

void die(const char *what) __attribute__((noreturn));

/* -- operations.c -- */

/* What operations are done on: areas of the memfd backend, and a pair of sockets beside them. */
void use_memfd(struct world *world);
void newborn(struct world *world);
void newborn_without_write(struct world *world);
void mapped(struct world *world);
void open_sockets(struct world *world);

/* Notes what a call made that answered `r` and writes an area; returns `r`. */
int64_t area_made(struct world *world, int r, struct ashmem_area *area);

int64_t do_create(struct world *world);
int64_t do_import(struct world *world);
int64_t do_recv(struct world *world);
int64_t do_send(struct world *world);
int64_t do_fd(struct world *world);
int64_t do_close(struct world *world);
int64_t do_set_name(struct world *world);
int64_t do_get_name(struct world *world);
int64_t do_set_size(struct world *world);
int64_t do_get_size(struct world *world);
int64_t do_set_prot_read(struct world *world);
int64_t do_get_prot(struct world *world);
int64_t do_map(struct world *world);
int64_t do_map_read(struct world *world);
int64_t do_map_private(struct world *world);
int64_t do_map_private_read(struct world *world);
int64_t do_map_noreplace(struct world *world);
int64_t do_read(struct world *world);
int64_t do_pread(struct world *world);
int64_t do_seek(struct world *world);
int64_t do_pin(struct world *world);
int64_t do_unpin(struct world *world);
int64_t do_status(struct world *world);
int64_t do_purge(struct world *world);
int64_t do_purge_all(struct world *world);

/* -- cases.c, and those of each part: cases_*.c -- */

enum {
	/* pages that could not be freed keep the purge mark: a false alarm, no more */
	MARKS_MAY_STAY = 1,
	OTHER_THREADS = 2,   /* the calls of the thread that the operation started */
	NEW_THREAD = 4,      /* on a thread that never called the library */
	NO_RETRY = 8,        /* it can be done once */
	ANY_SUCCESS = 16,    /* a success may have another result than without a fault */
	LOCKS_MAY_STAY = 64, /* locks that could not be ended go with the next call */
	AFTER_DEATH = 256,   /* it recovers what a dead process left behind */
	/* its state is written into the file and mapped, which nobody else can see */
	MAY_ESTABLISH = 128,
	MAY_MATERIALISE = 512, /* it materialises first, and stays so, which the header says */
	PART_MAY_BE_DONE = 32, /* it goes on with the other areas and tells the error at the end */
};

struct fault_case {
	const char *name, *function;
	void (*build)(struct world *world);
	int64_t (*run)(struct world *world);
	int flags;
};

extern const struct fault_case area_cases[], sharing_cases[], names_cases[], pressure_cases[],
	budget_cases[], kernel_cases[], cache_cases[];

/* What an operation found wrong by itself; "" for nothing. */
extern char notes[400];
/* The directory of the fake system. */
extern char fake_root[64];

#endif
