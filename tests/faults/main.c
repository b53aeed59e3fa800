/* SPDX-License-Identifier: MIT */
/*
 * The program of `make check-faults`: every case once without a fault, then again for each call
 * that the library made in it and each plausible failure of that call, each time in a process of
 * its own.
 *
 * After a failure: the error is one that the header names; outputs, descriptors, mappings,
 * allocations and all that can be seen of the areas, also by a peer, are as before; and done again,
 * it ends as it does without a fault. After a success: the result and the state are those without a
 * fault. And then everything can be closed, and nothing is left.
 *
 *   faults [NAME...]   only cases whose name begins so
 */
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "faults.h"

enum { TEXT = 16384, CALLS_MAX = 4096, COMPLAINTS_MAX = 5 };

/* What a run says, and what later runs compare with. */
struct report {
	int64_t clean;          /* the result without a fault */
	char clean_state[TEXT]; /* and the state then */
	int64_t result;
	uint32_t hits, count;
	enum call log[CALLS_MAX];
	char complaint[2 * TEXT];
	int done;
};

static struct report *report;
char notes[400], fake_root[64];

static uint64_t cases_passed, cases_failed, faults_injected, failures_seen, successes_seen, sites,
	not_reached;
static uint8_t kinds_seen[CALLS];

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void complain(const char *format, ...)
{
	size_t length = strlen(report->complaint);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(report->complaint + length, sizeof(report->complaint) - length, format,
		arguments);
	va_end(arguments);
}

/* Where two texts differ, line by line. */
static void complain_difference(const char *what, const char *expected, const char *got)
{
	complain("    %s\n", what);
	while (*expected || *got) {
		size_t x = strcspn(expected, "\n"), y = strcspn(got, "\n");
		if (x != y || memcmp(expected, got, x) != 0)
			complain("      - %.*s\n      + %.*s\n", (int)x, expected, (int)y, got);
		expected += x + (expected[x] != '\0');
		got += y + (got[y] != '\0');
	}
}

/* -- one run, in a process of its own -- */

struct run {
	const struct fault_case *c;
	enum call kind;
	uint32_t at;
	int error;
	struct world world;
	int64_t result;
};

static void *on_new_thread(void *argument)
{
	struct run *run = argument;

	fault_follow_me();
	run->result = run->c->run(&run->world);
	return NULL;
}

static int64_t do_it(struct run *run, uint32_t at)
{
	pthread_t thread;

	fault_arm(run->kind, at, run->error, (run->c->flags & OTHER_THREADS) != 0);
	if (run->c->flags & NEW_THREAD) {
		if (pthread_create(&thread, NULL, on_new_thread, run) != 0)
			die("a thread");
		pthread_join(thread, NULL);
	} else {
		run->result = run->c->run(&run->world);
	}
	fault_disarm();
	return run->result;
}

/* Without a clock ages are wrong. */
static void forget_ages(char *text)
{
	while ((text = strstr(text, " age ")) != NULL)
		text[5] = '?', text += 5;
}

/* Marks that stay are false alarms: not told from none. */
static void forget_marks(char *text)
{
	for (char *at = text; (at = strchr(at, 'P')) != NULL; at++)
		if (at > text && (at[-1] == '/' || at[-1] == ' '))
			*at = 'U';
}

/* Of what is marked nobody expects data. What is pinned has them: checked by itself. */
static void forget_data(char *text)
{
	for (char *at = text; (at = strstr(at, " data ")) != NULL; at++) {
		char *end = strstr(at, " locks");
		memmove(at, end, strlen(end) + 1);
	}
	for (char *at = text; (at = strstr(at, "\n ")) != NULL; at++) {
		if (at[2] < '0' || at[2] > '9')
			continue;
		char *end = strchr(at + 1, '\n');
		memmove(at, end, strlen(end) + 1);
	}
}

static void check_pinned_data(struct world *world)
{
	for (int i = 0; i < AREAS; i++)
		for (uint64_t page = 0; world->base[i] && page < PAGES; page++)
			if (ashmem_get_pin_status(world->area[i], page * page_bytes(),
				    page_bytes()) == ASHMEM_IS_PINNED &&
				*(uint64_t *)(void *)(world->base[i] + page * page_bytes()) !=
					page + 1)
				complain("    page %" PRIu64
					 " of area %d is pinned, and its data are gone\n",
					page, i);
}

