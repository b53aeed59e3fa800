/* SPDX-License-Identifier: MIT */
/*
 * The plot: cost of a call against the number of ranges in the area, and against the area's size,
 * as an SVG.
 *
 * Both panels share a logarithmic scale of ns. Curves are medians with their quartiles as whiskers;
 * dashed lines are references. Whoever adds a curve sets `panel`, `curve` and `x` of its rows, and
 * gives it a colour here.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "bench.h"

#define WIDTH 960
#define HEIGHT 480

/* A panel on the page, and what its corners mean. Scales are logarithmic. */
struct frame {
	enum panel panel;
	double left, top, width, height;
	double x_min, x_max, y_min, y_max;
};

struct point {
	double x, y;
};

static const char *const PALETTE[] = {
	"#0072b2", "#d55e00", "#009e73", "#b0568c", "#b58900", "#4d4d4d"};
#define COLOURS (sizeof(PALETTE) / sizeof(*PALETTE))

static int is_drawn(const struct result *row, enum panel panel)
{
	return row->panel == panel && row->curve && !row->skipped[0];
}

/* -- coordinates -- */

static struct point place(const struct frame *frame, double x, double y)
{
	double across = log(x / frame->x_min) / log(frame->x_max / frame->x_min);
	double up = log(y / frame->y_min) / log(frame->y_max / frame->y_min);

	return (struct point){
		frame->left + across * frame->width, frame->top + (1 - up) * frame->height};
}

/* The reference beside the curves: measured in turns with them, so better than the one of the
 * heading. */
static double two_syscalls(void)
{
	double values[RESULTS_MAX];
	unsigned count = 0;

	for (unsigned i = 0; i < result_count; i++) {
		if (results[i].reference && strcmp(results[i].reference, "2 syscalls") == 0)
			values[count++] = results[i].reference_value;
	}
	return count ? median_of(values, count) : 2 * reference_costs.syscall;
}

/* Powers of ten around every figure. */
static void y_range(double *min, double *max)
{
	double low = reference_costs.word, high = two_syscalls();

	for (unsigned i = 0; i < result_count; i++) {
		if (results[i].panel == PANEL_NONE || results[i].skipped[0])
			continue;
		low = fmin(low, results[i].ours);
		high = fmax(high, results[i].spread.q3);
	}
	*min = pow(10, floor(log10(fmax(low, 1))));
	*max = pow(10, ceil(log10(high)));
}

static int x_range(struct frame *frame)
{
	int points = 0;

	for (unsigned i = 0; i < result_count; i++) {
		double x = results[i].x;
		if (!is_drawn(&results[i], frame->panel))
			continue;
		frame->x_min = points ? fmin(frame->x_min, x) : x;
		frame->x_max = points ? fmax(frame->x_max, x) : x;
		points++;
	}
	if (points && frame->x_min == frame->x_max)
		frame->x_max = 10 * frame->x_min;
	return points;
}

/* -- curves -- */

/* Curves in the order of their first rows; the number of the row's own curve. */
static unsigned curve_number(const struct result *row)
{
	const char *seen[COLOURS];
	unsigned count = 0;

	for (const struct result *each = results; each <= row; each++) {
		unsigned i = 0;
		if (!each->curve)
			continue;
		while (i < count && strcmp(seen[i], each->curve) != 0)
			i++;
		if (each == row)
			return i;
		if (i == count && count < COLOURS)
			seen[count++] = each->curve;
	}
	return 0;
}

static int is_first_of_curve(const struct result *row)
{
	for (const struct result *each = results; each < row; each++) {
		if (is_drawn(each, row->panel) && strcmp(each->curve, row->curve) == 0)
			return 0;
	}
	return 1;
}

static void draw_curve(FILE *out, const struct frame *frame, const struct result *first)
{
	const char *colour = PALETTE[curve_number(first) % COLOURS];
	const char *separator = "M";

	fprintf(out, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"2\" d=\"", colour);
	for (const struct result *row = first; row < results + result_count; row++) {
		if (!is_drawn(row, frame->panel) || strcmp(row->curve, first->curve) != 0)
			continue;
		struct point at = place(frame, row->x, row->ours);
		fprintf(out, "%s%.1f %.1f", separator, at.x, at.y);
		separator = " L";
	}
	fprintf(out, "\"/>\n");
	for (const struct result *row = first; row < results + result_count; row++) {
		if (!is_drawn(row, frame->panel) || strcmp(row->curve, first->curve) != 0)
			continue;
		struct point at = place(frame, row->x, row->ours);
		struct point low = place(frame, row->x, fmax(row->spread.q1, frame->y_min));
		struct point high = place(frame, row->x, fmin(row->spread.q3, frame->y_max));
		fprintf(out,
			"<path stroke=\"%s\" d=\"M%.1f %.1f V%.1f\"/>"
			"<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n",
			colour, low.x, low.y, high.y, at.x, at.y, colour);
	}
}

static void draw_legend(FILE *out, const struct frame *frame)
{
	double x = frame->left, y = frame->top + frame->height + 62;

	for (const struct result *row = results; row < results + result_count; row++) {
		if (!is_drawn(row, frame->panel) || !is_first_of_curve(row))
			continue;
		fprintf(out,
			"<path stroke=\"%s\" stroke-width=\"2\" d=\"M%.0f %.0f h22\"/>"
			"<text x=\"%.0f\" y=\"%.0f\">%s</text>\n",
			PALETTE[curve_number(row) % COLOURS], x, y - 4, x + 28, y, row->curve);
		x += 190;
		if (x + 150 > frame->left + frame->width) {
			x = frame->left;
			y += 20;
		}
	}
}

