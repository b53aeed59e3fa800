/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_AREA_HPP
#define ASHMEM_AREA_HPP

/**
 * @file
 * @brief Areas, mappings and descriptors that end with their owner. Part of <ashmem/ashmem.hpp>.
 */

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <system_error>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

#include <ashmem/ashmem.h>
#include <ashmem/handle.hpp>

#if __cplusplus >= 202002L
#include <span>
#endif

namespace ashmem
{

/**
 * @addtogroup ashmem_cpp
 * @{
 */

/** Result of a pin or a hold. */
enum class contents : int {
	kept = ASHMEM_NOT_PURGED,  /**< They are unchanged. */
	purged = ASHMEM_WAS_PURGED /**< Some may be lost: rebuild them. */
};

/** An unpinned range, from area::find_unpinned(). */
struct unpinned_range {
	std::uint64_t offset; /**< First byte. */
	std::uint64_t length; /**< Bytes. */
	bool purged;          /**< #ASHMEM_RANGE_PURGED: pinning it returns contents::purged. */
	bool evictable;       /**< #ASHMEM_RANGE_EVICTABLE: a purge could still free pages of it. */
};

/** @brief A file descriptor that is closed with its owner. @since 0.9 */
class descriptor
{
      public:
	/** @brief None. */
	descriptor() noexcept : fd_(-1) {}
	/** @brief Own a descriptor. @param fd  The descriptor, or -1 for none. */
	explicit descriptor(int fd) noexcept : fd_(fd) {}
	/** @brief Move. @param other  Empty afterwards. */
	descriptor(descriptor &&other) noexcept : fd_(other.release()) {}
	descriptor(const descriptor &) = delete;
	descriptor &operator=(const descriptor &) = delete;
	~descriptor() { reset(); }

	/** @brief Close, and take over another's. @param other  Empty afterwards. @return This. */
	descriptor &operator=(descriptor &&other) noexcept
	{
		if (this != &other)
			reset(other.release());
		return *this;
	}

	/** @brief The descriptor. @return The descriptor, or -1; this still owns it. */
	ASHMEM_HPP_NODISCARD int get() const noexcept { return fd_; }
	/** @brief Whether there is one. */
	explicit operator bool() const noexcept { return fd_ >= 0; }

	/** @brief Give up the descriptor. @return It, or -1; the caller closes it. */
	int release() noexcept
	{
		int fd = fd_;
		fd_ = -1;
		return fd;
	}

	/** @brief Close it and own another. @param fd  The other, or -1 for none. */
	void reset(int fd = -1) noexcept
	{
		int old = fd_;
		fd_ = fd;
		if (old >= 0)
			::close(old);
	}

      private:
	int fd_;
};

/**
 * @brief Mapped memory, unmapped with its owner. Made by area::map() and area::map_range(); it
 *   outlives the area.
 *
 * Touch pages only while they are pinned or held.
 * @since 0.9
 */
class mapping
{
      public:
	/** @brief None. */
	mapping() noexcept : addr_(nullptr), size_(0) {}
	/** @brief Move. @param other  Empty afterwards. */
	mapping(mapping &&other) noexcept : addr_(other.addr_), size_(other.size_)
	{
		other.release();
	}
	mapping(const mapping &) = delete;
	mapping &operator=(const mapping &) = delete;
	~mapping() { reset(); }

	/** @brief Unmap, and take over another's. @param other  Empty afterwards. @return This. */
	mapping &operator=(mapping &&other) noexcept
	{
		if (this != &other) {
			reset();
			addr_ = other.addr_;
			size_ = other.size_;
			other.release();
		}
		return *this;
	}

	/**
	 * @brief Own what ashmem_map() mapped.
	 * @param addr  Its address.
	 * @param length  Its bytes.
	 * @return The owner.
	 */
	ASHMEM_HPP_NODISCARD static mapping adopt(void *addr, std::size_t length) noexcept
	{
		mapping it;
		it.addr_ = addr;
		it.size_ = addr ? length : 0;
		return it;
	}

