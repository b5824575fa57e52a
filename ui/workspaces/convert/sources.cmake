# SPDX-License-Identifier: GPL-3.0-or-later
foreach(source convert_page convert_table tradeoff_panel tradeoff_plot)
    list(APPEND EIGENSCOPE_WORKSPACE_SOURCES ${CMAKE_CURRENT_LIST_DIR}/${source}.cpp)
endforeach()
