/* SPDX-License-Identifier: MIT */
/*
 * <ashmem/ashmem.hpp>: who owns what, whatever is moved or thrown; what a scoped pin says and when
 * it ends; errors as exceptions and as codes. What the calls do is tested in C. Compiled as C++11.
 */
#include <ashmem/ashmem.hpp>

#include "support/areas.h"
#include "support/contract.h"

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

using ashmem::contents;

static std::size_t page()
{
	return static_cast<std::size_t>(page_bytes());
}

/* An area of so many pages on the backend that has everything. */
static ashmem::area area_of(unsigned pages)
{
	expect_eq(ashmem_backend_select("memfd"), 0);
	return ashmem::area("c++", pages * page());
}

/* Its pages hold memory, which a purge can free. */
static ashmem::mapping filled(ashmem::area &area)
{
	ashmem::mapping memory = area.map();

	std::memset(memory.data(), 1, memory.size());
	return memory;
}

static int open_descriptors()
{
	return holdings_now().descriptors;
}

static bool is_mapped(void *addr)
{
	char line[1024];

	return maps_line(addr, line, sizeof(line)) != 0;
}

static unsigned areas_held()
{
	ashmem_process_stats counts = ashmem::sized<ashmem_process_stats>();

	expect_eq(ashmem_process_get_stats(&counts), 0);
	return static_cast<unsigned>(counts.areas);
}

/* The error number that a call throws; 0: it throws nothing. `text` is to be in what(). */
template <class F> static int thrown_by(F call, const char *text = "")
{
	try {
		call();
	} catch (const std::system_error &error) {
		expect(error.code().category() == std::generic_category());
		expect_msg(std::strstr(error.what(), text), "'%s' does not name %s", error.what(),
			text);
		return error.code().value();
	}
	return 0;
}

template <class T> struct owner_like {
	static constexpr bool value = !std::is_copy_constructible<T>::value &&
		!std::is_copy_assignable<T>::value &&
		std::is_nothrow_move_constructible<T>::value &&
		std::is_nothrow_move_assignable<T>::value &&
		std::is_nothrow_default_constructible<T>::value &&
		std::is_nothrow_destructible<T>::value;
};
static_assert(owner_like<ashmem::area>::value, "area");
static_assert(owner_like<ashmem::mapping>::value, "mapping");
static_assert(owner_like<ashmem::descriptor>::value, "descriptor");
static_assert(owner_like<ashmem::pinned>::value, "pinned");
static_assert(owner_like<ashmem::held>::value, "held");
static_assert(owner_like<ashmem::cache>::value, "cache");
static_assert(owner_like<ashmem::entry>::value, "entry");
static_assert(owner_like<ashmem::watch>::value, "watch");
static_assert(owner_like<ashmem::shrinker>::value, "shrinker");
static_assert(owner_like<ashmem::budget>::value, "budget");
static_assert(owner_like<ashmem::purge_notice>::value, "purge_notice");
static_assert(sizeof(ashmem::area) == sizeof(ashmem_area *), "an area is as large as its handle");
static_assert(!std::is_convertible<ashmem_area *, ashmem::area>::value,
	"a handle is adopted by name only");
static_assert(!std::is_convertible<ashmem::area, bool>::value &&
		!std::is_convertible<ashmem::area, int>::value,
	"bool is explicit");

/* Areas */

CONTRACT_TEST(cpp, area_is_given_back_with_its_owner)
{
	int descriptors = open_descriptors();
	{
		ashmem::area area = area_of(3);
		ashmem::mapping memory = area.map();
		expect(area && memory);
		expect_eq(areas_held(), 1);
		expect(open_descriptors() > descriptors);
		expect_eq(area.size(), 3 * page());
		expect_eq(memory.size(), 3 * page());
		expect_str(area.name().c_str(), "c++");
		expect_str(area.backend_name(), "memfd");
	}
	expect_eq(areas_held(), 0);
	expect_eq(open_descriptors(), descriptors);
}

