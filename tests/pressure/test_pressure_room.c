/* SPDX-License-Identifier: MIT */
/*
 * pressure.h: making room before an allocation, purging until the goal is met, a watch that only
 * tells, the priority of its thread. Free bytes are a file in place of /proc/meminfo, to which a
 * subscriber adds what was purged.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/contract.h"
#include "support/fake_system.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGES 1000
#define TOTAL_KIB ((uint64_t)1 << 20)
#define RESERVE_KIB (TOTAL_KIB / 100)

static uint64_t free_kib;
static unsigned shows_percent; /* of what is purged; others take the rest at once */

static void set_free(uint64_t kib)
{
	free_kib = kib;
	fake_write("proc/meminfo", "MemTotal: %llu kB\nMemAvailable: %llu kB\n",
		(unsigned long long)TOTAL_KIB, (unsigned long long)kib);
}

static void purged(void *userdata, struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	(void)userdata, (void)area, (void)offset;
	set_free(free_kib + length / 1024 * shows_percent / 100);
}

struct scene {
	struct view view;
	struct ashmem_pressure *pressure;
	int subscription;
};

static struct scene scene_begin(uint32_t flags)
{
	struct ashmem_pressure_options options = {.struct_size = sizeof options,
		.source = "available",
		.reserve_percent = 1,
		.flags = flags};
	struct scene scene;

	fake_system_begin();
	set_free(TOTAL_KIB);
	shows_percent = 100;
	expect_eq(ashmem_pressure_open(&options, &scene.pressure), 0);
	scene.view = full_view(PAGES);
	for (uint64_t i = 0; i < PAGES; i++) /* ranges that touch stay ranges of their own */
		unpin_pages(scene.view.area, i, 1);
	scene.subscription = ashmem_purge_subscribe(purged, NULL);
	expect(scene.subscription > 0);
	return scene;
}

static void scene_end(struct scene *scene)
{
	expect_eq(ashmem_purge_unsubscribe(scene->subscription), 0);
	ashmem_pressure_close(scene->pressure);
	view_drop(&scene->view);
	fake_system_end();
}

#define NEEDS_PURGING() skip_on_kernel("only the kernel decides when the driver purges")

/* -- room -- */

CONTRACT_TEST(pressure_room, as_much_is_purged_as_is_missing)
{
	uint64_t bytes = 64 * MIB_BYTES, page_kib = page_bytes() / 1024;

	NEEDS_PURGING();
	struct scene scene = scene_begin(ASHMEM_PRESSURE_NOT_IN_UNPIN);
	set_free(bytes / 1024 + RESERVE_KIB + 1 - 100 * page_kib);
	int64_t freed = ashmem_pressure_make_room(scene.pressure, bytes);
	expect_msg(freed >= 100 && freed < PAGES, "%lld pages", (long long)freed);
	expect(free_kib >= bytes / 1024 + RESERVE_KIB);
	expect_eq(ashmem_pressure_make_room(scene.pressure, bytes), 0);
	expect_eq((uint64_t)freed, fake_status(scene.pressure).purged_pages);
	scene_end(&scene);
}

CONTRACT_TEST(pressure_room, it_goes_on_while_others_take_what_was_purged)
{
	uint64_t bytes = 64 * MIB_BYTES, page_kib = page_bytes() / 1024;

	NEEDS_PURGING();
	struct scene scene = scene_begin(ASHMEM_PRESSURE_NOT_IN_UNPIN);
	shows_percent = 50;
	set_free(bytes / 1024 + RESERVE_KIB + 1 - 200 * page_kib);
	int64_t freed = ashmem_pressure_make_room(scene.pressure, bytes);
	expect_msg(freed >= 400, "%lld pages", (long long)freed);
	expect(free_kib >= bytes / 1024 + RESERVE_KIB);
	scene_end(&scene);
}

