/* SPDX-License-Identifier: MIT */
/*
 * The differential test: one random trace of calls is carried out twice, once by areas of the real
 * driver and once by areas of the memfd backend, and every answer and every byte read is compared.
 *
 *   differential.c        options, the loop over traces, the report
 *   differential_trace.c  making a trace
 *   differential_text.c   writing it down as calls
 *   differential_world.c  the processes of one backend, which take turns
 *   differential_calls.c  carrying out one operation in one of them
 *   differential_memory.c the same, where it is about memory
 *   differential_judge.c  comparing, with each other and with what the contract says
 *   differential_follow.c following the state that this needs
 *   differential_rules.c  the differences that are allowed, one named rule each
 *   differential_lru.c    traces with ashmem_shrink(), for which the driver has no call: memfd
 *                         alone, against tests/support/model.h
 *   differential_shrink.c a failing trace made as short as possible
 *
 * The two worlds are separate processes, so ashmem_purge_all() serves one backend at a time. What
 * an operation means never depends on an answer but through the state below `struct world`, which
 * both worlds keep in the same way; so any part of a trace is a trace, and can be run by itself.
 */
#ifndef DIFFERENTIAL_H
#define DIFFERENTIAL_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "support/model.h"

enum {
	ACTORS = 4,
	AREAS = 4,
	MAPPINGS = 5, /* of each actor */
	NAMES = 9,
	TRACE_MAX = 2048,
	BUFFER_PAGES = 8,
	HUGE_PAGES = 4, /* pages that a mapping of a huge area has at most */
};

enum kind {
	CREATE,
	CLOSE,
	SET_NAME,
	GET_NAME,
	SET_SIZE,
	GET_SIZE,
	SET_PROT,
	GET_PROT,
	MAP,
	UNMAP,
	PROTECT,
	WRITE,
	LOOK,
	READ,
	PREAD,
	SEEK,
	SEEK_DATA_HOLE,
	PIN,
	UNPIN,
	STATUS,
	STATUS_EACH,
	PIN_EACH,
	PURGE_ALL,
	GET_FD,
	IMPORT,
	TRANSFER,
	FORK,
	EXIT,
	PERSONALITY,
	SHRINK,
	SHRINK_COUNT,
	KINDS
};

/* Where a READ or PREAD puts its bytes, and where a MAP goes. */
enum { BUFFER_GOOD, BUFFER_NULL, BUFFER_BAD, BUFFER_ENDS_EARLY };
enum { PLACE_ANY, PLACE_FIXED, PLACE_TAKEN };

struct op {
	uint8_t kind;
	uint8_t actor;
	uint8_t area;
	uint8_t other;   /* a mapping, another actor, a name, a place or a buffer */
	int32_t prot;    /* protection or whence */
	int32_t flags;   /* of map and create */
	uint32_t seed;   /* what WRITE writes */
	uint64_t offset; /* bytes; sizes are here */
	uint64_t length;
};

struct trace {
	uint64_t seed;
	uint32_t count;
	uint32_t fixed; /* so many at the beginning must stay when the trace is shortened */
	struct op op[TRACE_MAX];
};

/* Answers that no call gives: nothing was called. */
enum {
	NOT_THERE = 1 << 20, /* the actor, its mapping, or room for it, is not there */
	NOT_MODELLED,        /* behind the pages that the judge follows */
	LEFT_OUT,            /* a rule lets the other world alone carry this out */
	NOT_REACHED,         /* the world ended before */
};
/* A call of the access went to this signal. */
#define SIGNALLED(number) (-((1 << 20) + (number)))

/* `value` is what the call answered, `data` whatever else can be compared: bytes, as a hash. */
struct result {
	int64_t value;
	uint64_t data;
};