CONTRACT_TEST(cpp, move_leaves_nothing_behind)
{
	ashmem::area first = area_of(1), second = area_of(1);
	ashmem_area *handle = first.get();

	ashmem::area third(std::move(first));
	expect(!first && first.get() == nullptr);
	expect(third.get() == handle);
	second = std::move(third); /* closes what it had */
	expect(!third && second.get() == handle);
	expect_eq(areas_held(), 1);
	std::swap(second, third);
	expect(!second && third.get() == handle);
	expect_eq(areas_held(), 1);
}

template <class T> static void move_to_itself(T &it)
{
	T &same = it; /* so that no compiler warns */
	it = std::move(same);
}

CONTRACT_TEST(cpp, self_move_keeps)
{
	ashmem::area area = area_of(1);
	ashmem::mapping memory = area.map();
	ashmem::pinned pin(area);
	ashmem::held hold(area);
	ashmem::descriptor fd(dup(area.fd()));
	ashmem_area *handle = area.get();
	void *addr = memory.data();

	move_to_itself(area);
	move_to_itself(memory);
	move_to_itself(pin);
	move_to_itself(hold);
	move_to_itself(fd);
	expect(area.get() == handle && memory.data() == addr && is_mapped(addr));
	expect(pin && hold && fcntl(fd.get(), F_GETFD) >= 0);
}

CONTRACT_TEST(cpp, handles_are_given_up_and_adopted)
{
	ashmem::area area = area_of(1);
	ashmem_area *handle = area.release();

	expect(!area);
	expect_eq(areas_held(), 1);
	area = ashmem::area::adopt(handle);
	expect(area.get() == handle);
	area.reset();
	expect_eq(areas_held(), 0);
	area = ashmem::area::adopt(nullptr);
	expect(!area);
}

struct throws_later {
	ashmem::area area;
	ashmem::mapping memory;

	throws_later() : area(area_of(4)), memory(area.map())
	{
		ashmem::pinned pin(area);
		throw std::runtime_error("later");
	}
};

CONTRACT_TEST(cpp, exceptions_from_constructors_leak_nothing)
{
	int descriptors = open_descriptors();
	bool thrown = false;

	try {
		throws_later object;
	} catch (const std::runtime_error &) {
		thrown = true;
	}
	expect(thrown);
	expect_eq(thrown_by([] { ashmem::area("x", 4096, 1u << 31); }, "ashmem_create"), EINVAL);
	expect_eq(thrown_by([] { (void)ashmem::area::from_fd(-1); }, "ashmem_import"), EBADF);
	expect_eq(thrown_by([] { (void)ashmem::area::receive(-1); }, "ashmem_recv"), EBADF);
	expect_eq(thrown_by([] { (void)area_of(0).map(); }, "ashmem_map"), EINVAL);
	expect_eq(thrown_by(
			  [] {
				  ashmem::area area = area_of(1);
				  ashmem::mapping memory = area.map();
				  ashmem::pinned pin(area, 1, 0);
			  },
			  "ashmem_pin"),
		EINVAL);
	expect_eq(areas_held(), 0);
	expect_eq(open_descriptors(), descriptors);
}

CONTRACT_TEST(cpp, errors_come_as_codes_too)
{
	std::error_code ec = std::make_error_code(std::errc::io_error);
	ashmem::area area("", 0, 0, ec);

	expect(!ec && area);
	expect(!area.map(PROT_READ, ec));
	expect(ec == std::errc::invalid_argument);
	area.set_size(2 * page(), ec);
	expect(!ec);
	area.set_name("named", ec);
	expect(!ec && area.name(ec) == "named" && !ec);
	expect_eq(area.seek(0, SEEK_SET, ec), 0);
	expect(ec == std::errc::bad_file_descriptor);
	area.set_prot(PROT_READ | PROT_WRITE, ec);
	expect_eq(area.prot(ec), PROT_READ | PROT_WRITE);
	expect(!ec);
	expect(!ashmem::area("", 0, ~0u, ec) && ec == std::errc::invalid_argument);
	expect(!ashmem::area::from_fd(-1, ec) && ec.value() == EBADF);
	expect(!ashmem::area::receive(-1, ec) && ec.value() == EBADF);
	expect(area.pin(1, 0, ec) == contents::purged && ec); /* who forgets to look rebuilds */
	expect(!ashmem::pinned(area, 1, 0, ec) && ec);
	expect(!ashmem::held(area, 1, 0, ec) && ec);
}

