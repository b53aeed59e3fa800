/* SPDX-License-Identifier: MIT */
/*
 * ashmemctl watch: the memory pressure that a watch of the library sees, one line whenever the
 * level changes, and at each interval. It holds no areas, so nothing is purged.
 */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "ctl.h"

static volatile sig_atomic_t ended;

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

static void print_text(const char *source, const struct ashmem_pressure_status *status)
{
	static const char *const levels[] = {"none", "some", "high", "critical"};
	static const enum ctl_color colors[] = {CTL_GREEN, CTL_YELLOW, CTL_RED, CTL_RED};
	char buf[3][8], now[16];
	time_t seconds = time(NULL);

	strftime(now, sizeof(now), "%H:%M:%S", localtime(&seconds));
	printf("%s pressure ", now);
	ctl_color_on(colors[status->level & 3]);
	fputs(levels[status->level & 3], stdout);
	ctl_color_off();
	printf(" by %s", source);
	if (status->limit_bytes)
		printf("; %s free of %s, %s kept in reserve", ctl_size(status->free_bytes, buf[0]),
			ctl_size(status->limit_bytes, buf[1]),
			ctl_size(status->reserve_bytes, buf[2]));
	putchar('\n');
}

static void print_json(const char *source, const struct ashmem_pressure_status *status)
{
	printf("{\"time\":%" PRIu64 ",\"level\":%" PRIu64 ",\"source\":", (uint64_t)time(NULL),
		status->level);
	ctl_json_string(source);
	printf(",\"free_bytes\":%" PRIu64 ",\"limit_bytes\":%" PRIu64 ",\"reserve_bytes\":%" PRIu64
	       "}\n",
		status->free_bytes, status->limit_bytes, status->reserve_bytes);
}

static int look(struct ashmem_pressure *pressure)
{
	struct ashmem_pressure_status status = {.struct_size = sizeof(status)};
	const char *source = ashmem_pressure_source(pressure);
	int r = ashmem_pressure_get_status(pressure, &status);

	if (r < 0)
		return ctl_complain("watch", strerror(-r));
	(ctl.json ? print_json : print_text)(source ? source : "none", &status);
	fflush(stdout);
	return CTL_OK;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint64_t level_of(struct ashmem_pressure *pressure)
{
	struct ashmem_pressure_status status = {.struct_size = sizeof(status)};

	ashmem_pressure_get_status(pressure, &status);
	return status.level;
}

static int follow(struct ashmem_pressure *pressure)
{
	struct pollfd event = {.fd = ashmem_pressure_fd(pressure), .events = POLLIN};
	uint64_t level = UINT64_MAX; /* none was shown yet */
	int64_t next = 0;
	unsigned round = 0;

	while (!ended) {
		int r = ashmem_pressure_dispatch(pressure);

		if (r < 0)
			return ctl_complain("watch", strerror(-r));
		if (level_of(pressure) != level || now_ms() >= next) {
			level = level_of(pressure);
			next = now_ms() + ctl.delay_ms;
			if (look(pressure) != CTL_OK || ++round == ctl.rounds)
				break;
		}
		int64_t left = next - now_ms();
		poll(&event, 1, left > 0 ? (int)left : 0);
	}
	return CTL_OK;
}

int ctl_watch(void)
{
	struct ashmem_pressure *pressure;
	struct ashmem_pressure_options options = {
		.struct_size = sizeof(options),
		.source = ctl.args[0],
		.flags = ASHMEM_PRESSURE_NOT_IN_UNPIN,
	};
	int r = ashmem_pressure_open(&options, &pressure);

	if (r < 0)
		return ctl_complain(ctl.args[0] ? ctl.args[0] : "no source of memory pressure",
			strerror(-r));
	signal(SIGINT, end);
	signal(SIGTERM, end);
	r = follow(pressure);
	ashmem_pressure_close(pressure);
	return r;
}
