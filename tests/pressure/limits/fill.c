/* SPDX-License-Identifier: MIT */
/*
 * The process under the limit: makes areas of the size of all its data, fills range after range and
 * unpins each when it is full. Of every eight ranges it uses an older one again: pins it, compares
 * every word if the answer is that it was not purged, fills it anew if it was. A plan can add
 * processes, threads, a file that is read, other memory that comes and goes.
 *
 * A range belongs to whoever set its `in_use`; pins are a state and not a count, so two at a time
 * would spoil each other's.
 */
#include "pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ashmem/ashmem.h>

#define AREAS_MAX 512

struct filler {
	const struct plan *plan;
	const struct group *group;
	struct score *score;
	struct ashmem_pressure *pressure;
	uint64_t range_bytes;
	uint32_t ranges, in_area, workers;
	struct {
		struct ashmem_area *area;
		unsigned char *base;
	} areas[AREAS_MAX];
	int file_fd;
};

struct worker {
	struct filler *filler;
	uint32_t number;
	uint64_t seed;
	uint64_t file_at;
	unsigned char *pulse; /* other memory: NULL: none just now */
	uint64_t pulse_bytes;
	pthread_t thread;
};

void must(int64_t result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror((int)-result));
	exit(FILL_SETUP);
}

static uint64_t draw(struct worker *w)
{
	w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
	return w->seed >> 33;
}

/* -- ranges -- */

static struct ashmem_area *area_of(const struct filler *f, uint32_t range, uint64_t *offset)
{
	*offset = range % f->in_area * f->range_bytes;
	return f->areas[range / f->in_area].area;
}

static uint64_t *words_of(const struct filler *f, uint32_t range)
{
	return (uint64_t *)(f->areas[range / f->in_area].base +
		range % f->in_area * f->range_bytes);
}

/* Never 0, as a purged page reads, and never that of another place. */
static uint64_t word_at(uint32_t range, uint64_t i)
{
	return ((uint64_t)(range + 1) << 32) + i + 1;
}

static void fill(const struct filler *f, uint32_t range)
{
	uint64_t *words = words_of(f, range);

	for (uint64_t i = 0; i < f->range_bytes / sizeof *words; i++)
		words[i] = word_at(range, i);
}

static int is_right(const struct filler *f, uint32_t range)
{
	const uint64_t *words = words_of(f, range);

	for (uint64_t i = 0; i < f->range_bytes / sizeof *words; i++)
		if (words[i] != word_at(range, i))
			return 0;
	return 1;
}

static void count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* -- what happens between two ranges -- */

static void relieve(struct filler *f)
{
	struct pollfd fd = {.events = POLLIN};

	if (f->plan->relief == RELIEF_CALL) {
		must(ashmem_pressure_dispatch(f->pressure), "dispatch");
	} else if (f->plan->relief == RELIEF_LOOP) {
		fd.fd = ashmem_pressure_fd(f->pressure);
		if (poll(&fd, 1, 0) == 1)
			must(ashmem_pressure_dispatch(f->pressure), "dispatch");
	}
}

static void read_file(struct worker *w)
{
	static __thread char bytes[64 << 10];
	uint64_t size = w->filler->plan->file_mib * MIB;

	for (uint64_t done = 0; size && done < w->filler->range_bytes; done += sizeof bytes) {
		if (pread(w->filler->file_fd, bytes, sizeof bytes, (off_t)(w->file_at % size)) <= 0)
			must(-EIO, "reading the file");
		w->file_at += sizeof bytes;
	}
}

/* Other memory: half a MiB more with each step until it is all there, then none for as long. */
static void pulse(struct worker *w, uint32_t step)
{
	const uint64_t all = w->filler->plan->pulse_mib * MIB, grain = MIB / 2;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (!all || w->number != 0)
		return;
	if (!w->pulse && step / (all / grain) % 2 == 1) {
		w->pulse =
			mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(w->pulse == MAP_FAILED ? -errno : 0, "mmap");
		w->pulse_bytes = 0;
	}
	if (!w->pulse)
		return;
	if (w->pulse_bytes == all) {
		munmap(w->pulse, all);
		w->pulse = NULL;
		score_other(w->filler->score, -(int64_t)(all / page));
		return;
	}
	score_other(w->filler->score, (int64_t)(grain / page));
	memset(w->pulse + w->pulse_bytes, 1, grain);
	w->pulse_bytes += grain;
}

