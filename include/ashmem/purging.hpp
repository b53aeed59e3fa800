/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_PURGING_HPP
#define ASHMEM_PURGING_HPP

/**
 * @file
 * @brief Purging: pressure watches, shrinkers, budgets, notices. Part of
 *   <ashmem/ashmem.hpp>.
 */

#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>

#include <ashmem/area.hpp>
#include <ashmem/ashmem.h>
#include <ashmem/handle.hpp>

namespace ashmem
{

/**
 * @addtogroup ashmem_cpp
 * @{
 */

/**
 * @brief ashmem_purge_all().
 * @param[out] ec  Set to the error, or cleared.
 * @return Pages that were purgeable; 0 on failure.
 * @since 0.9
 */
inline std::uint64_t purge_all(std::error_code &ec) noexcept
{
	std::int64_t r = detail::told(::ashmem_purge_all(), ec);
	return r < 0 ? 0 : static_cast<std::uint64_t>(r);
}

/**
 * @brief ashmem_shrink().
 * @param nr_pages  Pages wanted.
 * @param[out] ec  Set to the error, or cleared.
 * @return Pages freed.
 * @since 0.9
 */
inline std::uint64_t shrink(std::uint64_t nr_pages, std::error_code &ec) noexcept
{
	std::int64_t r = detail::told(::ashmem_shrink(nr_pages), ec);
	return r < 0 ? 0 : static_cast<std::uint64_t>(r);
}

#if ASHMEM_HPP_EXCEPTIONS
/**
 * @brief ashmem_purge_all().
 * @return Pages that were purgeable.
 * @throws std::system_error  The errors of that call.
 * @since 0.9
 */
inline std::uint64_t purge_all()
{
	return static_cast<std::uint64_t>(detail::checked(::ashmem_purge_all(),
		"ashmem_purge_all"));
}

/**
 * @brief ashmem_shrink().
 * @param nr_pages  Pages wanted.
 * @return Pages freed.
 * @throws std::system_error  The errors of that call.
 * @since 0.9
 */
inline std::uint64_t shrink(std::uint64_t nr_pages)
{
	return static_cast<std::uint64_t>(detail::checked(::ashmem_shrink(nr_pages),
		"ashmem_shrink"));
}
#endif

/** @brief ashmem_shrink_count(). @return Pages that a shrink could free now. @since 0.9 */
ASHMEM_HPP_NODISCARD inline std::uint64_t shrink_count() noexcept
{
	return ::ashmem_shrink_count();
}

/** Levels of memory pressure. */
enum class pressure : std::uint32_t {
	none = ASHMEM_PRESSURE_NONE,        /**< No memory pressure. */
	some = ASHMEM_PRESSURE_SOME,        /**< Memory is becoming short. */
	high = ASHMEM_PRESSURE_HIGH,        /**< Memory is short. */
	critical = ASHMEM_PRESSURE_CRITICAL /**< Processes may be killed next. */
};

/**
 * @brief A watch on memory pressure (@ref ashmem_pressure), which ends with its owner.
 *
 * Threads: several threads may call everything at once, except moving from it, assigning to it,
 * reset() and release().
 * @since 0.9
 */
class watch
{
	using owner = detail::handle<::ashmem_pressure, ::ashmem_pressure_close>;

      public:
	/** @brief No watch. */
	watch() noexcept : it_() {}
	/**
	 * @brief ashmem_pressure_open(), without exceptions.
	 * @param options  NULL: all defaults.
	 * @param[out] ec  Set to the error, or cleared.
	 */
	watch(const ::ashmem_pressure_options *options, std::error_code &ec) noexcept : it_()
	{
		::ashmem_pressure *made = nullptr;
		detail::told(::ashmem_pressure_open(options, &made), ec);
		it_.reset(made);
	}
#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_pressure_open().
	 * @param options  See ashmem::sized(); NULL: all defaults.
	 * @throws std::system_error  The errors of that call.
	 */
	explicit watch(const ::ashmem_pressure_options *options) : it_()
	{
		::ashmem_pressure *made = nullptr;
		detail::checked(::ashmem_pressure_open(options, &made), "ashmem_pressure_open");
		it_.reset(made);
	}
#endif

