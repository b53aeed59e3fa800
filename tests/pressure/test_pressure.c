/* SPDX-License-Identifier: MIT */
/*
 * pressure.h: options, dispatching and purging, the subscriber, the thread, fork. Pressure is made
 * with a FIFO in place of the service manager's file, and with a file in place of /proc/meminfo.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/fake_system.h"

#include "pressure/source.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGES 1000

static int fifo = -1;

/* A system whose only source is a FIFO. */
static void begin(void)
{
	fake_system_begin();
	expect_eq(mkfifo(fake_path("fifo"), 0600), 0);
	setenv("MEMORY_PRESSURE_WATCH", fake_path("fifo"), 1);
	fifo = open(fake_path("fifo"), O_RDWR | O_CLOEXEC);
	expect(fifo >= 0);
}

static void end(void)
{
	close(fifo);
	fake_system_end();
}

static void make_event(void)
{
	expect_eq(write(fifo, "x", 1), 1);
}

static int open_answer(struct ashmem_pressure_options options)
{
	struct ashmem_pressure *pressure = NULL;
	int answer = ashmem_pressure_open(&options, &pressure);

	expect((answer == 0) == (pressure != NULL));
	ashmem_pressure_close(pressure);
	return answer;
}

#define OPTIONS(...)                       \
	((struct ashmem_pressure_options){ \
		.struct_size = sizeof(struct ashmem_pressure_options), __VA_ARGS__})

CONTRACT_TEST(pressure, open_checks_its_options)
{
	struct {
		struct ashmem_pressure_options known;
		uint64_t more;
	} newer = {.known = OPTIONS(.source = "service")};

	begin();
	expect_eq(open_answer(OPTIONS(.source = "service")), 0);
	expect_eq(open_answer(OPTIONS(.source = "no such source")), -EINVAL);
	expect_eq(open_answer(OPTIONS(.source = "off")), -EINVAL);
	expect_eq(open_answer(OPTIONS(.some_percent = 100)), 0);
	expect_eq(open_answer(OPTIONS(.some_percent = 101)), -EINVAL);
	expect_eq(open_answer(OPTIONS(.high_percent = 101)), -EINVAL);
	expect_eq(open_answer(OPTIONS(.critical_percent = 101)), -EINVAL);
	expect_eq(open_answer(OPTIONS(.critical_percent = ASHMEM_PRESSURE_PURGE_NOTHING)), 0);
	expect_eq(open_answer(OPTIONS(.hold_ms = 3600000)), 0);
	expect_eq(open_answer(OPTIONS(.hold_ms = 3600001)), -EINVAL);
	expect_eq(open_answer(OPTIONS(.flags = ASHMEM_PRESSURE_NOT_IN_UNPIN)), 0);
	expect_eq(open_answer(OPTIONS(.flags = 4)), -EINVAL);
	expect_eq(open_answer(OPTIONS(.reserve_percent = 50, .reserve_most_bytes = UINT64_MAX)), 0);
	expect_eq(open_answer(OPTIONS(.reserve_percent = 51)), -EINVAL);
	expect_eq(open_answer((struct ashmem_pressure_options){.struct_size = sizeof(size_t) - 1}),
		-EINVAL);
	/* Older: what lies behind is not read. Newer: what we do not know must be zero. */
	expect_eq(open_answer((struct ashmem_pressure_options){
			  .struct_size = sizeof(size_t), .source = "no such source"}),
		0);
	newer.known.struct_size = sizeof newer;
	struct ashmem_pressure *pressure = NULL;
	expect_eq(ashmem_pressure_open(&newer.known, &pressure), 0);
	ashmem_pressure_close(pressure);
	newer.more = 1;
	expect_eq(ashmem_pressure_open(&newer.known, &pressure), -E2BIG);
	expect_eq(ashmem_pressure_open(NULL, NULL), -EINVAL);
	end();
}

