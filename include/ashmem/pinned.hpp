/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_PINNED_HPP
#define ASHMEM_PINNED_HPP

/**
 * @file
 * @brief Pins and holds for a scope. Part of <ashmem/ashmem.hpp>.
 */

#include <cstdint>
#include <system_error>

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
 * @brief Pages that are pinned until the end of a scope, left by an exception or not.
 *
 *     ashmem::pinned pin(area, offset, length);
 *     if (pin.was_purged())
 *             rebuild();
 *     use();
 *
 * - A purge is reported once. If rebuilding fails, by an exception for instance, the next pin
 *   returns contents::kept over contents that are not there: remember that in an index of yours, or
 *   use ashmem::held, which keeps the mark.
 * - A pin is a state and not a count (rule 13, docs/architecture.md): of two on the same pages, the
 *   first that ends, ends both.
 * - The destructor ignores errors, and the pages then stay pinned; call unpin() to get the error.
 * - The area must not be closed before, but the object that owns it may be moved. Not for several
 *   threads at once.
 * @since 0.9
 */
class ASHMEM_HPP_NODISCARD pinned
{
      public:
	/** @brief Nothing. */
	pinned() noexcept
	    : area_(nullptr), offset_(0), length_(0), priority_(ASHMEM_PRIORITY_NORMAL),
	      order_(ASHMEM_ORDER_FIFO), found_(contents::kept)
	{
	}

	/**
	 * @brief ashmem_pin(), without exceptions.
	 * @param of  The area.
	 * @param offset  First byte, page aligned.
	 * @param length  Bytes; 0: to the end.
	 * @param[out] ec  Set to the error (nothing is pinned then), or cleared.
	 */
	pinned(area &of, std::uint64_t offset, std::uint64_t length, std::error_code &ec) noexcept
	    : pinned()
	{
		begin(of, offset, length, of.pin(offset, length, ec), !ec);
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_pin().
	 * @param of  The area.
	 * @param offset  First byte, page aligned.
	 * @param length  Bytes; 0: to the end.
	 * @throws std::system_error  The errors of ashmem_pin().
	 */
	explicit pinned(area &of, std::uint64_t offset = 0, std::uint64_t length = 0) : pinned()
	{
		begin(of, offset, length, of.pin(offset, length), true);
	}
#endif

	/** @brief Take another's pin. @param other  Empty afterwards. */
	pinned(pinned &&other) noexcept : pinned()
	{
		take(other);
	}
	pinned(const pinned &) = delete;
	pinned &operator=(const pinned &) = delete;
	~pinned()
	{
		reset();
	}

	/**
	 * @brief Unpin, and take another's pin.
	 * @param other  Empty afterwards.
	 * @return This.
	 */
	pinned &operator=(pinned &&other) noexcept
	{
		if (this != &other) {
			reset();
			take(other);
		}
		return *this;
	}

	/** @brief Whether pages are pinned by this. */
	explicit operator bool() const noexcept
	{
		return area_ != nullptr;
	}
	/**
	 * @brief Whether the pin returned #ASHMEM_WAS_PURGED: rebuild the contents.
	 * @return True if it did; false if nothing is pinned.
	 */
	ASHMEM_HPP_NODISCARD bool was_purged() const noexcept
	{
		return found_ == contents::purged;
	}

	/**
	 * @brief End it with ashmem_unpin_with().
	 * @param priority  0 to 7.
	 * @param order  #ASHMEM_ORDER_FIFO or #ASHMEM_ORDER_LIFO.
	 */
	void unpin_as(std::uint32_t priority, std::uint32_t order = ASHMEM_ORDER_FIFO) noexcept
	{
		priority_ = priority;
		order_ = order;
	}

	/**
	 * @brief Unpin now.
	 * @param[out] ec  Set to the error (this still pins the pages then), or cleared.
	 */
	void unpin(std::error_code &ec) noexcept
	{
		if (detail::told(end(), ec) >= 0)
			keep();
	}
#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief Unpin now.
	 * @throws std::system_error  The errors of ashmem_unpin_with(); this still pins the pages
	 *   then.
	 */
	void unpin()
	{
		detail::checked(end(), "ashmem_unpin_with");
		keep();
	}
#endif

	/** @brief Unpin now, ignoring errors. */
	void reset() noexcept
	{
		end();
		keep();
	}

	/** @brief Leave the pages pinned when the scope ends. */
	void keep() noexcept
	{
		area_ = nullptr;
		found_ = contents::kept;
	}

      private:
	void begin(const area &of, std::uint64_t offset, std::uint64_t length, contents found,
		bool done) noexcept
	{
		if (!done)
			return;
		area_ = of.get();
		offset_ = offset;
		length_ = length;
		found_ = found;
	}

	int end() noexcept
	{
		return area_ ? ::ashmem_unpin_with(area_, offset_, length_, priority_, order_) : 0;
	}

	void take(pinned &other) noexcept
	{
		area_ = other.area_;
		offset_ = other.offset_;
		length_ = other.length_;
		priority_ = other.priority_;
		order_ = other.order_;
		found_ = other.found_;
		other.keep();
	}

	::ashmem_area *area_;
	std::uint64_t offset_;
	std::uint64_t length_;
	std::uint32_t priority_;
	std::uint32_t order_;
	contents found_;
};

/**
 * @brief Pages that are held until the end of a scope: a counted pin, which nobody else can undo
 *   (ashmem_hold()).
 *
 *     ashmem::held hold(area, offset, length);
 *     if (hold.was_purged()) {
 *             rebuild();
 *             hold.rebuilt();
 *     }
 *     use();
 *
 * - If the pages were purged and rebuilt() is not called, because rebuilding threw for instance,
 *   the purge marks stay (#ASHMEM_RELEASE_LOST) and the next hold or pin returns contents::purged
 *   too.
 * - The destructor ignores errors, and the pages then stay held; call release() to get the error.
 * - The area must not be closed before, but the object that owns it may be moved. Not for several
 *   threads at once.
 * @since 0.9
 */
class ASHMEM_HPP_NODISCARD held
{
      public:
	/** @brief Nothing. */
	held() noexcept : area_(nullptr), offset_(0), length_(0), found_(contents::kept) {}

