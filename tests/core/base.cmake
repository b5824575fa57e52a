# SPDX-License-Identifier: Apache-2.0
eigenscope_qt_test(tst_base SOURCES tst_base.cpp LIBRARIES eigenscope_base)
