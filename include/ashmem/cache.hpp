/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_CACHE_HPP
#define ASHMEM_CACHE_HPP

/**
 * @file
 * @brief Caches of keys and values, and entries that end with their owner. Part of
 *   <ashmem/ashmem.hpp>.
 */

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include <ashmem/ashmem.h>
#include <ashmem/handle.hpp>

namespace ashmem
{

/**
 * @addtogroup ashmem_cpp
 * @{
 */

/** @brief Bytes of somebody else: a key or a value for a call. @since 1.0 */
struct bytes {
	const void *data; /**< The first one. */
	std::size_t size; /**< How many. */

	/** @brief These. @param data_  The first one. @param size_  How many. */
	bytes(const void *data_, std::size_t size_) noexcept : data(data_), size(size_) {}
	/** @brief Those of a text, without its NUL. @param text  The text. */
	bytes(const char *text) noexcept : data(text), size(std::strlen(text)) {}
	/**
	 * @brief Those of a string, a vector, a span: what has data() and size().
	 * @tparam T  Its type.
	 * @param it  It, which must outlive the call.
	 */
	template <class T, class = decltype(std::declval<const T &>().data())>
	bytes(const T &it) noexcept : data(it.data()), size(it.size() * sizeof(*it.data()))
	{
	}
};

/** Result of cache::claim(). */
enum class claimed : int {
	found = ASHMEM_CLAIM_FOUND, /**< The entry has the value. */
	build = ASHMEM_CLAIM_BUILD, /**< The caller puts the value, then drops the entry. */
	busy = 2                    /**< Another process still builds it. */
};

/**
 * @brief A value of a cache, room for one, or a claim; released with its owner.
 *
 * Made by cache::find(), cache::reserve() and cache::claim(). It stays good when the cache
 * has ended.
 * @since 1.0
 */
class entry
{
	using owner = detail::handle<::ashmem_entry, ::ashmem_entry_release>;

      public:
	/** @brief Nothing. */
	entry() noexcept : it_() {}

	/** @brief Own a handle. @param handle  From the C interface, or NULL. @return The owner. */
	ASHMEM_HPP_NODISCARD static entry adopt(::ashmem_entry *handle) noexcept
	{
		entry it;
		it.it_.reset(handle);
		return it;
	}

	/** @brief ashmem_entry_value(). @return The value's first byte, or NULL. */
	ASHMEM_HPP_NODISCARD const void *data() const noexcept
	{
		return ::ashmem_entry_value(it_.get(), nullptr);
	}
	/** @brief Bytes of the value, or of the room. @return Bytes; 0 if there is neither. */
	ASHMEM_HPP_NODISCARD std::size_t size() const noexcept
	{
		std::uint64_t count = 0;

		if (!::ashmem_entry_value(it_.get(), &count))
			(void)::ashmem_entry_room(it_.get(), &count);
		return static_cast<std::size_t>(count);
	}
	/** @brief ashmem_entry_room(). @return The room of a reservation, or NULL. */
	ASHMEM_HPP_NODISCARD void *room() noexcept
	{
		return ::ashmem_entry_room(it_.get(), nullptr);
	}

	/**
	 * @brief ashmem_entry_commit(): put what is in the room.
	 * @param[out] ec  Set to the error, or cleared.
	 */
	void commit(std::error_code &ec) noexcept
	{
		detail::told(::ashmem_entry_commit(it_.get()), ec);
	}
#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_entry_commit(): put what is in the room.
	 * @throws std::system_error  The errors of that call.
	 */
	void commit()
	{
		detail::checked(::ashmem_entry_commit(it_.get()), "ashmem_entry_commit");
	}
#endif