	/** @brief Own a handle. @param handle  From the C interface, or NULL. @return The owner. */
	ASHMEM_HPP_NODISCARD static watch adopt(::ashmem_pressure *handle) noexcept
	{
		return watch(owner(handle));
	}
	/**
	 * @brief The handle, for calls of the C interface.
	 * @return The handle, or NULL; this still owns it.
	 */
	ASHMEM_HPP_NODISCARD ::ashmem_pressure *get() const noexcept
	{
		return it_.get();
	}
	/** @brief Whether there is a watch. */
	explicit operator bool() const noexcept
	{
		return it_.get() != nullptr;
	}
	/**
	 * @brief Give up the handle.
	 * @return It, or NULL; the caller ends it with ashmem_pressure_close().
	 */
	::ashmem_pressure *release() noexcept
	{
		return it_.release();
	}
	/**
	 * @brief ashmem_pressure_close() it and own another.
	 * @param handle  The other, or NULL for none.
	 */
	void reset(::ashmem_pressure *handle = nullptr) noexcept
	{
		it_.reset(handle);
	}

	/** @brief ashmem_pressure_source(). @return A static string; NULL if there is no watch. */
	ASHMEM_HPP_NODISCARD const char *source() const noexcept
	{
		return ::ashmem_pressure_source(get());
	}
	/**
	 * @brief ashmem_pressure_fd().
	 * @param[out] ec  Set to the error, or cleared.
	 * @return The descriptor, borrowed; -1 on failure.
	 */
	ASHMEM_HPP_NODISCARD int fd(std::error_code &ec) const noexcept
	{
		int r = detail::told(::ashmem_pressure_fd(get()), ec);
		return r < 0 ? -1 : r;
	}
	/**
	 * @brief ashmem_pressure_dispatch().
	 * @param[out] ec  Set to the error, or cleared.
	 * @return The level; none on failure.
	 */
	pressure dispatch(std::error_code &ec) noexcept
	{
		return level(detail::told(::ashmem_pressure_dispatch(get()), ec));
	}
	/** @brief ashmem_pressure_run(). @param[out] ec  Set to the error, or cleared. */
	void run(std::error_code &ec) noexcept
	{
		detail::told(::ashmem_pressure_run(get()), ec);
	}
	/** @brief ashmem_pressure_stop(). @param[out] ec  Set to the error, or cleared. */
	void stop(std::error_code &ec) noexcept
	{
		detail::told(::ashmem_pressure_stop(get()), ec);
	}
	/**
	 * @brief ashmem_pressure_get_status().
	 * @param[out] ec  Set to the error, or cleared.
	 * @return What it has observed and done; zeroes on failure.
	 */
	ASHMEM_HPP_NODISCARD ::ashmem_pressure_status status(std::error_code &ec) const noexcept
	{
		::ashmem_pressure_status now = sized<::ashmem_pressure_status>();
		detail::told(::ashmem_pressure_get_status(get(), &now), ec);
		return now;
	}
	/**
	 * @brief ashmem_pressure_explain().
	 * @param[out] ec  Set to the error, or cleared.
	 * @return Text for people, "" on failure. May throw std::bad_alloc.
	 */
	ASHMEM_HPP_NODISCARD std::string explain(std::error_code &ec) const
	{
		int length = detail::told(::ashmem_pressure_explain(get(), nullptr, 0), ec);
		if (length < 0)
			return std::string();
		std::string text(static_cast<std::size_t>(length) + 1, '\0');
		/* It may have become longer meanwhile, and is cut off then. */
		detail::told(::ashmem_pressure_explain(get(), &text[0], text.size()), ec);
		text.resize(text.find('\0'));
		return text;
	}
	/**
	 * @brief ashmem_pressure_subscribe().
	 * @tparam F  Callable as `f(pressure level, pressure before, uint64_t purged_pages)`. An
	 *   exception ends the program.
	 * @param f  Called when the level changes. Not copied: it must outlive the watch.
	 * @param[out] ec  Set to the error, or cleared.
	 */
	template <class F> void subscribe(F &f, std::error_code &ec) noexcept
	{
		detail::told(::ashmem_pressure_subscribe(get(), call<F>, detail::address(f)), ec);
	}
#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_pressure_fd().
	 * @return The descriptor, borrowed.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD int fd() const
	{
		return detail::checked(::ashmem_pressure_fd(get()), "ashmem_pressure_fd");
	}
	/**
	 * @brief ashmem_pressure_dispatch().
	 * @return The level.
	 * @throws std::system_error  The errors of that call.
	 */
	pressure dispatch()
	{
		return level(detail::checked(::ashmem_pressure_dispatch(get()),
			"ashmem_pressure_dispatch"));
	}
	/** @brief ashmem_pressure_run(). @throws std::system_error  The errors of that call. */
	void run()
	{
		detail::checked(::ashmem_pressure_run(get()), "ashmem_pressure_run");
	}
	/** @brief ashmem_pressure_stop(). @throws std::system_error  The errors of that call. */
	void stop()
	{
		detail::checked(::ashmem_pressure_stop(get()), "ashmem_pressure_stop");
	}
	/**
	 * @brief ashmem_pressure_get_status().
	 * @return What it has observed and done.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD ::ashmem_pressure_status status() const
	{
		::ashmem_pressure_status now = sized<::ashmem_pressure_status>();
		detail::checked(::ashmem_pressure_get_status(get(), &now),
			"ashmem_pressure_get_status");
		return now;
	}
	/**
	 * @brief ashmem_pressure_subscribe().
	 * @tparam F  Callable as `f(pressure level, pressure before, uint64_t purged_pages)`. An
	 *   exception ends the program.
	 * @param f  Called when the level changes. Not copied: it must outlive the watch.
	 * @throws std::system_error  The errors of ashmem_pressure_subscribe().
	 */
	template <class F> void subscribe(F &f)
	{
		detail::checked(::ashmem_pressure_subscribe(get(), call<F>, detail::address(f)),
			"ashmem_pressure_subscribe");
	}
	/**
	 * @brief ashmem_pressure_explain().
	 * @return Text for people, one line per source.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD std::string explain() const
	{
		std::error_code ec;
		std::string text = explain(ec);
		if (ec)
			throw std::system_error(ec, "ashmem_pressure_explain");
		return text;
	}
#endif

      private:
	explicit watch(owner &&it) noexcept : it_(std::move(it))
	{
	}

	static pressure level(int r) noexcept
	{
		return r < 0 ? pressure::none : static_cast<pressure>(r);
	}

	template <class F>
	static void call(void *f, std::uint32_t now, std::uint32_t before,
		std::uint64_t purged_pages) noexcept
	{
		(*static_cast<F *>(f))(static_cast<pressure>(now), static_cast<pressure>(before),
			purged_pages);
	}

	owner it_;
};

/**
 * @brief A cache of the program's own that takes part in shrinking (@ref ashmem_shrinkers) while
 *   this exists.
 *
 * The destructor waits as ashmem_shrinker_unregister() does.
 * @since 0.9
 */
class shrinker
{
	using owner = detail::handle<::ashmem_shrinker, ::ashmem_shrinker_unregister>;

