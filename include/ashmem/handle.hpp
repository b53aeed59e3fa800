/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_HANDLE_HPP
#define ASHMEM_HANDLE_HPP

/**
 * @file
 * @brief Base of the C++ interface: owning handles, and errors as exceptions or codes. Part
 *   of <ashmem/ashmem.hpp>.
 */

#if !defined(__cplusplus) || __cplusplus < 201103L
#error "ashmem.hpp needs C++11"
#endif

#include <memory>
#include <system_error>

#include <ashmem/ashmem.h>

#if !defined(ASHMEM_HPP_EXCEPTIONS) && (defined(__cpp_exceptions) || defined(__EXCEPTIONS))
/**
 * Whether the overloads that throw exist. 1 if the compiler allows exceptions; set it to 0 before
 * including the header to leave them out.
 */
#define ASHMEM_HPP_EXCEPTIONS 1
#elif !defined(ASHMEM_HPP_EXCEPTIONS)
#define ASHMEM_HPP_EXCEPTIONS 0
#endif

/// @cond
#if __cplusplus >= 201703L
#define ASHMEM_HPP_NODISCARD [[nodiscard]]
#else
#define ASHMEM_HPP_NODISCARD
#endif
/// @endcond

/** The C++ interface: @ref ashmem_cpp. */
namespace ashmem
{

/// @cond
namespace detail
{

/* The result of a call; ec is set to its error, or cleared. */
template <class R> R told(R r, std::error_code &ec) noexcept
{
	if (r < 0)
		ec.assign(static_cast<int>(-r), std::generic_category());
	else
		ec.clear();
	return r;
}

#if ASHMEM_HPP_EXCEPTIONS
/* The result of a call, or std::system_error. */
template <class R> R checked(R r, const char *call)
{
	if (r < 0)
		throw std::system_error(static_cast<int>(-r), std::generic_category(), call);
	return r;
}
#endif

/* The address that the library passes to a callback. */
template <class F> void *address(F &f) noexcept
{
	return const_cast<void *>(static_cast<const volatile void *>(std::addressof(f)));
}

/* Owner of a C handle: makes the classes move-only by the rule of zero. */
template <class T, void (*end)(T *)> class handle
{
      public:
	handle() noexcept : it_(nullptr) {}
	explicit handle(T *it) noexcept : it_(it) {}
	handle(handle &&other) noexcept : it_(other.release()) {}
	handle(const handle &) = delete;
	handle &operator=(const handle &) = delete;
	~handle() { reset(nullptr); }

	handle &operator=(handle &&other) noexcept
	{
		if (this != &other)
			reset(other.release());
		return *this;
	}

	T *get() const noexcept { return it_; }

	T *release() noexcept
	{
		T *it = it_;
		it_ = nullptr;
		return it;
	}

	void reset(T *it) noexcept
	{
		T *old = it_;
		it_ = it;
		if (old)
			end(old);
	}

      private:
	T *it_;
};

} /* namespace detail */
/// @endcond

/**
 * @addtogroup ashmem_cpp
 * @{
 */

/**
 * @brief A structure that grows (@ref ashmem_structs), all zero but for its `struct_size`.
 *
 * @code{.unparsed}
 * auto options = ashmem::sized<ashmem_pressure_options>();
 * options.source = "headroom";
 * @endcode
 *
 * @tparam T  A structure of the C interface that begins with `struct_size`.
 * @return The structure.
 * @since 0.9
 */
template <class T> ASHMEM_HPP_NODISCARD T sized() noexcept
{
	T it = T();

	it.struct_size = sizeof(it);
	return it;
}

/** @} */

} /* namespace ashmem */

#endif /* ASHMEM_HANDLE_HPP */
