/* SPDX-License-Identifier: MIT */
/*
 * backend.h: which backend areas come from (select, ASHMEM_BACKEND, "auto"), and adding one: the
 * toy of support/toy_backend.h. Nothing here can be taken back within a process, so each test works
 * in a child.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"
#include "support/toy_backend.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void expect_created_by(const char *want)
{
	struct ashmem_area *area = area_of_pages(1);

	expect_str(ashmem_backend_name(area), want);
	ashmem_close(area);
}

/* Selecting */

CHILD_TEST(backend, name_of_null_is_null)
{
	expect(ashmem_backend_name(NULL) == NULL);
}

CHILD_TEST(backend, memfd_can_be_selected)
{
	expect_eq(ashmem_backend_select("memfd"), 0);
	expect_created_by("memfd");
}

CHILD_TEST(backend, select_refuses_null_and_unknown_names)
{
	expect_eq(ashmem_backend_select("memfd"), 0);
	expect_eq(ashmem_backend_select(NULL), -EINVAL);
	expect_eq(ashmem_backend_select("nosuch"), -ENOENT);
	expect_eq(ashmem_backend_select(""), -ENOENT);
	expect_eq(ashmem_backend_select("MEMFD"), -ENOENT);
	expect_created_by("memfd");
}

CHILD_TEST(backend, kernel_can_be_selected_only_where_a_driver_answers)
{
	int result;

	expect_eq(ashmem_backend_select("memfd"), 0);
	result = ashmem_backend_select("kernel");
	expect(result == 0 || result == -ENODEV);
	expect_created_by(result == 0 ? "kernel" : "memfd");
}

CHILD_TEST(backend, auto_always_works)
{
	struct ashmem_area *area;

	unsetenv("ASHMEM_BACKEND");
	expect_eq(ashmem_backend_select("memfd"), 0);
	expect_eq(ashmem_backend_select("auto"), 0);
	area = area_of_pages(1);
	expect_str(ashmem_backend_name(area),
		ashmem_backend_select("kernel") == 0 ? "kernel" : "memfd");
	ashmem_close(area);
}

CHILD_TEST(backend, areas_keep_their_backend)
{
	struct ashmem_area *area;

	expect_eq(ashmem_backend_select("memfd"), 0);
	area = area_of_pages(1);
	toy_register(0);
	expect_eq(ashmem_backend_select("toy"), 0);
	expect_str(ashmem_backend_name(area), "memfd");
	expect(ashmem_fd(area) >= 0);
	expect_created_by("toy");
}

/* The environment */

CHILD_TEST(backend, environment_names_a_backend)
{
	setenv("ASHMEM_BACKEND", "memfd", 1);
	expect_created_by("memfd");
}

CHILD_TEST(backend, unknown_name_in_the_environment_fails_creating)
{
	struct ashmem_area *area = NULL;

	setenv("ASHMEM_BACKEND", "nosuch", 1);
	expect_eq(ashmem_create("x", 1, 0, &area), -ENOENT);
	expect(area == NULL);
}

CHILD_TEST(backend, driver_in_the_environment_fails_creating_where_there_is_none)
{
	struct ashmem_area *area = NULL;
	int created;

	setenv("ASHMEM_BACKEND", "kernel", 1);
	created = ashmem_create("x", 1, 0, &area);
	expect(created == 0 || created == -ENODEV);
	expect((area != NULL) == (created == 0));
	expect_eq(ashmem_backend_select("kernel"), created);
}

CHILD_TEST(backend, select_wins_over_the_environment)
{
	setenv("ASHMEM_BACKEND", "nosuch", 1);
	expect_eq(ashmem_backend_select("memfd"), 0);
	expect_created_by("memfd");
}

CHILD_TEST(backend, registered_backend_can_be_named_in_the_environment)
{

	setenv("ASHMEM_BACKEND", "toy", 1);
	toy_register(0);
	expect_created_by("toy");
}

/*
 * The set-user-ID test runs this program again: copied, owned by root with mode 4755, started by
 * somebody else. Then this function ends it before anything else: 0 the variable was ignored, 3 it
 * was not, 4 the start was not a secure one.
 */