CONTRACT_TEST(pressure, null_handles_are_refused_and_closing_null_is_fine)
{
	struct ashmem_pressure_status status = {.struct_size = sizeof status};

	expect_eq(ashmem_pressure_fd(NULL), -EINVAL);
	expect_eq(ashmem_pressure_dispatch(NULL), -EINVAL);
	expect_eq(ashmem_pressure_subscribe(NULL, NULL, NULL), -EINVAL);
	expect_eq(ashmem_pressure_run(NULL), -EINVAL);
	expect_eq(ashmem_pressure_stop(NULL), -EINVAL);
	expect(ashmem_pressure_source(NULL) == NULL);
	expect_eq(ashmem_pressure_explain(NULL, NULL, 0), -EINVAL);
	expect_eq(ashmem_pressure_get_status(NULL, &status), -EINVAL);
	ashmem_pressure_close(NULL);
}

CONTRACT_TEST(pressure, explain_and_status_fit_themselves_to_the_caller)
{
	struct ashmem_pressure *pressure;
	struct ashmem_pressure_status status;
	char cut[8] = "........";

	begin();
	pressure = fake_open(NULL);
	int length = ashmem_pressure_explain(pressure, NULL, 0);
	expect_eq(length, strlen(fake_explanation(pressure)));
	expect_eq(ashmem_pressure_explain(pressure, cut, 5), length);
	expect_str(cut, "serv");
	expect_eq(cut[5], '.');
	expect_eq(ashmem_pressure_explain(pressure, NULL, 1), -EINVAL);
	expect_eq(ashmem_pressure_get_status(pressure, NULL), -EINVAL);
	memset(&status, 0xee, sizeof status);
	status.struct_size = sizeof(size_t) - 1;
	expect_eq(ashmem_pressure_get_status(pressure, &status), -EINVAL);
	status.struct_size = offsetof(struct ashmem_pressure_status, dispatches);
	expect_eq(ashmem_pressure_get_status(pressure, &status), 0);
	expect_eq(status.level, 0);
	expect_eq(status.dispatches, 0xeeeeeeeeeeeeeeee);
	ashmem_pressure_close(pressure);
	end();
}

CONTRACT_TEST(pressure, every_descriptor_is_close_on_exec_and_closed_again)
{
	struct holdings before;
	struct ashmem_pressure *pressure;
	int count = 0;

	begin();
	before = holdings_now();
	pressure = fake_open(NULL);
	expect_eq(ashmem_pressure_run(pressure), 0);
	for (int fd = 3; fd < 200; fd++) {
		int flags = fcntl(fd, F_GETFD);
		char link[64], target[256] = "";
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		if (flags < 0 || readlink(link, target, sizeof target - 1) < 0)
			continue;
		if (!strstr(target, "event") && !strstr(target, "timerfd") &&
			!strstr(target, "fifo"))
			continue;
		count++;
		expect_msg(flags & FD_CLOEXEC, "%s is inherited", target);
	}
	expect(count >= 4); /* epoll, timer, FIFO, the thread's */
	ashmem_pressure_close(pressure);
	expect_holdings(&before);
	end();
}

/* An area of ranges of ten pages, unpinned but for the first range. */
static struct view unpinned_view(void)
{
	struct view view = view_make(PAGES);

	fill_pages(&view, 0, PAGES, 0x5a);
	for (uint64_t first = 10; first < PAGES; first += 10)
		unpin_pages(view.area, first, 10);
	return view;
}

