/* SPDX-License-Identifier: MIT */
/*
 * The benchmark's parts and what they share.
 *
 *   rows_*.c      what is measured: each makes areas, says what to time, and fills in rows
 *   measure.c     the clock, rounds in which reference and subject take turns, statistics
 *   reference.c   what the library is compared with: system calls, a robust mutex, a bare word
 *   ranges.c      areas with many unpinned ranges, and the loops over them
 *   caches.c      a cache, and the loops over it
 *   workers.c     threads and processes that run such a loop at the same time
 *   preloaded.c   a process that does so by ioctl, under the library of ashmem-run
 *   bench.c       options, the choice of rows; table.c, json.c, plot.c show the results
 *
 * It uses the public headers only, so that it measures what a user of the library gets.
 */
#ifndef ASHMEM_BENCH_BENCH_H
#define ASHMEM_BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <ashmem/ashmem.h>

/* -- options (bench.c) -- */

#define PATTERNS_MAX 16

struct options {
	unsigned rounds;     /* of reference and subject each, for one row */
	double batch_ns;     /* how long one of them runs at a stretch */
	double row_ns;       /* after which no new round of a row begins, but for the first few */
	int quick;           /* fewer and shorter rounds */
	int json;            /* results go to the standard output as JSON, not as a table */
	int list;            /* only the names of the rows */
	int vs_kernel;       /* only the rows that compare the backends */
	const char *backend; /* for ashmem_backend_select() */
	const char *plot;    /* the SVG to write, or NULL */
	unsigned patterns;   /* 0: all rows */
	const char *pattern[PATTERNS_MAX];
};

extern struct options options;

/* -- measuring (measure.c) -- */

#define THINGS_MAX 3
#define ROUNDS_MAX 400

/* Something to time. */
struct timed {
	double (*run)(void *context, uint64_t count); /* do it `count` times; the ns it took */
	void *context;
	double units;   /* times are divided by this: ranges or bytes a call, say; 0 is 1 */
	uint64_t count; /* a batch; 0: as often as fills the batch's time */
};

/* What came out: ns a unit, for each thing and round. In a round the things ran one after the
 * other. */
struct series {
	unsigned rounds;
	double ns[THINGS_MAX][ROUNDS_MAX + 1];
};

struct stats {
	double median, q1, q3, min, max;
};

/* Let the things take turns for some rounds. things[0] is the reference: it also runs after the
 * last round, and counts in each round with the mean of before and after. */
void measure(const struct timed *things, unsigned count, struct series *series);

struct stats stats_of(const double *values, unsigned count);
double median_of(const double *values, unsigned count);
/* Of the ratios numerator/denominator, round by round. */
struct stats stats_of_ratio(const double *numerator, const double *denominator, unsigned count);

double now_ns(void);
/* Processor time of the thread, by a system call; and the time since then without the cost of
 * asking. */
double busy_ns(void);
double busy_since(double begin);
/* What reading the clock twice in a row shows. */
double clock_ns(void);

uint64_t page_bytes(void);
/* xorshift: the same numbers in every run. */
uint64_t random_next(void);
/* Say what failed and exit with status 1; `error` is a negative errno. */
_Noreturn void die(const char *what, int64_t error);
/* For calls that answer -1 and errno. */
_Noreturn void die_errno(const char *what);
void *allocate(size_t count, size_t size);

/* -- results (bench.c) -- */

enum unit {
	UNIT_NS,               /* less is better, and so it is for the ratio */
	UNIT_BYTES_PER_SECOND, /* more is better; the ratio is ours / reference */
	UNIT_PER_SECOND,
	UNIT_BYTES,
	UNIT_PAGES,
};

enum target {
	TARGET_NONE,
	TARGET_AT_MOST,
	TARGET_AT_LEAST,
};

enum panel {
	PANEL_NONE,
	PANEL_RANGES,
	PANEL_SIZE,
};

struct result {
	char name[40];
	const char *section;
	char skipped[56]; /* why there is no figure; "" if there is one */
	enum unit unit;
	double ours;
	const char *reference; /* its name */
	double reference_value;
	struct stats ratio;
	enum target target;
	double target_ratio;
	/* Of the plot: where, on which curve, at which x, and the spread of `ours`. */
	enum panel panel;
	const char *curve;
	double x;
	struct stats spread;
};

#define RESULTS_MAX 192

extern struct result results[RESULTS_MAX];
extern unsigned result_count;

