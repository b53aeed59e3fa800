/* SPDX-License-Identifier: MIT */
/*
 * The results as one JSON object, for programs. Ratios are ours / reference unless the unit is one
 * a second, where more is better.
 */
#include <unistd.h>

#include "bench.h"

static void write_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

static void write_member(FILE *out, const char *name, const char *text)
{
	write_string(out, name);
	fputs(": ", out);
	write_string(out, text);
}

static void write_machine(FILE *out)
{
	char cpu[128], kernel[128];

	machine_cpu(cpu, sizeof(cpu));
	machine_kernel(kernel, sizeof(kernel));
	fputs("  \"machine\": {", out);
	write_member(out, "cpu", cpu);
	fprintf(out, ", \"processors\": %ld, ", sysconf(_SC_NPROCESSORS_ONLN));
	write_member(out, "kernel", kernel);
	fputs(", ", out);
	write_member(out, "compiler", machine_compiler());
	fprintf(out, ", \"page_bytes\": %llu, \"load\": %.2f},\n", (unsigned long long)page_bytes(),
		machine_load());
}

static const char *unit_name(enum unit unit)
{
	switch (unit) {
	case UNIT_BYTES_PER_SECOND:
		return "bytes/s";
	case UNIT_PER_SECOND:
		return "1/s";
	case UNIT_BYTES:
		return "bytes";
	case UNIT_PAGES:
		return "pages";
	default:
		return "ns";
	}
}

static void write_row(FILE *out, const struct result *row)
{
	fputs("    {", out);
	write_member(out, "name", row->name);
	fputs(", ", out);
	write_member(out, "section", row->section);
	fputs(", ", out);
	if (row->skipped[0]) {
		write_member(out, "skipped", row->skipped);
		fputs("}", out);
		return;
	}
	write_member(out, "unit", unit_name(row->unit));
	fprintf(out, ", \"ours\": %.6g, ", row->ours);
	write_member(out, "reference", row->reference);
	fprintf(out, ", \"reference_value\": %.6g, ", row->reference_value);
	fprintf(out, "\"ratio\": {\"median\": %.5g, \"q1\": %.5g, \"q3\": %.5g, ",
		row->ratio.median, row->ratio.q1, row->ratio.q3);
	fprintf(out, "\"min\": %.5g, \"max\": %.5g}", row->ratio.min, row->ratio.max);
	if (row->target != TARGET_NONE)
		fprintf(out, ", \"target\": {\"%s\": %.5g, \"met\": %s}",
			row->target == TARGET_AT_MOST ? "at_most" : "at_least", row->target_ratio,
			is_met(row) ? "true" : "false");
	fputs("}", out);
}

void json_write(FILE *out, double seconds)
{
	fputs("{\n  ", out);
	write_member(out, "library", ashmem_version_string());
	fputs(", ", out);
	write_member(out, "backend", options.backend);
	fprintf(out, ", \"quick\": %s, \"seconds\": %.1f,\n", options.quick ? "true" : "false",
		seconds);
	write_machine(out);
	fprintf(out,
		"  \"references_ns\": {\"syscall\": %.2f, \"robust_mutex\": %.2f, "
		"\"word_and_clock\": %.2f, \"clock\": %.2f},\n  \"rows\": [\n",
		reference_costs.syscall, reference_costs.mutex, reference_costs.word,
		reference_costs.clock);
	for (unsigned i = 0; i < result_count; i++) {
		write_row(out, &results[i]);
		fputs(i + 1 < result_count ? ",\n" : "\n", out);
	}
	fputs("  ]\n}\n", out);
}