CONTRACT_TEST(pressure, events_purge_shares_oldest_first_and_no_pinned_page)
{
	struct ashmem_pressure *pressure;
	struct ashmem_pressure_status status;
	struct view view;

	skip_on_kernel("only the kernel decides when the driver purges");
	begin();
	view = unpinned_view();
	pressure = fake_open(NULL);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	expect_eq(ashmem_shrink_count(), PAGES - 10);
	make_event();
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_SOME);
	expect_eq(ashmem_shrink_count(), PAGES - 10 - 60); /* 6 % of 990: 59.4, in whole ranges */
	status = fake_status(pressure);
	expect_eq(status.level, ASHMEM_PRESSURE_SOME);
	expect_eq(status.events, 1);
	expect_eq(status.purges, 1);
	expect_eq(status.wanted_pages, 60);
	expect_eq(status.purged_pages, 60);
	expect_eq(status.headroom_purges, 0);
	/* It lasts: more each time. It ends: nothing. */
	for (int i = 0; i < 8; i++) {
		fake_clock_step(100);
		make_event();
		ashmem_pressure_dispatch(pressure);
	}
	expect_eq(ashmem_shrink_count(), 0);
	fake_clock_step(100);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_SOME);
	fake_clock_step(1000);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	expect(pages_hold(&view, 0, 10, 0x5a));
	expect(pages_hold(&view, 10, PAGES - 10, 0));
	expect_eq(pin_pages(view.area, 0, 10), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(view.area, 10, 10), ASHMEM_WAS_PURGED);
	ashmem_pressure_close(pressure);
	view_drop(&view);
	end();
}

CONTRACT_TEST(pressure, free_bytes_purge_what_is_needed)
{
	struct ashmem_pressure *pressure;
	struct ashmem_pressure_status status;
	struct view view;
	uint64_t page_kib = page_bytes() / 1024;

	skip_on_kernel("only the kernel decides when the driver purges");
	begin();
	view = unpinned_view();
	unsetenv("MEMORY_PRESSURE_WATCH");
	fake_available(1000);
	pressure = fake_open(NULL);
	expect_str(ashmem_pressure_source(pressure), "available");
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	/* Relief is a quarter above the threshold of 256 MiB: 100 pages are missing. */
	fake_available(255);
	expect_eq(fake_status(pressure).purges, 0);
	fake_write("proc/meminfo", "MemTotal: 1048576 kB\nMemAvailable: %llu kB\n",
		(unsigned long long)(320 * 1024 - 100 * page_kib));
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE); /* it has not begun */
	fake_available(255);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_SOME);
	status = fake_status(pressure);
	expect_eq(status.wanted_pages,
		65 * 1024 / page_kib < PAGES - 10 ? 65 * 1024 / page_kib : PAGES - 10);
	expect(status.purged_pages >= status.wanted_pages);
	expect_eq(status.headroom_purges, 1);
	ashmem_pressure_close(pressure);
	view_drop(&view);
	end();
}

CONTRACT_TEST(pressure, a_level_can_be_told_to_purge_nothing)
{
	struct ashmem_pressure_options options =
		OPTIONS(.some_percent = ASHMEM_PRESSURE_PURGE_NOTHING);
	struct ashmem_pressure *pressure = NULL;
	struct view view;

	skip_on_kernel("only the kernel decides when the driver purges");
	begin();
	view = unpinned_view();
	expect_eq(ashmem_pressure_open(&options, &pressure), 0);
	make_event();
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_SOME);
	expect_eq(ashmem_shrink_count(), PAGES - 10);
	ashmem_pressure_close(pressure);
	view_drop(&view);
	end();
}

/* -- in unpin -- */

/*
 * A thousandth of the pages of an area, over and over, until something is purged or it was done
 * often enough.
 */
static int unpin_often(const struct view *view, int times)
{
	uint64_t before = ashmem_shrink_count();

	for (int i = 0; i < times && ashmem_shrink_count() >= before; i++) {
		expect(pin_pages(view->area, 10, PAGES - 10) >= 0);
		unpin_pages(view->area, 10, PAGES - 10);
		usleep(10);
	}
	return ashmem_shrink_count() < before;
}

#define OFTEN 20000

/* Just not short, so that unpin looks every 16 MiB; then short. */
static struct view view_that_gets_short(struct ashmem_pressure_options *options,
	struct ashmem_pressure **pressure)
{
	struct view view = view_make(PAGES);