/* The title over the rows that follow. */
void section(const char *title);
/* A row of that name, to be filled in and ended; NULL if it is not wanted. */
struct result *row_begin(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Whether row_begin() would give that row, for rows that others depend on. */
int row_wanted(const char *format, ...) __attribute__((format(printf, 1, 2)));
void row_end(struct result *row);
/* End the row without a figure. Takes NULL for a row that is not wanted. */
void row_skip(struct result *row, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The plain case: ns of `subject` against ns of `reference`, measured in turns. Ends the row. */
void row_measure(struct result *row, const struct timed *subject, const char *name,
	const struct timed *reference, enum target target, double target_ratio);

/* -- showing them (table.c, json.c, plot.c) -- */

void machine_cpu(char *buf, size_t size);
void machine_kernel(char *buf, size_t size);
const char *machine_compiler(void);
double machine_load(void);

void table_heading(void);
void table_section(const char *title);
void table_row(const struct result *row);
void table_footing(double seconds);
/* Whether the row has no target, or meets it. */
int is_met(const struct result *row);

void json_write(FILE *out, double seconds);
int plot_write(const char *path);

/* -- references (reference.c) -- */

/* Measured once, at the start, for the heading. */
struct reference_costs {
	double syscall, mutex, word, clock;
};

extern struct reference_costs reference_costs;

void references_start(void);
/* ns of one: an empty system call; lock and unlock of a robust process-shared mutex; both halves of
 * a bare word. */
struct timed reference_syscalls(unsigned count);
struct timed reference_mutexes(unsigned count);
struct timed reference_word(void);

/* -- areas with many ranges (ranges.c) -- */

enum order {
	SEQUENTIAL,
	RANDOM,
};

/* An area in which every `stride` pages a page is unpinned, and the places to visit in turn. */
struct ranges {
	struct ashmem_area *area;
	uint64_t count;
	uint64_t stride_bytes;
	uint32_t *places; /* blocks of `count`, each all of the ranges in some order */
	uint64_t place_count;
	uint64_t next;
	enum order order;
};

/* 0, or a negative errno; -ETIME if that takes too long. Unpins in the order of `fill`. */
int ranges_open(struct ranges *ranges, uint64_t count, uint64_t stride_pages, enum order fill);
/* What such an error means. */
const char *why_not(int error);
void ranges_order(struct ranges *ranges, enum order order);
void ranges_close(struct ranges *ranges);

/* For struct timed; the context is a struct ranges. An operation is one call, or one pin with its
 * unpin. */
double ranges_pairs(void *context, uint64_t count);
double ranges_pins(void *context, uint64_t count);
double ranges_unpins(void *context, uint64_t count);
double ranges_status(void *context, uint64_t count);
/*
 * So many ranges purged, each of one page that was never touched; all are unpinned anew when there
 * are none left.
 */
double ranges_purges(void *context, uint64_t count);
double ranges_subsumed_unpins(void *context, uint64_t count);
double ranges_pinned_pins(void *context, uint64_t count);

/* A new area, materialised with its first page mapped and unmapped again. 0 or a negative errno. */
int area_open(uint64_t size_bytes, struct ashmem_area **area);
/* A memfd of so many bytes. Dies if there is none. */
int memfd_open(uint64_t size_bytes);
/* Room for so many descriptors: 1 if there is. */
int descriptors_suffice(uint64_t count);
/* Whether the library purges the areas of the backend in use. */
int purges_here(void);
/* "1,000,000"; in a buffer of its own for each of the last four calls. */
const char *with_commas(uint64_t number);

/* -- caches (caches.c) -- */

/* "cache-read,...", "cache-miss,..." or "cache-put,...": do it so many times, with so many keys. */
int caches_loop(const char *what, uint64_t keys, uint64_t times);

/* -- threads and processes (workers.c) -- */

#define WORKERS_MAX 2

struct worker_result {
	double operations, wall_ns, cpu_ns;
	int disturbed; /* it began late, or another program took its processor away */
};

struct workers {
	int count;
	struct worker {
		int command_fd, answer_fd; /* the worker's own ends are in its context */
		int pid;                   /* 0: a thread */
		struct ranges *ranges;
		void *own;
	} worker[WORKERS_MAX];
};

enum worker_kind {
	WORKER_THREAD,
	WORKER_PROCESS,
};

void workers_start(struct workers *workers, int count, enum worker_kind kind,
	struct ranges *const *ranges);
/* Let the first `active` workers pin and unpin for so long. */
void workers_run(struct workers *workers, int active, double duration_ns,
	struct worker_result *answers);
void workers_stop(struct workers *workers);

/* -- a process under the library of ashmem-run (preloaded.c) -- */

/* What the program is called with to be that process, for preloaded_serve(). */
#define PRELOADED_OPTION "--serve-pairs"

struct preloaded {
	int socket, pid;
};

/* 0, or -1 if the library cannot be loaded here. */
int preloaded_start(struct preloaded *process);
/* For struct timed: pairs of unpin and pin, by ioctl. */
double preloaded_pairs(void *context, uint64_t count);
void preloaded_stop(struct preloaded *process);
/* The exit status. */
int preloaded_serve(void);

/* -- the rows -- */

void rows_pin(void);
void rows_bulk(void);
void rows_shared(void);
void rows_shrink(void);
void rows_purge(void);
void rows_life(void);
void rows_cutils(void);
void rows_memory(void);
/* 0, or 77 if there is no driver here. */
int rows_kernel(void);

#endif /* ASHMEM_BENCH_BENCH_H */
