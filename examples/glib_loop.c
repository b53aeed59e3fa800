/* SPDX-License-Identifier: MIT */
/*
 * A program with a GLib main loop (GTK, GStreamer, ...) gives memory back when memory is short: the
 * descriptor of a pressure handle is a source of its loop. Needs glib-2.0 when it is built.
 *
 *   glib_loop [ENTRIES]    makes so many entries of 64 KiB (100), then waits for the first purge,
 *                          five seconds at the most
 */
#include <ashmem/ashmem.h>

#include <glib-unix.h>
#include <glib.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ENTRY_BYTES ((size_t)64 << 10)

struct program {
	GMainLoop *loop;
	struct ashmem_pressure *pressure;
	int entries, made;
};

static void check(int result, const char *what)
{
	if (result >= 0)
		return;
	g_printerr("%s: %s\n", what, g_strerror(-result));
	exit(1);
}

/* The loop says that the descriptor is readable. */
static gboolean on_pressure(gint fd, GIOCondition condition, gpointer userdata)
{
	struct program *program = userdata;

	(void)fd, (void)condition;
	check(ashmem_pressure_dispatch(program->pressure), "ashmem_pressure_dispatch");
	return G_SOURCE_CONTINUE;
}

/* Purging is done when this is called. */
static void on_level(void *userdata, uint32_t level, uint32_t before, uint64_t purged_pages)
{
	struct program *program = userdata;

	g_print("pressure: level %" PRIu32 " (was %" PRIu32 "), %" PRIu64 " pages purged\n", level,
		before, purged_pages);
	if (purged_pages > 0)
		g_main_loop_quit(program->loop);
}

static gboolean on_timer(gpointer userdata)
{
	struct program *program = userdata;
	struct ashmem_area *area;
	void *entry;

	if (program->made == program->entries) {
		g_print("%d entries made\n", program->made);
		return G_SOURCE_REMOVE;
	}
	program->made++;
	check(ashmem_create("entry", ENTRY_BYTES, 0, &area), "ashmem_create");
	check(ashmem_map(area, 0, ENTRY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, &entry),
		"ashmem_map");
	memset(entry, program->made, ENTRY_BYTES);
	check(ashmem_unmap(entry, ENTRY_BYTES), "ashmem_unmap");
	check(ashmem_unpin(area, 0, 0), "ashmem_unpin"); /* the area is held for good */
	return G_SOURCE_CONTINUE;
}

static gboolean on_end(gpointer userdata)
{
	struct program *program = userdata;

	g_print("no purge\n");
	g_main_loop_quit(program->loop);
	return G_SOURCE_REMOVE;
}

int main(int argc, char **argv)
{
	struct program program = {.entries = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 100};

	program.loop = g_main_loop_new(NULL, FALSE);
	check(ashmem_pressure_open(NULL, &program.pressure), "ashmem_pressure_open");
	check(ashmem_pressure_subscribe(program.pressure, on_level, &program),
		"ashmem_pressure_subscribe");
	for (int i = 0; i < 10; i++) /* some are there from the start */
		on_timer(&program);
	g_print("watching %s\n", ashmem_pressure_source(program.pressure));
	guint source =
		g_unix_fd_add(ashmem_pressure_fd(program.pressure), G_IO_IN, on_pressure, &program);
	g_timeout_add(1, on_timer, &program);
	g_timeout_add_seconds(5, on_end, &program);
	g_main_loop_run(program.loop);

	g_source_remove(source); /* before the descriptor is closed */
	ashmem_pressure_close(program.pressure);
	g_main_loop_unref(program.loop);
	return 0;
}