	unsetenv("MEMORY_PRESSURE_WATCH");
	fake_available(257);
	fill_pages(&view, 0, PAGES, 0x5a);
	unpin_pages(view.area, 10, PAGES - 10);
	expect_eq(ashmem_pressure_open(options, pressure), 0);
	fake_available(200);
	return view;
}

static int calls;

static void count_calls(void *userdata, uint32_t level, uint32_t before, uint64_t purged_pages)
{
	(void)userdata, (void)level, (void)before, (void)purged_pages;
	calls++;
}

CONTRACT_TEST(pressure, unpin_purges_when_free_bytes_are_short)
{
	struct ashmem_pressure *pressure = NULL;
	struct ashmem_pressure_status status;
	struct view view;

	skip_on_kernel("only the kernel decides when the driver purges");
	begin();
	view = view_that_gets_short(NULL, &pressure);
	calls = 0;
	expect_eq(ashmem_pressure_subscribe(pressure, count_calls, NULL), 0);
	expect(unpin_often(&view, OFTEN));
	status = fake_status(pressure);
	expect_eq(status.unpin_purges, 1);
	expect_eq(status.purges, 1);
	expect_eq(status.headroom_purges, 1);
	expect_eq(status.wanted_pages, PAGES - 10);
	expect_eq(status.purged_pages, PAGES - 10);
	expect(pages_hold(&view, 0, 10, 0x5a));
	/* Telling is left to the dispatch. */
	expect_eq(status.dispatches, 0);
	expect_eq(calls, 0);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_SOME);
	expect_eq(calls, 1);
	ashmem_pressure_close(pressure);
	view_drop(&view);
	end();
}

CONTRACT_TEST(pressure, unpin_leaves_it_to_others_if_told_so)
{
	struct ashmem_pressure_options options = OPTIONS(.flags = ASHMEM_PRESSURE_NOT_IN_UNPIN);
	struct ashmem_pressure_options nothing =
		OPTIONS(.some_percent = ASHMEM_PRESSURE_PURGE_NOTHING);
	struct ashmem_pressure *pressure = NULL;
	struct view view;

	skip_on_kernel("only the kernel decides when the driver purges");
	begin();
	view = view_that_gets_short(&options, &pressure);
	expect(!unpin_often(&view, 1000));
	ashmem_pressure_close(pressure);
	view_drop(&view);
	view = view_that_gets_short(&nothing, &pressure); /* this level is not to purge */
	expect(!unpin_often(&view, 1000));
	fake_available(100);
	expect(unpin_often(&view, OFTEN));
	ashmem_pressure_close(pressure);
	/* No watch, no purge. */
	view_drop(&view);
	view = unpinned_view();
	expect(!unpin_often(&view, 1000));
	view_drop(&view);
	end();
}

CONTRACT_TEST(pressure, the_next_handle_takes_over_what_unpin_does)
{
	struct ashmem_pressure *first = NULL, *second;
	struct view view;

	skip_on_kernel("only the kernel decides when the driver purges");
	begin();
	view = view_that_gets_short(NULL, &first);
	second = fake_open(NULL);
	ashmem_pressure_close(first);
	fake_available(300);
	expect_eq(ashmem_pressure_dispatch(second), ASHMEM_PRESSURE_NONE);
	fake_available(200);
	expect(unpin_often(&view, OFTEN));
	expect_eq(fake_status(second).unpin_purges, 1);
	ashmem_pressure_close(second);
	view_drop(&view);
	end();
}

static uint64_t count_until_closed(void *userdata)
{
	struct ashmem_pressure **pressure = userdata;

	return *pressure ? PAGES : 0;
}

static int64_t close_in_purge(void *userdata, uint64_t nr_to_scan)
{
	struct ashmem_pressure **pressure = userdata;

	(void)nr_to_scan;
	ashmem_pressure_close(*pressure);
	*pressure = NULL;
	return ASHMEM_SHRINK_STOP;
}

