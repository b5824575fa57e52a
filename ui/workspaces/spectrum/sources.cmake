# SPDX-License-Identifier: GPL-3.0-or-later
foreach(source basis_box cache_box calibration_form context_box corpus_editor layer_threshold_row measure_box overlap_plot plan_figures plan_panel rank_bars rank_map ratio_bar slider_row spectrum_page spectrum_plot
               spectrum_view subspace_dialog threshold_overlay)
    list(APPEND EIGENSCOPE_WORKSPACE_SOURCES ${CMAKE_CURRENT_LIST_DIR}/${source}.cpp)
endforeach()