CONTRACT_TEST(cpp, no_area_is_an_invalid_argument)
{
	ashmem::area none;
	std::error_code ec;

	expect_eq(none.size(), 0);
	expect(none.backend_name() == nullptr);
	expect_eq(thrown_by([&] { (void)none.pin(); }, "ashmem_pin"), EINVAL);
	expect_eq(thrown_by([&] { none.unpin(); }, "ashmem_unpin"), EINVAL);
	expect_eq(thrown_by([&] { (void)none.name(); }, "ashmem_get_name"), EINVAL);
	expect_eq(thrown_by([&] { (void)none.fd(); }, "ashmem_fd"), EINVAL);
	expect_eq(thrown_by([&] { (void)none.stats(); }, "ashmem_area_get_stats"), EINVAL);
	expect_eq(none.fd(ec), -1);
	expect(ec.value() == EINVAL && !none.export_read_only(ec) && ec.value() == EINVAL);
	expect_eq(thrown_by([&] { ashmem::watch().run(); }, "ashmem_pressure_run"), EINVAL);
	expect_eq(thrown_by([&] { (void)ashmem::budget().usage(); }, "ashmem_budget_get_usage"),
		EINVAL);
}

CONTRACT_TEST(cpp, areas_and_descriptors_pass_through_sockets)
{
	ashmem::area area = area_of(2);
	ashmem::mapping memory = area.map();
	int pair[2];

	std::memcpy(memory.data(), "sent", 5);
	expect_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	area.send(pair[0]);
	ashmem::area received = ashmem::area::receive(pair[1]);
	expect(received.get() == area.get()); /* one more reference */
	area.reset();
	char text[5] = "";
	expect_eq(received.read(text, 5), 5);
	expect_str(text, "sent");
	expect_eq(received.seek(1), 1);
	expect_eq(received.pread(text, 3, 1), 3);

	int number;
	{
		ashmem::descriptor exported = received.export_read_only();
		number = exported.get();
		received.reset(); /* else the import would be one more reference to it */
		ashmem::area reader = ashmem::area::from_fd(exported.get());
		expect_eq(thrown_by([&] { (void)reader.map(PROT_WRITE); }, "ashmem_map"), EACCES);
		expect_eq(thrown_by([&] { reader.seal(); }, "ashmem_seal"), EACCES);
	}
	expect_eq(fcntl(number, F_GETFD), -1);
	close(pair[0]);
	close(pair[1]);
}

/* Mappings */

CONTRACT_TEST(cpp, mapping_outlives_the_area_and_ends_with_its_owner)
{
	void *addr;
	{
		ashmem::mapping memory = area_of(2).map();
		addr = memory.data();
		memory.as<unsigned char>()[page()] = 7;
		expect_eq(*memory.as<unsigned char>(page()), 7);
		ashmem::mapping other(std::move(memory));
		expect(!memory && memory.size() == 0 && other.data() == addr);
		expect(is_mapped(addr));
	}
	expect(!is_mapped(addr));
}

CONTRACT_TEST(cpp, mapping_is_given_up_and_adopted)
{
	ashmem::area area = area_of(2);
	ashmem::mapping memory = area.map_range(page(), page(), PROT_READ);
	void *addr = memory.release();

	expect(!memory && is_mapped(addr));
	memory = ashmem::mapping::adopt(addr, page());
	memory.unmap();
	expect(!memory && !is_mapped(addr));
	memory.unmap(); /* nothing to do */
	memory = area.map();
	addr = memory.data();
	memory = area.map_range(0, page()); /* ends the one before */
	expect(memory.data() == addr || !is_mapped(addr));
	expect_eq(memory.size(), page());
}