CONTRACT_TEST(pressure, a_handle_can_be_closed_while_unpin_purges_for_it)
{
	struct ashmem_pressure *pressure = NULL, *next;
	struct ashmem_shrinker_options options = {.struct_size = sizeof options,
		.count = count_until_closed,
		.scan = close_in_purge,
		.userdata = &pressure};
	struct ashmem_shrinker *shrinker;
	struct holdings before;
	struct view view;

	skip_on_kernel("only the kernel decides when the driver purges");
	begin();
	before = holdings_now();
	view = view_that_gets_short(NULL, &pressure);
	expect_eq(ashmem_shrinker_register(&options, &shrinker), 0);
	expect(unpin_often(&view, OFTEN));
	expect(pressure == NULL);
	ashmem_shrinker_unregister(shrinker);
	unpin_pages(view.area, 10, PAGES - 10);
	expect(!unpin_often(&view, 1000)); /* nobody watches */
	next = fake_open(NULL);
	expect(unpin_often(&view, OFTEN));
	expect_eq(fake_status(next).unpin_purges, 1);
	ashmem_pressure_close(next);
	view_drop(&view);
	expect_holdings(&before);
	end();
}

static void unpin_in_child(void *argument)
{
	struct view *view = argument;
	struct ashmem_pressure *own;

	expect(!unpin_often(view, 1000));
	own = fake_open(NULL);
	expect(unpin_often(view, OFTEN));
	expect_eq(fake_status(own).unpin_purges, 1);
	ashmem_pressure_close(own);
}

CONTRACT_TEST(pressure, a_child_purges_in_unpin_with_a_handle_of_its_own_only)
{
	struct ashmem_pressure *pressure = NULL;
	struct view view;

	skip_on_kernel("only the kernel decides when the driver purges");
	begin();
	view = view_that_gets_short(NULL, &pressure);
	run_child(unpin_in_child, &view);
	expect_eq(fake_status(pressure).unpin_purges, 0);
	ashmem_pressure_close(pressure);
	view_drop(&view);
	end();
}

/* -- the subscriber -- */

struct heard {
	struct ashmem_pressure *pressure;
	int calls;
	uint32_t level, before;
	uint64_t purged;
	int nested;
	int stop_answer;
};

static void hear(void *userdata, uint32_t level, uint32_t before, uint64_t purged_pages)
{
	struct heard *heard = userdata;

	heard->level = level;
	heard->before = before;
	heard->purged = purged_pages;
	heard->nested = ashmem_pressure_dispatch(heard->pressure);
	heard->stop_answer = ashmem_pressure_stop(heard->pressure);
	__atomic_add_fetch(&heard->calls, 1, __ATOMIC_RELEASE);
}

CONTRACT_TEST(pressure, subscriber_hears_changes_only)
{
	struct heard heard = {.calls = 0};

	begin();
	heard.pressure = fake_open(NULL);
	expect_eq(ashmem_pressure_subscribe(heard.pressure, hear, &heard), 0);
	ashmem_pressure_dispatch(heard.pressure);
	expect_eq(heard.calls, 0);
	make_event();
	ashmem_pressure_dispatch(heard.pressure);
	expect_eq(heard.calls, 1);
	expect_eq(heard.level, ASHMEM_PRESSURE_SOME);
	expect_eq(heard.before, ASHMEM_PRESSURE_NONE);
	expect_eq(heard.purged, 0); /* there was nothing */
	expect_eq(heard.nested, ASHMEM_PRESSURE_SOME);
	expect_eq(heard.stop_answer, 0);
	make_event();
	ashmem_pressure_dispatch(heard.pressure);
	expect_eq(heard.calls, 1);
	fake_clock_step(2000);
	ashmem_pressure_dispatch(heard.pressure);
	expect_eq(heard.calls, 2);
	expect_eq(heard.level, ASHMEM_PRESSURE_NONE);
	expect_eq(heard.before, ASHMEM_PRESSURE_SOME);
	expect_eq(ashmem_pressure_subscribe(heard.pressure, NULL, NULL), 0);
	make_event();
	ashmem_pressure_dispatch(heard.pressure);
	expect_eq(heard.calls, 2);
	ashmem_pressure_close(heard.pressure);
	end();
}