	/** @brief The first byte. @return Its address; NULL if nothing is mapped. */
	ASHMEM_HPP_NODISCARD void *data() const noexcept { return addr_; }
	/** @brief The bytes asked for. @return Bytes, not rounded up to pages. */
	ASHMEM_HPP_NODISCARD std::size_t size() const noexcept { return size_; }
	/** @brief Whether something is mapped. */
	explicit operator bool() const noexcept { return addr_ != nullptr; }

	/**
	 * @brief The memory as objects of a type, for which any bytes must be valid: a purge leaves
	 *   zeroes.
	 * @tparam T  The type.
	 * @param offset  Byte offset into the mapping, aligned for T.
	 * @return Address of the first one.
	 */
	template <class T> ASHMEM_HPP_NODISCARD T *as(std::size_t offset = 0) const noexcept
	{
		return static_cast<T *>(static_cast<void *>(static_cast<unsigned char *>(addr_) +
			offset));
	}

#if defined(__cpp_lib_span)
	/** @brief The memory as bytes (C++20). @return All of it. */
	ASHMEM_HPP_NODISCARD std::span<std::byte> bytes() const noexcept
	{
		return {static_cast<std::byte *>(addr_), size_};
	}
#endif

	/**
	 * @brief ashmem_populate() all of it.
	 * @param[out] ec  Set to the error, or cleared.
	 */
	void populate(std::error_code &ec) noexcept
	{
		detail::told(::ashmem_populate(addr_, size_), ec);
	}
	/**
	 * @brief Unmap, and report errors.
	 * @param[out] ec  Set to the error (all is still mapped then), or cleared.
	 */
	void unmap(std::error_code &ec) noexcept
	{
		if (detail::told(addr_ ? ::ashmem_unmap(addr_, size_) : 0, ec) >= 0)
			release();
	}
#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_populate() all of it.
	 * @throws std::system_error  The errors of that call.
	 */
	void populate()
	{
		detail::checked(::ashmem_populate(addr_, size_), "ashmem_populate");
	}
	/**
	 * @brief Unmap, and report errors.
	 * @throws std::system_error  The errors of ashmem_unmap(); all is still mapped then.
	 */
	void unmap()
	{
		detail::checked(addr_ ? ::ashmem_unmap(addr_, size_) : 0, "ashmem_unmap");
		release();
	}
#endif

	/** @brief Unmap, ignoring errors. */
	void reset() noexcept
	{
		if (addr_)
			::ashmem_unmap(addr_, size_);
		release();
	}

	/**
	 * @brief Give up the mapping.
	 * @return Its address, or NULL; the caller ends it with ashmem_unmap().
	 */
	void *release() noexcept
	{
		void *addr = addr_;
		addr_ = nullptr;
		size_ = 0;
		return addr;
	}

      private:
	void *addr_;
	std::size_t size_;
};

/**
 * @brief One reference to an area, given back with its owner.
 *
 * Functions have the names and arguments of the C calls on areas, without `ashmem_` and `get_`. A
 * call that can fail exists twice: one throws std::system_error, the other takes a last argument of
 * type `std::error_code &` and throws nothing. Errors are those of the C call, as positive numbers
 * of std::generic_category(). An empty area is a NULL area there: EINVAL.
 *
 * Threads: several threads may call everything at once, except moving from it, assigning to it,
 * reset() and release().
 * @since 0.9
 */
class area
{
	using owner = detail::handle<::ashmem_area, ::ashmem_close>;

      public:
	/** @brief No area. */
	area() noexcept : it_() {}

	/** @brief Own a handle. @param handle  From the C interface, or NULL. @return The owner. */
	ASHMEM_HPP_NODISCARD static area adopt(::ashmem_area *handle) noexcept
	{
		return area(owner(handle));
	}

	/**
	 * @brief ashmem_create(), without exceptions.
	 * @param name  Its name; NULL or "" means none.
	 * @param size_bytes  Its size in bytes.
	 * @param flags  0 or #ASHMEM_CREATE_ALLOW_SEAL.
	 * @param[out] ec  Set to the error (the area is then empty), or cleared.
	 */
	area(const char *name, std::uint64_t size_bytes, std::uint32_t flags,
		std::error_code &ec) noexcept
	    : it_()
	{
		::ashmem_area *made = nullptr;
		detail::told(::ashmem_create(name, size_bytes, flags, &made), ec);
		it_.reset(made);
	}

