/* SPDX-License-Identifier: MIT */
/*
 * The program of the projects in C++, with exceptions and without: what was unpinned is purged, and
 * the pin says so. It uses every class, so that make check-headers compiles all of
 * <ashmem/ashmem.hpp> with it, templates included.
 */
#include <ashmem/ashmem.hpp>

#include <cstdio>

namespace
{

const std::uint64_t bytes = 1u << 20;

struct cache {
	std::uint64_t count() const { return 0; }
	std::int64_t scan(std::uint64_t) { return ASHMEM_SHRINK_STOP; }
};

int with_codes()
{
	std::error_code ec;
	ashmem::area area("consumer", bytes, 0, ec);
	ashmem::mapping memory = area.map(PROT_READ | PROT_WRITE, ec);
	if (ec)
		return 1;
	*memory.as<char>() = 'x';

	std::uint64_t purged = 0;
	auto told = [&](ashmem_area *, std::uint64_t, std::uint64_t length) { purged += length; };
	ashmem::purge_notice notice(told, ec);
	area.unpin(0, 0, ec);
	if (ec || ashmem::shrink(1, ec) == 0 || purged != bytes)
		return 2;
	ashmem::held hold(area, 0, 0, ec);
	if (!hold || !hold.was_purged())
		return 3;
	hold.reset();
	ashmem::pinned pin(area, 0, 0, ec);
	if (ec || !pin.was_purged() || *memory.as<char>() != 0)
		return 4;

	cache nothing;
	ashmem::shrinker shrinker("nothing", nothing, 0, ec);
	ashmem::budget budget(nullptr, ec);
	budget.add(area, ec);
	ashmem::descriptor exported = area.export_read_only(ec);
	if (ec || !shrinker || !exported || budget.usage(ec).areas != 1)
		return 5;
	auto level = [](ashmem::pressure, ashmem::pressure, std::uint64_t) {};
	ashmem::watch watch(nullptr, ec);
	if (!ec) {
		watch.subscribe(level, ec);
		watch.dispatch(ec);
	}
#if defined(__cpp_lib_span)
	if (memory.bytes().size() != bytes)
		return 6;
#endif
	return 0;
}

#if ASHMEM_HPP_EXCEPTIONS
int with_exceptions()
{
	try {
		ashmem::area area("consumer", bytes);
		ashmem::mapping memory = area.map();
		area.unpin();
		ashmem::purge_all();
		ashmem::pinned pin(area);
		if (!pin.was_purged())
			return 7;
		pin.unpin();
		area.set_size(1); /* too late */
	} catch (const std::system_error &error) {
		return error.code() == std::errc::invalid_argument ? 0 : 8;
	}
	return 9;
}
#else
int with_exceptions()
{
	return 0;
}
#endif

} /* namespace */

int main()
{
	if (ashmem_backend_select("memfd") < 0)
		return 10;
	std::printf("libashmem %s\n", ashmem_version_string());
	int r = with_codes();
	return r ? r : with_exceptions();
}