/* One backend's processes and what they share. All of it is shared memory. */
struct world {
	char backend[16];     /* or "preload": the driver's backend, on the library of ashmem-run */
	int is_kernel;        /* the real driver */
	int is_driver;        /* the calls are the driver's, real or not */
	int has_readers;      /* in one of the worlds a read-only import is a reader, L5 */
	uint32_t count, next; /* operations, and which comes now */
	uint32_t phase;       /* steps of it that are done */
	uint32_t done;        /* futex: everybody leaves */
	uint32_t go[ACTORS];  /* futex: it is this actor's turn */
	uint32_t alive[ACTORS];
	int32_t leaving; /* actor + 1: the turn goes on when this process is gone */
	pid_t pid[ACTORS];
	uint32_t holders[AREAS]; /* actors that have a handle */
	uint32_t mapped[AREAS];  /* mappings of all actors */
	uint32_t materialised[AREAS];
	int32_t inbox[ACTORS][2]; /* sockets */
	struct op op[TRACE_MAX];
	struct result result[TRACE_MAX];
	int32_t crash; /* signal, or exit status + 1000, of the first actor that died; -1: a hang */
};

/* One actor, in its own memory; fork copies it. */
struct handle {
	struct ashmem_area *area;
	uint32_t refs;
	int read_only; /* imported when the mask had no WRITE: rule "read-only import" */
};

struct mapped {
	unsigned char *base;
	uint64_t length;
	int area;
	int prot;
	int fixed;
};

struct actor {
	int self;
	struct world *world;
	struct handle handle[AREAS];
	struct mapped mapping[MAPPINGS];
	unsigned char *buffer; /* BUFFER_PAGES, with an inaccessible page behind */
	unsigned char *place;  /* reserved for fixed mappings */
	int place_taken;
};

/* What a range of bytes means for pin, unpin and status. */
enum range_class { RANGE_WRONG, RANGE_EMPTY, RANGE_GOOD, RANGE_OVER_32_BITS, RANGE_NOT_MODELLED };

enum range_class range_classify(uint64_t size_bytes, uint64_t offset, uint64_t length,
	uint64_t *first, uint64_t *count);

/* Random numbers, the same everywhere for the same seed (SplitMix64). */
uint64_t random_next(uint64_t *state);
uint64_t random_below(uint64_t *state, uint64_t limit);
int one_in(uint64_t *state, uint64_t n);

/* differential_trace.c */
uint64_t page_size_bytes(void);
extern const char *const trace_names[NAMES];
void trace_make(struct trace *trace, uint64_t seed, uint32_t wanted);

/* differential_text.c */
void op_describe(const struct op *op, char *text, size_t text_size);
void result_describe(const struct result *result, char *text, size_t text_size);

/* differential_world.c */
struct world *world_new(const char *backend, const char *other);
/* The library's backend that carries out this world's calls. */
const char *world_backend(const char *name);
/* Carry out a trace in a fresh state; the results are in the world then. */
void world_run(struct world *world, const struct trace *trace);
void actor_fork(struct actor *actor, const struct op *op);

/* differential_memory.c */
uint64_t hash_bytes(const void *bytes, size_t length);
uint64_t hash_zeroes(size_t length);
/* 0 if the operation is not about memory. */
int actor_perform_memory(struct actor *actor, const struct op *op, struct result *result);

/* differential_calls.c */
/* Carry out the operation, or the step of it that is this actor's; 1 if more steps are to come. */
int actor_perform(struct actor *actor, const struct op *op, struct result *result);
/* Whose turn the present operation, at the world's phase, is; -1: nobody's. */
int actor_for(const struct world *world, const struct op *op);

/* What a comparison found. */
struct finding {
	int found;
	uint32_t at;
	char why[200];
	struct result first, second;
};

/* How often each rule decided. */
enum { RULES_MAX = 16 };
struct tally {
	uint64_t operations, traces;
	uint64_t rule[RULES_MAX];
};

/* differential_judge.c: compare two worlds that have run the trace. */
void judge_compare(const struct trace *trace, const struct world *first, const struct world *second,
	struct finding *finding, struct tally *tally);

/* differential_lru.c */
void lru_trace_make(struct trace *trace, uint64_t seed, uint32_t wanted);
/* Settle what the shrinks of a trace ask for, so that the model can say what they do. */
void lru_trace_settle(struct trace *trace);
/* Leave out the beginning's areas and processes that nothing behind it uses. */
void lru_trace_trim(struct trace *trace);
void lru_compare(const struct trace *trace, const struct world *world, struct finding *finding,
	struct tally *tally);

/* differential_shrink.c: `run` carries a trace out and compares. */
typedef void run_trace(struct trace *trace, struct finding *finding);
uint32_t trace_shorten(struct trace *trace, struct finding *finding, run_trace *run);

#endif
