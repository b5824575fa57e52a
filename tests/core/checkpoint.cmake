# SPDX-License-Identifier: Apache-2.0
eigenscope_qt_test(tst_safetensors SOURCES tst_safetensors.cpp LIBRARIES eigenscope_checkpoint)
eigenscope_qt_test(tst_checkpoint SOURCES tst_checkpoint.cpp LIBRARIES eigenscope_checkpoint)
