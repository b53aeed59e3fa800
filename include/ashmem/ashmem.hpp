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
 * `<ashmem/ashmem.hpp>` needs C++11 and nothing but the library itself; with C++17 results that
 * must be looked at are `[[nodiscard]]`, with C++20 ashmem::mapping has a std::span.
 *
 * | class | owns | | --- | --- | | ashmem::area | a reference to an area | | ashmem::mapping |
 * mapped memory | | ashmem::pinned, ashmem::held | a pin, a hold of pages, for a scope | |
 * ashmem::watch | a watch on memory pressure | | ashmem::shrinker | the registration of a cache | |
 * ashmem::budget | limits on a group of areas | | ashmem::purge_notice | a subscription to purges |
 * | ashmem::descriptor | a file descriptor |
 *
 * They are move-only, as large as what they own, and keep nothing that the C handle does not know:
 * get() lends the handle to the C calls, which can be mixed with these freely, release() gives it
 * up, adopt() takes one. What has no class is called as in C: ashmem_version(),
 * ashmem_backend_select(), ashmem_debug_set() and so on.
 *
 * **Errors.** What can fail throws std::system_error, with the error number of the C call as a code
 * of std::generic_category() (so that it compares with std::errc) and the call's name as text. Each
 * has an overload with a last argument `std::error_code &`, which throws nothing: the code is
 * cleared, or holds the error; what is returned then is the careful answer (contents::purged, an
 * empty mapping, 0). Destructors pass over errors. Where strings are made, std::bad_alloc is
 * possible.
 *
 * **Without exceptions** (`-fno-exceptions`) only those overloads are there; what is thrown
 * elsewhere does not compile. `-fno-rtti` makes no difference. Set `ASHMEM_HPP_EXCEPTIONS` to 0
 * before including the header to have it so in any case.
 *
 * Objects that the library calls back are taken by reference and must outlive what they are
 * registered with: nothing is copied or allocated. No exception can pass through the library; one
 * that leaves such an object ends the program (std::terminate()).
 */

#include <ashmem/area.hpp>
#include <ashmem/ashmem.h>
#include <ashmem/handle.hpp>
#include <ashmem/pinned.hpp>
#include <ashmem/purging.hpp>

#endif /* ASHMEM_ASHMEM_HPP */