/* Pins */

CONTRACT_TEST(cpp, pinned_ends_with_the_scope)
{
	ashmem::area area = area_of(4);
	ashmem::mapping memory = area.map();

	area.unpin();
	{
		ashmem::pinned pin(area, page(), 2 * page());
		expect(pin && !pin.was_purged());
		expect(area.is_pinned(page(), 2 * page()));
		expect(!area.is_pinned(0, page()));
	}
	expect(!area.is_pinned(page(), page()) && !area.is_pinned(2 * page(), page()));
	ashmem::pinned(area).keep();
	expect(area.is_pinned());
}

CONTRACT_TEST(cpp, pinned_tells_what_was_purged_and_unpins_when_unwinding)
{
	ashmem::area area = area_of(4);
	ashmem::mapping memory = area.map();

	area.unpin();
	expect_eq(ashmem::purge_all(), 4);
	try {
		ashmem::pinned pin(area);
		expect(pin.was_purged());
		throw std::runtime_error("no rebuilding");
	} catch (const std::runtime_error &) {
	}
	expect(!area.is_pinned());
	ashmem::pinned again(area); /* it is said once */
	expect(!again.was_purged());
}

CONTRACT_TEST(cpp, pinned_moves)
{
	ashmem::area area = area_of(2), other = area_of(2);
	ashmem::mapping memory = area.map(), other_memory = other.map();

	ashmem::pinned pin(area, 0, page());
	ashmem::pinned second(other);
	ashmem::pinned third(std::move(pin));
	expect(!pin && third && area.is_pinned(0, page()));
	third = std::move(second); /* unpins what it had */
	expect(!area.is_pinned(0, page()) && area.is_pinned(page(), page()));
	expect(other.is_pinned());
	ashmem::area moved(std::move(other)); /* the pin goes with the area, not with the object */
	third.unpin();
	expect(!third && !moved.is_pinned());
	third.unpin(); /* nothing to do */
}

CONTRACT_TEST(cpp, pinned_unpins_as_told)
{
	ashmem::area area = area_of(3);
	ashmem::mapping memory = filled(area);
	ashmem::unpinned_range range = ashmem::unpinned_range();

	{
		ashmem::pinned dear(area, 0, page()), cheap(area, page(), page());
		dear.unpin_as(ASHMEM_PRIORITY_LAST);
		cheap.unpin_as(ASHMEM_PRIORITY_FIRST, ASHMEM_ORDER_LIFO);
		ashmem::pinned moved(std::move(dear)); /* with what it was told */
	}
	area.unpin(2 * page(), page());
	expect_eq(ashmem::shrink_count(), 3);
	expect_eq(ashmem::shrink(1), 1);
	expect(area.find_unpinned(page(), range) && range.offset == page() && range.purged &&
		!range.evictable);
	expect_eq(ashmem::shrink(1), 1);
	expect(area.find_unpinned(2 * page(), range) && range.offset == 2 * page() && range.purged);
	expect(area.find_unpinned(0, range) && range.offset == 0 && range.length == page() &&
		!range.purged && range.evictable);
	expect(!area.find_unpinned(3 * page(), range));
	expect_eq(area.stats().purged_pages, 2);
	expect_eq(area.purge(0, page()), 1);
	expect_eq(area.stats().purged_pages, 3);
	std::error_code ec;
	expect_eq(ashmem::area().purge(0, 0, ec), 0);
	expect(ec == std::errc::invalid_argument);
}

