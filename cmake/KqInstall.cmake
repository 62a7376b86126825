# SPDX-License-Identifier: BSD-2-Clause
# What goes where.  Every path is relative to the prefix, which may be chosen as late as
# cmake --install, and nothing installed knows it by name.

include(CMakePackageConfigHelpers)

# The headers: kq's own place, and the one that users of libkqueue have in their builds.
foreach(directory kq kqueue)
	install(FILES include/sys/event.h include/sys/procdesc.h
		DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/${directory}/sys)
endforeach()

if(KQ_SHARED)
	install(TARGETS kq_shared EXPORT kq LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(KQ_STATIC)
	install(TARGETS kq_static EXPORT kq ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
	if(TARGET kq_aio)
		install(TARGETS kq_aio EXPORT kq ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
		set(KQ_PC_PRIVATE "-lkq_aio ")
	endif()
	if(TARGET kq_before)
		install(TARGETS kq_before EXPORT kq ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
	endif()
endif()

# find_package(kq)
set(KQ_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/kq)
install(EXPORT kq NAMESPACE kq:: FILE kqTargets.cmake DESTINATION ${KQ_CMAKE_DIR})
configure_package_config_file(cmake/kqConfig.cmake.in kqConfig.cmake
	INSTALL_DESTINATION ${KQ_CMAKE_DIR}
	NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(kqConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
	${CMAKE_CURRENT_BINARY_DIR}/kqConfig.cmake
	${CMAKE_CURRENT_BINARY_DIR}/kqConfigVersion.cmake
	DESTINATION ${KQ_CMAKE_DIR})

# pkg-config kq.  The prefix is told from where the file lies.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_INCLUDEDIR
	BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE KQ_PC_INCLUDEDIR)
function(kq_pkg_config name include_directory version)
	set(KQ_PC_NAME ${name})
	set(KQ_PC_INCLUDE ${include_directory})
	set(KQ_PC_VERSION ${version})
	string(REGEX REPLACE "^lib" "" KQ_PC_LIBRARY ${name})
	configure_file(cmake/kq.pc.in ${name}.pc @ONLY)
	install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${name}.pc
		DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()
kq_pkg_config(kq kq ${PROJECT_VERSION})

# The names of libkqueue, for what was built against it or looks for it.
if(KQ_LIBKQUEUE_NAMES)
	kq_pkg_config(libkqueue kqueue ${KQ_LIBKQUEUE_VERSION})
	function(kq_install_link name to)
		file(CREATE_LINK ${to} ${CMAKE_CURRENT_BINARY_DIR}/${name} SYMBOLIC)
		install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${name} DESTINATION ${CMAKE_INSTALL_LIBDIR})
	endfunction()
	if(KQ_SHARED)
		kq_install_link(libkqueue.so.0 libkq.so.1)
		kq_install_link(libkqueue.so libkqueue.so.0)
	endif()
	if(KQ_STATIC)
		kq_install_link(libkqueue.a libkq.a)
	endif()
endif()

file(GLOB KQ_MAN_2 CONFIGURE_DEPENDS man/*.2)
file(GLOB KQ_MAN_7 CONFIGURE_DEPENDS man/*.7)
file(GLOB KQ_EXAMPLE_SOURCES CONFIGURE_DEPENDS examples/*.c)
install(FILES ${KQ_MAN_2} DESTINATION ${CMAKE_INSTALL_MANDIR}/man2)
install(FILES ${KQ_MAN_7} DESTINATION ${CMAKE_INSTALL_MANDIR}/man7)
install(FILES ${KQ_EXAMPLE_SOURCES} DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/kq/examples)