__attribute__((constructor)) static void answer_as_set_user_id_program(void)
{
	struct ashmem_area *area = NULL;

	if (!getenv("ASHMEM_TEST_SECURE_PROBE"))
		return;
	if (!getauxval(AT_SECURE))
		_exit(4);
	_exit(ashmem_create("x", 1, 0, &area) == 0 ? 0 : 3);
}

static int copy_file(const char *from, const char *to)
{
	char block[65536];
	ssize_t got = -1;
	int source = open(from, O_RDONLY | O_CLOEXEC);
	int copy = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);

	while (source >= 0 && copy >= 0 && (got = read(source, block, sizeof block)) > 0) {
		if (write(copy, block, (size_t)got) != got)
			break;
	}
	if (copy >= 0 && fchmod(copy, 04755) != 0)
		got = -1;
	close(source);
	close(copy);
	return got == 0;
}

static void run_as_somebody(void *path)
{
	char probe[] = "ASHMEM_TEST_SECURE_PROBE=1", backend[] = "ASHMEM_BACKEND=nosuch";
	char *arguments[] = {path, NULL}, *environment[] = {probe, backend, NULL};

	if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
		_exit(4);
	execve(path, arguments, environment);
	_exit(4);
}

CONTRACT_TEST(backend, set_user_id_programs_ignore_the_environment)
{
	char directory[] = "/tmp/ashmem-test-XXXXXX";
	char path[64];
	int status, copied;

	if (geteuid() != 0 || !mkdtemp(directory))
		contract_skip("making a set-user-ID program needs root and /tmp");
	snprintf(path, sizeof path, "%s/program", directory);
	copied = chmod(directory, 0755) == 0 && copy_file("/proc/self/exe", path);
	status = copied ? child_wait(child_start(run_as_somebody, path)) : 4 << 8;
	unlink(path);
	rmdir(directory);
	if (WIFEXITED(status) && (WEXITSTATUS(status) == 4 || WEXITSTATUS(status) == 127))
		contract_skip("set-user-ID programs do not work in /tmp here");
	expect_eq(status, 0);
}

/* Registering */

static void expect_no_register(struct ashmem_backend *backend, int want)
{
	expect_eq(ashmem_backend_register(backend), want);
	if (backend && backend->name && strcmp(backend->name, "bad") == 0)
		expect_eq(ashmem_backend_select("bad"), -ENOENT);
}

CHILD_TEST(backend, register_refuses_null_and_bad_names)
{
	static struct ashmem_backend bad;

	expect_no_register(NULL, -EINVAL);
	bad = toy_backend(NULL, 0);
	expect_no_register(&bad, -EINVAL);
	bad = toy_backend("", 0);
	expect_no_register(&bad, -EINVAL);
	bad = toy_backend("auto", 0);
	expect_no_register(&bad, -EINVAL);
}

CHILD_TEST(backend, register_refuses_structures_of_another_size)
{
	static struct ashmem_backend bad;

	bad = toy_backend("bad", 0);
	bad.struct_size = 0;
	expect_no_register(&bad, -EINVAL);
	bad.struct_size = offsetof(struct ashmem_backend, unpin);
	expect_no_register(&bad, -EINVAL);
	bad.struct_size = offsetof(struct ashmem_backend, present) + sizeof bad.present - 1;
	expect_no_register(&bad, -EINVAL);
}

CHILD_TEST(backend, register_takes_the_structure_of_0_9)
{
	static struct ashmem_backend first;

	first = toy_backend("first", 0);
	first.struct_size = offsetof(struct ashmem_backend, present) + sizeof first.present;
	expect_eq(ashmem_backend_register(&first), 0);
	expect_eq(ashmem_backend_select("first"), 0);
	expect_created_by("first");
}

CHILD_TEST(backend, register_takes_structures_of_later_versions)
{
	static struct {
		struct ashmem_backend known;
		void *future[4];
	} later;

	later.known = toy_backend("later", 0);
	later.known.struct_size = sizeof later;
	expect_eq(ashmem_backend_register(&later.known), 0);
	expect_eq(ashmem_backend_select("later"), 0);
	expect_created_by("later");
}

CHILD_TEST(backend, register_refuses_operations_that_it_does_not_know)
{
	static struct {
		struct ashmem_backend known;
		void *future[4];
	} later;

	later.known = toy_backend("bad", 0);
	later.known.struct_size = sizeof later;
	later.future[3] = &later;
	expect_no_register(&later.known, -E2BIG);
}