	/**
	 * @brief ashmem_import().
	 * @param fd  A descriptor; the caller keeps it.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return The area, or an empty one.
	 */
	ASHMEM_HPP_NODISCARD static area from_fd(int fd, std::error_code &ec) noexcept
	{
		::ashmem_area *made = nullptr;
		detail::told(::ashmem_import(fd, &made), ec);
		return area(owner(made));
	}

	/**
	 * @brief ashmem_recv().
	 * @param socket_fd  An AF_UNIX socket.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return The area, or an empty one.
	 */
	ASHMEM_HPP_NODISCARD static area receive(int socket_fd, std::error_code &ec) noexcept
	{
		::ashmem_area *made = nullptr;
		detail::told(::ashmem_recv(socket_fd, &made), ec);
		return area(owner(made));
	}

#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_create().
	 * @param name  Its name; NULL or "" means none.
	 * @param size_bytes  Its size in bytes.
	 * @param flags  0 or #ASHMEM_CREATE_ALLOW_SEAL.
	 * @throws std::system_error  The errors of ashmem_create().
	 */
	explicit area(const char *name, std::uint64_t size_bytes = 0, std::uint32_t flags = 0)
	    : it_()
	{
		::ashmem_area *made = nullptr;
		detail::checked(::ashmem_create(name, size_bytes, flags, &made), "ashmem_create");
		it_.reset(made);
	}

	/**
	 * @brief ashmem_import().
	 * @param fd  A descriptor; the caller keeps it.
	 * @return The area.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD static area from_fd(int fd)
	{
		::ashmem_area *made = nullptr;
		detail::checked(::ashmem_import(fd, &made), "ashmem_import");
		return area(owner(made));
	}

	/**
	 * @brief ashmem_recv().
	 * @param socket_fd  An AF_UNIX socket.
	 * @return The area.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD static area receive(int socket_fd)
	{
		::ashmem_area *made = nullptr;
		detail::checked(::ashmem_recv(socket_fd, &made), "ashmem_recv");
		return area(owner(made));
	}
#endif

	/**
	 * @brief The handle, for calls of the C interface.
	 * @return The handle, or NULL; this still owns it.
	 */
	ASHMEM_HPP_NODISCARD ::ashmem_area *get() const noexcept
	{
		return it_.get();
	}
	/** @brief Whether there is an area. */
	explicit operator bool() const noexcept
	{
		return it_.get() != nullptr;
	}
	/**
	 * @brief Give up the handle.
	 * @return It, or NULL; the caller ends it with ashmem_close().
	 */
	::ashmem_area *release() noexcept
	{
		return it_.release();
	}
	/** @brief ashmem_close() it and own another. @param handle  The other, or NULL for none. */
	void reset(::ashmem_area *handle = nullptr) noexcept
	{
		it_.reset(handle);
	}

	/** @name Name, size, protection
	 * @{ */

