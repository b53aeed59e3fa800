/* SPDX-License-Identifier: MIT */
/*
 * What is tried. Each is one line of the table for each place that it can be tried in.
 */
#include "pressure.h"

/* What a plan has unless it says otherwise. */
#define PLAN                                                                             \
	.limit_mib = 96, .fill_mib = 1024, .range_kib = 256, .areas = 1, .processes = 1, \
	.threads = 1

#pragma GCC diagnostic ignored "-Woverride-init"
#ifdef __clang__
#pragma clang diagnostic ignored "-Winitializer-overrides"
#endif

const struct plan plans[] = {
	{PLAN, .name = "nobody-purges", .relief = RELIEF_NONE},
	{PLAN, .name = "thread", .relief = RELIEF_THREAD},
	{PLAN, .name = "loop", .relief = RELIEF_LOOP},
	{PLAN, .name = "call", .relief = RELIEF_CALL},
	{PLAN, .name = "many-areas", .relief = RELIEF_THREAD, .areas = 256},
	{PLAN, .name = "small-ranges", .relief = RELIEF_THREAD, .range_kib = 64},
	{PLAN, .name = "large-ranges", .relief = RELIEF_THREAD, .range_kib = 4096},
	{PLAN, .name = "two-processes", .relief = RELIEF_THREAD, .processes = 2},
	{PLAN, .name = "four-threads", .relief = RELIEF_THREAD, .threads = 4},
	{PLAN, .name = "file-pages", .relief = RELIEF_THREAD, .file_mib = 128},
	{PLAN, .name = "small-limit", .relief = RELIEF_THREAD, .limit_mib = 16, .range_kib = 64,
		.fill_mib = 512},
	{PLAN, .name = "nested", .relief = RELIEF_THREAD, .nested = 1},
	{PLAN, .name = "pulses", .relief = RELIEF_THREAD, .set_mib = 64, .pulse_mib = 48,
		.range_kib = 64},
	{PLAN, .name = "empty-ranges", .relief = RELIEF_THREAD, .set_mib = 40, .pulse_mib = 72,
		.range_kib = 64, .empty_mib = 200},
	{PLAN, .name = "fits", .relief = RELIEF_THREAD, .set_mib = 16, .other_mib = 75,
		.range_kib = 64},
	{PLAN, .name = "cache-nobody", .relief = RELIEF_NONE, .keys = 1, .limit_mib = 128},
	{PLAN, .name = "cache", .relief = RELIEF_THREAD, .keys = 1, .limit_mib = 256,
		.processes = 8},
};

const int plan_count = sizeof plans / sizeof plans[0];
