/* SPDX-License-Identifier: MIT */
/*
 * ashmemd: wait, and do one bounded thing at a time for the group that needs it most.
 *
 *   calm   nothing but a look now and then, and events
 *   wary   less than four reserves are free: scan each half second, at 2 % of a processor at most
 *   short  less than the reserve is free: purge in batches until it is free again
 */
#include "ashmemd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define WARY_SCAN_NS (500 * NS_PER_MS)
#define SCAN_SHARE 50      /* a scan each so many times its duration: 2 % */
#define SHORT_SCAN_SHARE 5 /* while memory is short: 20 % */
#define FIND_NS (1000 * NS_PER_MS)
#define NEEDED_NS (10000 * NS_PER_MS)
#define BEAT_NS (250 * NS_PER_MS)
#define LEAST_WAIT_NS NS_PER_MS
#define MOST_WAIT_NS (100 * NS_PER_MS)
#define GIVE_UP_SCANS 2
#define SIGNALS UINT64_MAX

static int epoll_fd, signal_fd;

/* What signals asked for: a scan may be under way when they come. */
static int is_ended, is_to_purge, is_to_tell;

static void tell_counts(void)
{
	unsigned in_use = 0;

	for (unsigned i = 0; i < GROUPS; i++)
		in_use += groups[i].is_used;
	say("groups=%u looks=%llu scans=%llu cut_scans=%llu scan_us=%llu batches=%llu visits=%llu "
	    "purged_pages=%llu failed=%llu passed_over=%llu backed_off=%llu elsewhere=%llu "
	    "purge_alls=%llu purge_all_us=%llu",
		in_use, (unsigned long long)counts.looks, (unsigned long long)counts.scans,
		(unsigned long long)counts.cut_scans, (unsigned long long)counts.scan_ns / 1000,
		(unsigned long long)counts.batches, (unsigned long long)counts.visits,
		(unsigned long long)counts.purged_pages, (unsigned long long)counts.purges_failed,
		(unsigned long long)counts.passed_over, (unsigned long long)counts.backed_off,
		(unsigned long long)counts.elsewhere, (unsigned long long)counts.purge_alls,
		(unsigned long long)counts.purge_all_ns / 1000);
}

static void take_signal(void)
{
	struct signalfd_siginfo info;

	while (read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			is_to_purge = 1;
		else if (info.ssi_signo == SIGUSR2)
			is_to_tell = 1;
		else if (info.ssi_signo != SIGHUP && info.ssi_signo != SIGPIPE)
			is_ended = 1;
	}
}

static void answer_signals(void)
{
	if (is_to_purge)
		purge_everything();
	if (is_to_tell)
		tell_counts();
	is_to_purge = is_to_tell = 0;
}

static void take_events(uint64_t until)
{
	struct epoll_event events[64];
	uint64_t now = now_ns();
	uint64_t wait_ms = until <= now ? 0 : (until - now + NS_PER_MS - 1) / NS_PER_MS;
	int count = epoll_wait(epoll_fd, events, 64, (int)(wait_ms < 1000 ? wait_ms : 1000));

	for (int i = 0; i < count; i++) {
		uint64_t tag = events[i].data.u64;

		if (tag == SIGNALS)
			take_signal();
		else if (tag / 256 < GROUPS && groups[tag / 256].is_used)
			group_take_event(&groups[tag / 256], tag % 256);
	}
}

static void drop(struct group *group)
{
	oom_end(group);
	group_close(group);
}

static void look_at_due(uint64_t now)
{
	for (unsigned i = 0; i < GROUPS; i++)
		if (groups[i].is_used && groups[i].look_at <= now && group_look(&groups[i]) < 0)
			drop(&groups[i]);
}

/* While a group is short: what was found is better now than all of it too late. */
static enum scan_verdict check_short(struct group *group, uint64_t found_pages)
{
	uint64_t found = found_pages * (uint64_t)sysconf(_SC_PAGESIZE);

	return found >= 2 * group_reserve(group) ? SCAN_ENOUGH : SCAN_ON;
}

/* While a group is wary: it, or another, may have become short. */
static enum scan_verdict check_wary(struct group *scanned, uint64_t found_pages)
{
	uint64_t now = now_ns();

	take_events(0);
	for (unsigned i = 0; i < GROUPS; i++) {
		if (!groups[i].is_used || &groups[i] == scanned)
			continue;
		if (groups[i].look_at <= now && group_look(&groups[i]) == 0 &&
			groups[i].state == GROUP_SHORT && groups[i].wait_until <= now)
			return SCAN_DROP;
	}
	if (group_look(scanned) == 0 && scanned->state == GROUP_SHORT)
		return check_short(scanned, found_pages);
	return SCAN_ON;
}

/* The short group with the least left of its reserve, or NULL. */
static struct group *neediest(uint64_t now)
{
	struct group *least = NULL;

	for (unsigned i = 0; i < GROUPS; i++) {
		struct group *group = &groups[i];

		if (!group->is_used || group->state != GROUP_SHORT || group->wait_until > now)
			continue;
		if (!least ||
			(double)group->free_bytes * (double)group_reserve(least) <
				(double)least->free_bytes * (double)group_reserve(group))
			least = group;
	}
	return least;
}

