/* SPDX-License-Identifier: MIT */
/*
 * In which cgroup a process is, by texts as /proc/self/cgroup has them.
 */
#include "ashmemctl/proc.h"

#include <errno.h>
#include <string.h>

static const struct {
	const char *what, *text;
	int version, result;
	const char *path;
} cases[] = {
	{"version 1, a hierarchy of its own", "12:cpu:/a\n4:memory:/b/c\n0::/d\n", 1, 0, "/b/c"},
	{"memory first of several controllers", "4:memory,cpu:/b\n", 1, 0, "/b"},
	{"memory last of several controllers", "5:cpuset:/a\n4:cpu,cpuacct,memory:/b\n", 1, 0,
		"/b"},
	{"memory amid several controllers", "4:cpu,memory,pids:/b\n", 1, 0, "/b"},
	{"a name that only begins like it", "4:memory_other,cpu:/a\n3:memory:/b\n", 1, 0, "/b"},
	{"a named hierarchy of that name", "1:name=memory:/a\n", 1, -ENOENT, ""},
	{"no memory controller", "12:cpu:/a\n0::/d\n", 1, -ENOENT, ""},
	{"version 2 beside version 1", "4:memory:/b\n0::/d/e\n", 2, 0, "/d/e"},
	{"no version 2", "4:memory:/b\n10::/no\n", 2, -ENOENT, ""},
	{"a colon in the path", "0::/user.slice/a:b\n", 2, 0, "/user.slice/a:b"},
	{"no end of line", "0::/d", 2, 0, "/d"},
	{"nonsense", "\n:\nmemory\n4:memory\n", 1, -ENOENT, ""},
	{"a path that is too long", "0::/0123456789012345678901234567\n", 2, -ENAMETOOLONG, NULL},
};

int main(void)
{
	unsigned passed = 0, failed = 0;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char path[24] = "";
		FILE *file = fmemopen((void *)cases[i].text, strlen(cases[i].text), "r");
		int r = file ? proc_cgroup_in(file, cases[i].version, path, sizeof(path)) : -errno;
		int is_good = r == cases[i].result &&
			(!cases[i].path || strcmp(path, cases[i].path) == 0);

		if (!is_good)
			printf("FAIL: own cgroup: %s: %d, '%s'\n", cases[i].what, r, path);
		*(is_good ? &passed : &failed) += 1;
		if (file)
			fclose(file);
	}
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
