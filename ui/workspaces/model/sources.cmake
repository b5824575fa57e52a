# SPDX-License-Identifier: GPL-3.0-or-later
list(APPEND EIGENSCOPE_WORKSPACE_SOURCES ${CMAKE_CURRENT_LIST_DIR}/model_page.cpp)
