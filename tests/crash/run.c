/* SPDX-License-Identifier: MIT */
/*
 * One case. First every step of the operation is judged, on copies, as if the child had been killed
 * behind it: states that do not differ from the last are judged with it. Then the child is killed
 * for real, behind some steps at random and around every system call, and a fresh process judges
 * the originals. Then, for some of the states that need recovery, a child recovers from them, and
 * every step of the recovery is judged in turn.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash.h"
#include "memfd/area.h"

enum { CRASHES_MAX = 16, CALLS_MAX = 400, LONGEST = 3000000 };

/* A state to recover from, as the kernel leaves it. */
struct crash {
	struct image image;
	uint64_t step;
};

struct run {
	const struct crash_case *c;
	struct world originals, copies;
	struct image before, seen;
	struct verdict_rules rules;
	struct victim victim;
	pid_t holder; /* of the lock, in a contended case */
	uint64_t states, last_states;
	int failures;
	uint64_t calls[CALLS_MAX]; /* steps that were system calls */
	int call_count;
	struct crash crash[CRASHES_MAX];
	int crashes, wanted;
	uint64_t crashes_met;
};

/* -- a process that holds the lock -- */

static void hold(void *argument)
{
	struct run *run = argument;

	world_close(&run->copies);
	world_import(&run->originals);
	struct control_map *map = control_of(&run->originals.area[0]);
	if (control_lock(map) < 0)
		_exit(1);
	__atomic_store_n(&stage->locked, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&stage->release, __ATOMIC_SEQ_CST))
		usleep(500);
	control_unlock(map, 0);
}

static void holder_start(struct run *run)
{
	if (!(run->c->flags & CONTENDED))
		return;
	stage->locked = stage->release = 0;
	run->holder = spawn(hold, run);
	while (!__atomic_load_n(&stage->locked, __ATOMIC_SEQ_CST))
		usleep(500);
}

static void holder_end(struct run *run)
{
	if (run->holder == 0)
		return;
	__atomic_store_n(&stage->release, 1, __ATOMIC_SEQ_CST);
	wait_for(run->holder);
	run->holder = 0;
}

/* -- a death that is only thought of -- */

/* What the kernel and the holder of the lock do to the locks of the copies. */
static void lay_out(struct run *run, int pending)
{
	for (int a = 0; a < run->copies.areas; a++) {
		uint32_t *word = &run->copies.area[a].control->lock;
		if (a == pending && (*word & LOCK_TID) == (uint32_t)run->victim.pid)
			*word = (*word & LOCK_WAITERS) | LOCK_DEAD;
		if (run->holder && (*word & LOCK_TID) == (uint32_t)run->holder)
			*word = 0;
	}
}

/* A survivor's memories: it has looked at the lists as they were. */
static void warm_up(struct run *run)
{
	struct world *world = &run->copies;

	image_put(world, &run->before);
	for (int a = 0; a < world->areas; a++)
		for (uint32_t page = 0; page < run->c->pages; page += run->c->pages / 4 + 1)
			ashmem_get_pin_status(world->area[a].handle, page * sys_page_size(),
				sys_page_size());
}

/* Keep some of the states that need recovery, each as likely as any other. */
static void keep_crash(struct run *run)
{
	const struct control *control = run->copies.area[run->c->op.area].control;
	int worth = control->ranges.journal_count || control->ranges.intent.active ||
		control->purge_count;

	if (!worth || run->wanted == 0)
		return;
	uint64_t met = run->crashes_met++;
	int at = run->crashes < run->wanted ? run->crashes : (int)random_below((uint32_t)met + 1);
	if (at >= run->wanted)
		return;
	if (at == run->crashes) {
		image_make(&run->crash[at].image, &run->copies);
		run->crashes++;
	}
	image_update(&run->crash[at].image, &run->copies, 1);
	run->crash[at].step = run->victim.steps;
}

