# SPDX-License-Identifier: BSD-2-Clause
# kq_warnings(target): what gcc and clang must not find in the library.
# kq_warnings_relaxed(target): the same for tests and examples, less the warnings about
# conversions, which a program that reads like a lesson would have to silence with casts.

set(KQ_WARNINGS_RELAXED
	-Wall
	-Wextra
	-Wshadow
	-Wstrict-prototypes
	-Wmissing-prototypes
	-Wold-style-definition
	-Wpointer-arith
	-Wwrite-strings
	-Wformat=2
	-Wundef
	-Wvla)

set(KQ_WARNINGS
	${KQ_WARNINGS_RELAXED}
	-Wpedantic
	-Wcast-qual
	-Wcast-align
	-Wconversion
	-Wsign-conversion
	-Wimplicit-fallthrough
	-Wswitch-enum
	-Wmissing-declarations)

set(KQ_WARNINGS_GNU
	-Wlogical-op
	-Wduplicated-cond
	-Wduplicated-branches
	-Wjump-misses-init)

function(kq_warnings target)
	target_compile_options(${target} PRIVATE
		${KQ_WARNINGS}
		$<$<C_COMPILER_ID:GNU>:${KQ_WARNINGS_GNU}>
		$<$<BOOL:${KQ_WERROR}>:-Werror>)
endfunction()

function(kq_warnings_relaxed target)
	target_compile_options(${target} PRIVATE
		${KQ_WARNINGS_RELAXED}
		$<$<BOOL:${KQ_WERROR}>:-Werror>)
endfunction()