	/** @brief ashmem_get_size(). @return Bytes; 0 if none were set, or if there is no area. */
	ASHMEM_HPP_NODISCARD std::uint64_t size() const noexcept
	{
		return ::ashmem_get_size(get());
	}
	/** @brief ashmem_backend_name(). @return A static string; NULL if there is no area. */
	ASHMEM_HPP_NODISCARD const char *backend_name() const noexcept
	{
		return ::ashmem_backend_name(get());
	}
	/**
	 * @brief ashmem_get_name().
	 * @param[out] ec  Set to the error, or cleared.
	 * @return The name, "" on failure. May throw std::bad_alloc.
	 */
	ASHMEM_HPP_NODISCARD std::string name(std::error_code &ec) const
	{
		char buf[ASHMEM_NAME_LEN] = "";
		detail::told(::ashmem_get_name(get(), buf, sizeof(buf)), ec);
		return buf;
	}
	/**
	 * @brief ashmem_get_prot().
	 * @param[out] ec  Set to the error, or cleared.
	 * @return The mask; 0 on failure.
	 */
	ASHMEM_HPP_NODISCARD int prot(std::error_code &ec) const noexcept
	{
		int r = detail::told(::ashmem_get_prot(get()), ec);
		return r < 0 ? 0 : r;
	}
	/**
	 * @brief ashmem_set_name().
	 * @param name  The name.
	 * @param[out] ec  Set to the error, or cleared.
	 */
	void set_name(const char *name, std::error_code &ec) noexcept
	{
		detail::told(::ashmem_set_name(get(), name), ec);
	}
	/**
	 * @brief ashmem_set_size().
	 * @param size_bytes  Bytes.
	 * @param[out] ec  Set to the error, or cleared.
	 */
	void set_size(std::uint64_t size_bytes, std::error_code &ec) noexcept
	{
		detail::told(::ashmem_set_size(get(), size_bytes), ec);
	}
	/**
	 * @brief ashmem_set_prot().
	 * @param prot  The new mask.
	 * @param[out] ec  Set to the error, or cleared.
	 */
	void set_prot(int prot, std::error_code &ec) noexcept
	{
		detail::told(::ashmem_set_prot(get(), prot), ec);
	}
#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_get_name().
	 * @return The name.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD std::string name() const
	{
		char buf[ASHMEM_NAME_LEN] = "";
		detail::checked(::ashmem_get_name(get(), buf, sizeof(buf)), "ashmem_get_name");
		return buf;
	}
	/**
	 * @brief ashmem_get_prot().
	 * @return The mask.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD int prot() const
	{
		return detail::checked(::ashmem_get_prot(get()), "ashmem_get_prot");
	}
	/**
	 * @brief ashmem_set_name().
	 * @param name  The name.
	 * @throws std::system_error  The errors of that call.
	 */
	void set_name(const char *name)
	{
		detail::checked(::ashmem_set_name(get(), name), "ashmem_set_name");
	}
	/**
	 * @brief ashmem_set_size().
	 * @param size_bytes  Bytes.
	 * @throws std::system_error  The errors of that call.
	 */
	void set_size(std::uint64_t size_bytes)
	{
		detail::checked(::ashmem_set_size(get(), size_bytes), "ashmem_set_size");
	}
	/**
	 * @brief ashmem_set_prot().
	 * @param prot  The new mask.
	 * @throws std::system_error  The errors of that call.
	 */
	void set_prot(int prot)
	{
		detail::checked(::ashmem_set_prot(get(), prot), "ashmem_set_prot");
	}
#endif
	/** @} */

	/** @name Memory
	 * @{ */

