/* SPDX-License-Identifier: MIT */
/*
 * Fills caches under real limits and prints a table: which source acted, how long shortage lasted,
 * how much was purged against how much had to be, how often the kernel killed.
 *
 *   pressure --place v1|max|high|guest [--runs N] [--divide N] [--explain] [--file FILE]
 *            [--trace FILE] [CASE...]
 *
 * --divide fills an N-th (for emulated processors). FILE is one of 128 MiB on a disk, for the case
 * that reads it.
 *
 * A case passes if every run finished, without a kill and with every byte that pin() said was kept,
 * and less than twice as much was purged as an ideal cache would have.
 * `nobody-purges` passes if every run was killed (under memory.high: did not get on).
 */
#include "pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ashmem/pressure.h>

#define PATIENCE_SECONDS 300
/* how long the counter-proof is given under memory.high, which kills nobody */
#define STALLED_SECONDS 10
#define OVER_PURGE_MAX 2.0
#define OVER_PURGE_GOAL 1.3 /* against the ideal that keeps the reserve it always holds */

static const char *const place_names[PLACES] = {"v1", "max", "high", "guest"};
static int passed, failed, skipped, runs = 1, divide = 1, want_explain;
static const char *file_name;
static char **case_names;
static FILE *trace;

/* What the runs of a case amount to. */
struct sum {
	int finished, killed, stalled, broken;
	uint64_t kills, wrong, kept, lost, purged, needed[IDEALS], least_free, failures;
	uint64_t purges, headroom_purges, unpin_purges, events, duration_ns, dispatches;
	char source[32], explanation[1024];
	uint64_t *relief_ns;
	size_t relief_count;
};

/* -- one run -- */

/* Its wait status; killed by us, and `*late`, if it takes too long. */
static int await(pid_t child, int seconds, int *late)
{
	int status;

	*late = 0;
	for (int64_t left_ms = seconds * 1000; waitpid(child, &status, WNOHANG) == 0;
		left_ms -= 5) {
		if (left_ms <= 0) {
			*late = 1;
			kill(child, SIGKILL);
			waitpid(child, &status, 0);
			break;
		}
		usleep(5000);
	}
	return status;
}

static void keep_reliefs(struct sum *sum, const struct score *score)
{
	if (!score->relief_count)
		return;
	sum->relief_ns = realloc(sum->relief_ns,
		(sum->relief_count + score->relief_count) * sizeof *sum->relief_ns);
	must(sum->relief_ns ? 0 : -ENOMEM, "realloc");
	memcpy(sum->relief_ns + sum->relief_count, score->relief_ns,
		score->relief_count * sizeof *sum->relief_ns);
	sum->relief_count += score->relief_count;
}

static void add(struct sum *sum, const struct score *score)
{
	sum->wrong += score->wrong;
	sum->kept += score->kept;
	sum->lost += score->lost;
	sum->purged += score->purged_pages;
	for (int i = 0; i < IDEALS; i++)
		sum->needed[i] += score->ideal[i].purged_pages;
	sum->purges += score->purges;
	sum->headroom_purges += score->headroom_purges;
	sum->unpin_purges += score->unpin_purges;
	sum->events += score->events;
	sum->dispatches += score->dispatches;
	sum->duration_ns += score->end_ns - score->begin_ns;
	if (score->least_free_bytes < sum->least_free)
		sum->least_free = score->least_free_bytes;
	snprintf(sum->source, sizeof sum->source, "%s", score->source);
	snprintf(sum->explanation, sizeof sum->explanation, "%s", score->explanation);
	keep_reliefs(sum, score);
}