/* Judge the state as of now; `pending` is the area whose lock word the kernel would look at. */
static void judge_here(struct run *run, int pending)
{
	struct range_list memories[AREAS_MAX];

	warm_up(run);
	for (int a = 0; a < run->copies.areas; a++)
		memories[a] = control_of(&run->copies.area[a])->list;
	image_put(&run->copies, &run->seen);
	for (int a = 0; a < run->copies.areas; a++)
		control_of(&run->copies.area[a])->list = memories[a];
	lay_out(run, pending);
	keep_crash(run);
	run->states++;
	if (judge(&run->copies, &run->rules, run->states & 1) < 0)
		run->failures++;
}

static void note_call(struct run *run)
{
	if (run->victim.was_call && run->call_count < CALLS_MAX)
		run->calls[run->call_count++] = run->victim.steps;
	/* It has slept twice for the lock: let it have it. */
	if (run->holder && run->call_count == 4)
		holder_end(run);
}

/* Step the victim to its end, judging on the way. */
static void judge_every_step(struct run *run, const char *what)
{
	int last_pending = NONE, pending;

	image_update(&run->seen, &run->originals, 1);
	judge_here(run, NONE);
	while (run->failures < 3 && victim_step(&run->victim)) {
		snprintf(here, sizeof(here), "%s: %s step %" PRIu64, run->c->name, what,
			run->victim.steps);
		note_call(run);
		int changed = image_update(&run->seen, &run->originals, run->victim.was_call);
		pending = victim_pending(&run->victim, &run->originals);
		if (changed || pending != last_pending)
			judge_here(run, pending);
		last_pending = pending;
		if (run->victim.steps > LONGEST)
			run->failures += complain("does not end") < 0;
	}
	if (run->failures < 3) {
		image_update(&run->seen, &run->originals, 1);
		judge_here(run, victim_pending(&run->victim, &run->originals));
	}
}

/* -- real deaths -- */

static int is_locked(const struct area *area)
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = (off_t)area->data_bytes};
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", area->fd);
	int own = open(path, O_RDONLY | O_CLOEXEC);
	if (own < 0 || fcntl(own, F_OFD_GETLK, &lock) < 0)
		die("a look for locks");
	close(own);
	return lock.l_type != F_UNLCK;
}

static void judge_originals(void *argument)
{
	struct run *run = argument;

	world_close(&run->copies);
	alarm(60);
	/*
	 * Nobody is there who could hold pages: the dead one's locks are gone, and a purge has
	 * none that could stay with the descriptions that others share. Nobody has recovered yet.
	 */
	for (int a = 0; a < run->originals.areas; a++)
		if (is_locked(&run->originals.area[a])) {
			complain("area %d: pages are locked still", a);
			_exit(1);
		}
	world_import(&run->originals);
	for (int a = 0; a < run->originals.areas; a++)
		if (!run->originals.area[a].handle) {
			complain("a fresh process cannot import area %d", a);
			_exit(1);
		}
	_exit(judge(&run->originals, &run->rules, 1) < 0);
}

static void kill_behind(struct run *run, uint64_t step)
{
	image_put(&run->originals, &run->before);
	victim_start(&run->victim, run->c, &run->originals, &run->copies);
	holder_start(run);
	run->call_count = 0;
	while (run->victim.steps < step && victim_step(&run->victim))
		note_call(run);
	snprintf(here, sizeof(here), "%s: killed behind step %" PRIu64, run->c->name,
		run->victim.steps);
	victim_kill(&run->victim);
	holder_end(run);
	totals.killed++;
	run->rules.seen_after = 0;
	run->rules.released = 0;
	if (wait_for(spawn(judge_originals, run)) != 0)
		run->failures++;
}

static void kill_for_real(struct run *run, uint64_t steps)
{
	uint64_t calls[CALLS_MAX];
	int count = run->call_count, sample = (deep ? 60 : 10) / (run->c->flags & SLOW ? 3 : 1);
	int most = deep ? CALLS_MAX : run->c->flags & SLOW ? 4 : 8;

	memcpy(calls, run->calls, sizeof(calls));
	for (int i = 0; i < sample && run->failures < 3; i++)
		kill_behind(run, random_below((uint32_t)steps + 1));
	int every = count > most ? count / most : 1;
	for (int i = 0; i < count && run->failures < 3; i += every) {
		kill_behind(run, calls[i] - 1);
		kill_behind(run, calls[i]);
		if (deep)
			kill_behind(run, calls[i] + 1);
	}
}

