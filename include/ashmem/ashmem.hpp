/* SPDX-License-Identifier: MIT */
#ifndef ASHMEM_ASHMEM_HPP
#define ASHMEM_ASHMEM_HPP

/**
 * @file
 * @brief The one header a C++ program includes: all of the C interface, and owning types over it.
 *
 * @defgroup ashmem_cpp C++
 * @brief Owning types over the C interface, in a header.
 *
 * A pin for a scope:
 *
 * @code{.cpp}
 * #include <ashmem/ashmem.hpp>
 * #include <cstring>
 *
 * int main()
 * {
 *     ashmem::area tiles("tiles", 1 << 20); // throws std::system_error
 *     ashmem::mapping memory = tiles.map();
 *     {
 *         ashmem::pinned pin(tiles);
 *         if (pin.was_purged())
 *             std::memset(memory.data(), 1, memory.size()); // rebuild
 *         // ... use the memory ...
 *     } // unpinned: it may be purged from here on
 * }
 * @endcode
 *
 * `<ashmem/ashmem.hpp>` needs C++11 and nothing but the library itself. With C++17 results that
 * must not be ignored are `[[nodiscard]]`; with C++20 ashmem::mapping has a std::span.
 *
 * - ashmem::area owns a reference to an area,
 * - ashmem::mapping mapped memory,
 * - ashmem::pinned, ashmem::held a pin or a hold of pages, for a scope,
 * - ashmem::cache, ashmem::entry a reference to a cache, a value of it,
 * - ashmem::watch a watch on memory pressure,
 * - ashmem::shrinker the registration of a cache,
 * - ashmem::budget limits on a group of areas,
 * - ashmem::purge_notice a subscription to purges,
 * - ashmem::descriptor a file descriptor.
 *
 * They are move-only, as large as what they own, and keep no state besides the C handle. get()
 * lends the handle to the C calls, which can be mixed with these freely; release() gives it up;
 * adopt() takes one over. Everything else is called as in C: ashmem_version(),
 * ashmem_backend_select(), ashmem_debug_set() and so on.
 *
 * **Errors.** A call that can fail throws std::system_error: its code is the error number of the C
 * call in std::generic_category() (so it compares with std::errc), its text is the call's name.
 * Each has an overload with a last argument `std::error_code &`, which throws nothing: it sets the
 * code, or clears it, and on failure returns the careful value (contents::purged, an empty mapping,
 * 0). Destructors ignore errors. Where strings are made, std::bad_alloc is possible.
 *
 * **Without exceptions** (`-fno-exceptions`) only those overloads exist; the others do not compile.
 * `-fno-rtti` makes no difference. Set `ASHMEM_HPP_EXCEPTIONS` to 0 before including the header to
 * leave them out in any case.
 *
 * **Callbacks.** Objects that the library calls back are taken by reference and must outlive their
 * registration: nothing is copied or allocated. No exception can pass through the library; one that
 * leaves such an object ends the program (std::terminate()).
 */

#include <ashmem/area.hpp>
#include <ashmem/ashmem.h>
#include <ashmem/cache.hpp>
#include <ashmem/handle.hpp>
#include <ashmem/pinned.hpp>
#include <ashmem/purging.hpp>

#endif /* ASHMEM_ASHMEM_HPP */
