# SPDX-License-Identifier: Apache-2.0
# How a part of Eigenscope is declared: one static library a folder, so that the link lines state who may use whom.

add_library(eigenscope_options INTERFACE)
target_include_directories(eigenscope_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(eigenscope_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra>)
if(EIGENSCOPE_WERROR)
    target_compile_options(eigenscope_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
# Undefined behaviour ends the program, or tests would pass with it; the standard library checks its indices.
set(EIGENSCOPE_SANITIZER_FLAGS -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
                               -D_GLIBCXX_ASSERTIONS)
if(EIGENSCOPE_SANITIZE)
    add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:${EIGENSCOPE_SANITIZER_FLAGS}>")
    add_link_options(-fsanitize=address,undefined)
endif()
if(EIGENSCOPE_FUZZ)
    if(NOT CMAKE_CXX_COMPILER_ID MATCHES Clang)
        message(FATAL_ERROR "EIGENSCOPE_FUZZ needs clang's libFuzzer: use the preset fuzz (apt-get install clang)")
    endif()
    add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:${EIGENSCOPE_SANITIZER_FLAGS};-fsanitize=fuzzer-no-link>")
    add_link_options(-fsanitize=address,undefined)
endif()

# eigenscope_library(NAME SOURCES a.cpp b.cpp LIBRARIES other ...)
function(eigenscope_library name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES" ${ARGN})
    add_library(${name} STATIC ${ARG_SOURCES})
    target_link_libraries(${name} PUBLIC eigenscope_options ${ARG_LIBRARIES})
endfunction()

# eigenscope_qt_test(NAME SOURCES tst_x.cpp LIBRARIES ...): a Qt Test program run by ctest on the offscreen platform.
# Test data: the macro EIGENSCOPE_SOURCE_DIR is the repository's root.
function(eigenscope_qt_test name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES" ${ARGN})
    if(NOT TARGET Qt6::Test)
        return()
    endif()
    add_executable(${name} ${ARG_SOURCES})
    set_target_properties(${name} PROPERTIES AUTOMOC ON RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/bin)
    target_link_libraries(${name} PRIVATE ${ARG_LIBRARIES} Qt6::Test eigenscope_options)
    target_compile_definitions(${name} PRIVATE EIGENSCOPE_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                               EIGENSCOPE_BINARY_DIR="${CMAKE_BINARY_DIR}")
    add_test(NAME ${name} COMMAND ${name})
    # Threads that wait without spinning: on a loaded machine, spinning ones keep the working ones from the processor.
    set_tests_properties(${name} PROPERTIES ENVIRONMENT "QT_QPA_PLATFORM=offscreen;OMP_WAIT_POLICY=passive"
                                            TIMEOUT 600)
endfunction()
