/* SPDX-License-Identifier: MIT */
/*
 * A crash at every instruction of the public API on memfd areas: what the parts of the program
 * share.
 *
 *   world     the areas a case works on (originals), twins of them to judge on (copies), and images
 *             of their contents
 *   stepper   a child one instruction at a time, what the kernel would do at its death, and its
 *             real death
 *   naive     what the contract says of range lists, as the simplest program that says it
 *   judge     is the state that a dead process left behind one that the others can live with?
 *   cases     operations, and the areas they are done on
 *   run       one case: every step judged, some steps killed for real, the recovery crashed as well
 *   caches    the same for calls on caches of keys and values, judged by a map that may only forget
 *
 * The supervisor has no handle of the originals, only descriptors and a plain mapping: the child
 * that is stepped imports them, and its death is nobody else's business. It judges on the copies,
 * with handles that are as old as the case (a survivor with its memories) and with fresh ones.
 * After a real death a fresh process judges the originals.
 */
#ifndef TESTS_CRASH_H
#define TESTS_CRASH_H

#include <stdint.h>
#include <sys/types.h>

#include <ashmem/ashmem.h>

#include "memfd/control.h"
#include "range/purge_key.h"

enum { AREAS_MAX = 3, RANGES_MAX = 1400, PAGES_MAX = 6000, NONE = -1 };

/* -- naive.c -- */

struct list {
	uint32_t count;
	struct range range[RANGES_MAX];
	unsigned char lost[PAGES_MAX]; /* page by page: freed by a purge, and not pinned since */
};

/*
 * A key that the operation itself gave, without its stamp: which one exactly depends on the clock.
 */
#define NEW_KEY(key) (((key) | ((UINT64_C(1) << PURGE_KEY_CLASS_SHIFT) - 1)) - 1)

/*
 * Rules 10 to 12, 14 and D8; pages. Answers as the calls.
 */
int naive_unpin(struct list *list, uint32_t first, uint32_t pages, uint64_t key);
int naive_pin(struct list *list, uint32_t first, uint32_t pages);
int naive_release(struct list *list, uint32_t first, uint32_t pages, uint64_t key);
int naive_look(const struct list *list, uint32_t first, uint32_t pages);
int naive_status(const struct list *list, uint32_t first, uint32_t pages);
const struct range *naive_find(const struct list *list, uint32_t page);
uint64_t naive_shrink(struct list *lists, int areas, uint64_t nr_pages);
uint64_t naive_purge(struct list *list, uint32_t first, uint32_t pages);
uint64_t naive_evictable(const struct list *lists, int areas);
int lists_equal(const struct list *a, const struct list *b);

/* -- cases.c -- */

enum op_kind {
	OP_PIN,
	OP_PIN_LOST,
	OP_UNPIN,
	OP_UNPIN_WITH,
	OP_STATUS,
	OP_UNPIN_WITHIN, /* a budget of the process, whose limit is `limit` pages */
	OP_SHRINK,
	OP_PURGE,
	OP_PURGE_ALL,
	OP_SET_LIMIT, /* of unpinned pages: `pages` of them may stay */
	OP_FIND,
	OP_STATS,
	OP_PEEK,
	OP_PURGE_FD,
	OP_READ,
	OP_PREAD,
	OP_SEEK,
	OP_SET_PROT,
	OP_GET_FD,
	OP_IMPORT,
	OP_CLOSE,
	OP_SEND,
	OP_RECV,
	OP_CREATE,
	OP_HOLD,
	OP_RELEASE,
	OP_RELEASE_LOST,
	OP_EXPORT,
	OP_COUNT,      /* what a process asks of all areas */
	OP_POPULATE,   /* map, populate, unmap */
	OP_READER_PIN, /* through a read-only handle */
	OP_READER_PIN_LOST,
	OP_READER_UNPIN,
};

struct op {
	enum op_kind kind;
	int area;
	uint32_t first, pages;    /* OP_SHRINK: `pages` is how many; OP_READ and OP_SEEK: bytes */
	uint32_t priority, order; /* OP_UNPIN_WITH */
	uint32_t limit;           /* OP_UNPIN_WITHIN */
};

enum {
	CONTENDED = 1, /* another process holds the lock of area 0 when the operation begins */
	COLD = 2,      /* the operation is the first that the child does with the library's locks */
	SLOW = 4,      /* many steps: fewer real deaths and second crashes */
	NOTICED = 8,   /* the child is told what it purges */
};

struct world;

struct crash_case {
	const char *name;
	/* makes the originals what they are before the operation */
	void (*build)(struct world *world);
	uint32_t pages; /* of each area */
	int areas;
	struct op op;
	int flags;
};

extern const struct crash_case crash_cases[];

/* In the child, before it is stepped: what the operation needs beside the areas. */
void op_prepare(const struct crash_case *c, struct world *world);
/* Do it, in the child, with handles of its own. The answer, as the call's. */
int64_t op_run(const struct op *op, struct world *world);
/* What it makes of the lists, and its answer. */
int64_t op_naive(const struct op *op, struct list *lists, int areas);
int op_is_purge(const struct op *op);
int op_is_reader(const struct op *op);
/* An OP_UNPIN_WITHIN is an unpin, then a purge: what the unpin makes of the list. */
void op_naive_unpin(const struct op *op, struct list *lists);
/* The key of a range that it unpins at `stamp`. */
uint64_t op_key(const struct op *op, uint64_t stamp);