CONTRACT_TEST(cpp, pinned_tells_why_it_cannot_unpin)
{
	ashmem::area area = area_of(1);
	ashmem::mapping memory = area.map();
	ashmem::pinned pin(area);
	std::error_code ec;

	pin.unpin_as(8);
	expect_eq(thrown_by([&] { pin.unpin(); }, "ashmem_unpin_with"), EINVAL);
	expect(pin && area.is_pinned());
	pin.unpin(ec);
	expect(pin && ec.value() == EINVAL);
	pin.unpin_as(ASHMEM_PRIORITY_NORMAL);
	pin.unpin(ec);
	expect(!pin && !ec && !area.is_pinned());
}

CONTRACT_TEST(cpp, lost_pages_are_told)
{
	ashmem::area area = area_of(4);
	ashmem::mapping memory = filled(area);
	ashmem_extent lost[2];
	std::uint32_t count = 0;

	area.unpin(page(), 2 * page());
	ashmem::purge_all();
	expect(area.pin_lost(0, 0, lost, 2, count) == contents::purged);
	expect(count == 1 && lost[0].offset == page() && lost[0].length == 2 * page());
	expect(area.pin() == contents::kept);
}

/* Holds */

CONTRACT_TEST(cpp, held_keeps_pages_and_ends_with_the_scope)
{
	ashmem::area area = area_of(2);
	ashmem::mapping memory = filled(area);

	area.unpin();
	{
		ashmem::held hold(area), second(area, 0, page());
		expect(hold && second && !hold.was_purged());
		expect_eq(area.stats().held_pages, 2);
		ashmem::held moved(std::move(hold));
		expect(!hold && moved);
		ashmem::purge_all();
		expect_eq(area.stats().purged_pages, 0);
		moved = std::move(second);
		expect_eq(area.stats().held_pages, 1);
	}
	expect_eq(area.stats().held_pages, 0);
	expect_eq(ashmem::shrink(2), 2);
}

CONTRACT_TEST(cpp, held_leaves_the_mark_unless_rebuilt)
{
	ashmem::area area = area_of(2);
	ashmem::mapping memory = area.map();

	area.unpin();
	ashmem::purge_all();
	try {
		ashmem::held hold(area);
		expect(hold.was_purged());
		throw std::runtime_error("no rebuilding");
	} catch (const std::runtime_error &) {
	}
	expect_eq(area.stats().held_pages, 0);
	{
		ashmem::held hold(area);
		expect(hold.was_purged()); /* still */
		hold.rebuilt();
		expect(!hold.was_purged());
	}
	ashmem::held hold(area);
	expect(!hold.was_purged());
	hold.release();
	expect(!hold);
	expect_eq(area.stats().held_pages, 0);
}

/* What is called back */

struct levels {
	unsigned calls;
	ashmem::pressure last;

	void operator()(ashmem::pressure now, ashmem::pressure, std::uint64_t)
	{
		calls++;
		last = now;
	}
};

CONTRACT_TEST(cpp, watch_ends_with_its_owner)
{
	int descriptors = open_descriptors();
	ashmem_pressure_options options = ashmem::sized<ashmem_pressure_options>();
	levels heard = {0, ashmem::pressure::none};
	std::error_code ec;
	{
		options.source = "available";
		ashmem::watch watch(&options, ec);
		expect(watch && !ec);
		expect_str(watch.source(), "available");
		watch.subscribe(heard);
		expect(watch.dispatch() <= ashmem::pressure::critical);
		expect(watch.fd() >= 0 && watch.explain().find("available") != std::string::npos);
		expect_eq(watch.status().dispatches, 1);
		ashmem::watch moved(std::move(watch));
		moved.run();
		expect_eq(thrown_by([&] { moved.run(); }, "ashmem_pressure_run"), EALREADY);
		moved.stop();
	}
	expect_eq(open_descriptors(), descriptors);
	options.source = "no such source";
	expect_eq(thrown_by([&] { ashmem::watch watch(&options); }, "ashmem_pressure_open"),
		EINVAL);
	expect(!ashmem::watch(&options, ec) && ec.value() == EINVAL);
	ashmem::watch by_default(nullptr);
	expect(by_default.source() != nullptr);
}

