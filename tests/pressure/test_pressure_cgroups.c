/* SPDX-License-Identifier: MIT */
/*
 * Which cgroups limit the process, in files: the forms in which container engines mount the
 * hierarchies and make namespaces, and groups nested deeper than one source looks at. The same
 * forms made by the kernel: test_pressure_containers.c.
 */
#define _GNU_SOURCE 1
#include "support/contract.h"
#include "support/fake_system.h"

#include "pressure/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* -- mounts made of files -- */

/* The process is in a group of this path; then mounts are added. */
static char mountinfo[2048];

static void begin_mounts(int version, const char *path)
{
	fake_write("proc/self/cgroup", version == 1 ? "4:cpu,memory:%s\n" : "0::%s\n", path);
	fake_write("proc/self/mountinfo", "%s", "");
	mountinfo[0] = '\0';
}

/* Options are "rw" or "ro", and the same for both versions. */
static void add_mount(int version, const char *root, const char *point, const char *options)
{
	size_t length = strlen(mountinfo);

	snprintf(mountinfo + length, sizeof mountinfo - length,
		"30 20 0:30 %s %s%s %s,nosuid shared:9 master:1 - %s rw%s\n", root, fake_path(""),
		point, options, version == 1 ? "cgroup cgroup" : "cgroup2 none",
		version == 1 ? ",cpu,memory" : ",nsdelegate");
	fake_write("proc/self/mountinfo", "%s", mountinfo);
}

/* A group that lists processes: us among them, or not. */
static void make_group(const char *directory, int is_ours)
{
	char name[300];

	snprintf(name, sizeof name, "%s/cgroup.procs", directory);
	fake_write(name, "0\n1%d\n", getpid());
	if (is_ours)
		fake_write(name, "1%d\n0\n%d\n7\n", getpid(), getpid());
}

/* The directory that is found, below the fake system's; "" if none. */
static const char *found(int version)
{
	static struct pressure_cgroup group;

	if (source_cgroup_find(&group, version == 1, NULL) < 0)
		return "";
	return group.path + strlen(fake_path(""));
}

static const char *found_outer(int version)
{
	static struct pressure_cgroup inner, outer;

	if (source_cgroup_find(&inner, version == 1, NULL) < 0 ||
		source_cgroup_find_outer(&outer, &inner) < 0)
		return "";
	return outer.path + strlen(fake_path(""));
}

/* What is found for one mount of a tree that has one group with us. */
static const char *found_in(const char *path, const char *root, const char *group)
{
	const char *directory;

	fake_system_begin();
	begin_mounts(2, path);
	add_mount(2, root, "cg", "rw");
	make_group(group, 1);
	directory = found(2);
	fake_system_end();
	return directory;
}

CONTRACT_TEST(pressure_cgroups, a_group_is_found_wherever_its_tree_is_mounted)
{
	expect_str(found_in("/", "/", "cg"), "cg");
	expect_str(found_in("/a/b", "/", "cg/a/b"), "cg/a/b");
	/* A container without a namespace of its own: its group is what is mounted. */
	expect_str(found_in("/docker/1f", "/docker/1f", "cg"), "cg");
	expect_str(found_in("/docker/1f/sub", "/docker/1f", "cg/sub"), "cg/sub");
	/* A name of dots is a name. */
	expect_str(found_in("/..a/b", "/..a", "cg/b"), "cg/b");
	/* With a namespace, the process can be beside its root. */
	expect_str(found_in("/../other", "/..", "cg/other"), "cg/other");
	expect_str(found_in("/../other/x", "/../other", "cg/x"), "cg/x");
}

