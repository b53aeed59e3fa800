/* SPDX-License-Identifier: MIT */
/*
 * ashmemctl purge: purge unpinned memory of the areas named, or of all that can be opened, the
 * least recently unpinned first. Pinned and held pages stay.
 *
 * The areas are imported, so that they are the areas of this process; then the library purges in
 * them as in any process. They are closed again at the end of the command.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "proc.h"

/* Imported areas. */
static struct {
	struct ashmem_area **area;
	size_t count, room;
} taken;

static int take(const char *path)
{
	struct ashmem_area *area;
	int read_only;
	int r = ctl_import(path, &area, &read_only);

	if (r < 0)
		return ctl_complain(path, strerror(-r));
	if (read_only) {
		ashmem_close(area);
		return ctl_complain(path, "opened for reading only, cannot be purged");
	}
	if (taken.count == taken.room) {
		size_t room = taken.room ? 2 * taken.room : 64;
		struct ashmem_area **more =
			realloc(taken.area, room * sizeof(struct ashmem_area *));

		if (!more) {
			ashmem_close(area);
			return ctl_complain(path, strerror(ENOMEM));
		}
		taken.area = more;
		taken.room = room;
	}
	taken.area[taken.count++] = area;
	return CTL_OK;
}

/* Areas of one process; 0: of all. Those of others that may not be purged are no problem then. */
static int take_found(pid_t pid)
{
	struct ctl_areas areas;
	char what[32];
	int failed = 0, r = ctl_areas_find(pid, &areas);

	snprintf(what, sizeof(what), "process %d", (int)pid);
	if (r < 0)
		return ctl_complain(pid ? what : "/proc", strerror(-r));
	for (size_t i = 0; i < areas.count; i++) {
		const struct ctl_area *area = &areas.area[i];

		if (pid == 0 && (area->error || area->read_only))
			continue;
		ctl_progress("areas taken", i);
		failed |= take(area->path);
	}
	ctl_progress_end();
	ctl_areas_free(&areas);
	return pid ? failed : CTL_OK;
}

static int purge(void)
{
	uint64_t page = ctl_page();
	/* Not ashmem_purge_all(): it answers with what was unpinned, freed or not. */
	int64_t pages =
		ashmem_shrink(ctl.bytes ? (ctl.bytes + page - 1) / page : ashmem_shrink_count());

	if (pages < 0)
		return ctl_complain("purge", strerror((int)-pages));
	if (ctl.json)
		printf("{\"areas\":%zu,\"purged_bytes\":%" PRIu64 "}\n", taken.count,
			(uint64_t)pages * page);
	else
		printf("purged %" PRIu64 " bytes in %zu areas\n", (uint64_t)pages * page,
			taken.count);
	return CTL_OK;
}

int ctl_purge(void)
{
	int failed = 0;

	if (!ctl.args[0] == !ctl.everything) {
		ctl_complain("purge",
			"give ids of processes, files such as /proc/PID/fd/N, or --all");
		return CTL_USAGE;
	}
	/* An area of the kernel's driver would have it purge the whole system. */
	if (ashmem_backend_select("memfd") < 0)
		return ctl_complain("purge", "no memfd backend here (ashmemctl doctor)");
	if (ctl.everything)
		failed |= take_found(0);
	for (char **arg = ctl.args; *arg; arg++) {
		pid_t pid = proc_pid(*arg);

		failed |= pid ? take_found(pid) : take(*arg);
	}
	failed |= purge();
	while (taken.count > 0)
		ashmem_close(taken.area[--taken.count]);
	free(taken.area);
	return failed;
}