/* -- world.c -- */

struct area {
	int fd;
	uint32_t pages;
	size_t data_bytes, control_bytes;
	unsigned char *base; /* a plain mapping of the file: data, control block */
	struct control *control;
	struct ashmem_area *handle; /* NULL: none here */
	dev_t device;
	ino_t inode;
};

struct world {
	int areas;
	struct area area[AREAS_MAX];
	int sockets[2]; /* for OP_SEND and OP_RECV */
};

/* What is in the areas: control blocks as they are, of each page of data the first word. */
struct image {
	unsigned char *control[AREAS_MAX];
	uint64_t *words[AREAS_MAX];
};

void world_make(struct world *world, int areas, uint32_t pages);
void world_drop(struct world *world);
/* Handles of the areas, from their descriptors. */
void world_import(struct world *world);
void world_close(struct world *world);
uint64_t *page_word(const struct area *area, uint32_t page);
/* What it says, without giving memory to a hole, as a look through the mapping would. */
uint64_t word_of(const struct area *area, uint32_t page);
/* Have it say that; 0: the page was purged, and is a hole. */
void put_word(const struct area *area, uint32_t page, uint64_t word);
/* What a page that was never purged says. */
uint64_t pattern(int area, uint32_t page);
struct control_map *control_of(const struct area *area);

void image_make(struct image *image, const struct world *world);
void image_drop(struct image *image);
void image_copy(struct image *to, const struct image *from, const struct world *world);
/* Take what has changed since; 1 if anything did. Data are looked at only if `with_data`. */
int image_update(struct image *image, const struct world *world, int with_data);
void image_put(struct world *world, const struct image *image);

/* -- stepper.c -- */

/* What a child and the supervisor tell each other. */
struct stage {
	int64_t result;
	uint32_t finished;
	uint32_t locked, release; /* of the process that holds the lock in a contended case */
	/* pinned and not written again yet, storm.c */
	uint32_t refill_area, refill_first, refill_pages;
	uint64_t rounds;
};

extern struct stage *stage;

struct victim {
	pid_t pid;
	uint64_t steps, skipped; /* instructions; calls into the vdso that counted as one */
	int in_call;             /* the next instruction is a system call */
	int was_call;            /* the last one was */
	int finished;
	uintptr_t head; /* of its robust list */
	long futex_offset;
	uintptr_t known_pending; /* what the last translation was of */
	int64_t pending_offset;
	int pending_area;
};

void stepper_prepare(void); /* once a process that steps */
void stepper_check(void);   /* exits with 77 if it does not work here */
/* In a child: where stepping begins and ends. */
void stop_before(void);
void stop_behind(void);
/* A child that is about to call stop_before(). */
void victim_take(struct victim *victim, pid_t pid);
/* A child that has imported the world and stands before the operation. */
void victim_start(struct victim *victim, const struct crash_case *c, struct world *world,
	struct world *copies);
int victim_step(struct victim *victim); /* 0: it came to its end */
void victim_kill(struct victim *victim);
/* The area whose lock word the kernel would look at if it died now, or NONE. */
int victim_pending(struct victim *victim, const struct world *world);
/* Where that word lies in the file, or NONE. */
int64_t victim_pending_offset(struct victim *victim, ino_t inode);

pid_t spawn(void (*fn)(void *argument), void *argument);
int wait_for(pid_t pid); /* its wait status */

/* -- judge.c -- */

/*
 * What may be found after a death: all as before, all as after, and for purges what lies between.
 */
struct verdict_rules {
	const struct crash_case *c;
	struct list before[AREAS_MAX], after[AREAS_MAX];
	uint64_t last_stamp[AREAS_MAX]; /* before: what is larger was given by the operation */
	uint64_t position, position_after;
	uint32_t prot, prot_after;
	int seen_after;    /* what was once done stays done */
	uint32_t released; /* by a release: pages up to here */
};

void rules_make(struct verdict_rules *rules, const struct crash_case *c,
	const struct world *originals);
/*
 * Let others go on in a world whose locks are free or marked. `fresh_first`: who comes first. 0:
 * all is well.
 */
int judge(struct world *world, struct verdict_rules *rules, int fresh_first);
/* Invariants alone, when nobody knows which operation it was. */
int judge_storm(struct world *world);
void read_lists(struct world *world, struct list *lists);

/* -- trace.c -- */

/* Random operations in the world, and in the naive lists. 0: they agree. */
int trace_agrees(struct world *world, struct list *lists, int rounds);
int check_data(const struct world *world, const struct list *lists, const struct op *exempt);

/* -- run.c and the other kinds of crash -- */

struct totals {
	uint64_t passed, failed, skipped; /* cases */
	uint64_t points, states;          /* steps; states that differed and were judged */
	uint64_t killed, again;           /* real deaths; steps of recoveries */
	/* of all steps, those that were a whole call into the vdso */
	uint64_t vdso;
};

extern struct totals totals;
extern int deep;

void run_case(const struct crash_case *c);
void run_storm(void);
void run_births(void);
/* caches.c; NULL: no such case */
const char *cache_case_name(unsigned number);
void run_cache_case(unsigned number);
void case_done(const char *name, int failed);
/* Say what is wrong, with the place. Returns -1. */
int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern char here[200]; /* the place, for complaints */
void die(const char *what) __attribute__((noreturn));
uint32_t random_below(uint32_t bound);

#endif