struct cache {
	std::uint64_t pages;
	unsigned scans;

	std::uint64_t count() const { return pages; }
	std::int64_t scan(std::uint64_t nr_to_scan)
	{
		std::uint64_t freed = nr_to_scan < pages ? nr_to_scan : pages;
		pages -= freed;
		scans++;
		return static_cast<std::int64_t>(freed);
	}
};

CONTRACT_TEST(cpp, shrinker_is_asked_until_its_owner_ends)
{
	cache cache = {100, 0};
	{
		ashmem::shrinker shrinker("cache", cache);
		ashmem::shrinker moved(std::move(shrinker));
		expect(!shrinker && moved);
		expect_eq(ashmem::shrink_count(), 100);
		expect_eq(ashmem::shrink(10), 10);
		expect(cache.scans > 0 && cache.pages == 90);
	}
	expect_eq(ashmem::shrink_count(), 0);
	expect_eq(ashmem::shrink(10), 0);
	expect_eq(cache.pages, 90);
	expect_eq(thrown_by([&] { ashmem::shrinker bad("cache", cache, 70000); },
			  "ashmem_shrinker_register"),
		EINVAL);
}

CONTRACT_TEST(cpp, budget_holds_until_its_owner_ends)
{
	ashmem_budget_options limits = ashmem::sized<ashmem_budget_options>();
	ashmem::area area = area_of(4);
	ashmem::mapping memory = filled(area);

	limits.unpinned_bytes = page();
	{
		ashmem::budget budget(&limits);
		budget.add(area);
		for (unsigned i = 0; i < 4; i++)
			area.unpin(i * page(), page());
		expect_eq(budget.usage().unpinned_bytes, page());
		expect_eq(budget.usage().purged_pages, 3);
		budget.remove(area);
		expect_eq(thrown_by([&] { budget.remove(area); }, "ashmem_budget_remove"), EINVAL);
		budget.add(area);
	}
	(void)area.pin();
	for (unsigned i = 0; i < 4; i++)
		area.unpin(i * page(), page());
	expect_eq(ashmem::shrink_count(), 4);
}

CONTRACT_TEST(cpp, purge_notice_is_called_until_its_owner_ends)
{
	ashmem::area area = area_of(4);
	ashmem::mapping memory = area.map();
	std::uint64_t bytes = 0;
	const auto add = [&](ashmem_area *of, std::uint64_t, std::uint64_t length) {
		bytes += of == area.get() ? length : 0;
	};

	area.unpin();
	{
		ashmem::purge_notice notice(add);
		ashmem::purge_notice moved(std::move(notice));
		expect(!notice && moved);
		ashmem::purge_all();
		expect_eq(bytes, 4 * page());
	}
	(void)area.pin();
	area.unpin();
	ashmem::purge_all();
	expect_eq(bytes, 4 * page());
}

/* Caches */

static ashmem::cache new_cache()
{
	ashmem_cache_options options = ashmem::sized<ashmem_cache_options>();

	options.most_bytes = 2 << 20;
	return ashmem::cache::create("c++", &options);
}

CONTRACT_TEST(cpp, cache_and_entries_are_given_back_with_their_owners)
{
	int descriptors = open_descriptors();
	{
		ashmem::cache cache = new_cache();
		ashmem::cache same = ashmem::cache::from_fd(cache.fd());
		cache.put("key", std::string(20000, 'v'));
		ashmem::entry found = same.find("key");
		ashmem::entry moved(std::move(found));
		expect(!found && moved);
		expect_eq(moved.size(), 20000);
		expect_eq(static_cast<const char *>(moved.data())[19999], 'v');
		expect(cache.area() != nullptr);
	}
	expect_eq(areas_held(), 0);
	expect_eq(open_descriptors(), descriptors);
}