      public:
	/** @brief No shrinker. */
	shrinker() noexcept : it_() {}
	/**
	 * @brief ashmem_shrinker_register(), without exceptions.
	 * @param options  See ashmem::sized().
	 * @param[out] ec  Set to the error, or cleared.
	 */
	shrinker(const ::ashmem_shrinker_options &options, std::error_code &ec) noexcept : it_()
	{
		open(options, ec);
	}

	/**
	 * @brief Register an object as a shrinker, without exceptions.
	 * @tparam Cache  Has `uint64_t count()`, the pages that could be freed, and `int64_t
	 *   scan(uint64_t nr_to_scan)`, which frees; as #ashmem_shrinker_count_fn and
	 *   #ashmem_shrinker_scan_fn. An exception ends the program.
	 * @param name  For statistics.
	 * @param cache  The object. Not copied: it must outlive the shrinker.
	 * @param seeks  Cost of a page; 0: #ASHMEM_SHRINKER_SEEKS_DEFAULT.
	 * @param[out] ec  Set to the error, or cleared.
	 */
	template <class Cache>
	shrinker(const char *name, Cache &cache, std::uint32_t seeks, std::error_code &ec) noexcept
	    : it_()
	{
		open(options_of(name, cache, seeks), ec);
	}
#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_shrinker_register().
	 * @param options  See ashmem::sized().
	 * @throws std::system_error  The errors of that call.
	 */
	explicit shrinker(const ::ashmem_shrinker_options &options) : it_()
	{
		open(options);
	}