static void check_failure(struct run *run, const struct held *held_before, char *before,
	char *after)
{
	const struct fault_case *c = run->c;
	struct held held;

	held_now(&held);
	if (!is_documented(c->function, run->result))
		complain("    answers %s, which the header of %s does not name\n",
			error_text((int)-run->result), c->function);
	if (run->world.touched)
		complain("    an output was changed\n");
	if (c->flags & MARKS_MAY_STAY) {
		check_pinned_data(&run->world);
		forget_marks(before);
		forget_marks(after);
		forget_data(before);
		forget_data(after);
	}
	if (c->flags & (MAY_ESTABLISH | MAY_MATERIALISE)) {
		held.mappings = held_before->mappings;
		held.mapped_bytes = held_before->mapped_bytes;
	}
	/* A source that is lost gives its descriptors up. */
	if ((c->flags & MAY_MATERIALISE) || (c->flags & PART_MAY_BE_DONE && c->flags & NO_RETRY))
		memcpy(held.descriptors, held_before->descriptors, sizeof(held.descriptors));
	/* After a death the state is recovered meanwhile, or not. */
	if (!(c->flags & (PART_MAY_BE_DONE | MAY_ESTABLISH | MAY_MATERIALISE)) &&
		!run->world.bare[0] && strcmp(before, after) != 0)
		complain_difference("the state is not as before:", before, after);
	if (!held_equal(held_before, &held))
		complain("    before it held %s, now %s\n", held_text(held_before),
			held_text(&held));
	if (c->flags & NO_RETRY)
		return;
	int64_t again = do_it(run, FAULTS_NEVER);
	run->world.bare[0] = 0;
	world_describe(&run->world, after, TEXT);
	if (again != report->clean &&
		!(c->flags & (ANY_SUCCESS | PART_MAY_BE_DONE | MARKS_MAY_STAY)))
		complain("    done again it answers %" PRId64 ", not %" PRId64 "\n", again,
			report->clean);
	else if (again < 0)
		complain("    done again it fails with %s\n", error_text((int)-again));
	if (!(c->flags & (ANY_SUCCESS | PART_MAY_BE_DONE | MARKS_MAY_STAY)) &&
		strcmp(after, report->clean_state) != 0)
		complain_difference("done again it leaves another state:", report->clean_state,
			after);
}

static void check_success(struct run *run, char *after)
{
	static char expected[TEXT];
	const struct fault_case *c = run->c;

	memcpy(expected, report->clean_state, sizeof(expected));
	if (c->flags & ANY_SUCCESS)
		return;
	if (run->result != report->clean &&
		!((c->flags & AFTER_DEATH) && (c->flags & MARKS_MAY_STAY)))
		complain("    answers %" PRId64 ", without a fault %" PRId64 "\n", run->result,
			report->clean);
	/*
	 * Who does not own the file cannot change its mode, which keeps other users off: it goes on
	 * without.
	 */
	if ((c->flags & MARKS_MAY_STAY) || (fault.kind == CALL_FCHMOD && run->error == EPERM))
		return;
	if (fault.kind == CALL_CLOCK_GETTIME) {
		forget_ages(after);
		forget_ages(expected);
	}
	if ((c->flags & AFTER_DEATH) && fault.kind == CALL_FALLOCATE) {
		/* What the dead one was to free and nobody could is freed by the next purge. */
		if (ashmem_purge_all() < 0 || ashmem_shrink_count() > 0 ||
			*(uint64_t *)(void *)(run->world.base[0] + 12 * page_bytes()) != 0)
			complain("    what could not be freed is not freed by the next purge\n");
		return;
	}
	if ((c->flags & LOCKS_MAY_STAY) && fault.kind == CALL_OFD_SETLK) {
		/* With the next one they are gone. */
		if (ashmem_hold(run->world.area[0], 0, page_bytes()) < 0 ||
			ashmem_release(run->world.area[0], 0, page_bytes(), ASHMEM_RELEASE_LOST) <
				0)
			complain("    then a hold or release fails\n");
		world_describe(&run->world, after, TEXT);
	}
	if (strcmp(after, expected) != 0)
		complain_difference("it leaves another state than without a fault:", expected,
			after);
}

static void judge(struct run *run, const struct held *held_before, char *before, int clean)
{
	static char after[TEXT];

	if (run->result >= 0)
		run->world.bare[0] = 0;
	world_describe(&run->world, after, sizeof(after));
	if (clean) {
		report->clean = run->result;
		memcpy(report->clean_state, after, sizeof(after));
		if (run->result < 0)
			complain("    fails without a fault: %s\n", error_text((int)-run->result));
	} else if (run->result < 0) {
		check_failure(run, held_before, before, after);
	} else {
		check_success(run, after);
	}
}

static void be_run(struct run *run)
{
	static char before[TEXT];
	struct held held_first, held_before, held_last;
	int clean = run->at == FAULTS_NEVER;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(60);
	held_now(&held_first);
	world_begin(&run->world);
	if (run->c->build)
		run->c->build(&run->world);
	world_describe(&run->world, before, sizeof(before));
	held_now(&held_before);
	do_it(run, run->at);
	report->result = run->result;
	report->hits = fault.hits;
	report->count = fault.calls;
	memcpy(report->log, fault.log, sizeof(report->log));
	if (clean || fault.hits > 0)
		judge(run, &held_before, before, clean);
	world_end(&run->world);
	held_now(&held_last);
	/* A mapping that the kernel refused to end stays. */
	int munmap_failed = fault.hits > 0 && fault.kind == CALL_MUNMAP && held_last.mappings == 1;
	if (!held_equal(&held_first, &held_last) && !munmap_failed)
		complain("    with all closed it holds %s, at first %s\n", held_text(&held_last),
			held_text(&held_first));
	if (fault.wrong[0])
		complain("    the library %s\n", fault.wrong);
	if (notes[0])
		complain("    %s\n", notes);
	report->done = 1;
	_exit(0);
}