CONTRACT_TEST(cpp, cache_values_come_as_strings_whatever_their_length)
{
	ashmem::cache cache = new_cache();
	std::string value = "before";

	expect(!cache.read("key", value));
	expect_str(value.c_str(), "before");
	cache.put("key", "short");
	cache.put(std::string("zero\0key", 8), "");
	expect(cache.read("key", value));
	expect_str(value.c_str(), "short");
	cache.put("key", std::string(5000, 'x'));
	expect(cache.read("key", value));
	expect(value == std::string(5000, 'x'));
	expect(cache.read(std::string("zero\0key", 8), value));
	expect(value.empty());
	expect(cache.remove("key"));
	expect(!cache.remove("key"));
	expect(!cache.find("key"));
}

CONTRACT_TEST(cpp, cache_tells_what_is_no_error_from_what_is)
{
	ashmem::cache cache = new_cache(), none;
	std::error_code code;
	std::string value;

	expect(!cache.replace("key", "1"));
	expect(cache.add("key", "2"));
	expect(!cache.add("key", "3", 0, code));
	expect(!code);
	expect(cache.replace("key", "4"));
	std::uint64_t left = 7;
	expect(cache.get_ttl("key", left) && left == 0);
	expect(cache.touch("key", 100000));
	expect(cache.get_ttl("key", left, code) && !code && left > 0 && left <= 100000);
	expect(!cache.touch("other", 100000));
	expect(!cache.get_ttl("other", left, code) && !code && left > 0);
	expect_eq(thrown_by([&] { (void)none.get_ttl("key", left); }, "ashmem_cache_get_ttl"),
		EINVAL);
	expect_eq(thrown_by([&] { cache.put("", "v"); }, "ashmem_cache_put"), EINVAL);
	expect_eq(thrown_by([&] { cache.put(std::string(2000, 'k'), "v"); }, "ashmem_cache_put"),
		EFBIG);
	expect_eq(thrown_by([&] { (void)none.read("key", value); }, "ashmem_cache_read"), EINVAL);
	expect(!none.find("key", code));
	expect_eq(code.value(), EINVAL);
	expect_eq(thrown_by([] { (void)ashmem::cache::open("a/b"); }, "ashmem_cache_open"), EINVAL);
}

CONTRACT_TEST(cpp, entry_outlives_its_cache)
{
	ashmem::cache cache = new_cache();
	const std::string value(30000, 'v');

	cache.put("key", value);
	ashmem::entry entry = cache.find("key");
	cache.reset();
	expect_eq(std::string(static_cast<const char *>(entry.data()), entry.size()) == value,
		true);
}

CONTRACT_TEST(cpp, cache_values_are_built_in_place_by_one_builder)
{
	ashmem::cache cache = new_cache();
	ashmem::entry entry, other;

	expect(cache.claim("key", 0, entry) == ashmem::claimed::build);
	expect(entry && entry.data() == nullptr);
	expect(cache.claim("key", 0, other) == ashmem::claimed::busy);
	expect(!other);
	{
		ashmem::entry room = cache.reserve("key", 5);
		expect_eq(room.size(), 5);
		std::memcpy(room.room(), "built", 5);
		expect(!cache.find("key"));
		room.commit();
		expect_eq(thrown_by([&] { room.commit(); }, "ashmem_entry_commit"), EINVAL);
	}
	entry.reset();
	expect(cache.claim("key", 0, entry) == ashmem::claimed::found);
	expect(std::memcmp(entry.data(), "built", 5) == 0);
	cache.clear();
	expect(!cache.find("key"));
}

CONTRACT_TEST(cpp, cache_is_walked_over)
{
	ashmem::cache cache = new_cache();
	std::string key, all;
	std::uint64_t position = 0;

	cache.put("a", "1");
	cache.put("b", "2");
	while (cache.next(position, key))
		all += key;
	expect(all == "ab" || all == "ba");
	expect(cache.stats().puts >= 2);
}