	/**
	 * @brief ashmem_map().
	 * @param offset  Byte offset, page aligned.
	 * @param length  Bytes.
	 * @param prot  PROT_ bits.
	 * @param flags  MAP_SHARED or MAP_PRIVATE, and others.
	 * @param where  The address, with MAP_FIXED or MAP_FIXED_NOREPLACE in @p flags.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return The mapping, or an empty one.
	 */
	ASHMEM_HPP_NODISCARD mapping map_range(std::uint64_t offset, std::size_t length, int prot,
		int flags, void *where, std::error_code &ec) noexcept
	{
		int r = detail::told(::ashmem_map(get(), offset, length, prot, flags, &where), ec);
		return r < 0 ? mapping() : mapping::adopt(where, length);
	}
	/**
	 * @brief ashmem_map() all of the area, shared.
	 * @param prot  PROT_ bits.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return The mapping, or an empty one.
	 */
	ASHMEM_HPP_NODISCARD mapping map(int prot, std::error_code &ec) noexcept
	{
		return map_range(0, whole(), prot, MAP_SHARED, nullptr, ec);
	}
	/**
	 * @brief ashmem_read().
	 * @param[out] buf  Receives the bytes.
	 * @param length  Bytes wanted.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return Bytes read.
	 */
	std::size_t read(void *buf, std::size_t length, std::error_code &ec) noexcept
	{
		return count(detail::told(::ashmem_read(get(), buf, length), ec));
	}
	/**
	 * @brief ashmem_pread().
	 * @param[out] buf  Receives the bytes.
	 * @param length  Bytes wanted.
	 * @param offset  Where.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return Bytes read.
	 */
	std::size_t pread(void *buf, std::size_t length, std::uint64_t offset,
		std::error_code &ec) const noexcept
	{
		return count(detail::told(::ashmem_pread(get(), buf, length, offset), ec));
	}
	/**
	 * @brief ashmem_seek().
	 * @param offset  Bytes.
	 * @param whence  SEEK_SET and the like.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return The position; 0 on failure.
	 */
	std::uint64_t seek(std::int64_t offset, int whence, std::error_code &ec) noexcept
	{
		std::int64_t r = detail::told(::ashmem_seek(get(), offset, whence), ec);
		return r < 0 ? 0 : static_cast<std::uint64_t>(r);
	}
#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_map().
	 * @param offset  Byte offset, page aligned.
	 * @param length  Bytes.
	 * @param prot  PROT_ bits.
	 * @param flags  MAP_SHARED or MAP_PRIVATE, and others.
	 * @param where  The address, with MAP_FIXED or MAP_FIXED_NOREPLACE in @p flags.
	 * @return The mapping.
	 * @throws std::system_error  The errors of ashmem_map().
	 */
	ASHMEM_HPP_NODISCARD mapping map_range(std::uint64_t offset, std::size_t length,
		int prot = PROT_READ | PROT_WRITE, int flags = MAP_SHARED, void *where = nullptr)
	{
		detail::checked(::ashmem_map(get(), offset, length, prot, flags, &where),
			"ashmem_map");
		return mapping::adopt(where, length);
	}
	/**
	 * @brief ashmem_map() all of the area, shared.
	 * @param prot  PROT_ bits.
	 * @return The mapping.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD mapping map(int prot = PROT_READ | PROT_WRITE)
	{
		return map_range(0, whole(), prot);
	}
	/**
	 * @brief ashmem_read().
	 * @param[out] buf  Receives the bytes.
	 * @param length  Bytes wanted.
	 * @return Bytes read.
	 * @throws std::system_error  The errors of that call.
	 */
	std::size_t read(void *buf, std::size_t length)
	{
		return count(detail::checked(::ashmem_read(get(), buf, length), "ashmem_read"));
	}
	/**
	 * @brief ashmem_pread().
	 * @param[out] buf  Receives the bytes.
	 * @param length  Bytes wanted.
	 * @param offset  Where.
	 * @return Bytes read.
	 * @throws std::system_error  The errors of that call.
	 */
	std::size_t pread(void *buf, std::size_t length, std::uint64_t offset) const
	{
		return count(detail::checked(::ashmem_pread(get(), buf, length, offset),
			"ashmem_pread"));
	}
	/**
	 * @brief ashmem_seek().
	 * @param offset  Bytes.
	 * @param whence  SEEK_SET and the like.
	 * @return The position.
	 * @throws std::system_error  The errors of that call.
	 */
	std::uint64_t seek(std::int64_t offset, int whence = SEEK_SET)
	{
		return static_cast<std::uint64_t>(detail::checked(::ashmem_seek(get(), offset,
									  whence),
			"ashmem_seek"));
	}
#endif
	/** @} */

	/** @name Pinning
	 *
	 * ashmem::pinned and ashmem::held pin and hold for a scope. Length 0 means "to the end".
	 * @{ */