	/** @brief Whether there is something. */
	explicit operator bool() const noexcept
	{
		return it_.get() != nullptr;
	}
	/** @brief The C handle. @return The handle, or NULL; this still owns it. */
	ASHMEM_HPP_NODISCARD ::ashmem_entry *get() const noexcept
	{
		return it_.get();
	}
	/** @brief Give up the handle. @return It, or NULL; the caller releases it. */
	::ashmem_entry *release() noexcept
	{
		return it_.release();
	}
	/** @brief Release it. */
	void reset() noexcept
	{
		it_.reset(nullptr);
	}

      private:
	owner it_;
};

/**
 * @brief One reference to a cache, given back with its owner.
 *
 * @code{.unparsed}
 * ashmem::cache pages = ashmem::cache::open("org.example.pages");
 * std::string page;
 * if (!pages.read("/index", page)) {
 *     page = make_page();
 *     pages.put("/index", page);
 * }
 * @endcode
 *
 * A value that is not there is no error: functions return false, or an empty entry. Each function
 * that can fail exists twice, as those of ashmem::area do. Errors are those of the C call.
 *
 * Threads: several threads may call everything at once, except moving from it, assigning to it,
 * reset() and release().
 * @since 1.0
 */
class cache
{
	using owner = detail::handle<::ashmem_cache, ::ashmem_cache_close>;

      public:
	/** @brief No cache. */
	cache() noexcept : it_() {}

	/** @brief Own a handle. @param handle  From the C interface, or NULL. @return The owner. */
	ASHMEM_HPP_NODISCARD static cache adopt(::ashmem_cache *handle) noexcept
	{
		cache it;
		it.it_.reset(handle);
		return it;
	}

