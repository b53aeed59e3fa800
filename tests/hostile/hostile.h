/* SPDX-License-Identifier: MIT */
/*
 * The hostile-peer test: attackers who hold an area's writable descriptor write anything into its
 * control block, at any time, or use system calls against it, while victims call every public
 * function, under the address and undefined-behaviour sanitizers.
 *
 * What must hold whatever the attacker does: no crash, no sanitizer report, every call back within
 * its bound with an answer that its documentation names, no access outside the area, other areas of
 * the same process untouched and usable.
 *
 * Built with the library's sources and a shorter wait for peers (WAIT_TIMEOUT_NS), so that bounds
 * can be seen to hold in little time.
 */
#ifndef TESTS_HOSTILE_H
#define TESTS_HOSTILE_H

#include <ashmem/ashmem.h>

#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "memfd/control.h"
#include "range/tree.h"

/* What a call may take beside its waits: the machine can be busy. */
#define SLACK_NS 6000000000u
/* What one case may take before it counts as hanging. */
#define CASE_SECONDS 120

/* -- main.c -- */

struct dice {
	uint64_t state;
};

uint64_t roll(struct dice *dice, uint64_t below); /* 0..below-1 */
uint64_t roll_bits(struct dice *dice);

/* Say what is wrong, and end this process as failed. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
#define must(condition)                                                    \
	do {                                                               \
		if (!(condition))                                          \
			fail("%s:%d: %s", __FILE__, __LINE__, #condition); \
	} while (0)

/* A child that dies with its parent and ends with fn's return; fn's answer is its exit status. */
pid_t start_process(int (*fn)(void *argument), void *argument);
/* Expect that it ended well. */
void join_process(pid_t child);
void kill_process(pid_t child);
void sleep_ms(unsigned ms);

/* -- guards.c -- */

/*
 * Memory of our own that nothing may change; the mappings that the library makes lie between pages
 * that nobody may touch.
 */
void guards_begin(void);
void guards_check(void);
/* Called each time the library is about to free pages, if set. */
extern void (*before_punch)(void *argument);
extern void *before_punch_argument;
/* Calls of lseek(2) by the library. */
extern uint64_t seeks;
/* Each lock on a range takes so long, if set. */
extern unsigned slow_locks_ms;

/* -- world.c -- */

/* The area under attack, as its maker holds it. */
struct target {
	struct ashmem_area *area;
	unsigned char *data;
	uint64_t page, pages;
	int fd;        /* a duplicate of the writable descriptor */
	int read_only; /* an exported one */
	int is_sealable;
};

/*
 * With many ranges the tree has two levels above its leaves; marks, pinned entries and partly
 * purged ranges are among them.
 */
void target_make(struct target *target, int many_ranges, uint32_t flags);
/* A sparse area of so many pages with a few ranges. */
void target_make_huge(struct target *target, uint64_t pages);

/*
 * Other areas of the same process, that nothing may happen to: one is only looked at, one is used
 * all the time.
 */
void bystanders_make(void);
void bystanders_use(struct dice *dice);
/* Check every page of data and state; `purges`: unpinned pages may have been purged meanwhile. */
void bystanders_check(void);

/* -- attacks.c -- */

#define TOUCHED_MAX 256
#define NODES_MAX 4096

/* The control block as an attacker has it mapped, and as it was before. */
struct enemy {
	int fd;
	struct control *control;
	struct range_root *root;
	struct range_list list; /* where nodes and journal lie */
	unsigned char *base, *image;
	uint64_t *lost;     /* the bitmap of lost pages */
	size_t bytes, used; /* of the mapping; of its end that is in use, which `image` has */
	uint64_t data_bytes;
	uint32_t inner[NODES_MAX], inner_count, leaf[NODES_MAX], leaf_count;
	struct dice dice;
	uint32_t victim_tid, stranger_tid;
	/* What was written, to be taken back. */
	struct {
		void *place;
		uint64_t was;
		unsigned size;
	} touched[TOUCHED_MAX];
	unsigned touched_count;
};

struct attack {
	const char *name;
	void (*strike)(struct enemy *enemy);
	unsigned flags;
	int import; /* what an import must answer afterwards; 0: anything documented */
};

#define ATTACK_REPAIRED 1u /* recovery puts all of it right */
#define ATTACK_SYSCALL 2u  /* not by writing */
#define ATTACK_SEALABLE 4u /* the area allows seals */
#define ATTACK_DEAD 8u     /* found by recovery: the lock says that its owner died */
#define ATTACK_LOCK 16u    /* on the lock: every call may time out */

extern const struct attack attacks[];
extern const unsigned attack_count;

void enemy_map(struct enemy *enemy, int fd, uint64_t data_bytes, uint64_t seed);
/* Take back what was written since the last time. */
void enemy_undo(struct enemy *enemy);
/* Everything as it was. */
void enemy_restore(struct enemy *enemy);
/* Strike again and again, mostly taking it back a moment later, until killed. */
int enemy_rage(struct enemy *enemy, const struct attack *attack);

/* -- victims.c -- */

/* One user of an area: a thread of the maker, a peer, or a peer that can only read. */
struct party {
	struct ashmem_area *area;
	uint64_t page, pages;
	int fd; /* for imports of the same area; -1: none */
	struct dice dice;
	int is_reader;
	int threads; /* that may queue for the same handle */
	unsigned timeouts, damages, calls;
	unsigned told; /* atomic: of purges, as a subscriber */
};

/* Every call once, in an order of chance. Stops after some that timed out, since all would. */
void use_all(struct party *party);
/* Calls of chance until the time is over. */
void use_for(struct party *party, unsigned ms);
/* One call by name, its answer; checked as all are. */
int64_t use(struct party *party, const char *call);
/* All ranges as find_unpinned tells them, as a number; -1 if that fails. */
int64_t ranges_digest(struct ashmem_area *area);
/*
 * What /proc says of memory for those who watch for pressure: that there is hardly any. Before
 * there are victims.
 */
void victims_prepare(void);

/* -- cases.c -- */

struct special {
	const char *name;
	void (*run)(uint64_t seed);
};

extern const struct special specials[];
extern const unsigned special_count;

/* sockets.c */
void descriptors_of_every_kind(uint64_t seed);
void more_descriptors_than_one(uint64_t seed);
void no_room_for_descriptors(uint64_t seed);
void a_socket_that_lingers(uint64_t seed);

/* caches.c */
void cache_with_a_strange_index(uint64_t seed);
void cache_with_a_strange_table(uint64_t seed);
void cache_with_a_strange_header(uint64_t seed);
void cache_with_strange_heads(uint64_t seed);
void cache_with_forged_entries(uint64_t seed);
void cache_with_strange_owners(uint64_t seed);
void cache_with_a_strange_state(uint64_t seed);
void cache_with_everything_strange(uint64_t seed);
void cache_whose_index_is_locked(uint64_t seed);

void run_once(const struct attack *attack, uint64_t seed);
void run_during(const struct attack *attack, uint64_t seed, unsigned ms);

#endif
