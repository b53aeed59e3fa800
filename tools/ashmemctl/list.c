/* SPDX-License-Identifier: MIT */
/* ashmemctl list: the areas of all processes, one line each. */
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

void ctl_list_heading(void)
{
	ctl_color_on(CTL_BOLD);
	printf("%7s %-8s %5s %6s %6s %6s %6s %6s %s", "PID", "OWNER", "USERS", "SIZE", "RES",
		"UNPIN", "EVICT", "PURGED", "NAME");
	ctl_color_off();
	putchar('\n');
}

static void print_owner(uid_t uid)
{
	struct passwd *user = getpwuid(uid);
	char number[16];

	snprintf(number, sizeof(number), "%u", (unsigned)uid);
	ctl_print_text(stdout, user ? user->pw_name : number, 8);
}

static void print_pages(uint64_t pages)
{
	char buf[8];

	printf(" %6s", ctl_size(pages * ctl_page(), buf));
}

static void print_cache(const struct ctl_area *area)
{
	int percent = area->is_cache ? ctl_hit_percent(area) : -1;

	if (percent >= 0)
		printf(" (cache, %d%% hits)", percent);
	else if (area->is_cache)
		fputs(" (cache)", stdout);
}

void ctl_list_line(const struct ctl_area *area)
{
	char buf[8];

	printf("%7d ", (int)area->pids[0]);
	print_owner(area->owner);
	printf(" %5u", (unsigned)area->holders);
	if (area->error) {
		printf(" %6s %6s %6s %6s %6s ", "?", "?", "?", "?", "?");
		ctl_color_on(CTL_RED);
		fputs(strerror(-area->error), stdout);
		ctl_color_off();
		putchar('\n');
		return;
	}
	const struct ashmem_peek_result *seen = &area->seen;
	printf(" %6s", ctl_size(seen->size_bytes, buf));
	print_pages(seen->resident_pages);
	print_pages(seen->unpinned_pages);
	if (seen->evictable_pages)
		ctl_color_on(CTL_GREEN);
	print_pages(seen->evictable_pages);
	if (seen->evictable_pages)
		ctl_color_off();
	print_pages(seen->purged_pages);
	putchar(' ');
	ctl_print_text(stdout, seen->name, 0);
	print_cache(area);
	fputs(seen->damaged               ? " (damaged)"
			: seen->sealed    ? " (sealed)"
			: area->read_only ? " (read-only)"
					  : "",
		stdout);
	putchar('\n');
}

static void print_json(const struct ctl_areas *areas)
{
	puts("[");
	for (size_t i = 0; i < areas->count; i++) {
		printf(" {");
		ctl_json_area(&areas->area[i]);
		printf("}%s\n", i + 1 < areas->count ? "," : "");
	}
	puts("]");
}

static void print_table(const struct ctl_areas *areas)
{
	if (areas->count == 0)
		puts("no areas");
	else
		ctl_list_heading();
	for (size_t i = 0; i < areas->count; i++)
		ctl_list_line(&areas->area[i]);
}

int ctl_list(void)
{
	struct ctl_areas areas;
	int status, r = ctl_areas_find(0, &areas);

	if (r < 0)
		return ctl_complain("/proc", strerror(-r));
	status = ctl_areas_sort(&areas);
	if (status == CTL_OK) {
		if (ctl.json)
			print_json(&areas);
		else
			print_table(&areas);
		if (areas.unseen)
			fprintf(stderr, "%s: no right to look at %zu processes\n", ctl.program,
				areas.unseen);
	}
	ctl_areas_free(&areas);
	return status;
}