	/**
	 * @brief ashmem_cache_create(): a new cache.
	 * @param name  Its name.
	 * @param options  Its options; NULL: all defaults.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return The cache.
	 */
	ASHMEM_HPP_NODISCARD static cache create(const char *name,
		const ::ashmem_cache_options *options, std::error_code &ec) noexcept
	{
		::ashmem_cache *made = nullptr;
		detail::told(::ashmem_cache_create(name, options, &made), ec);
		return adopt(made);
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_cache_create(): a new cache.
	 * @param name  Its name.
	 * @param options  Its options; NULL: all defaults.
	 * @return The cache.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD static cache create(const char *name,
		const ::ashmem_cache_options *options = nullptr)
	{
		::ashmem_cache *made = nullptr;
		detail::checked(::ashmem_cache_create(name, options, &made), "ashmem_cache_create");
		return adopt(made);
	}
#endif

	/**
	 * @brief ashmem_cache_open(): the user's cache of that name, made if there is none.
	 * @param name  Its name.
	 * @param options  Its options; NULL: all defaults.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return The cache.
	 */
	ASHMEM_HPP_NODISCARD static cache open(const char *name,
		const ::ashmem_cache_options *options, std::error_code &ec) noexcept
	{
		::ashmem_cache *made = nullptr;
		detail::told(::ashmem_cache_open(name, options, &made), ec);
		return adopt(made);
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_cache_open(): the user's cache of that name, made if there is none.
	 * @param name  Its name.
	 * @param options  Its options; NULL: all defaults.
	 * @return The cache.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD static cache open(const char *name,
		const ::ashmem_cache_options *options = nullptr)
	{
		::ashmem_cache *made = nullptr;
		detail::checked(::ashmem_cache_open(name, options, &made), "ashmem_cache_open");
		return adopt(made);
	}
#endif

	/**
	 * @brief ashmem_cache_import().
	 * @param fd  A descriptor; the caller keeps it.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return The cache.
	 */
	ASHMEM_HPP_NODISCARD static cache from_fd(int fd, std::error_code &ec) noexcept
	{
		::ashmem_cache *made = nullptr;
		detail::told(::ashmem_cache_import(fd, &made), ec);
		return adopt(made);
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_cache_import().
	 * @param fd  A descriptor; the caller keeps it.
	 * @return The cache.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD static cache from_fd(int fd)
	{
		::ashmem_cache *made = nullptr;
		detail::checked(::ashmem_cache_import(fd, &made), "ashmem_cache_import");
		return adopt(made);
	}
#endif

	/**
	 * @brief ashmem_cache_fd().
	 * @param[out] ec  Set to the error, or cleared.
	 * @return The descriptor, which the cache owns.
	 */
	ASHMEM_HPP_NODISCARD int fd(std::error_code &ec) noexcept
	{
		return detail::told(::ashmem_cache_fd(it_.get()), ec);
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_cache_fd().
	 * @return The descriptor, which the cache owns.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD int fd()
	{
		return detail::checked(::ashmem_cache_fd(it_.get()), "ashmem_cache_fd");
	}
#endif

	/**
	 * @brief Read a value into a string.
	 * @param key  The key.
	 * @param[out] value  Receives the value.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return Whether it is there.
	 */
	ASHMEM_HPP_NODISCARD bool read(const bytes &key, std::string &value, std::error_code &ec)
	{
		return detail::told(read_into(key, value), ec) > 0;
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief Read a value into a string.
	 * @param key  The key.
	 * @param[out] value  Receives the value.
	 * @return Whether it is there.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD bool read(const bytes &key, std::string &value)
	{
		return detail::checked(read_into(key, value), "ashmem_cache_read") > 0;
	}
#endif

	/**
	 * @brief ashmem_cache_get(): a value that stays until the entry ends.
	 * @param key  The key.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return The value; empty if it is not there.
	 */
	ASHMEM_HPP_NODISCARD entry find(const bytes &key, std::error_code &ec) noexcept
	{
		::ashmem_entry *made = nullptr;
		detail::told(unless(::ashmem_cache_get(it_.get(), key.data, key.size, &made),
				     -ENOENT),
			ec);
		return entry::adopt(made);
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_cache_get(): a value that stays until the entry ends.
	 * @param key  The key.
	 * @return The value; empty if it is not there.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD entry find(const bytes &key)
	{
		::ashmem_entry *made = nullptr;
		detail::checked(unless(::ashmem_cache_get(it_.get(), key.data, key.size, &made),
					-ENOENT),
			"ashmem_cache_get");
		return entry::adopt(made);
	}
#endif

	/**
	 * @brief ashmem_cache_put().
	 * @param key  The key.
	 * @param value  The value.
	 * @param ttl_ms  Milliseconds until it expires; 0: it does not.
	 * @param[out] ec  Set to the error, or cleared.
	 */
	void put(const bytes &key, const bytes &value, std::uint64_t ttl_ms,
		std::error_code &ec) noexcept
	{
		detail::told(::ashmem_cache_put(it_.get(), key.data, key.size, value.data,
				     value.size, ttl_ms),
			ec);
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_cache_put().
	 * @param key  The key.
	 * @param value  The value.
	 * @param ttl_ms  Milliseconds until it expires; 0: it does not.
	 * @throws std::system_error  The errors of that call.
	 */
	void put(const bytes &key, const bytes &value, std::uint64_t ttl_ms = 0)
	{
		detail::checked(::ashmem_cache_put(it_.get(), key.data, key.size, value.data,
					value.size, ttl_ms),
			"ashmem_cache_put");
	}
#endif

	/**
	 * @brief Put a value if the key has none.
	 * @param key  The key.
	 * @param value  The value.
	 * @param ttl_ms  Milliseconds until it expires; 0: it does not.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return Whether it was put.
	 */
	bool add(const bytes &key, const bytes &value, std::uint64_t ttl_ms,
		std::error_code &ec) noexcept
	{
		return detail::told(unless(::ashmem_cache_put_with(it_.get(), key.data, key.size,
						   value.data, value.size, ttl_ms, ASHMEM_PUT_ADD),
					    -EEXIST),
			       ec) == 0;
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief Put a value if the key has none.
	 * @param key  The key.
	 * @param value  The value.
	 * @param ttl_ms  Milliseconds until it expires; 0: it does not.
	 * @return Whether it was put.
	 * @throws std::system_error  The errors of that call.
	 */
	bool add(const bytes &key, const bytes &value, std::uint64_t ttl_ms = 0)
	{
		return detail::checked(unless(::ashmem_cache_put_with(it_.get(), key.data, key.size,
						      value.data, value.size, ttl_ms,
						      ASHMEM_PUT_ADD),
					       -EEXIST),
			       "ashmem_cache_put_with") == 0;
	}
#endif

	/**
	 * @brief Put a value if the key has one.
	 * @param key  The key.
	 * @param value  The value.
	 * @param ttl_ms  Milliseconds until it expires; 0: it does not.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return Whether it was put.
	 */
	bool replace(const bytes &key, const bytes &value, std::uint64_t ttl_ms,
		std::error_code &ec) noexcept
	{
		return detail::told(unless(::ashmem_cache_put_with(it_.get(), key.data, key.size,
						   value.data, value.size, ttl_ms,
						   ASHMEM_PUT_REPLACE),
					    -ENOENT),
			       ec) == 0;
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief Put a value if the key has one.
	 * @param key  The key.
	 * @param value  The value.
	 * @param ttl_ms  Milliseconds until it expires; 0: it does not.
	 * @return Whether it was put.
	 * @throws std::system_error  The errors of that call.
	 */
	bool replace(const bytes &key, const bytes &value, std::uint64_t ttl_ms = 0)
	{
		return detail::checked(unless(::ashmem_cache_put_with(it_.get(), key.data, key.size,
						      value.data, value.size, ttl_ms,
						      ASHMEM_PUT_REPLACE),
					       -ENOENT),
			       "ashmem_cache_put_with") == 0;
	}
#endif

	/**
	 * @brief ashmem_cache_reserve(): room to build a value in place.
	 * @param key  The key.
	 * @param value_bytes  Bytes of the value.
	 * @param ttl_ms  Milliseconds until it expires; 0: it does not.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return The room: entry::room(), then entry::commit().
	 */
	ASHMEM_HPP_NODISCARD entry reserve(const bytes &key, std::size_t value_bytes,
		std::uint64_t ttl_ms, std::error_code &ec) noexcept
	{
		::ashmem_entry *made = nullptr;
		detail::told(::ashmem_cache_reserve(it_.get(), key.data, key.size, value_bytes,
				     ttl_ms, &made),
			ec);
		return entry::adopt(made);
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_cache_reserve(): room to build a value in place.
	 * @param key  The key.
	 * @param value_bytes  Bytes of the value.
	 * @param ttl_ms  Milliseconds until it expires; 0: it does not.
	 * @return The room: entry::room(), then entry::commit().
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD entry reserve(const bytes &key, std::size_t value_bytes,
		std::uint64_t ttl_ms = 0)
	{
		::ashmem_entry *made = nullptr;
		detail::checked(::ashmem_cache_reserve(it_.get(), key.data, key.size, value_bytes,
					ttl_ms, &made),
			"ashmem_cache_reserve");
		return entry::adopt(made);
	}
#endif

	/**
	 * @brief ashmem_cache_claim(): the value, or the task of building it.
	 * @param key  The key.
	 * @param wait_ms  Longest wait for another builder.
	 * @param[out] it  Receives the value or the claim.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return Which; claimed::busy after a failure.
	 */
	ASHMEM_HPP_NODISCARD claimed claim(const bytes &key, std::uint32_t wait_ms, entry &it,
		std::error_code &ec) noexcept
	{
		::ashmem_entry *made = nullptr;
		int r = detail::told(unless(::ashmem_cache_claim(it_.get(), key.data, key.size,
						    wait_ms, &made),
					     -EBUSY),
			ec);
		if (made)
			it = entry::adopt(made);
		return made ? static_cast<claimed>(r) : claimed::busy;
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_cache_claim(): the value, or the task of building it.
	 * @param key  The key.
	 * @param wait_ms  Longest wait for another builder.
	 * @param[out] it  Receives the value or the claim.
	 * @return Which; claimed::busy after a failure.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD claimed claim(const bytes &key, std::uint32_t wait_ms, entry &it)
	{
		::ashmem_entry *made = nullptr;
		int r = detail::checked(unless(::ashmem_cache_claim(it_.get(), key.data, key.size,
						       wait_ms, &made),
						-EBUSY),
			"ashmem_cache_claim");
		if (made)
			it = entry::adopt(made);
		return made ? static_cast<claimed>(r) : claimed::busy;
	}
#endif

	/**
	 * @brief ashmem_cache_touch(): a new time to live.
	 * @param key  The key.
	 * @param ttl_ms  Milliseconds from now until it expires; 0: it does not.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return Whether it is there.
	 */
	bool touch(const bytes &key, std::uint64_t ttl_ms, std::error_code &ec) noexcept
	{
		return detail::told(unless(::ashmem_cache_touch(it_.get(), key.data, key.size,
						   ttl_ms),
					    -ENOENT),
			       ec) == 0;
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_cache_touch(): a new time to live.
	 * @param key  The key.
	 * @param ttl_ms  Milliseconds from now until it expires; 0: it does not.
	 * @return Whether it is there.
	 * @throws std::system_error  The errors of that call.
	 */
	bool touch(const bytes &key, std::uint64_t ttl_ms)
	{
		return detail::checked(unless(::ashmem_cache_touch(it_.get(), key.data, key.size,
						      ttl_ms),
					       -ENOENT),
			       "ashmem_cache_touch") == 0;
	}
#endif

	/**
	 * @brief ashmem_cache_get_ttl(): how long a value has to live.
	 * @param key  The key.
	 * @param[out] ttl_ms  Receives the milliseconds, at least 1; 0: without limit.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return Whether it is there.
	 */
	ASHMEM_HPP_NODISCARD bool get_ttl(const bytes &key, std::uint64_t &ttl_ms,
		std::error_code &ec) noexcept
	{
		return detail::told(ttl_into(key, ttl_ms), ec) > 0;
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_cache_get_ttl(): how long a value has to live.
	 * @param key  The key.
	 * @param[out] ttl_ms  Receives the milliseconds, at least 1; 0: without limit.
	 * @return Whether it is there.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD bool get_ttl(const bytes &key, std::uint64_t &ttl_ms)
	{
		return detail::checked(ttl_into(key, ttl_ms), "ashmem_cache_get_ttl") > 0;
	}
#endif

	/**
	 * @brief ashmem_cache_remove().
	 * @param key  The key.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return Whether it was there.
	 */
	bool remove(const bytes &key, std::error_code &ec) noexcept
	{
		return detail::told(unless(::ashmem_cache_remove(it_.get(), key.data, key.size),
					    -ENOENT),
			       ec) == 0;
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_cache_remove().
	 * @param key  The key.
	 * @return Whether it was there.
	 * @throws std::system_error  The errors of that call.
	 */
	bool remove(const bytes &key)
	{
		return detail::checked(unless(::ashmem_cache_remove(it_.get(), key.data, key.size),
					       -ENOENT),
			       "ashmem_cache_remove") == 0;
	}
#endif

	/**
	 * @brief ashmem_cache_clear(): remove all values.
	 * @param[out] ec  Set to the error, or cleared.
	 */
	void clear(std::error_code &ec) noexcept
	{
		detail::told(::ashmem_cache_clear(it_.get()), ec);
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_cache_clear(): remove all values.
	 * @throws std::system_error  The errors of that call.
	 */
	void clear()
	{
		detail::checked(::ashmem_cache_clear(it_.get()), "ashmem_cache_clear");
	}
#endif

	/**
	 * @brief ashmem_cache_next(): walk over the keys.
	 * @param[out] position  Where the walk is: 0 at first.
	 * @param[out] key  Receives the key.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return Whether there was one more.
	 */
	ASHMEM_HPP_NODISCARD bool next(std::uint64_t &position, std::string &key,
		std::error_code &ec)
	{
		return detail::told(next_into(position, key), ec) > 0;
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_cache_next(): walk over the keys.
	 * @param[out] position  Where the walk is: 0 at first.
	 * @param[out] key  Receives the key.
	 * @return Whether there was one more.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD bool next(std::uint64_t &position, std::string &key)
	{
		return detail::checked(next_into(position, key), "ashmem_cache_next") > 0;
	}
#endif

	/**
	 * @brief ashmem_cache_get_stats().
	 * @param[out] ec  Set to the error, or cleared.
	 * @return The counts.
	 */
	ASHMEM_HPP_NODISCARD ::ashmem_cache_stats stats(std::error_code &ec) noexcept
	{
		::ashmem_cache_stats it = sized<::ashmem_cache_stats>();
		detail::told(::ashmem_cache_get_stats(it_.get(), &it), ec);
		return it;
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_cache_get_stats().
	 * @return The counts.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD ::ashmem_cache_stats stats()
	{
		::ashmem_cache_stats it = sized<::ashmem_cache_stats>();
		detail::checked(::ashmem_cache_get_stats(it_.get(), &it), "ashmem_cache_get_stats");
		return it;
	}
#endif

	/** @brief ashmem_cache_area(). @return The area, which the cache owns, or NULL. */
	ASHMEM_HPP_NODISCARD ::ashmem_area *area() const noexcept
	{
		return ::ashmem_cache_area(it_.get());
	}
	/** @brief Whether there is a cache. */
	explicit operator bool() const noexcept
	{
		return it_.get() != nullptr;
	}
	/** @brief The C handle. @return The handle, or NULL; this still owns it. */
	ASHMEM_HPP_NODISCARD ::ashmem_cache *get() const noexcept
	{
		return it_.get();
	}
	/** @brief Give up the handle. @return It, or NULL; the caller closes it. */
	::ashmem_cache *release() noexcept
	{
		return it_.release();
	}
	/** @brief Close it. */
	void reset() noexcept
	{
		it_.reset(nullptr);
	}

      private:
	/* One error is an answer: 1. */
	static int unless(int r, int answer) noexcept
	{
		return r == answer ? 1 : r;
	}

	/* 1 and the time, 0: not there; or an error. */
	int ttl_into(const bytes &key, std::uint64_t &ttl_ms) noexcept
	{
		std::int64_t r = ::ashmem_cache_get_ttl(it_.get(), key.data, key.size);

		if (r >= 0)
			ttl_ms = static_cast<std::uint64_t>(r);
		return r >= 0 ? 1 : r == -ENOENT ? 0 : static_cast<int>(r);
	}

	/* 1 and the value, 0: not there; or an error. The value may grow between two looks. */
	std::int64_t read_into(const bytes &key, std::string &value)
	{
		std::string found(value.capacity(), '\0');

		for (;;) {
			std::int64_t r = ::ashmem_cache_read(it_.get(), key.data, key.size,
				found.empty() ? nullptr : &found[0], found.size());
			if (r < 0)
				return r == -ENOENT ? 0 : r;
			bool is_whole = static_cast<std::uint64_t>(r) <= found.size();
			found.resize(static_cast<std::size_t>(r));
			if (!is_whole)
				continue;
			value.swap(found);
			return 1;
		}
	}

	int next_into(std::uint64_t &position, std::string &key)
	{
		char found[ASHMEM_CACHE_KEY_MOST];
		std::size_t count = 0;
		int r = ::ashmem_cache_next(it_.get(), &position, found, sizeof(found), &count,
			nullptr);

		if (r > 0)
			key.assign(found, count);
		return r;
	}

	owner it_;
};

/** @} */

} /* namespace ashmem */

#endif /* ASHMEM_CACHE_HPP */