	/**
	 * @brief ashmem_pin().
	 * @param offset  First byte.
	 * @param length  Bytes.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return Whether it was purged; contents::purged on failure.
	 */
	ASHMEM_HPP_NODISCARD contents pin(std::uint64_t offset, std::uint64_t length,
		std::error_code &ec) noexcept
	{
		return found(detail::told(::ashmem_pin(get(), offset, length), ec));
	}
	/**
	 * @brief ashmem_pin_lost().
	 * @param offset  First byte.
	 * @param length  Bytes.
	 * @param[out] lost  Receives the extents that were lost.
	 * @param capacity  How many it can hold.
	 * @param[out] count  Receives how many there are.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return Whether it was purged; contents::purged on failure.
	 */
	ASHMEM_HPP_NODISCARD contents pin_lost(std::uint64_t offset, std::uint64_t length,
		::ashmem_extent *lost, std::uint32_t capacity, std::uint32_t &count,
		std::error_code &ec) noexcept
	{
		return found(detail::told(::ashmem_pin_lost(get(), offset, length, lost, capacity,
						  &count),
			ec));
	}
	/**
	 * @brief ashmem_unpin().
	 * @param offset  First byte.
	 * @param length  Bytes.
	 * @param[out] ec  Set to the error, or cleared.
	 */
	void unpin(std::uint64_t offset, std::uint64_t length, std::error_code &ec) noexcept
	{
		detail::told(::ashmem_unpin(get(), offset, length), ec);
	}
	/**
	 * @brief ashmem_unpin_with().
	 * @param offset  First byte.
	 * @param length  Bytes.
	 * @param priority  0 to 7.
	 * @param order  ASHMEM_ORDER_.
	 * @param[out] ec  Set to the error, or cleared.
	 */
	void unpin_with(std::uint64_t offset, std::uint64_t length, std::uint32_t priority,
		std::uint32_t order, std::error_code &ec) noexcept
	{
		detail::told(::ashmem_unpin_with(get(), offset, length, priority, order), ec);
	}
	/**
	 * @brief ashmem_get_pin_status().
	 * @param offset  First byte.
	 * @param length  Bytes.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return Whether every page is pinned; false on failure.
	 */
	ASHMEM_HPP_NODISCARD bool is_pinned(std::uint64_t offset, std::uint64_t length,
		std::error_code &ec) const noexcept
	{
		return detail::told(::ashmem_get_pin_status(get(), offset, length), ec) ==
			ASHMEM_IS_PINNED;
	}
	/**
	 * @brief ashmem_hold().
	 * @param offset  First byte.
	 * @param length  Bytes.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return Whether it was purged; contents::purged on failure.
	 */
	ASHMEM_HPP_NODISCARD contents hold(std::uint64_t offset, std::uint64_t length,
		std::error_code &ec) noexcept
	{
		return found(detail::told(::ashmem_hold(get(), offset, length), ec));
	}
	/**
	 * @brief ashmem_release().
	 * @param offset  First byte.
	 * @param length  Bytes.
	 * @param flags  0 or #ASHMEM_RELEASE_LOST.
	 * @param[out] ec  Set to the error, or cleared.
	 */
	void release_hold(std::uint64_t offset, std::uint64_t length, std::uint32_t flags,
		std::error_code &ec) noexcept
	{
		detail::told(::ashmem_release(get(), offset, length, flags), ec);
	}
	/**
	 * @brief ashmem_purge().
	 * @param offset  First byte.
	 * @param length  Bytes.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return Pages freed.
	 */
	std::uint64_t purge(std::uint64_t offset, std::uint64_t length,
		std::error_code &ec) noexcept
	{
		std::int64_t r = detail::told(::ashmem_purge(get(), offset, length), ec);
		return r < 0 ? 0 : static_cast<std::uint64_t>(r);
	}
	/**
	 * @brief ashmem_find_unpinned().
	 * @param from  Byte offset.
	 * @param[out] range  The range found.
	 * @param[out] ec  Set to the error, or cleared.
	 * @return Whether one was found.
	 */
	bool find_unpinned(std::uint64_t from, unpinned_range &range,
		std::error_code &ec) const noexcept
	{
		unpinned_range there = unpinned_range();
		std::uint32_t state = 0;
		if (detail::told(::ashmem_find_unpinned(get(), from, &there.offset, &there.length,
					 &state),
			    ec) <= 0)
			return false;
		there.purged = (state & ASHMEM_RANGE_PURGED) != 0;
		there.evictable = (state & ASHMEM_RANGE_EVICTABLE) != 0;
		range = there;
		return true;
	}
#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_pin().
	 * @param offset  First byte.
	 * @param length  Bytes.
	 * @return Whether it was purged.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD contents pin(std::uint64_t offset = 0, std::uint64_t length = 0)
	{
		return found(detail::checked(::ashmem_pin(get(), offset, length), "ashmem_pin"));
	}
	/**
	 * @brief ashmem_pin_lost().
	 * @param offset  First byte.
	 * @param length  Bytes.
	 * @param[out] lost  Receives the extents that were lost.
	 * @param capacity  How many it can hold.
	 * @param[out] count  Receives how many there are.
	 * @return Whether it was purged.
	 * @throws std::system_error  The errors of ashmem_pin_lost().
	 */
	ASHMEM_HPP_NODISCARD contents pin_lost(std::uint64_t offset, std::uint64_t length,
		::ashmem_extent *lost, std::uint32_t capacity, std::uint32_t &count)
	{
		return found(detail::checked(::ashmem_pin_lost(get(), offset, length, lost,
						     capacity, &count),
			"ashmem_pin_lost"));
	}
	/**
	 * @brief ashmem_unpin().
	 * @param offset  First byte.
	 * @param length  Bytes.
	 * @throws std::system_error  The errors of that call.
	 */
	void unpin(std::uint64_t offset = 0, std::uint64_t length = 0)
	{
		detail::checked(::ashmem_unpin(get(), offset, length), "ashmem_unpin");
	}
	/**
	 * @brief ashmem_unpin_with().
	 * @param offset  First byte.
	 * @param length  Bytes.
	 * @param priority  0 to 7.
	 * @param order  ASHMEM_ORDER_.
	 * @throws std::system_error  The errors of that call.
	 */
	void unpin_with(std::uint64_t offset, std::uint64_t length, std::uint32_t priority,
		std::uint32_t order = ASHMEM_ORDER_FIFO)
	{
		detail::checked(::ashmem_unpin_with(get(), offset, length, priority, order),
			"ashmem_unpin_with");
	}
	/**
	 * @brief ashmem_get_pin_status().
	 * @param offset  First byte.
	 * @param length  Bytes.
	 * @return Whether every page is pinned.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD bool is_pinned(std::uint64_t offset = 0,
		std::uint64_t length = 0) const
	{
		return detail::checked(::ashmem_get_pin_status(get(), offset, length),
			       "ashmem_get_pin_status") == ASHMEM_IS_PINNED;
	}
	/**
	 * @brief ashmem_hold().
	 * @param offset  First byte.
	 * @param length  Bytes.
	 * @return Whether it was purged.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD contents hold(std::uint64_t offset = 0, std::uint64_t length = 0)
	{
		return found(detail::checked(::ashmem_hold(get(), offset, length), "ashmem_hold"));
	}
	/**
	 * @brief ashmem_release().
	 * @param offset  First byte.
	 * @param length  Bytes.
	 * @param flags  0 or #ASHMEM_RELEASE_LOST.
	 * @throws std::system_error  The errors of that call.
	 */
	void release_hold(std::uint64_t offset = 0, std::uint64_t length = 0,
		std::uint32_t flags = 0)
	{
		detail::checked(::ashmem_release(get(), offset, length, flags), "ashmem_release");
	}
	/**
	 * @brief ashmem_purge().
	 * @param offset  First byte.
	 * @param length  Bytes.
	 * @return Pages freed.
	 * @throws std::system_error  The errors of that call.
	 */
	std::uint64_t purge(std::uint64_t offset = 0, std::uint64_t length = 0)
	{
		return static_cast<std::uint64_t>(detail::checked(::ashmem_purge(get(), offset,
									  length),
			"ashmem_purge"));
	}
	/**
	 * @brief ashmem_find_unpinned().
	 * @param from  Byte offset.
	 * @param[out] range  The range found.
	 * @return Whether one was found.
	 * @throws std::system_error  The errors of that call.
	 */
	bool find_unpinned(std::uint64_t from, unpinned_range &range) const
	{
		std::error_code ec;
		bool there = find_unpinned(from, range, ec);
		if (ec)
			throw std::system_error(ec, "ashmem_find_unpinned");
		return there;
	}
#endif
	/** @} */