CONTRACT_TEST(pressure_room, what_cannot_be_had_is_an_error)
{
	NEEDS_PURGING();
	struct scene scene = scene_begin(ASHMEM_PRESSURE_NOT_IN_UNPIN);
	set_free(RESERVE_KIB);
	expect_eq(ashmem_pressure_make_room(scene.pressure, (TOTAL_KIB + 1) * 1024), -ENOMEM);
	expect_eq(ashmem_shrink_count(), PAGES); /* nobody could have had so much */
	expect_eq(ashmem_pressure_make_room(scene.pressure, 2 * PAGES * page_bytes()), -ENOMEM);
	expect_eq(ashmem_shrink_count(), 0);
	scene_end(&scene);
}

CONTRACT_TEST(pressure_room, without_free_bytes_there_is_nothing_to_go_by)
{
	struct ashmem_pressure_options options = {
		.struct_size = sizeof options, .source = "system-psi"};
	struct ashmem_pressure *pressure;

	fake_system_begin();
	fake_stalls("proc/pressure/memory", 0);
	expect_eq(ashmem_pressure_open(&options, &pressure), 0);
	expect_eq(ashmem_pressure_make_room(pressure, 1), -ENODATA);
	expect_eq(ashmem_pressure_make_room(NULL, 1), -EINVAL);
	ashmem_pressure_close(pressure);
	fake_system_end();
}

/* -- goals of dispatches -- */

CONTRACT_TEST(pressure_room, a_dispatch_goes_on_until_there_is_enough)
{
	uint64_t page_kib = page_bytes() / 1024;

	NEEDS_PURGING();
	struct scene scene = scene_begin(ASHMEM_PRESSURE_NOT_IN_UNPIN);
	shows_percent = 60;
	set_free(RESERVE_KIB - 1);
	uint64_t goal_kib = RESERVE_KIB + RESERVE_KIB / 4;
	int is_enough = (goal_kib - free_kib) * 2 < PAGES * page_kib;
	ashmem_pressure_dispatch(scene.pressure);
	if (is_enough)
		expect_msg(free_kib + 10 * page_kib >= goal_kib, "%llu of %llu KiB",
			(unsigned long long)free_kib, (unsigned long long)goal_kib);
	else
		expect_eq(ashmem_shrink_count(), 0);
	scene_end(&scene);
}

CONTRACT_TEST(pressure_room, what_does_not_show_is_not_tried_again_and_again)
{
	uint64_t page_kib = page_bytes() / 1024;

	NEEDS_PURGING();
	struct scene scene = scene_begin(ASHMEM_PRESSURE_NOT_IN_UNPIN);
	shows_percent = 0; /* as if the memory were another cgroup's */
	set_free(RESERVE_KIB - 1);
	uint64_t missing = (RESERVE_KIB / 4 + 1) / page_kib;
	ashmem_pressure_dispatch(scene.pressure);
	struct ashmem_pressure_status status = fake_status(scene.pressure);
	expect_eq(status.purges, 1);
	if (missing + 100 < PAGES)
		expect(status.purged_pages <= missing + 100);
	scene_end(&scene);
}

/* -- only telling -- */

CONTRACT_TEST(pressure_room, a_watch_can_only_tell)
{
	NEEDS_PURGING();
	struct scene scene = scene_begin(ASHMEM_PRESSURE_ONLY_TELL);
	set_free(RESERVE_KIB / 8);
	expect_eq(ashmem_pressure_dispatch(scene.pressure), ASHMEM_PRESSURE_CRITICAL);
	for (int i = 0; i < PAGES; i++) {
		expect(pin_pages(scene.view.area, (uint64_t)i, 1) == ASHMEM_NOT_PURGED);
		unpin_pages(scene.view.area, (uint64_t)i, 1);
	}
	expect_eq(ashmem_shrink_count(), PAGES);
	expect_eq(fake_status(scene.pressure).purges, 0);
	expect(ashmem_pressure_make_room(scene.pressure, page_bytes()) != 0); /* it was asked for */
	expect(ashmem_shrink_count() < PAGES);
	scene_end(&scene);
}

/* -- the thread -- */

struct thread {
	int heard; /* atomic */
	int scheduler, priority, nice_value;
};

/* musl's functions of these names say that there is no such call. */
static int scheduler_now(void)
{
	return (int)syscall(SYS_sched_getscheduler, 0);
}

static int set_scheduler(int policy, const struct sched_param *param)
{
	return (int)syscall(SYS_sched_setscheduler, 0, policy, param);
}