/* -- axes -- */

static void draw_y_axis(FILE *out, const struct frame *frame)
{
	int decades = (int)lround(log10(frame->y_max / frame->y_min));

	for (int i = 0; i <= decades; i++) {
		double y = frame->y_min * pow(10, i);
		struct point at = place(frame, frame->x_min, y);
		fprintf(out,
			"<path stroke=\"#ddd\" d=\"M%.1f %.1f h%.1f\"/>"
			"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
			at.x, at.y, frame->width, at.x - 8, at.y + 4,
			with_commas((uint64_t)lround(y)));
	}
}

static void x_label(char *buf, size_t size, enum panel panel, double x)
{
	static const char *const UNITS[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	unsigned i = 0;

	if (panel == PANEL_RANGES) {
		snprintf(buf, size, "%s", with_commas((uint64_t)x));
		return;
	}
	for (; x >= 1024 && i < 4; i++)
		x /= 1024;
	snprintf(buf, size, "%.0f %s", x, UNITS[i]);
}

/* A tick at each x of the panel's first curve. */
static void draw_x_axis(FILE *out, const struct frame *frame, const char *title)
{
	const struct result *first = NULL;
	char label[32];

	for (const struct result *row = results; row < results + result_count; row++) {
		if (!is_drawn(row, frame->panel))
			continue;
		first = first ? first : row;
		if (strcmp(row->curve, first->curve) != 0)
			continue;
		struct point at = place(frame, row->x, frame->y_min);
		x_label(label, sizeof(label), frame->panel, row->x);
		fprintf(out,
			"<path stroke=\"#ddd\" d=\"M%.1f %.1f v%.1f\"/>"
			"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
			at.x, at.y, -frame->height, at.x, at.y + 18, label);
	}
	fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
		frame->left + frame->width / 2, frame->top + frame->height + 38, title);
}

/* A dashed line; its name above it, at the left edge or at the right one. */
static void draw_reference(FILE *out, const struct frame *frame, double ns, const char *name,
	int at_right)
{
	struct point at = place(frame, frame->x_min, ns);

	fprintf(out,
		"<path stroke=\"#777\" stroke-dasharray=\"5 4\" d=\"M%.1f %.1f h%.1f\"/>"
		"<text class=\"note\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n",
		at.x, at.y, frame->width, at_right ? at.x + frame->width - 6 : at.x + 6, at.y - 5,
		at_right ? "end" : "start", name);
}

static void draw_panel(FILE *out, const struct frame *frame, const char *heading,
	const char *x_title)
{
	fprintf(out, "<text class=\"heading\" x=\"%.0f\" y=\"%.0f\">%s</text>\n", frame->left,
		frame->top - 14, heading);
	draw_y_axis(out, frame);
	draw_x_axis(out, frame, x_title);
	draw_reference(out, frame, two_syscalls(), "two empty system calls", 0);
	draw_reference(out, frame, reference_costs.word, "bare word and clock", 1);
	for (const struct result *row = results; row < results + result_count; row++) {
		if (is_drawn(row, frame->panel) && is_first_of_curve(row))
			draw_curve(out, frame, row);
	}
}

static void draw(FILE *out, struct frame *ranges, struct frame *size)
{
	char cpu[72], kernel[80];

	machine_cpu(cpu, sizeof(cpu));
	machine_kernel(kernel, sizeof(kernel));
	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-size=\"12\" "
		"font-family=\"system-ui, sans-serif\" fill=\"#222\">\n"
		"<title>libashmem: cost of pin and unpin</title>\n"
		"<style>.heading{font-size:14px;font-weight:600}"
		".note{font-size:11px;fill:#555}\n"
		"@media (prefers-color-scheme:dark){svg{fill:#e3e6ea}.note{fill:#a3adb9}\n"
		".page{fill:#14171c}[stroke=\"#ddd\"]{stroke:#363c46}}</style>\n"
		"<rect class=\"page\" width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
		WIDTH, HEIGHT, WIDTH, HEIGHT);
	if (x_range(ranges)) {
		draw_panel(out, ranges, "ns a call, by number of ranges",
			"unpinned ranges in the area");
		draw_legend(out, ranges);
	}
	if (x_range(size)) {
		draw_panel(out, size, "ns a call, by size", "size of the area, with 1,000 ranges");
		draw_legend(out, size);
	}
	fprintf(out,
		"<text class=\"note\" x=\"%.0f\" y=\"%d\">"
		"libashmem %s, %s backend; %s; %s</text>\n",
		ranges->left, HEIGHT - 12, ashmem_version_string(), options.backend, cpu, kernel);
	fprintf(out, "</svg>\n");
}

int plot_write(const char *path)
{
	struct frame ranges = {
		.panel = PANEL_RANGES, .left = 64, .top = 48, .width = 480, .height = 300};
	struct frame size = ranges;
	FILE *out = fopen(path, "we");

	if (!out) {
		fprintf(stderr, "bench: %s: %s\n", path, strerror(errno));
		return 1;
	}
	size.panel = PANEL_SIZE;
	size.left = 624;
	size.width = 300;
	y_range(&ranges.y_min, &ranges.y_max);
	size.y_min = ranges.y_min;
	size.y_max = ranges.y_max;
	draw(out, &ranges, &size);
	int failed = ferror(out);
	if (fclose(out) == 0 && !failed)
		return 0;
	fprintf(stderr, "bench: %s could not be written\n", path);
	return 1;
}