CONTRACT_TEST(pressure_cgroups, names_in_mounts_may_have_blanks_and_sources_be_empty)
{
	char root[128];

	fake_system_begin();
	snprintf(root, sizeof root, "%s", fake_path(""));
	make_group("with blank\\/b/a b", 1);
	begin_mounts(2, "/a b");
	fake_write("proc/self/mountinfo", "30 20 0:30 / %swith\\040blank\\134/b rw - cgroup2  rw\n",
		root);
	expect_str(found(2), "with blank\\/b/a b");
	begin_mounts(1, "/a b");
	fake_write("proc/self/mountinfo",
		"30 20 0:30 /a\\040b %swith\\040blank\\134/b/a\\040b rw - cgroup  rw,memory\n",
		root);
	expect_str(found(1), "with blank\\/b/a b");
	fake_system_end();
}

/* A mount of something else is not the process's group, whatever limit it shows. */
CONTRACT_TEST(pressure_cgroups, a_mount_that_does_not_show_the_group_is_passed_over)
{
	static const char *const cases[][2] = {{"/docker/1fff", "/docker/1f"}, /* begin alike */
		{"/docker/1f", "/docker/2a"}, {"/", "/../other"}, {"/../other", "/"},
		{"/../../x", "/../y"}};

	for (int version = 1; version <= 2; version++) {
		for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
			fake_system_begin();
			begin_mounts(version, cases[i][0]);
			add_mount(version, cases[i][1], "cg", "rw");
			fake_write("cg/file", "%s", "");
			expect_str(found(version), "");
			make_group("cg", 0);
			expect_str(found(version), "");
			/* Believed over the names if the kernel says so. */
			make_group("cg", 1);
			expect_str(found(version), "cg");
			fake_system_end();
		}
	}
}

/* The order in which mounts are told says nothing. */
CONTRACT_TEST(pressure_cgroups, another_containers_mount_is_passed_over_before_and_after)
{
	for (int i = 0; i < 4; i++) {
		int version = 1 + i % 2, is_first = i / 2;
		fake_system_begin();
		begin_mounts(version, "/docker/1f");
		if (is_first)
			add_mount(version, "/docker/2a", "aside", "rw");
		add_mount(version, "/docker/1f", "cg", "ro");
		if (!is_first)
			add_mount(version, "/docker/2a", "aside", "rw");
		make_group("aside", 0);
		make_group("cg", 1);
		expect_str(found(version), "cg");
		expect_str(found_outer(version), "");
		fake_system_end();
	}
}

/* The host's whole tree beside the own group: both show it, one has what is around. */
CONTRACT_TEST(pressure_cgroups, the_own_mount_is_the_nearest_and_the_hosts_shows_what_is_around)
{
	for (int i = 0; i < 4; i++) {
		int version = 1 + i % 2, is_first = i / 2;
		fake_system_begin();
		begin_mounts(version, "/pods/1f/run");
		if (is_first)
			add_mount(version, "/", "hostfs/cg", "ro");
		add_mount(version, "/pods/1f", "cg", "rw");
		if (!is_first)
			add_mount(version, "/", "hostfs/cg", "ro");
		make_group("hostfs/cg/pods/1f/run", 1);
		make_group("cg/run", 1);
		expect_str(found(version), "cg/run");
		expect_str(found_outer(version), "hostfs/cg/pods");
		fake_system_end();
	}
}

CONTRACT_TEST(pressure_cgroups, of_two_mounts_of_the_same_the_writable_one_is_taken)
{
	for (int version = 1; version <= 2; version++) {
		fake_system_begin();
		begin_mounts(version, "/a");
		add_mount(version, "/", "hostfs", "ro");
		add_mount(version, "/", "cg", "rw");
		make_group("hostfs/a", 1);
		make_group("cg/a", 1);
		expect_str(found(version), "cg/a");
		fake_system_end();
	}
}

/* What is mounted over a mount hides it, and names do not tell. */
CONTRACT_TEST(pressure_cgroups, a_mount_that_is_covered_is_passed_over)
{
	fake_system_begin();
	begin_mounts(2, "/a");
	add_mount(2, "/", "cg", "rw");
	add_mount(2, "/", "aside", "ro");
	make_group("cg/a", 0);
	make_group("aside/a", 1);
	expect_str(found(2), "aside/a");
	begin_mounts(2, "/b");
	add_mount(2, "/", "cg", "rw"); /* nothing there */
	expect_str(found(2), "");
	fake_system_end();
}