	/** @name Sharing and statistics
	 * @{ */

	/**
	 * @brief ashmem_fd().
	 * @param[out] ec  Set to the error, or cleared.
	 * @return The descriptor, borrowed; -1 on failure.
	 */
	ASHMEM_HPP_NODISCARD int fd(std::error_code &ec) noexcept
	{
		int r = detail::told(::ashmem_fd(get()), ec);
		return r < 0 ? -1 : r;
	}
	/**
	 * @brief ashmem_export_read_only().
	 * @param[out] ec  Set to the error, or cleared.
	 * @return The descriptor, or none.
	 */
	ASHMEM_HPP_NODISCARD descriptor export_read_only(std::error_code &ec) noexcept
	{
		int r = detail::told(::ashmem_export_read_only(get()), ec);
		return descriptor(r < 0 ? -1 : r);
	}
	/** @brief ashmem_seal(). @param[out] ec  Set to the error, or cleared. */
	void seal(std::error_code &ec) noexcept
	{
		detail::told(::ashmem_seal(get()), ec);
	}
	/**
	 * @brief ashmem_send().
	 * @param socket_fd  A connected AF_UNIX socket.
	 * @param[out] ec  Set to the error, or cleared.
	 */
	void send(int socket_fd, std::error_code &ec) noexcept
	{
		detail::told(::ashmem_send(socket_fd, get()), ec);
	}
	/**
	 * @brief ashmem_area_get_stats().
	 * @param[out] ec  Set to the error, or cleared.
	 * @return The counts; zeroes on failure.
	 */
	ASHMEM_HPP_NODISCARD ::ashmem_area_stats stats(std::error_code &ec) const noexcept
	{
		::ashmem_area_stats counts = sized<::ashmem_area_stats>();
		detail::told(::ashmem_area_get_stats(get(), &counts), ec);
		return counts;
	}
#if ASHMEM_HPP_EXCEPTIONS
	/**
	 * @brief ashmem_fd().
	 * @return The descriptor, borrowed.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD int fd()
	{
		return detail::checked(::ashmem_fd(get()), "ashmem_fd");
	}
	/**
	 * @brief ashmem_export_read_only().
	 * @return The descriptor.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD descriptor export_read_only()
	{
		return descriptor(detail::checked(::ashmem_export_read_only(get()),
			"ashmem_export_read_only"));
	}
	/** @brief ashmem_seal(). @throws std::system_error  The errors of that call. */
	void seal()
	{
		detail::checked(::ashmem_seal(get()), "ashmem_seal");
	}
	/**
	 * @brief ashmem_send().
	 * @param socket_fd  A connected AF_UNIX socket.
	 * @throws std::system_error  The errors of that call.
	 */
	void send(int socket_fd)
	{
		detail::checked(::ashmem_send(socket_fd, get()), "ashmem_send");
	}
	/**
	 * @brief ashmem_area_get_stats().
	 * @return The counts.
	 * @throws std::system_error  The errors of that call.
	 */
	ASHMEM_HPP_NODISCARD ::ashmem_area_stats stats() const
	{
		::ashmem_area_stats counts = sized<::ashmem_area_stats>();
		detail::checked(::ashmem_area_get_stats(get(), &counts), "ashmem_area_get_stats");
		return counts;
	}
#endif
	/** @} */

      private:
	explicit area(owner &&it) noexcept : it_(std::move(it))
	{
	}

	static contents found(int r) noexcept
	{
		return r == ASHMEM_NOT_PURGED ? contents::kept : contents::purged;
	}
	static std::size_t count(std::int64_t r) noexcept
	{
		return r < 0 ? 0 : static_cast<std::size_t>(r);
	}

	/*
	 * All of it. More than a pointer can span cannot be mapped: ashmem_map() returns the error.
	 */
	std::size_t whole() const noexcept
	{
		std::uint64_t bytes = size();
		auto length = static_cast<std::size_t>(bytes);
		return length == bytes ? length : static_cast<std::size_t>(-1);
	}

	owner it_;
};

/** @} */

} /* namespace ashmem */

#endif /* ASHMEM_AREA_HPP */