/* -- waiting -- */

/* In real time: the timer brings the level down again, through an epoll set around ours. */
CONTRACT_TEST(pressure, descriptor_works_in_an_epoll_loop_until_the_level_has_fallen)
{
	struct ashmem_pressure_options options = OPTIONS(.hold_ms = 1);
	struct ashmem_pressure *pressure = NULL;
	struct epoll_event event = {.events = EPOLLIN};
	struct view view;
	int outer, level = ASHMEM_PRESSURE_SOME;

	begin();
	source_clock = sys_now_ns;
	view = unpinned_view();
	expect_eq(ashmem_pressure_open(&options, &pressure), 0);
	outer = epoll_create1(EPOLL_CLOEXEC);
	expect_eq(epoll_ctl(outer, EPOLL_CTL_ADD, ashmem_pressure_fd(pressure), &event), 0);
	expect_eq(epoll_wait(outer, &event, 1, 0), 0);
	make_event();
	expect_eq(epoll_wait(outer, &event, 1, 10000), 1);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_SOME);
	while (level != ASHMEM_PRESSURE_NONE) {
		expect_eq(epoll_wait(outer, &event, 1, 10000), 1);
		level = ashmem_pressure_dispatch(pressure);
	}
	/* No pressure: no timer, nothing wakes us up. */
	expect_eq(epoll_wait(outer, &event, 1, 50), 0);
	close(outer);
	ashmem_pressure_close(pressure);
	view_drop(&view);
	end();
}

static void wait_for_calls(struct heard *heard, int calls)
{
	for (int i = 0; i < 20000 && __atomic_load_n(&heard->calls, __ATOMIC_ACQUIRE) < calls; i++)
		usleep(1000);
	expect(__atomic_load_n(&heard->calls, __ATOMIC_ACQUIRE) >= calls);
}

CONTRACT_TEST(pressure, thread_dispatches_until_it_is_stopped)
{
	struct heard heard = {.calls = 0};

	begin();
	source_clock = sys_now_ns;
	heard.pressure = fake_open(NULL);
	expect_eq(ashmem_pressure_subscribe(heard.pressure, hear, &heard), 0);
	expect_eq(ashmem_pressure_stop(heard.pressure), 0);
	expect_eq(ashmem_pressure_run(heard.pressure), 0);
	expect_eq(ashmem_pressure_run(heard.pressure), -EALREADY);
	make_event();
	wait_for_calls(&heard, 2); /* up and down */
	expect_eq(ashmem_pressure_stop(heard.pressure), 0);
	expect_eq(heard.stop_answer, -EDEADLK);
	expect_eq(heard.level, ASHMEM_PRESSURE_NONE);
	int calls = heard.calls;
	make_event();
	usleep(50000);
	expect_eq(heard.calls, calls);
	/* Again, and ended by closing. */
	expect_eq(ashmem_pressure_run(heard.pressure), 0);
	wait_for_calls(&heard, calls + 1);
	ashmem_pressure_close(heard.pressure);
	end();
}

CONTRACT_TEST(pressure, stopping_right_after_starting_works)
{
	struct ashmem_pressure *pressure;

	begin();
	pressure = fake_open(NULL);
	for (int i = 0; i < 200; i++) {
		expect_eq(ashmem_pressure_run(pressure), 0);
		expect_eq(ashmem_pressure_stop(pressure), 0);
	}
	ashmem_pressure_close(pressure);
	end();
}

/* -- fork -- */