	/**
	 * @brief ashmem_hold(), without exceptions.
	 * @param of  The area.
	 * @param offset  First byte, page aligned.
	 * @param length  Bytes; 0: to the end.
	 * @param[out] ec  Set to the error (nothing is held then), or cleared.
	 */
	held(area &of, std::uint64_t offset, std::uint64_t length, std::error_code &ec) noexcept
	    : held()
	{
		begin(of, offset, length, of.hold(offset, length, ec), !ec);
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_hold().
	 * @param of  The area.
	 * @param offset  First byte, page aligned.
	 * @param length  Bytes; 0: to the end.
	 * @throws std::system_error  The errors of ashmem_hold().
	 */
	explicit held(area &of, std::uint64_t offset = 0, std::uint64_t length = 0) : held()
	{
		begin(of, offset, length, of.hold(offset, length), true);
	}
#endif

	/** @brief Take another's hold. @param other  Empty afterwards. */
	held(held &&other) noexcept : held()
	{
		take(other);
	}
	held(const held &) = delete;
	held &operator=(const held &) = delete;
	~held()
	{
		reset();
	}

	/**
	 * @brief Release, and take another's hold.
	 * @param other  Empty afterwards.
	 * @return This.
	 */
	held &operator=(held &&other) noexcept
	{
		if (this != &other) {
			reset();
			take(other);
		}
		return *this;
	}

	/** @brief Whether pages are held by this. */
	explicit operator bool() const noexcept
	{
		return area_ != nullptr;
	}
	/**
	 * @brief Whether the contents are lost: the hold returned #ASHMEM_WAS_PURGED, and rebuilt()
	 *   was not called.
	 * @return True if they are.
	 */
	ASHMEM_HPP_NODISCARD bool was_purged() const noexcept
	{
		return found_ == contents::purged;
	}
	/** @brief The contents are rebuilt: let the release clear the purge marks. */
	void rebuilt() noexcept
	{
		found_ = contents::kept;
	}

	/**
	 * @brief Release now.
	 * @param[out] ec  Set to the error (this still holds the pages then), or cleared.
	 */
	void release(std::error_code &ec) noexcept
	{
		if (detail::told(end(), ec) >= 0)
			forget();
	}
#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief Release now.
	 * @throws std::system_error  The errors of ashmem_release(); this still holds the pages
	 *   then.
	 */
	void release()
	{
		detail::checked(end(), "ashmem_release");
		forget();
	}
#endif

	/** @brief Release now, ignoring errors. */
	void reset() noexcept
	{
		end();
		forget();
	}

      private:
	void begin(const area &of, std::uint64_t offset, std::uint64_t length, contents found,
		bool done) noexcept
	{
		if (!done)
			return;
		area_ = of.get();
		offset_ = offset;
		length_ = length;
		found_ = found;
	}

	int end() noexcept
	{
		return area_ ? ::ashmem_release(area_, offset_, length_,
				       was_purged() ? ASHMEM_RELEASE_LOST : 0u)
			     : 0;
	}

	void forget() noexcept
	{
		area_ = nullptr;
		found_ = contents::kept;
	}

	void take(held &other) noexcept
	{
		area_ = other.area_;
		offset_ = other.offset_;
		length_ = other.length_;
		found_ = other.found_;
		other.forget();
	}

	::ashmem_area *area_;
	std::uint64_t offset_;
	std::uint64_t length_;
	contents found_;
};

/** @} */

} /* namespace ashmem */

#endif /* ASHMEM_PINNED_HPP */