	/**
	 * @brief Register an object as a shrinker.
	 * @tparam Cache  Has `uint64_t count()`, the pages that could be freed, and `int64_t
	 *   scan(uint64_t nr_to_scan)`, which frees; as #ashmem_shrinker_count_fn and
	 *   #ashmem_shrinker_scan_fn. An exception ends the program.
	 * @param name  For statistics.
	 * @param cache  The object. Not copied: it must outlive the shrinker.
	 * @param seeks  Cost of a page; 0: #ASHMEM_SHRINKER_SEEKS_DEFAULT.
	 * @throws std::system_error  The errors of ashmem_shrinker_register().
	 */
	template <class Cache>
	shrinker(const char *name, Cache &cache, std::uint32_t seeks = 0) : it_()
	{
		open(options_of(name, cache, seeks));
	}
#endif

	/** @brief Own a handle. @param handle  From the C interface, or NULL. @return The owner. */
	ASHMEM_HPP_NODISCARD static shrinker adopt(::ashmem_shrinker *handle) noexcept
	{
		return shrinker(owner(handle));
	}
	/**
	 * @brief The handle, for calls of the C interface.
	 * @return The handle, or NULL; this still owns it.
	 */
	ASHMEM_HPP_NODISCARD ::ashmem_shrinker *get() const noexcept
	{
		return it_.get();
	}
	/** @brief Whether there is a shrinker. */
	explicit operator bool() const noexcept
	{
		return it_.get() != nullptr;
	}
	/**
	 * @brief Give up the handle.
	 * @return It, or NULL; the caller ends it with ashmem_shrinker_unregister().
	 */
	::ashmem_shrinker *release() noexcept
	{
		return it_.release();
	}
	/**
	 * @brief ashmem_shrinker_unregister() it and own another.
	 * @param handle  The other, or NULL for none.
	 */
	void reset(::ashmem_shrinker *handle = nullptr) noexcept
	{
		it_.reset(handle);
	}

      private:
	explicit shrinker(owner &&it) noexcept : it_(std::move(it))
	{
	}

	template <class Cache> static std::uint64_t count(void *cache) noexcept
	{
		return static_cast<Cache *>(cache)->count();
	}
	template <class Cache>
	static std::int64_t scan(void *cache, std::uint64_t nr_to_scan) noexcept
	{
		return static_cast<Cache *>(cache)->scan(nr_to_scan);
	}
	template <class Cache>
	static ::ashmem_shrinker_options options_of(const char *name, Cache &cache,
		std::uint32_t seeks) noexcept
	{
		::ashmem_shrinker_options options = sized<::ashmem_shrinker_options>();
		options.name = name;
		options.count = count<Cache>;
		options.scan = scan<Cache>;
		options.userdata = detail::address(cache);
		options.seeks = seeks;
		return options;
	}
	void open(const ::ashmem_shrinker_options &options, std::error_code &ec) noexcept
	{
		::ashmem_shrinker *made = nullptr;
		detail::told(::ashmem_shrinker_register(&options, &made), ec);
		it_.reset(made);
	}
#if ASHMEM_HPP_EXCEPTIONS
	void open(const ::ashmem_shrinker_options &options)
	{
		::ashmem_shrinker *made = nullptr;
		detail::checked(::ashmem_shrinker_register(&options, &made),
			"ashmem_shrinker_register");
		it_.reset(made);
	}
#endif