/* -- a second death -- */

static void crash_again(struct run *run, struct crash *crash)
{
	static struct crash_case recovery;
	struct victim *victim = &run->victim;
	char what[60];

	recovery = *run->c;
	recovery.op =
		(struct op){.kind = OP_STATUS, .area = run->c->op.area, .first = 0, .pages = 1};
	recovery.flags = 0;
	image_put(&run->originals, &run->before);
	victim_start(victim, &recovery, &run->originals, &run->copies);
	image_put(&run->originals, &crash->image);
	run->rules.seen_after = 0;
	run->rules.released = 0;
	snprintf(what, sizeof(what), "dead at step %" PRIu64 ", recovery", crash->step);
	judge_every_step(run, what);
	totals.again += victim->steps;
	totals.vdso += victim->skipped;
	victim_kill(victim);
}

/* -- all of it -- */

static void run_set_up(struct run *run, const struct crash_case *c)
{
	memset(run, 0, sizeof(*run));
	run->c = c;
	snprintf(here, sizeof(here), "%s: setting up", c->name);
	world_make(&run->originals, c->areas, c->pages);
	c->build(&run->originals);
	world_close(&run->originals);
	world_make(&run->copies, c->areas, c->pages);
	image_make(&run->before, &run->originals);
	image_make(&run->seen, &run->originals);
	rules_make(&run->rules, c, &run->originals);
	image_update(&run->before, &run->originals, 1);
	run->wanted = c->flags & SLOW ? 1 : 2;
	if (deep)
		run->wanted = c->flags & SLOW ? 4 : CRASHES_MAX;
	if (c->flags & CONTENDED)
		run->wanted = 0;
}

static void run_tear_down(struct run *run)
{
	for (int i = 0; i < run->crashes; i++)
		image_drop(&run->crash[i].image);
	image_drop(&run->before);
	image_drop(&run->seen);
	world_drop(&run->copies);
	world_drop(&run->originals);
}

/* Uninterrupted it does what it should. */
static void check_end(struct run *run)
{
	static struct list lists[AREAS_MAX];
	const struct crash_case *c = run->c;

	memcpy(lists, run->rules.before, sizeof(lists));
	int64_t expected = op_naive(&c->op, lists, c->areas);
	if (stage->result != expected)
		run->failures += complain("it answers %" PRId64 ", not %" PRId64, stage->result,
					 expected) < 0;
	if (!op_is_purge(&c->op) && !run->rules.seen_after &&
		!lists_equal(&lists[c->op.area], &run->rules.before[c->op.area]))
		run->failures += complain("it ended, and nothing was done") < 0;
}

void run_case(const struct crash_case *c)
{
	static struct run run;
	uint64_t again = totals.again, killed = totals.killed, states;

	run_set_up(&run, c);
	alarm(deep ? 3600 : 600);
	victim_start(&run.victim, c, &run.originals, &run.copies);
	holder_start(&run);
	judge_every_step(&run, "as of");
	holder_end(&run);
	uint64_t steps = run.victim.steps;
	totals.vdso += run.victim.skipped;
	if (run.victim.finished)
		check_end(&run);
	victim_kill(&run.victim);
	states = run.states;
	run.wanted = 0;
	kill_for_real(&run, steps);
	run.states = 0;
	for (int i = 0; i < run.crashes && run.failures < 3; i++)
		crash_again(&run, &run.crash[i]);
	totals.points += steps;
	totals.states += states + run.states;
	printf("%-44s %7" PRIu64 " steps %5" PRIu64 " states %4" PRIu64 " killed %6" PRIu64
	       " in recovery%s\n",
		c->name, steps, states, totals.killed - killed, totals.again - again,
		run.failures ? "  FAILED" : "");
	fflush(stdout);
	case_done(c->name, run.failures);
	run_tear_down(&run);
}