static void pause_for_others(struct worker *w, uint32_t step)
{
	relieve(w->filler);
	read_file(w);
	pulse(w, step);
}

/* -- using ranges -- */

static int take(struct filler *f, uint32_t range)
{
	/* Acquire: pairs with give(), so that what the one before wrote is seen. */
	return !__atomic_exchange_n(&f->score->in_use[range], 1, __ATOMIC_ACQUIRE);
}

static void give(struct filler *f, uint32_t range)
{
	uint64_t offset;
	struct ashmem_area *area = area_of(f, range, &offset);

	__atomic_store_n(&f->score->is_filled[range], 1, __ATOMIC_RELAXED);
	score_use(f->score, range);
	must(ashmem_unpin(area, offset, f->range_bytes), "unpin");
	__atomic_store_n(&f->score->in_use[range], 0, __ATOMIC_RELEASE);
	score_sample(f->score, f->group, f->plan->file_mib > 0);
}

/* Use a range again, if it was ever filled and nobody has it. */
static void use_again(struct filler *f, uint32_t range)
{
	uint64_t offset;
	struct ashmem_area *area = area_of(f, range, &offset);
	int answer;

	if (!take(f, range))
		return;
	if (!f->score->is_filled[range]) {
		__atomic_store_n(&f->score->in_use[range], 0, __ATOMIC_RELEASE);
		return;
	}
	answer = ashmem_pin(area, offset, f->range_bytes);
	must(answer, "pin");
	if (answer == ASHMEM_WAS_PURGED) {
		count(&f->score->lost);
		fill(f, range);
	} else if (is_right(f, range)) {
		count(&f->score->kept);
	} else {
		count(&f->score->wrong);
	}
	give(f, range);
}

/* One that was filled lately, by whomever: as often among what still fits the limit as beyond. */
static uint32_t earlier(struct worker *w, uint32_t range)
{
	const struct filler *f = w->filler;
	uint64_t fits = f->group->limit_bytes / f->range_bytes;
	uint64_t back = 1 + draw(w) % (fits * 2);

	return back > range ? (uint32_t)(draw(w) % (range + 1)) : range - (uint32_t)back;
}

/* Fill it all once, in turns with the other workers. */
static void stream(struct worker *w)
{
	struct filler *f = w->filler;
	uint32_t step = 0;

	for (uint32_t range = w->number; range < f->ranges; range += f->workers, step++) {
		pause_for_others(w, step);
		if (take(f, range)) {
			fill(f, range);
			give(f, range);
		}
		if (step % 8 == 7)
			use_again(f, earlier(w, range));
	}
}

/* Use a working set, in no order, until as much was used as the plan fills. */
static void work(struct worker *w)
{
	struct filler *f = w->filler;
	uint32_t set = (uint32_t)(f->plan->set_mib * MIB / f->range_bytes);
	uint32_t steps = (uint32_t)(f->plan->fill_mib * MIB / f->range_bytes / f->workers);

	for (uint32_t range = w->number; range < set; range += f->workers) {
		pause_for_others(w, 0);
		if (take(f, range)) {
			fill(f, range);
			give(f, range);
		}
	}
	for (uint32_t step = 0; step < steps; step++) {
		pause_for_others(w, step);
		use_again(f, (uint32_t)(draw(w) % set));
	}
}

static void *run_worker(void *argument)
{
	struct worker *w = argument;

	if (w->filler->plan->set_mib)
		work(w);
	else
		stream(w);
	return NULL;
}

/* -- the process -- */

static void make_areas(struct filler *f)
{
	uint64_t bytes = f->in_area * f->range_bytes;

	for (uint32_t i = 0; i < f->plan->areas; i++) {
		void *base;
		must(ashmem_create("pressure", bytes, 0, &f->areas[i].area), "create");
		must(ashmem_map(f->areas[i].area, 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			     &base),
			"map");
		f->areas[i].base = base;
	}
}

static void begin_relief(struct filler *f)
{
	struct ashmem_pressure_options options = {
		.struct_size = sizeof options, .source = f->plan->source};

	if (f->plan->relief == RELIEF_NONE)
		return;
	must(ashmem_pressure_open(&options, &f->pressure), "pressure");
	ashmem_pressure_explain(f->pressure, f->score->explanation, sizeof f->score->explanation);
	if (f->plan->relief == RELIEF_THREAD)
		must(ashmem_pressure_run(f->pressure), "run");
}