	owner it_;
};

/**
 * @brief Hard limits on the memory of a group of areas (@ref ashmem_budget), which end with their
 *   owner.
 *
 * The process's own budget has no owner: `ashmem_budget_set_limits(ashmem_budget_process(),
 * &options)`.
 *
 * Threads: several threads may call everything at once, except moving from it, assigning to it,
 * reset() and release().
 * @since 0.9
 */
class budget
{
	using owner = detail::handle<::ashmem_budget, ::ashmem_budget_close>;

      public:
	/** @brief No budget. */
	budget() noexcept : it_() {}
	/**
	 * @brief ashmem_budget_create(), without exceptions.
	 * @param options  NULL: no limits yet.
	 * @param[out] ec  Set to the error, or cleared.
	 */
	budget(const ::ashmem_budget_options *options, std::error_code &ec) noexcept : it_()
	{
		::ashmem_budget *made = nullptr;
		detail::told(::ashmem_budget_create(options, &made), ec);
		it_.reset(made);
	}
#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_budget_create().
	 * @param options  See ashmem::sized(); NULL: no limits yet.
	 * @throws std::system_error  The errors of that call.
	 */
	explicit budget(const ::ashmem_budget_options *options) : it_()
	{
		::ashmem_budget *made = nullptr;
		detail::checked(::ashmem_budget_create(options, &made), "ashmem_budget_create");
		it_.reset(made);
	}
#endif

	/** @brief Own a handle. @param handle  From the C interface, or NULL. @return The owner. */
	ASHMEM_HPP_NODISCARD static budget adopt(::ashmem_budget *handle) noexcept
	{
		return budget(owner(handle));
	}
	/**
	 * @brief The handle, for calls of the C interface.
	 * @return The handle, or NULL; this still owns it.
	 */
	ASHMEM_HPP_NODISCARD ::ashmem_budget *get() const noexcept
	{
		return it_.get();
	}
	/** @brief Whether there is a budget. */
	explicit operator bool() const noexcept
	{
		return it_.get() != nullptr;
	}
	/**
	 * @brief Give up the handle.
	 * @return It, or NULL; the caller ends it with ashmem_budget_close().
	 */
	::ashmem_budget *release() noexcept
	{
		return it_.release();
	}
	/**
	 * @brief ashmem_budget_close() it and own another.
	 * @param handle  The other, or NULL for none.
	 */
	void reset(::ashmem_budget *handle = nullptr) noexcept
	{
		it_.reset(handle);
	}