static void use_in_child(void *argument)
{
	struct ashmem_pressure_status status = {.struct_size = sizeof status};
	struct ashmem_pressure *pressure = argument;
	char text[16];

	expect_eq(ashmem_pressure_dispatch(pressure), -ESTALE);
	expect_eq(ashmem_pressure_fd(pressure), -ESTALE);
	expect_eq(ashmem_pressure_run(pressure), -ESTALE);
	expect_eq(ashmem_pressure_stop(pressure), -ESTALE);
	expect_eq(ashmem_pressure_subscribe(pressure, NULL, NULL), -ESTALE);
	expect_eq(ashmem_pressure_explain(pressure, text, sizeof text), -ESTALE);
	expect_eq(ashmem_pressure_get_status(pressure, &status), -ESTALE);
	expect(ashmem_pressure_source(pressure) == NULL);
	ashmem_pressure_close(pressure);
}

CONTRACT_TEST(pressure, a_child_can_only_close_and_the_parent_does_not_notice)
{
	struct ashmem_pressure *pressure;
	struct pollfd fd = {.events = POLLIN};

	begin();
	pressure = fake_open(NULL);
	run_child(use_in_child, pressure);
	make_event();
	fd.fd = ashmem_pressure_fd(pressure);
	expect_eq(poll(&fd, 1, 10000), 1);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_SOME);
	ashmem_pressure_close(pressure);
	end();
}

/* Its descriptors */

static void expect_streams_closed(void)
{
	for (int fd = 0; fd < 3; fd++)
		expect_eq(fcntl(fd, F_GETFD), -1);
}

static void watch_without_streams(const char *source)
{
	struct ashmem_pressure *pressure = NULL;

	expect_eq(ashmem_pressure_open(&OPTIONS(.source = source), &pressure), 0);
	expect(ashmem_pressure_fd(pressure) > 2);
	expect_eq(ashmem_pressure_run(pressure), 0);
	expect_streams_closed();
	expect_eq(ashmem_pressure_stop(pressure), 0);
	ashmem_pressure_close(pressure);
	expect_streams_closed();
}

static void watch_all_without_streams(void *unused)
{
	(void)unused;
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	watch_without_streams("service");
	watch_without_streams("available");
	watch_without_streams("system-psi");
	watch_without_streams(NULL);
}

CONTRACT_TEST(pressure, takes_none_of_the_standard_streams)
{
	begin();
	fake_available(900);
	fake_stalls("proc/pressure/memory", 0);
	run_child(watch_all_without_streams, NULL);
	end();
}

/* The numbers from `from` on that are open become this file. How many they were. */
static int replace_from(int from, int fd)
{
	int count = 0;

	for (int i = from; i < 100; i++)
		if (i != fd && fcntl(i, F_GETFD) >= 0) {
			expect_eq(dup2(fd, i), i);
			count++;
		}
	return count;
}

static void lose_all_descriptors(void *unused)
{
	struct ashmem_pressure *pressure = fake_open("service");
	int first = ashmem_pressure_fd(pressure), count;
	int made = memfd_create("theirs", MFD_CLOEXEC), theirs = dup3(made, 200, O_CLOEXEC);
	char bytes[8];

	(void)unused;
	close(made);
	expect_eq(pwrite(theirs, "theirs", 6, 0), 6);
	make_event();
	count = replace_from(first, theirs);
	expect(count >= 3); /* epoll, timer, FIFO */
	expect_eq(ashmem_pressure_dispatch(pressure), -ENODEV);
	expect_eq(ashmem_pressure_dispatch(pressure), -ENODEV);
	ashmem_pressure_close(pressure);
	expect_eq(replace_from(first, theirs), count); /* all are open still */
	expect_eq(pread(theirs, bytes, sizeof bytes, 0), 6);
	expect(memcmp(bytes, "theirs", 6) == 0);
	expect_eq(lseek(theirs, 0, SEEK_CUR), 0);
}

CONTRACT_TEST(pressure, descriptors_that_became_strangers_are_neither_read_nor_closed)
{
	begin();
	run_child(lose_all_descriptors, NULL);
	end();
}