static void end_relief(struct filler *f)
{
	struct ashmem_pressure_status status = {.struct_size = sizeof status};
	struct ashmem_process_stats stats = {.struct_size = sizeof stats};
	struct score *s = f->score;

	must(ashmem_process_get_stats(&stats), "stats");
	__atomic_fetch_add(&s->purged_pages, stats.purged_pages, __ATOMIC_RELAXED);
	if (!f->pressure)
		return;
	must(ashmem_pressure_get_status(f->pressure, &status), "status");
	__atomic_fetch_add(&s->purges, status.purges, __ATOMIC_RELAXED);
	__atomic_fetch_add(&s->headroom_purges, status.headroom_purges, __ATOMIC_RELAXED);
	__atomic_fetch_add(&s->unpin_purges, status.unpin_purges, __ATOMIC_RELAXED);
	__atomic_fetch_add(&s->events, status.events, __ATOMIC_RELAXED);
	__atomic_fetch_add(&s->dispatches, status.dispatches, __ATOMIC_RELAXED);
	snprintf(s->source, sizeof s->source, "%s", ashmem_pressure_source(f->pressure));
	ashmem_pressure_close(f->pressure);
}

static void run_threads(struct filler *f, uint32_t process)
{
	struct worker workers[WORKERS_MAX];
	uint32_t threads = f->plan->threads;

	for (uint32_t i = 0; i < threads; i++) {
		uint32_t number = process * threads + i;
		workers[i] = (struct worker){.filler = f, .number = number, .seed = number + 1};
	}
	for (uint32_t i = 1; i < threads; i++)
		must(-pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]), "thread");
	run_worker(&workers[0]);
	for (uint32_t i = 1; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
}

/* A second process has the areas of the first. */
static pid_t start_process(struct filler *f, uint32_t number)
{
	pid_t child = fork();

	must(child < 0 ? -errno : 0, "fork");
	if (child > 0)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	begin_relief(f);
	run_threads(f, number);
	end_relief(f);
	_exit(FILL_OK);
}

/* Other memory that stays for good, and is there before the score begins. */
static void take_other_memory(uint64_t bytes)
{
	unsigned char *other = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(other == MAP_FAILED ? -errno : 0, "other memory");
	memset(other, 1, (size_t)bytes);
}

static void make_empty_ranges(const struct plan *plan)
{
	uint64_t bytes = plan->empty_mib * MIB, range = (uint64_t)plan->range_kib << 10;
	struct ashmem_area *area;

	must(ashmem_create("empty", bytes, 0, &area), "create");
	must(ashmem_fd(area), "fd");
	for (uint64_t at = 0; at < bytes; at += 2 * range)
		must(ashmem_unpin(area, at, range), "unpin");
	for (uint64_t at = range; at < bytes; at += 2 * range)
		must(ashmem_unpin(area, at, range), "unpin");
}

void fill_run(const struct plan *plan, const struct group *group, struct score *score,
	const char *file)
{
	static struct filler f;
	pid_t children[WORKERS_MAX];
	int status, peers_ok = 1;

	f = (struct filler){.plan = plan,
		.group = group,
		.score = score,
		.range_bytes = (uint64_t)plan->range_kib << 10,
		.file_fd = -1};
	f.workers = plan->processes * plan->threads;
	f.ranges =
		(uint32_t)((plan->set_mib ? plan->set_mib : plan->fill_mib) * MIB / f.range_bytes);
	f.in_area = (f.ranges + plan->areas - 1) / plan->areas;
	if (f.ranges > RANGES_MAX || plan->areas > AREAS_MAX || f.workers > WORKERS_MAX)
		must(-E2BIG, plan->name);
	if (plan->file_mib)
		must(f.file_fd = open(file, O_RDONLY | O_CLOEXEC), file);
	make_areas(&f);
	if (plan->empty_mib)
		make_empty_ranges(plan);
	if (plan->other_mib)
		take_other_memory(plan->other_mib * MIB);
	score_begin(score, group, f.range_bytes / (uint64_t)sysconf(_SC_PAGESIZE));
	for (uint32_t i = 1; i < plan->processes; i++)
		children[i] = start_process(&f, i);
	begin_relief(&f);
	run_threads(&f, 0);
	for (uint32_t i = 1; i < plan->processes; i++)
		peers_ok &= waitpid(children[i], &status, 0) == children[i] && status == 0;
	end_relief(&f);
	score->end_ns = score_now_ns();
	_exit(score->wrong ? FILL_WRONG : peers_ok ? FILL_OK : FILL_PEER);
}