CONTRACT_TEST(pressure_cgroups, a_namespace_is_seen_through_its_own_mount_or_searched_in_the_hosts)
{
	for (int version = 1; version <= 2; version++) {
		fake_system_begin();
		begin_mounts(version, "/");
		add_mount(version, "/../..", "hostfs", "ro");
		make_group("hostfs/pods/x", 0);
		make_group("hostfs/pods/y", 0);
		make_group("hostfs/y", 1); /* at another depth */
		expect_str(found(version), "");
		make_group("hostfs/pods/x", 1);
		expect_str(found(version), "hostfs/pods/x");
		add_mount(version, "/", "cg", "rw");
		make_group("cg", 1);
		expect_str(found(version), "cg");
		expect_str(found_outer(version), "hostfs/pods");
		/* In a group below the root of the namespace, and in one beside it. */
		begin_mounts(version, "/run");
		add_mount(version, "/../..", "hostfs", "ro");
		make_group("hostfs/pods/y/run", 1);
		expect_str(found(version), "hostfs/pods/y/run");
		begin_mounts(version, "/../z");
		add_mount(version, "/../..", "hostfs", "ro");
		make_group("hostfs/pods/z", 1);
		expect_str(found(version), "hostfs/pods/z");
		fake_system_end();
	}
}

/* -- limits -- */

static void make_limit(int version, const char *directory, uint64_t limit, uint64_t usage)
{
	char name[300];

	snprintf(name, sizeof name, "%s/%s", directory,
		version == 1 ? "memory.limit_in_bytes" : "memory.max");
	if (limit)
		fake_write(name, "%llu\n", (unsigned long long)limit);
	else
		fake_write(name, "%s\n", version == 1 ? "9223372036854771712" : "max");
	snprintf(name, sizeof name, "%s/%s", directory,
		version == 1 ? "memory.usage_in_bytes" : "memory.current");
	fake_write(name, "%llu\n", (unsigned long long)usage);
}

static uint64_t limit_now(struct ashmem_pressure *pressure)
{
	expect(ashmem_pressure_dispatch(pressure) >= 0);
	return fake_status(pressure).limit_bytes;
}

#define DEEP 20

/* Directory number `level` of nested ones, from the mount, 0, inward. */
static const char *nested(int level)
{
	static char name[4 + 2 * DEEP];

	strcpy(name, "cg");
	for (int i = 0; i < level; i++)
		strcat(name, "/n");
	return name;
}

/* Groups up to DEEP levels below the mount, all without a limit. */
static void begin_nested(int version)
{
	begin_mounts(version, nested(DEEP) + 2);
	add_mount(version, "/", "cg", "rw");
	for (int level = 0; level <= DEEP; level++)
		make_limit(version, nested(level), 0, MIB_BYTES);
	make_group(nested(DEEP), 1);
}

CONTRACT_TEST(pressure_cgroups, a_limit_is_found_however_far_up_it_is)
{
	for (int version = 1; version <= 2; version++) {
		fake_system_begin();
		for (int level = DEEP; level >= 0; level--) {
			begin_nested(version);
			expect_eq(fake_open_answer("headroom"), -ENODATA);
			make_limit(version, nested(level), 96 * MIB_BYTES, 90 * MIB_BYTES);
			struct ashmem_pressure *pressure = fake_open("headroom");
			expect_eq(limit_now(pressure), 96 * MIB_BYTES);
			ashmem_pressure_close(pressure);
		}
		fake_system_end();
	}
}

