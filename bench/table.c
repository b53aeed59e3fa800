/* SPDX-License-Identifier: MIT */
/*
 * The table for people: 100 columns, a heading that says on what machine it was made.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench.h"

/* -- the machine -- */

void machine_cpu(char *buf, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[256];
	struct utsname name;

	snprintf(buf, size, "%s", uname(&name) == 0 ? name.machine : "unknown");
	while (file && fgets(line, sizeof(line), file)) {
		char *colon = strchr(line, ':');
		if (!colon || strncmp(line, "model name", 10) != 0)
			continue;
		colon[strcspn(colon, "\n")] = '\0';
		snprintf(buf, size, "%s", colon[1] == ' ' ? colon + 2 : colon + 1);
		break;
	}
	if (file)
		fclose(file);
}

void machine_kernel(char *buf, size_t size)
{
	struct utsname name;

	if (uname(&name) == 0)
		snprintf(buf, size, "%.12s %.40s %.16s", name.sysname, name.release, name.machine);
	else
		snprintf(buf, size, "unknown");
}

const char *machine_compiler(void)
{
#ifdef __clang__
	return __VERSION__;
#else
	return "gcc " __VERSION__;
#endif
}

/* How many programs wanted a processor during the last minute; -1 if the system does not tell. */
double machine_load(void)
{
	double load;

	return getloadavg(&load, 1) == 1 ? load : -1;
}

/* -- cells -- */

static void format_scaled(char *buf, size_t size, double value, const char *const *units,
	unsigned count)
{
	unsigned i = 0;

	while (value >= 999.5 && i + 1 < count) {
		value /= 1000;
		i++;
	}
	snprintf(buf, size, "%.*f %s", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value, units[i]);
}

static void format_value(char *buf, size_t size, enum unit unit, double value)
{
	static const char *const TIMES[] = {"ns", "us", "ms", "s"};
	static const char *const SPEEDS[] = {"B/s", "kB/s", "MB/s", "GB/s", "TB/s"};
	static const char *const RATES[] = {"/s", "k/s", "M/s", "G/s"};

	switch (unit) {
	case UNIT_NS:
		format_scaled(buf, size, value, TIMES, 4);
		break;
	case UNIT_BYTES_PER_SECOND:
		format_scaled(buf, size, value, SPEEDS, 5);
		break;
	case UNIT_PER_SECOND:
		format_scaled(buf, size, value, RATES, 4);
		break;
	case UNIT_BYTES:
		snprintf(buf, size, "%.1f B", value);
		break;
	case UNIT_PAGES:
		snprintf(buf, size, "%.0f %s", value, value == 1 ? "page" : "pages");
		break;
	}
}

/* Three digits that matter. */
static void format_ratio(char *buf, size_t size, double ratio)
{
	snprintf(buf, size, "%.*f",
		ratio < 0.9995          ? 3
			: ratio < 9.995 ? 2
			: ratio < 99.95 ? 1
					: 0,
		ratio);
}

int is_met(const struct result *row)
{
	if (row->target == TARGET_AT_MOST)
		return row->ratio.median <= row->target_ratio;
	return row->target == TARGET_NONE || row->ratio.median >= row->target_ratio;
}

/* -- the table -- */

void table_heading(void)
{
	char cpu[72], kernel[72];

	machine_cpu(cpu, sizeof(cpu));
	machine_kernel(kernel, sizeof(kernel));
	printf("libashmem %s, backend %s%s\n", ashmem_version_string(),
		options.vs_kernel ? "memfd beside kernel" : options.backend,
		options.quick ? ", --quick" : "");
	printf("CPU        %ld x %s\n", sysconf(_SC_NPROCESSORS_ONLN), cpu);
	printf("kernel     %s, pages of %llu bytes\n", kernel, (unsigned long long)page_bytes());
	printf("compiler   %.80s\n", machine_compiler());
	printf("references empty system call (getppid) %.0f ns; clock %.1f ns\n",
		reference_costs.syscall, reference_costs.clock);
	printf("           robust process-shared mutex, lock + unlock %.1f ns\n",
		reference_costs.mutex);
	printf("           bare word, 2 compare-and-swaps + clock %.1f ns\n", reference_costs.word);
	printf("\n%-30s %9s  %-13s %9s %6s %-11s  %s\n", "", "ours", "reference", "", "ratio",
		"quartiles", "target");
	fflush(stdout);
}

void table_section(const char *title)
{
	printf("\n%s\n", title);
}

void table_row(const struct result *row)
{
	char ours[16], reference[16], ratio[16], q1[16], q3[16], spread[40], target[40] = "";

	if (row->skipped[0]) {
		printf("%-30s skipped: %s\n", row->name, row->skipped);
		fflush(stdout);
		return;
	}
	format_value(ours, sizeof(ours), row->unit, row->ours);
	format_value(reference, sizeof(reference), row->unit, row->reference_value);
	format_ratio(ratio, sizeof(ratio), row->ratio.median);
	format_ratio(q1, sizeof(q1), row->ratio.q1);
	format_ratio(q3, sizeof(q3), row->ratio.q3);
	snprintf(spread, sizeof(spread), "%s-%s", q1, q3);
	if (row->target != TARGET_NONE)
		snprintf(target, sizeof(target), "  %s%.*f %s",
			row->target == TARGET_AT_MOST ? "<=" : ">=", row->target_ratio < 5 ? 2 : 0,
			row->target_ratio, is_met(row) ? "met" : "not met");
	printf("%-30s %9s  %-13s %9s %6s", row->name, ours, row->reference, reference, ratio);
	if (row->ratio.min < row->ratio.max || target[0])
		printf(target[0] ? " %-11s%s" : " %s%s",
			row->ratio.min < row->ratio.max ? spread : "", target);
	printf("\n");
	fflush(stdout);
}

void table_footing(double seconds)
{
	unsigned met = 0, with_target = 0;
	double load = machine_load();
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	for (unsigned i = 0; i < result_count; i++) {
		if (results[i].skipped[0] || results[i].target == TARGET_NONE)
			continue;
		with_target++;
		met += (unsigned)is_met(&results[i]);
	}
	printf("\n%u of %u targets met; %.0f s", met, with_target, seconds);
	if (load >= 0)
		printf("; load %.1f on %ld processors%s", load, processors,
			load > 1.3 ? ", so others ran beside this" : "");
	printf("\n");
}