static void drop_file_pages(void)
{
	int fd = file_name ? open(file_name, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
}

static void run_once(const struct plan *plan, enum place place, struct sum *sum)
{
	struct score *score = score_make();
	struct group group;
	uint64_t kills;
	int status, late, patience;
	pid_t child;

	drop_file_pages();
	group_make(&group, place, plan);
	kills = group_oom_kills(&group);
	patience = plan->relief == RELIEF_NONE && place == PLACE_HIGH ? STALLED_SECONDS
								      : PATIENCE_SECONDS;
	fflush(NULL);
	child = fork();
	must(child < 0 ? -errno : 0, "fork");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		group_enter(&group);
		fill_run(plan, &group, score, file_name);
	}
	status = await(child, patience, &late);
	kills = group_oom_kills(&group) - kills;
	sum->kills += kills;
	sum->failures += group_failures(&group);
	if (late)
		sum->stalled++;
	else if (WIFEXITED(status) && WEXITSTATUS(status) == FILL_OK)
		sum->finished++;
	else if (kills > 0 &&
		((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
			(WIFEXITED(status) && WEXITSTATUS(status) == FILL_PEER)))
		sum->killed++;
	else
		sum->broken++;
	if (!late && WIFEXITED(status) && score->end_ns)
		add(sum, score);
	group_drop(&group);
	munmap(score, sizeof *score);
}

/* -- the table -- */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static double milliseconds(const struct sum *sum, size_t place)
{
	return sum->relief_count ? (double)sum->relief_ns[place] / 1e6 : 0;
}

static double over_purge(const struct sum *sum, int ideal)
{
	return sum->needed[ideal] ? (double)sum->purged / (double)sum->needed[ideal] : 0;
}

static int is_good(const struct plan *plan, enum place place, const struct sum *sum)
{
	if (plan->relief == RELIEF_NONE && place == PLACE_HIGH)
		return sum->stalled + sum->killed == runs && sum->failures > 0;
	if (plan->relief == RELIEF_NONE)
		return sum->killed == runs && sum->kills > 0 &&
			(place == PLACE_GUEST || sum->failures > 0);
	if (sum->finished != runs || sum->kills > 0 || sum->wrong > 0 || sum->kept == 0)
		return 0;
	/*
	 * A cache that fits: nothing for nothing. Once the reserve may be filled up, by a bad
	 * start.
	 */
	if (plan->other_mib)
		return sum->purged * (uint64_t)sysconf(_SC_PAGESIZE) <=
			plan->limit_mib * MIB / 12 * (unsigned)runs;
	return sum->lost > 0 && sum->needed[IDEAL_LIMIT] > 0 &&
		over_purge(sum, IDEAL_LIMIT) < OVER_PURGE_MAX;
}

static void print_head(void)
{
	printf("%-6s%-15s%5s  %-24s%9s%9s%7s%8s%8s%7s%7s%7s%7s\n", "limit", "case", "runs",
		"source", "relief ms", "worst ms", "least", "purged", "needed", "over", "over-r",
		"kills", "s/run");
}

/* The one that was chosen, and what made it purge: events, free bytes, or both. */
static const char *source_of(const struct sum *sum)
{
	static char text[80];
	int tells_free = !strcmp(sum->source, "headroom") || !strcmp(sum->source, "available");

	snprintf(text, sizeof text, "%s%s", sum->source[0] ? sum->source : "-",
		sum->headroom_purges == 0 || tells_free       ? ""
			: sum->headroom_purges == sum->purges ? " (free bytes)"
							      : " + free bytes");
	return text;
}

static void print_row(const struct plan *plan, enum place place, struct sum *sum)
{
	double mib = (double)sysconf(_SC_PAGESIZE) / (double)MIB / runs;

	qsort(sum->relief_ns, sum->relief_count, sizeof *sum->relief_ns, compare);
	printf("%-6s%-15s%5d  %-24s%9.2f%9.1f%7.1f%8.0f%8.0f%7.2f%7.2f%7" PRIu64 "%7.1f%s\n",
		place_names[place], plan->name, runs, source_of(sum),
		milliseconds(sum, sum->relief_count / 2),
		milliseconds(sum, sum->relief_count ? sum->relief_count - 1 : 0),
		sum->finished ? (double)sum->least_free / (double)MIB : 0,
		(double)sum->purged * mib, (double)sum->needed[IDEAL_LIMIT] * mib,
		over_purge(sum, IDEAL_LIMIT), over_purge(sum, IDEAL_RESERVE), sum->kills,
		(double)sum->duration_ns / 1e9 / runs,
		over_purge(sum, IDEAL_LIMIT) > OVER_PURGE_GOAL ? "  the reserve" : "");
}

static void print_details(const struct sum *sum)
{
	printf("%s%" PRIu64 " dispatches, %" PRIu64 " events, %" PRIu64 " purges (%" PRIu64
	       " by free bytes, %" PRIu64 " of those in unpin); kept %" PRIu64 ", lost %" PRIu64
	       ", limit hit %" PRIu64 "\n",
		sum->explanation, sum->dispatches, sum->events, sum->purges, sum->headroom_purges,
		sum->unpin_purges, sum->kept, sum->lost, sum->failures);
}

static void run_case(const struct plan *plan, enum place place)
{
	struct sum sum = {.least_free = UINT64_MAX};
	int good;

	for (int i = 0; i < runs; i++)
		run_once(plan, place, &sum);
	print_row(plan, place, &sum);
	good = is_good(plan, place, &sum);
	passed += good;
	failed += !good;
	if (!good)
		printf("FAIL %s %s: %d finished, %d killed, %d stalled, %d otherwise; kept %" PRIu64
		       " lost %" PRIu64 " wrong %" PRIu64 "; limit hit %" PRIu64 "\n",
			place_names[place], plan->name, sum.finished, sum.killed, sum.stalled,
			sum.broken, sum.kept, sum.lost, sum.wrong, sum.failures);
	if (want_explain)
		print_details(&sum);
	fflush(stdout);
	free(sum.relief_ns);
}

/* Why a case makes no sense in a place, or NULL. */
static const char *case_obstacle(const struct plan *plan, enum place place)
{
	if (plan->file_mib && !file_name)
		return "no file on a disk (--file)";
	if (place == PLACE_GUEST && (plan->nested || plan->pulse_mib || plan->other_mib))
		return "it is about a cgroup's limit";
	return NULL;
}

static int is_wanted(const char *name)
{
	if (!*case_names)
		return 1;
	for (char **wanted = case_names; *wanted; wanted++)
		if (fnmatch(*wanted, name, 0) == 0)
			return 1;
	return 0;
}

static void run_bursts(enum place place)
{
	struct burst_result result = {0};

	burst_all(place, place_names[place], runs, is_wanted, trace, &result);
	passed += result.passed;
	failed += result.failed;
	if (!is_wanted("eight-processes"))
		return;
	int good = fair_run(place, place_names[place], runs);
	passed += good;
	failed += !good;
	if (!good)
		printf("FAIL %s eight-processes\n", place_names[place]);
}

static void run_place(enum place place)
{
	const char *why = group_obstacle(place);
	int has_head = 0;

	if (why) {
		skipped++;
		printf("skipped: %s: %s\n", place_names[place], why);
		return;
	}
	for (int i = 0; i < plan_count; i++) {
		struct plan plan = plans[i];
		if (!is_wanted(plan.name))
			continue;
		if (!has_head)
			print_head();
		has_head = 1;
		why = case_obstacle(&plan, place);
		plan.fill_mib /= (uint32_t)divide;
		if (!why) {
			run_case(&plan, place);
			continue;
		}
		skipped++;
		printf("skipped: %s %s: %s\n", place_names[place], plans[i].name, why);
	}
	if (place == PLACE_V1 || place == PLACE_MAX)
		run_bursts(place);
}

/* The words that begin with dashes; where the names of cases begin, or 0. */
static int parse(int argc, char **argv, uint32_t *places)
{
	int at = 1;

	for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
		const char *value = at + 1 < argc ? argv[at + 1] : "";
		if (!strcmp(argv[at], "--explain")) {
			want_explain = 1;
			continue;
		} else if (!strcmp(argv[at], "--runs") && atoi(value) > 0) {
			runs = atoi(value);
		} else if (!strcmp(argv[at], "--divide") && atoi(value) > 0) {
			divide = atoi(value);
		} else if (!strcmp(argv[at], "--file")) {
			file_name = value;
		} else if (!strcmp(argv[at], "--trace")) {
			trace = fopen(value, "we");
			must(trace ? 0 : -errno, value);
		} else if (!strcmp(argv[at], "--place")) {
			for (int place = 0; place < PLACES; place++)
				if (!strcmp(value, place_names[place]))
					*places |= 1u << place;
		} else {
			return 0;
		}
		at++;
	}
	return at;
}

int main(int argc, char **argv)
{
	uint32_t places = 0;
	int at = parse(argc, argv, &places);

	if (!at || !places) {
		fputs("usage: pressure --place v1|max|high|guest [--runs N] [--divide N] "
		      "[--explain] [--file FILE] [--trace FILE] [CASE...]\n",
			stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	case_names = argv + at;
	for (int place = 0; place < PLACES; place++)
		if (places & (1u << place))
			run_place((enum place)place);
	printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
	return failed > 0 || passed + skipped == 0;
}
