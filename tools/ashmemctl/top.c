/* SPDX-License-Identifier: MIT */
/*
 * ashmemctl top: the list again and again, in full screen on a terminal. Keys change the order; q
 * ends it. Without a terminal it prints one list after another.
 */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"

static struct termios before;
static int on_screen;
static volatile sig_atomic_t ended;

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

/* The alternate screen, without a cursor; keys come at once. */
static void screen_begin(void)
{
	struct termios raw;

	on_screen = isatty(0) && isatty(1) && tcgetattr(0, &before) == 0;
	if (!on_screen)
		return;
	raw = before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(0, TCSANOW, &raw);
	fputs("\033[?1049h\033[?25l", stdout);
}

static void screen_end(void)
{
	if (!on_screen)
		return;
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	tcsetattr(0, TCSANOW, &before);
}

static unsigned screen_rows(void)
{
	struct winsize size;

	if (on_screen && ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_row > 4)
		return size.ws_row;
	return on_screen ? 24 : 0;
}

static void print_sums(const struct ctl_areas *areas)
{
	uint64_t resident = 0, evictable = 0, purged = 0;
	char buf[3][8];

	for (size_t i = 0; i < areas->count; i++) {
		const struct ctl_area *area = &areas->area[i];

		if (area->error || area->stats_error)
			continue;
		resident += area->stats.resident_pages;
		evictable += area->stats.evictable_pages;
		purged += area->stats.purged_pages;
	}
	printf("%zu areas, %s resident, ", areas->count, ctl_size(resident * ctl_page(), buf[0]));
	ctl_color_on(CTL_GREEN);
	printf("%s evictable", ctl_size(evictable * ctl_page(), buf[1]));
	ctl_color_off();
	printf(", %s purged so far\n", ctl_size(purged * ctl_page(), buf[2]));
}

static void print_help(void)
{
	printf("order: %s   e evictable  s size  r resident  u unpinned  p purged  n name  q quit",
		ctl.sort ? ctl.sort : "evictable");
}

/* One look. CTL_OK, or what to end with. */
static int draw(void)
{
	struct ctl_areas areas;
	unsigned rows = screen_rows();
	int r = ctl_areas_find(0, &areas);

	if (r < 0)
		return ctl_complain("/proc", strerror(-r));
	int status = ctl_areas_sort(&areas);
	if (status == CTL_OK) {
		if (on_screen)
			fputs("\033[H\033[J", stdout);
		print_sums(&areas);
		ctl_list_heading();
		for (size_t i = 0; i < areas.count && (rows == 0 || i + 4 < rows); i++)
			ctl_list_line(&areas.area[i]);
		if (on_screen)
			print_help();
		else
			putchar('\n');
		fflush(stdout);
	}
	ctl_areas_free(&areas);
	return status;
}

/* 0: the key ends the command. */
static int take_key(char key)
{
	static const char *const columns[] = {
		"evictable", "size", "resident", "unpinned", "purged", "name"};

	if (key == 'q')
		return 0;
	for (unsigned i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		if (columns[i][0] == key)
			ctl.sort = columns[i];
	return 1;
}

/* Wait for a key or the time. 0: end. */
static int pause_for_key(void)
{
	struct pollfd input = {.fd = on_screen ? 0 : -1, .events = POLLIN};
	char key;

	if (poll(&input, 1, (int)ctl.delay_ms) > 0)
		return read(0, &key, 1) == 1 && take_key(key);
	return 1;
}

int ctl_top(void)
{
	int status;

	if (ctl.json)
		return ctl_complain("top", "for JSON, use list"), CTL_USAGE;
	signal(SIGINT, end);
	signal(SIGTERM, end);
	screen_begin();
	for (unsigned round = 1;; round++) {
		status = draw();
		if (status != CTL_OK || round == ctl.rounds || !pause_for_key() || ended)
			break;
	}
	screen_end();
	return status;
}
