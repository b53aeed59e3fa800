/* SPDX-License-Identifier: MIT */
/*
 * Areas by name (names.h): processes that meet, holders that are gone, names that are refused.
 * The directories are those of the user who runs this; names carry the number of the process.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The name of a test, the same in its children. */
static char name[64];

static void choose_name(const char *test)
{
	snprintf(name, sizeof(name), "ashmem-test.%d.%s", (int)getpid(), test);
}

static struct ashmem_area *opened(const char *which)
{
	struct ashmem_area *area = NULL;

	expect_eq(ashmem_open_named(which, &area), 0);
	return area;
}

static void expect_unknown(const char *which)
{
	struct ashmem_area *area = NULL;

	expect_eq(ashmem_open_named(which, &area), -ENOENT);
	expect(area == NULL);
}

static struct view published(void)
{
	struct view view;

	skip_on_kernel("areas of a driver cannot be opened through another process");
	view = full_view(4);
	expect_eq(ashmem_publish(view.area, name), 0);
	return view;
}

/* -- meeting -- */

static void see_and_change(void *unused)
{
	struct view view = view_of(opened(name));

	(void)unused;
	expect(pages_hold(&view, 0, 4, 0x11));
	expect_eq(status_pages(view.area, 1, 1), ASHMEM_IS_UNPINNED);
	fill_pages(&view, 2, 1, 0x22);
	unpin_pages(view.area, 2, 1);
	view_drop(&view);
}

static void look_at_descriptor(void *unused)
{
	(void)unused;
	struct ashmem_area *area = opened(name);
	expect(ashmem_fd(area) > STDERR_FILENO);
	expect(fcntl(ashmem_fd(area), F_GETFD) & FD_CLOEXEC);
	ashmem_close(area);
}

/* A child that has not the area: it was forked before there was one. */
struct stranger {
	struct gate go;
	void (*run)(void *unused);
	pid_t child;
};

static void wait_and_run(void *argument)
{
	struct stranger *stranger = argument;

	gate_wait(&stranger->go);
	stranger->run(NULL);
}

static struct stranger stranger_start(void (*run)(void *unused))
{
	struct stranger stranger = {.run = run};

	gate_make(&stranger.go);
	stranger.child = child_start(wait_and_run, &stranger);
	return stranger;
}

static void stranger_join(struct stranger *stranger)
{
	gate_open(&stranger->go);
	child_join(stranger->child);
	gate_drop(&stranger->go);
}

CONTRACT_TEST(named, unrelated_process_opens_the_area_with_its_state)
{
	choose_name("state");
	struct stranger stranger = stranger_start(see_and_change);
	struct view view = published();

	unpin_pages(view.area, 1, 1);
	stranger_join(&stranger);
	expect(pages_hold(&view, 2, 1, 0x22));
	expect_eq(status_pages(view.area, 2, 1), ASHMEM_IS_UNPINNED);
	view_drop(&view);
}

CONTRACT_TEST(named, descriptor_is_above_the_standard_streams_and_close_on_exec)
{
	choose_name("cloexec");
	struct stranger stranger = stranger_start(look_at_descriptor);
	struct view view = published();

	stranger_join(&stranger);
	view_drop(&view);
}

CONTRACT_TEST(named, opening_what_this_process_holds_gives_another_reference)
{
	choose_name("same");
	struct view view = published();
	struct holdings before = holdings_now();
	struct ashmem_area *again = opened(name);

	expect(again == view.area);
	ashmem_close(again);
	expect_holdings(&before);
	view_drop(&view);
}

CONTRACT_TEST(named, one_area_can_have_many_names)
{
	char other[sizeof(name) + 8];

	choose_name("many");
	struct view view = published();
	snprintf(other, sizeof(other), "%s.2", name);
	expect_eq(ashmem_publish(view.area, other), 0);
	struct ashmem_area *first = opened(name), *second = opened(other);
	expect(first == view.area && second == view.area);
	ashmem_close(first);
	ashmem_close(second);
	view_drop(&view);
}

CONTRACT_TEST(named, publishing_a_newborn_materialises_it)
{
	choose_name("newborn");
	skip_on_kernel("areas of a driver cannot be opened through another process");
	struct ashmem_area *area = area_of_pages(2);

	expect_eq(ashmem_publish(area, name), 0);
	expect_eq(ashmem_set_size(area, page_bytes()), -EINVAL);
	ashmem_close(area);
}

/* -- who holds it -- */

static void publish_and_end(void *unused)
{
	struct view view = published();

	(void)unused, (void)view;
}

CONTRACT_TEST(named, dead_holder_is_passed_over)
{
	choose_name("dead");
	skip_on_kernel("areas of a driver cannot be opened through another process");
	run_child(publish_and_end, NULL);
	expect_unknown(name);
	struct view view = published(); /* and in nobody's way */
	view_drop(&view);
}

CONTRACT_TEST(named, closing_ends_the_name)
{
	choose_name("closed");
	struct view view = published();

	view_drop(&view);
	expect_unknown(name);
	view = published();
	view_drop(&view);
}

static struct gate holds, ends;

static void open_and_hold(void *unused)
{
	struct ashmem_area *area = opened(name);

	(void)unused;
	gate_open(&holds);
	gate_wait(&ends);
	ashmem_close(area);
}