static void look_at_thread(void *userdata, uint32_t level, uint32_t before, uint64_t pages)
{
	struct thread *thread = userdata;
	struct sched_param param;

	(void)level, (void)before, (void)pages;
	thread->scheduler = scheduler_now();
	if (syscall(SYS_sched_getparam, 0, &param) == 0)
		thread->priority = param.sched_priority;
	thread->nice_value = getpriority(PRIO_PROCESS, 0);
	__atomic_store_n(&thread->heard, 1, __ATOMIC_RELEASE);
}

/* What the thread of a watch with this priority runs as; a pressure at its first look wakes it. */
static struct thread thread_of(uint32_t priority, char *why, size_t size)
{
	struct ashmem_pressure_options options = {
		.struct_size = sizeof options, .source = "available", .priority = priority};
	struct ashmem_pressure *pressure;
	struct thread thread = {.heard = 0};

	fake_system_begin();
	set_free(1);
	expect_eq(ashmem_pressure_open(&options, &pressure), 0);
	expect_eq(ashmem_pressure_subscribe(pressure, look_at_thread, &thread), 0);
	expect_eq(ashmem_pressure_run(pressure), 0);
	for (int i = 0; i < 10000 && !__atomic_load_n(&thread.heard, __ATOMIC_ACQUIRE); i++)
		usleep(1000);
	expect(ashmem_pressure_explain(pressure, why, size) > 0);
	ashmem_pressure_close(pressure);
	fake_system_end();
	expect_eq(thread.heard, 1);
	return thread;
}

CONTRACT_TEST(pressure_room, the_thread_is_as_urgent_as_it_is_allowed_to_be)
{
	const struct sched_param fifo = {.sched_priority = 7}, usual = {.sched_priority = 0};
	int may = set_scheduler(SCHED_FIFO | SCHED_RESET_ON_FORK, &fifo) == 0;
	char why[2000];

	if (may)
		expect_eq(set_scheduler(SCHED_OTHER, &usual), 0);
	struct thread thread = thread_of(7, why, sizeof why);
	if (may) {
		expect_eq(thread.scheduler & ~SCHED_RESET_ON_FORK, SCHED_FIFO);
		expect_eq(thread.priority, 7);
		expect(strstr(why, "real-time priority 7"));
	} else {
		expect(strstr(why, "nice value"));
		expect(thread.nice_value <= getpriority(PRIO_PROCESS, 0));
	}
}

CONTRACT_TEST(pressure_room, where_real_time_is_not_allowed_the_thread_is_nicer_or_as_before)
{
	const struct rlimit none = {0, 0}, some = {30, 30};
	int before = getpriority(PRIO_PROCESS, 0);
	char why[2000];

	if (geteuid() != 0)
		contract_skip("needs root, to give rights up");
	if (setrlimit(RLIMIT_RTPRIO, &none) != 0 || setrlimit(RLIMIT_NICE, &some) != 0)
		contract_skip("limits of priorities cannot be set here");
	expect_eq(setresuid(1000, 1000, 1000), 0);
	struct thread thread = thread_of(1, why, sizeof why);
	expect_eq(thread.scheduler & ~SCHED_RESET_ON_FORK, SCHED_OTHER);
	expect_eq(thread.nice_value, before < -10 ? before : -10);
	expect(strstr(why, "real time is not allowed"));
}

CONTRACT_TEST(pressure_room, nothing_changes_if_no_priority_is_asked_for)
{
	char why[2000];
	struct thread thread = thread_of(0, why, sizeof why);

	expect_eq(thread.scheduler, scheduler_now());
	expect_eq(thread.nice_value, getpriority(PRIO_PROCESS, 0));
	expect(!strstr(why, "thread:"));
}

CONTRACT_TEST(pressure_room, priorities_that_do_not_exist_are_refused)
{
	struct ashmem_pressure_options options = {
		.struct_size = sizeof options, .source = "available", .priority = 100};
	struct ashmem_pressure *pressure;

	fake_system_begin();
	set_free(TOTAL_KIB);
	expect_eq(ashmem_pressure_open(&options, &pressure), -EINVAL);
	fake_system_end();
}