/*
 * Nothing can be purged now. Perhaps owners have their areas locked, and get on when this process
 * sleeps: soon again, and less and less often.
 */
static void wait_a_while(struct group *group, uint64_t now)
{
	group->wait_ns = group->wait_ns ? 2 * group->wait_ns : LEAST_WAIT_NS;
	if (group->wait_ns > MOST_WAIT_NS)
		group->wait_ns = MOST_WAIT_NS;
	uint64_t scans =
		group->scan_ns * (group->wait_ns < MOST_WAIT_NS ? SHORT_SCAN_SHARE : SCAN_SHARE);
	group->wait_until = now + (group->wait_ns > scans ? group->wait_ns : scans);
	if (group->has_no_kill && group->fruitless >= GIVE_UP_SCANS)
		oom_give_up(group);
}

static uint64_t purge_or_scan(struct group *group, uint64_t bytes, uint64_t now)
{
	uint64_t freed = purge_batch(group, bytes);

	if (freed > 0)
		return freed;
	if (now - group->scanned_at < SHORT_SCAN_SHARE * group->scan_ns)
		return 0;
	scan(group, check_short);
	freed = purge_batch(group, bytes);
	group->fruitless += freed == 0;
	return freed;
}

static void relieve(struct group *group, uint64_t now)
{
	uint64_t reserve = group_reserve(group), goal = reserve + reserve / 4;
	uint64_t before = group->free_bytes;

	if (before >= goal)
		return;
	uint64_t freed = purge_or_scan(group, goal - before, now);
	group->look_at = 0;
	if (freed == 0) {
		wait_a_while(group, now_ns());
		return;
	}
	group->fruitless = 0;
	group->wait_ns = group->wait_until = 0;
	/* Owners that watch would not have let it come that far. */
	if (before < group_least_reserve(group))
		group->needed_us_until = now + NEEDED_NS;
	if (options.verbose)
		say("%s: %llu KiB free, purged %llu pages", group->path[0] ? group->path : "system",
			(unsigned long long)before / 1024, (unsigned long long)freed);
}

static uint64_t scan_due(const struct group *group)
{
	uint64_t pause = SCAN_SHARE * group->scan_ns;

	return group->scanned_at + (pause > WARY_SCAN_NS ? pause : WARY_SCAN_NS);
}

/* One scan: the others come in the next rounds. */
static void scan_wary(uint64_t now)
{
	for (unsigned i = 0; i < GROUPS; i++)
		if (groups[i].is_used && groups[i].state == GROUP_WARY &&
			(groups[i].scanned_at == 0 || scan_due(&groups[i]) <= now)) {
			scan(&groups[i], check_wary);
			return;
		}
}

/* When something is due in any group. */
static uint64_t next_time(uint64_t until)
{
	for (unsigned i = 0; i < GROUPS; i++) {
		const struct group *group = &groups[i];
		uint64_t at = group->look_at;

		if (!group->is_used)
			continue;
		if (group->state == GROUP_SHORT && group->wait_until < at)
			at = group->wait_until;
		if (group->state == GROUP_WARY && scan_due(group) < at)
			at = scan_due(group);
		if (at < until)
			until = at;
	}
	return until;
}

static int start(void)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = SIGNALS}};
	static const int wanted[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE};
	sigset_t set;
	int r;

	sigemptyset(&set);
	for (unsigned i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		sigaddset(&set, wanted[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (signal_fd < 0 || epoll_fd < 0 ||
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, signal_fd, &event) < 0)
		return -errno;
	r = options.no_kill ? oom_start() : 0;
	if (r == 0)
		r = scan_start();
	if (r == 0 && !options.no_system)
		r = group_open(&groups[0], GROUP_SYSTEM, "", epoll_fd);
	return r;
}

/* Groups are found in 1 % of the time, if that takes long. */
static uint64_t find(void)
{
	uint64_t begun = now_ns(), ended;

	find_groups(epoll_fd);
	for (unsigned i = 1; i < GROUPS && options.no_kill; i++)
		if (groups[i].is_used && groups[i].state != GROUP_SHORT)
			oom_begin(&groups[i], epoll_fd);
	ended = now_ns();
	return ended + (100 * (ended - begun) > FIND_NS ? 100 * (ended - begun) : FIND_NS);
}

int loop(void)
{
	uint64_t find_at = 0;
	int r = start();

	if (r < 0)
		return r;
	find_at = find();
	become_urgent();
	say("ready");
	while (!is_ended) {
		uint64_t now = now_ns();

		oom_beat(now);
		look_at_due(now);
		struct group *group = neediest(now);
		if (group)
			relieve(group, now);
		else if (now >= find_at)
			find_at = find();
		else
			scan_wary(now);
		now = now_ns();
		uint64_t until =
			options.no_kill && find_at > now + BEAT_NS ? now + BEAT_NS : find_at;
		take_events(next_time(until));
		answer_signals();
	}
	tell_counts();
	for (unsigned i = 0; i < GROUPS; i++)
		if (groups[i].is_used)
			drop(&groups[i]);
	oom_stop();
	return 0;
}
