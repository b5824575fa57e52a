# SPDX-License-Identifier: GPL-3.0-or-later
list(APPEND EIGENSCOPE_WORKSPACE_SOURCES)