CHILD_TEST(backend, register_refuses_capabilities_that_it_does_not_know)
{
	static struct ashmem_backend bad;

	bad = toy_backend("bad", 1u << 31);
	expect_no_register(&bad, -EINVAL);
	bad.capabilities = ASHMEM_BACKEND_CAP_LOST << 1;
	expect_no_register(&bad, -EINVAL);
}

CHILD_TEST(backend, register_copies_the_structure)
{
	static const char name[] = "copied";
	struct ashmem_backend backend = toy_backend(name, 0);

	expect_eq(ashmem_backend_register(&backend), 0);
	memset(&backend, 0xee, sizeof backend);
	expect_eq(ashmem_backend_select("copied"), 0);
	expect_created_by("copied");
}

CHILD_TEST(backend, register_refuses_names_that_are_taken)
{
	static struct ashmem_backend first, second;

	first = toy_backend("memfd", 0);
	expect_no_register(&first, -EEXIST);
	toy_register(0);
	second = toy_backend("toy", 0);
	expect_no_register(&second, -EEXIST);
	expect_no_register(&first, -EEXIST);
}

/* One operation after the other is taken out; the table lists those that must be there. */
CHILD_TEST(backend, register_refuses_missing_operations)
{
	static struct ashmem_backend bad;
#define WITHOUT(operation, capabilities)                \
	do {                                            \
		bad = toy_backend("bad", capabilities); \
		bad.operation = NULL;                   \
		expect_no_register(&bad, -EINVAL);      \
	} while (0)
	WITHOUT(create, 0);
	WITHOUT(close, 0);
	WITHOUT(get_size, 0);
	WITHOUT(map, 0);
	WITHOUT(pin, 0);
	WITHOUT(unpin, 0);
	WITHOUT(evictable, TOY_LRU);
	WITHOUT(oldest, TOY_LRU);
	WITHOUT(purge, TOY_LRU);
	WITHOUT(purge_all, TOY_PURGE_ALL);
	WITHOUT(find_unpinned, TOY_INSPECT);
	WITHOUT(get_stats, TOY_INSPECT);
	WITHOUT(seal, ASHMEM_BACKEND_CAP_SEAL);
	WITHOUT(export_read_only, ASHMEM_BACKEND_CAP_EXPORT);
	WITHOUT(hold, ASHMEM_BACKEND_CAP_HOLDS);
	WITHOUT(release, ASHMEM_BACKEND_CAP_HOLDS);
#undef WITHOUT
}

CHILD_TEST(backend, register_takes_eight)
{
	static struct ashmem_backend backends[9];
	static char names[9][16];
	int i;

	for (i = 0; i < 9; i++) {
		snprintf(names[i], sizeof names[i], "toy%d", i);
		backends[i] = toy_backend(names[i], 0);
		expect_eq(ashmem_backend_register(&backends[i]), i < 8 ? 0 : -ENOSPC);
	}
	expect_eq(ashmem_backend_select("toy7"), 0);
	expect_eq(ashmem_backend_select("toy8"), -ENOENT);
}

CHILD_TEST(backend, auto_never_takes_a_registered_backend)
{
	struct ashmem_area *area;

	unsetenv("ASHMEM_BACKEND");
	toy_register(TOY_LRU);
	area = area_of_pages(1);
	expect(strcmp(ashmem_backend_name(area), "toy") != 0);
	expect_eq(toy_calls.creates, 0);
	ashmem_close(area);
}

CHILD_TEST(backend, backend_that_does_not_work_cannot_be_selected)
{
	struct ashmem_area *area = NULL;

	toy_register(0);
	expect_eq(ashmem_backend_select("memfd"), 0);
	toy_probe_result = -EOPNOTSUPP;
	expect_eq(ashmem_backend_select("toy"), -ENODEV);
	expect(toy_calls.probes > 0 && toy_calls.last_userdata_ok);
	expect_created_by("memfd");
	toy_probe_result = 0;
	expect_eq(ashmem_backend_select("toy"), 0);
	toy_probe_result = -EOPNOTSUPP;
	expect_eq(ashmem_create("x", 1, 0, &area), -ENODEV);
	expect(area == NULL);
}
