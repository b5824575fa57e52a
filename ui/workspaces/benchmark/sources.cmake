# SPDX-License-Identifier: GPL-3.0-or-later
foreach(source benchmark_form benchmark_measure benchmark_page benchmark_plot benchmark_results benchmark_series benchmark_table)
    list(APPEND EIGENSCOPE_WORKSPACE_SOURCES ${CMAKE_CURRENT_LIST_DIR}/${source}.cpp)
endforeach()
