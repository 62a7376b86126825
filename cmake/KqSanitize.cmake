# SPDX-License-Identifier: BSD-2-Clause
# kq_sanitize(target): builds target with the sanitizers named by KQ_SANITIZE.
# kq_sanitize_early_sources(file...): these are called before the thread sanitizer is ready (its
# own start calls sigaction), by signals in a thread that it has ended already, or in a thread that
# the C library made for itself, so they are compiled without it.

function(kq_sanitize target)
	if(KQ_SANITIZE)
		target_compile_options(${target} PRIVATE
			-fsanitize=${KQ_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
		target_link_options(${target} PRIVATE -fsanitize=${KQ_SANITIZE})
	endif()
endfunction()

function(kq_sanitize_early_sources)
	if(KQ_SANITIZE MATCHES "thread")
		set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS -fno-sanitize=thread)
	endif()
endfunction()