	/**
	 * @brief ashmem_budget_set_limits().
	 * @param options  The limits.
	 * @param[out] ec  Set to the error, or cleared.
	 */
	void set_limits(const ::ashmem_budget_options &options, std::error_code &ec) noexcept
	{
		detail::told(::ashmem_budget_set_limits(get(), &options), ec);
	}
	/**
	 * @brief ashmem_budget_add().
	 * @param one  An area.
	 * @param[out] ec  Set to the error, or cleared.
	 */
	void add(area &one, std::error_code &ec) noexcept
	{
		detail::told(::ashmem_budget_add(get(), one.get()), ec);
	}
	/**
	 * @brief ashmem_budget_remove().
	 * @param one  An area.
	 * @param[out] ec  Set to the error, or cleared.
	 */
	void remove(area &one, std::error_code &ec) noexcept
	{
		detail::told(::ashmem_budget_remove(get(), one.get()), ec);
	}
	/**
	 * @brief ashmem_budget_get_usage().
	 * @param[out] ec  Set to the error, or cleared.
	 * @return What it holds; zeroes on failure.
	 */
	ASHMEM_HPP_NODISCARD ::ashmem_budget_usage usage(std::error_code &ec) const noexcept
	{
		::ashmem_budget_usage now = sized<::ashmem_budget_usage>();
		detail::told(::ashmem_budget_get_usage(get(), &now), ec);
		return now;
	}
#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_budget_set_limits().
	 * @param options  The limits.
	 * @throws std::system_error  The errors of that call.
	 */
	void set_limits(const ::ashmem_budget_options &options)
	{
		detail::checked(::ashmem_budget_set_limits(get(), &options),
			"ashmem_budget_set_limits");
	}
	/**
	 * @brief ashmem_budget_add().
	 * @param one  An area.
	 * @throws std::system_error  The errors of that call.
	 */
	void add(area &one)
	{
		detail::checked(::ashmem_budget_add(get(), one.get()), "ashmem_budget_add");
	}
	/**
	 * @brief ashmem_budget_remove().
	 * @param one  An area.
	 * @throws std::system_error  The errors of that call.
	 */
	void remove(area &one)
	{
		detail::checked(::ashmem_budget_remove(get(), one.get()), "ashmem_budget_remove");
	}
	/**
	 * @brief ashmem_budget_get_usage().
	 * @return What it holds.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD ::ashmem_budget_usage usage() const
	{
		::ashmem_budget_usage now = sized<::ashmem_budget_usage>();
		detail::checked(::ashmem_budget_get_usage(get(), &now), "ashmem_budget_get_usage");
		return now;
	}
#endif

      private:
	explicit budget(owner &&it) noexcept : it_(std::move(it))
	{
	}

	owner it_;
};

/**
 * @brief A subscription to what this process purges (@ref ashmem_notice), while this exists.
 *
 * The destructor waits as ashmem_purge_unsubscribe() does.
 * @since 0.9
 */
class ASHMEM_HPP_NODISCARD purge_notice
{
      public:
	/** @brief No subscription. */
	purge_notice() noexcept : id_(-1) {}
	/**
	 * @brief ashmem_purge_subscribe(), without exceptions.
	 * @tparam F  Callable as `f(ashmem_area *area, uint64_t offset, uint64_t length)`, by
	 *   several threads at once. An exception ends the program.
	 * @param f  Called for each purge. Not copied: it must outlive this.
	 * @param[out] ec  Set to the error, or cleared.
	 */
	template <class F>
	purge_notice(F &f, std::error_code &ec) noexcept
	    : id_(detail::told(::ashmem_purge_subscribe(call<F>, detail::address(f)), ec))
	{
	}
#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_purge_subscribe().
	 * @tparam F  Callable as `f(ashmem_area *area, uint64_t offset, uint64_t length)`, by
	 *   several threads at once. An exception ends the program.
	 * @param f  Called for each purge. Not copied: it must outlive this.
	 * @throws std::system_error  The errors of ashmem_purge_subscribe().
	 */
	template <class F>
	explicit purge_notice(F &f)
	    : id_(detail::checked(::ashmem_purge_subscribe(call<F>, detail::address(f)),
		      "ashmem_purge_subscribe"))
	{
	}
#endif
	/** @brief Move. @param other  Empty afterwards. */
	purge_notice(purge_notice &&other) noexcept : id_(other.release())
	{
	}
	purge_notice(const purge_notice &) = delete;
	purge_notice &operator=(const purge_notice &) = delete;
	~purge_notice()
	{
		reset();
	}

	/** @brief End it, and take over another's. @param other  Empty afterwards. @return This. */
	purge_notice &operator=(purge_notice &&other) noexcept
	{
		if (this != &other) {
			reset();
			id_ = other.release();
		}
		return *this;
	}

	/**
	 * @brief The number for ashmem_purge_unsubscribe().
	 * @return It; negative if there is none.
	 */
	ASHMEM_HPP_NODISCARD int get() const noexcept
	{
		return id_;
	}
	/** @brief Whether there is a subscription. */
	explicit operator bool() const noexcept
	{
		return id_ > 0;
	}
	/**
	 * @brief Give up the subscription.
	 * @return Its number, or a negative one; the caller ends it with
	 *   ashmem_purge_unsubscribe().
	 */
	int release() noexcept
	{
		int id = id_;
		id_ = -1;
		return id;
	}
	/** @brief ashmem_purge_unsubscribe(). */
	void reset() noexcept
	{
		int id = release();
		if (id > 0)
			::ashmem_purge_unsubscribe(id);
	}

      private:
	template <class F>
	static void call(void *f, ::ashmem_area *of, std::uint64_t offset,
		std::uint64_t length) noexcept
	{
		(*static_cast<F *>(f))(of, offset, length);
	}

	int id_;
};

/** @} */

} /* namespace ashmem */

#endif /* ASHMEM_PURGING_HPP */
