/* SPDX-License-Identifier: BSD-2-Clause */
/* Which sanitizer this is compiled with: each is 0 or 1, with gcc and clang alike. */
#ifndef KQ_TESTS_SANITIZER_H
#define KQ_TESTS_SANITIZER_H

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) && !defined(THREAD_SANITIZER)
#define THREAD_SANITIZER 1
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(ADDRESS_SANITIZER)
#define ADDRESS_SANITIZER 1
#endif
#ifndef THREAD_SANITIZER
#define THREAD_SANITIZER 0
#endif
#ifndef ADDRESS_SANITIZER
#define ADDRESS_SANITIZER 0
#endif

#endif
