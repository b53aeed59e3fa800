/* SPDX-License-Identifier: MIT */
/*
 * What the user sees: lines, the progress bar, colours.
 *
 * Only the server prints through this file (the reader has but one kind of message, its own
 * failure), so the bar and the lines never get mixed. On a terminal the bar is one line that is
 * redrawn in place and erased before anything else is printed; elsewhere progress is one plain
 * line each tenth. Colours: only on a terminal, not on a dumb one, and not if NO_COLOR is set
 * (no-color.org).
 */
#include "screen.h"
#include "system.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REDRAW_NS 100000000u

static struct {
	bool terminal;
	bool colour;
	unsigned bar_width;
	bool bar_shown;
	uint64_t bar_drawn_ns;
	const char *progress_of; /* what the last tenth belongs to */
	unsigned tenth;
} screen;

void screen_init(void)
{
	const char *term = getenv("TERM");
	const char *no_colour = getenv("NO_COLOR");
	struct winsize size;

	screen.terminal = isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
	screen.colour = screen.terminal && !(no_colour && *no_colour);
	screen.bar_width = 40;
	if (screen.terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
		screen.bar_width = size.ws_col < 80 ? size.ws_col / 2 : 40;
}

bool screen_has_colour(void)
{
	return screen.colour;
}

static void erase_bar(void)
{
	if (screen.bar_shown) {
		fputs("\r\033[K", stdout);
		fflush(stdout);
		screen.bar_shown = false;
	}
}

void screen_print(const char *format, ...)
{
	va_list args;

	erase_bar();
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
}

void screen_warn(const char *format, ...)
{
	va_list args;

	erase_bar();
	fflush(stdout); /* keeps the order when both go to one file */
	fputs("filecache: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static void draw_bar(const char *what, unsigned percent)
{
	unsigned full = screen.bar_width * percent / 100;

	printf("\r%s%-24s [", screen.colour ? "\033[36m" : "", what);
	for (unsigned i = 0; i < screen.bar_width; i++)
		putchar(i < full ? '#' : '-');
	printf("] %3u %%%s\033[K", percent, screen.colour ? "\033[0m" : "");
	fflush(stdout);
	screen.bar_shown = true;
}

void screen_progress(const char *what, uint64_t done, uint64_t total)
{
	unsigned percent = total ? (unsigned)(done * 100 / total) : 100;
	uint64_t now = system_now_ns();

	if (screen.terminal) {
		if (screen.bar_shown && now - screen.bar_drawn_ns < REDRAW_NS)
			return;
		screen.bar_drawn_ns = now;
		draw_bar(what, percent);
		return;
	}
	if (screen.progress_of && strcmp(screen.progress_of, what) == 0 &&
		screen.tenth == percent / 10)
		return;
	screen.progress_of = what;
	screen.tenth = percent / 10;
	printf("%s: %u %%\n", what, percent / 10 * 10);
	fflush(stdout);
}

const char *screen_path(const char *path)
{
	static char text[4096];
	size_t used = 0;

	for (; *path && used < sizeof(text) - 8; path++) {
		unsigned char byte = (unsigned char)*path;

		if (byte >= 0x20 && byte < 0x7f && byte != '\\')
			text[used++] = (char)byte;
		else
			used += (size_t)sprintf(text + used, "\\%03o", byte);
	}
	strcpy(text + used, *path ? "..." : "");
	return text;
}

double screen_mib(uint64_t bytes)
{
	return (double)bytes / (1024 * 1024);
}
