# SPDX-License-Identifier: BSD-2-Clause
# kq_coverage(target): counts what is reached of target, with gcc, if KQ_COVERAGE says so.
# kq_coverage_ends(target): the same, and what ends without exit() is counted, too: tools/coverage.c.

function(kq_coverage target)
	if(KQ_COVERAGE)
		target_compile_options(${target} PRIVATE --coverage -fprofile-update=atomic)
		target_link_options(${target} PUBLIC --coverage)
	endif()
endfunction()

function(kq_coverage_ends target)
	if(NOT KQ_COVERAGE)
		return()
	endif()
	target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tools/coverage.c)
	get_target_property(type ${target} TYPE)
	if(type STREQUAL "SHARED_LIBRARY")
		target_link_options(${target} PRIVATE LINKER:--wrap=syscall,--wrap=dlsym)
	else()
		target_link_options(${target} INTERFACE LINKER:--wrap=syscall)
	endif()
endfunction()