/* Groups without a limit take what is left of the places. */
CONTRACT_TEST(pressure_cgroups, a_limit_that_comes_later_is_seen_in_the_nearest_groups)
{
	for (int version = 1; version <= 2; version++) {
		fake_system_begin();
		begin_nested(version);
		make_limit(version, nested(1), 96 * MIB_BYTES, 40 * MIB_BYTES);
		struct ashmem_pressure *pressure = fake_open("headroom");
		expect_eq(limit_now(pressure), 96 * MIB_BYTES);
		for (int i = 0; i < PRESSURE_GROUPS - 1; i++) {
			make_limit(version, nested(DEEP - i), 20 * MIB_BYTES, 15 * MIB_BYTES);
			expect_eq(limit_now(pressure), 20 * MIB_BYTES);
			make_limit(version, nested(DEEP - i), 0, 15 * MIB_BYTES);
			expect_eq(limit_now(pressure), 96 * MIB_BYTES);
		}
		ashmem_pressure_close(pressure);
		fake_system_end();
	}
}

CONTRACT_TEST(pressure_cgroups, of_too_many_limits_those_with_the_least_left_are_watched)
{

	for (int version = 1; version <= 2; version++) {
		fake_system_begin();
		begin_nested(version);
		/* The fifth from the top is tight; each of the others leaves 100 MiB and more. */
		for (int level = 0; level <= DEEP; level++)
			make_limit(version, nested(level), (300u + (unsigned)level) * MIB_BYTES,
				(200u - (unsigned)level) * MIB_BYTES);
		make_limit(version, nested(5), 900 * MIB_BYTES, 899 * MIB_BYTES);
		struct ashmem_pressure *pressure = fake_open("headroom");
		expect_eq(limit_now(pressure), 900 * MIB_BYTES);
		ashmem_pressure_close(pressure);
		fake_system_end();
	}
}

CONTRACT_TEST(pressure_cgroups, limits_around_what_the_own_mount_shows_are_seen_through_another)
{
	for (int version = 1; version <= 2; version++) {
		fake_system_begin();
		begin_mounts(version, "/limited/pod/1f");
		add_mount(version, "/limited/pod/1f", "cg", "rw");
		add_mount(version, "/", "hostfs", "ro");
		make_group("cg", 1);
		make_group("hostfs/limited/pod/1f", 1);
		make_limit(version, "cg", 0, MIB_BYTES);
		make_limit(version, "hostfs/limited/pod", 0, MIB_BYTES);
		make_limit(version, "hostfs/limited", 64 * MIB_BYTES, MIB_BYTES);
		struct ashmem_pressure *pressure = fake_open("headroom");
		expect_eq(limit_now(pressure), 64 * MIB_BYTES);
		ashmem_pressure_close(pressure);
		/* Both count, each once. */
		make_limit(version, "cg", 32 * MIB_BYTES, MIB_BYTES);
		pressure = fake_open("headroom");
		expect_eq(limit_now(pressure), 32 * MIB_BYTES);
		make_limit(version, "hostfs/limited", 64 * MIB_BYTES, 63 * MIB_BYTES);
		expect_eq(limit_now(pressure), 64 * MIB_BYTES);
		ashmem_pressure_close(pressure);
		fake_system_end();
	}
}

/* Version 1 tells the least limit; what others use there cannot be known. */
CONTRACT_TEST(pressure_cgroups, a_limit_around_all_that_is_mounted_counts_with_version_1)
{
	fake_system_begin();
	begin_mounts(1, "/limited/pod/1f");
	add_mount(1, "/limited/pod", "cg", "rw");
	make_group("cg/1f", 1);
	make_limit(1, "cg/1f", 0, 10 * MIB_BYTES);
	make_limit(1, "cg", 0, 20 * MIB_BYTES);
	fake_write("cg/1f/memory.stat", "cache 5\nhierarchical_memory_limit 5\n");
	fake_write("cg/memory.stat", "cache 5\nhierarchical_memory_limit 9223372036854771712\n");
	expect_eq(fake_open_answer("headroom"), -ENODATA);
	fake_write("cg/memory.stat", "cache 5\nhierarchical_memory_limit 67108864\n");
	struct ashmem_pressure *pressure = fake_open("headroom");
	expect_eq(limit_now(pressure), 64 * MIB_BYTES);
	expect_eq(fake_status(pressure).free_bytes, 44 * MIB_BYTES);
	make_limit(1, "cg", 32 * MIB_BYTES, 20 * MIB_BYTES);
	expect_eq(limit_now(pressure), 32 * MIB_BYTES);
	ashmem_pressure_close(pressure);
	fake_system_end();
}

