# SPDX-License-Identifier: GPL-3.0-or-later
list(APPEND EIGENSCOPE_WORKSPACE_SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/agreement_plot.cpp ${CMAKE_CURRENT_LIST_DIR}/answer_panel.cpp
    ${CMAKE_CURRENT_LIST_DIR}/compare_page.cpp ${CMAKE_CURRENT_LIST_DIR}/fidelity_panel.cpp
    ${CMAKE_CURRENT_LIST_DIR}/head_error_map.cpp ${CMAKE_CURRENT_LIST_DIR}/layer_chart.cpp
    ${CMAKE_CURRENT_LIST_DIR}/text_choice.cpp ${CMAKE_CURRENT_LIST_DIR}/token_diff_view.cpp
    ${CMAKE_CURRENT_LIST_DIR}/measurement_panel.cpp
    ${CMAKE_CURRENT_LIST_DIR}/prompt_library.cpp)
