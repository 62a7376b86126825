# SPDX-License-Identifier: BSD-2-Clause
# kq_harden(target): what distributions harden their packages with, as far as the compiler and the
# machine have it.  -D_FORTIFY_SOURCE needs optimisation.

include(CheckCCompilerFlag)

function(kq_harden target)
	if(NOT KQ_HARDEN OR KQ_SANITIZE)
		return()
	endif()
	foreach(flag -fstack-protector-strong -fstack-clash-protection -fcf-protection
			-mbranch-protection=standard)
		string(MAKE_C_IDENTIFIER "KQ_HAS${flag}" has)
		set(CMAKE_REQUIRED_FLAGS -Werror)
		check_c_compiler_flag(${flag} ${has})
		if(${has})
			target_compile_options(${target} PRIVATE ${flag})
		endif()
	endforeach()
	target_compile_options(${target} PRIVATE
		"$<$<CONFIG:Release,RelWithDebInfo,MinSizeRel>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=3>")
endfunction()