CONTRACT_TEST(named, name_lasts_while_an_opener_holds_the_area)
{
	choose_name("opener");
	gate_make(&holds);
	gate_make(&ends);
	struct stranger stranger = stranger_start(open_and_hold);
	struct view view = published();

	gate_open(&stranger.go);
	gate_wait(&holds);
	view_drop(&view);
	view = view_of(opened(name));
	expect(pages_hold(&view, 0, 4, 0x11));
	view_drop(&view);
	gate_open(&ends);
	child_join(stranger.child);
	expect_unknown(name);
	gate_drop(&stranger.go);
	gate_drop(&holds);
	gate_drop(&ends);
}

static struct view inherited;

static void hold_inherited(void *unused)
{
	(void)unused;
	gate_wait(&holds);
	expect_unknown(name);
	expect_eq(ashmem_publish(inherited.area, name), 0);
	gate_open(&ends);
	gate_wait(&holds);
}

CONTRACT_TEST(named, child_of_fork_is_a_holder_once_it_publishes_itself)
{
	pid_t child;

	choose_name("fork");
	skip_on_kernel("areas of a driver cannot be opened through another process");
	gate_make(&holds);
	gate_make(&ends);
	inherited = published();
	child = child_start(hold_inherited, NULL);
	view_drop(&inherited);
	expect_unknown(name);
	gate_open(&holds);
	gate_wait(&ends);
	struct ashmem_area *area = opened(name);
	ashmem_close(area);
	gate_open(&holds);
	child_join(child);
	expect_unknown(name);
	gate_drop(&holds);
	gate_drop(&ends);
}

CONTRACT_TEST(named, descriptor_that_the_program_closed_is_passed_over)
{
	choose_name("gone");
	struct view view = published();
	int fd = ashmem_fd(view.area);

	close(fd);
	expect_eq(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0, 1);
	expect_unknown(name);
	view_drop(&view);
}

/* -- one name, one area -- */

CONTRACT_TEST(named, second_area_of_a_name_is_refused_while_the_first_is_held)
{
	choose_name("two");
	struct view view = published();
	struct ashmem_area *other = area_of_pages(1);

	expect_eq(ashmem_publish(other, name), -EEXIST);
	expect_eq(ashmem_publish(view.area, name), 0);
	struct ashmem_area *area = opened(name);
	expect(area == view.area);
	ashmem_close(area);
	view_drop(&view);
	expect_eq(ashmem_publish(other, name), 0);
	ashmem_close(other);
}

CONTRACT_TEST(named, unpublished_name_is_free_and_the_area_goes_on)
{
	choose_name("unpublish");
	struct view view = published();
	struct ashmem_area *other = area_of_pages(1);

	expect_eq(ashmem_unpublish(name), 0);
	expect_unknown(name);
	expect_eq(ashmem_unpublish(name), -ENOENT);
	expect_eq(ashmem_publish(other, name), 0);
	struct ashmem_area *area = opened(name);
	expect(area == other);
	ashmem_close(area);
	expect(pages_hold(&view, 0, 4, 0x11));
	ashmem_close(other);
	view_drop(&view);
}

/* -- what is refused -- */

static void expect_no_name(const char *bad, struct ashmem_area *area)
{
	struct ashmem_area *got = NULL;

	expect_eq(ashmem_publish(area, bad), -EINVAL);
	expect_eq(ashmem_open_named(bad, &got), -EINVAL);
	expect_eq(ashmem_unpublish(bad), -EINVAL);
	expect(got == NULL);
}

CONTRACT_TEST(named, names_have_1_to_200_bytes_and_no_slash)
{
	char longest[202];
	struct ashmem_area *area;

	skip_on_kernel("areas of a driver cannot be opened through another process");
	area = area_of_pages(1);
	memset(longest, 'n', sizeof(longest));
	longest[201] = '\0';
	expect_no_name(NULL, area);
	expect_no_name("", area);
	expect_no_name("a/b", area);
	expect_no_name("/", area);
	expect_no_name(longest, area);
	longest[200] = '\0';
	expect_eq(ashmem_publish(area, longest), 0);
	expect_eq(ashmem_publish(area, ".."), 0);
	expect_eq(ashmem_publish(area, ". \n\xff"), 0);
	ashmem_close(opened(longest));
	ashmem_close(opened(".."));
	ashmem_close(opened(". \n\xff"));
	ashmem_close(area);
}

CONTRACT_TEST(named, null_and_areas_without_size_are_refused)
{
	choose_name("null");
	skip_on_kernel("areas of a driver cannot be opened through another process");
	struct ashmem_area *empty = area_of_bytes(0);
	struct holdings before = holdings_now();

	expect_eq(ashmem_publish(NULL, name), -EINVAL);
	expect_eq(ashmem_open_named(name, NULL), -EINVAL);
	expect_eq(ashmem_publish(empty, name), -EINVAL);
	expect_unknown(name);
	expect_holdings(&before);
	ashmem_close(empty);
}

CONTRACT_TEST(named, plain_memfd_cannot_be_published)
{
	choose_name("plain");
	skip_on_kernel("memfd backend alone");
	int fd = memfd_create("plain", MFD_CLOEXEC);
	expect_eq(ftruncate(fd, (off_t)page_bytes()), 0);
	struct ashmem_area *area = import_area(fd);

	expect_eq(ashmem_publish(area, name), -ENOTSUP);
	expect_unknown(name);
	ashmem_close(area);
	close(fd);
}