/* The memory controller may be off in the group itself: its files begin further up. */
CONTRACT_TEST(pressure_cgroups, a_group_without_the_memory_controller_is_limited_by_those_around_it)
{
	fake_system_begin();
	begin_mounts(2, "/limited/a/b");
	add_mount(2, "/", "cg", "rw");
	make_group("cg/limited/a/b", 1);
	make_limit(2, "cg/limited", 64 * MIB_BYTES, MIB_BYTES);
	struct ashmem_pressure *pressure = fake_open("headroom");
	expect_eq(limit_now(pressure), 64 * MIB_BYTES);
	ashmem_pressure_close(pressure);
	fake_system_end();
}

/* -- a cgroup that is named -- */

static int open_named(const char *source, const char *directory, struct ashmem_pressure **pressure)
{
	struct ashmem_pressure_options options = {.struct_size = sizeof options,
		.source = source,
		.cgroup = directory,
		.reserve_percent = 25};

	return ashmem_pressure_open(&options, pressure);
}

static void make_named(const char *name, const char *limit, int usage_mib)
{
	char file[128];

	snprintf(file, sizeof file, "%s/cgroup.controllers", name);
	fake_write(file, "memory\n");
	snprintf(file, sizeof file, "%s/memory.max", name);
	fake_write(file, "%s\n", limit);
	snprintf(file, sizeof file, "%s/memory.current", name);
	fake_write(file, "%d\n", usage_mib << 20);
}

CONTRACT_TEST(pressure_cgroups, a_cgroup_can_be_named_and_those_around_it_count)
{
	struct ashmem_pressure *pressure;

	fake_system_begin();
	fake_cgroup(2, "/own");
	make_named("cg2/own", "1048576", 1); /* ours has nothing left */
	make_named("cg2/far", "100663296", 10);
	make_named("cg2/far/cache", "max", 10);
	expect_eq(open_named(NULL, fake_path("cg2/far/cache"), &pressure), 0);
	expect_str(ashmem_pressure_source(pressure), "headroom");
	expect(fake_says(pressure, "system-psi: not taken: a cgroup was named"));
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_NONE);
	expect_eq(fake_status(pressure).limit_bytes, 96 * MIB_BYTES);
	expect_eq(fake_status(pressure).free_bytes, 86 * MIB_BYTES);
	make_named("cg2/far", "100663296", 90);
	expect_eq(ashmem_pressure_dispatch(pressure), ASHMEM_PRESSURE_HIGH);
	ashmem_pressure_close(pressure);
	fake_system_end();
}

CONTRACT_TEST(pressure_cgroups, what_is_no_cgroup_cannot_be_named)
{
	struct ashmem_pressure *pressure = NULL;

	fake_system_begin();
	fake_available(100);
	make_named("cg2/a", "100663296", 10);
	expect_eq(open_named("available", fake_path("cg2/a"), &pressure), -EINVAL);
	expect_eq(open_named("headroom", fake_path("cg2/none"), &pressure), -ENOENT);
	expect_eq(open_named(NULL, fake_path("cg2/none"), &pressure), -ENODEV);
	fake_remove("cg2/a/memory.max");
	expect(open_named("headroom", fake_path("cg2/a"), &pressure) < 0);
	expect(!pressure);
	fake_system_end();
}