/*
 * 1: all is well; 0: the fault was not reached; -1: something is wrong, and report->complaint says
 * what.
 */
static int start(const struct fault_case *c, enum call kind, uint32_t at, int error)
{
	struct run run = {.c = c, .kind = kind, .at = at, .error = error};
	int status;

	report->complaint[0] = '\0';
	report->done = 0;
	report->hits = report->count = 0;
	fflush(NULL);
	pid_t child = fork();
	if (child < 0)
		die("fork");
	if (child == 0)
		be_run(&run);
	waitpid(child, &status, 0);
	if (!report->done) {
		complain("    the process ended with wait status %#x\n", (unsigned)status);
		peer_stop();
		peer_start();
	}
	if (report->complaint[0])
		return -1;
	return report->hits > 0 || at == FAULTS_NEVER;
}

/* -- a case -- */

/* The call number `at` of a kind. */
static int try_errors(const struct fault_case *c, enum call kind, uint32_t at, int *complaints)
{
	int injected = 0;

	for (const int *error = call_errors(kind); *error; error++) {
		int r = start(c, kind, at, *error);
		if (r == 0) {
			not_reached++;
			continue;
		}
		injected++;
		kinds_seen[kind] = 1;
		failures_seen += report->result < 0;
		successes_seen += report->result >= 0;
		if (r > 0)
			continue;
		if ((*complaints)++ < COMPLAINTS_MAX)
			printf("  %s: %s number %u: %s; answers %" PRId64 "\n%s", c->name,
				call_name(kind), at + 1, error_text(*error), report->result,
				report->complaint);
	}
	return injected;
}

static void run_case(const struct fault_case *c)
{
	static enum call log[CALLS_MAX];
	uint32_t seen[CALLS] = {0};
	int complaints = 0, injected = 0;

	if (start(c, CALLS, FAULTS_NEVER, 0) < 0) {
		printf("  %s: without a fault:\n%s", c->name, report->complaint);
		complaints++;
	}
	uint32_t count = report->count < CALLS_MAX ? report->count : CALLS_MAX;
	memcpy(log, report->log, sizeof(log));
	/* What loops, or goes on in another thread, makes as many calls as it likes. */
	if ((c->flags & OTHER_THREADS) && count > 40)
		count = 40;
	for (uint32_t at = 0; at < count && complaints < 50; at++)
		injected += try_errors(c, log[at], seen[log[at]]++, &complaints);
	if ((c->flags & AFTER_DEATH) && injected == 0 && complaints++ == 0)
		printf("  %s: makes no calls, so nothing is recovered\n", c->name);
	sites += count;
	faults_injected += (uint64_t)injected;
	printf("%-48s %4u calls %5d faults%s\n", c->name, count, injected,
		complaints ? "  FAILED" : "");
	cases_passed += complaints == 0;
	cases_failed += complaints != 0;
}

static int is_chosen(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strncmp(name, argv[i], strlen(argv[i])) == 0)
			return 1;
	return argc < 2;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status, (void)type, (void)walk;
	return remove(path);
}

int main(int argc, char **argv)
{
	static const struct fault_case *const tables[] = {area_cases, sharing_cases, names_cases,
		kernel_cases, pressure_cases, budget_cases, cache_cases};
	const char *directory = getenv("TMPDIR");
	struct timespec begin, end;
	int kinds = 0;

	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		0);
	snprintf(fake_root, sizeof(fake_root), "%s/ashmem-faults-XXXXXX",
		directory && strlen(directory) < 30 ? directory : "/tmp");
	if (report == MAP_FAILED || !mkdtemp(fake_root))
		die("setting up");
	signal(SIGPIPE, SIG_IGN);
	peer_start();
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (size_t t = 0; t < sizeof(tables) / sizeof(*tables); t++)
		for (const struct fault_case *c = tables[t]; c->name; c++)
			if (is_chosen(c->name, argc, argv))
				run_case(c);
	clock_gettime(CLOCK_MONOTONIC, &end);
	peer_stop();
	nftw(fake_root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	for (int kind = 0; kind < CALLS; kind++)
		kinds += kinds_seen[kind];
	printf("faults: %" PRIu64 " operations, %" PRIu64 " call sites of %d kinds, %" PRIu64
	       " faults injected: %" PRIu64 " errors answered, %" PRIu64 " overcome; %" PRIu64
	       " not reached, %ld s\n",
		cases_passed + cases_failed, sites, kinds, faults_injected, failures_seen,
		successes_seen, not_reached, (long)(end.tv_sec - begin.tv_sec));
	printf("%" PRIu64 " passed, %" PRIu64 " failed, 0 skipped\n", cases_passed, cases_failed);
	return cases_failed != 0 || faults_injected == 0;
}
