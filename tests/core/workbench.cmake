# SPDX-License-Identifier: Apache-2.0
eigenscope_qt_test(tst_project SOURCES tst_project.cpp project_support.h LIBRARIES eigenscope_workbench eigenscope_method_support)
eigenscope_qt_test(tst_corrupted_projects SOURCES tst_corrupted_projects.cpp project_support.h
                   LIBRARIES eigenscope_workbench eigenscope_method_support)
