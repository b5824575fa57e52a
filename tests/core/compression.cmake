# SPDX-License-Identifier: Apache-2.0
# Calibration, spectra, conversion, evaluation.
eigenscope_library(eigenscope_method_support
    SOURCES method_support.cpp
    LIBRARIES eigenscope_compression eigenscope_evaluation eigenscope_test_support)
target_compile_definitions(eigenscope_method_support PRIVATE EIGENSCOPE_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
foreach(name kv_quality spectrum attention_aware allocation sensitivity rank_plan statistics corpus calibration perplexity compare convert convert_disk)
    eigenscope_qt_test(tst_${name} SOURCES tst_${name}.cpp LIBRARIES eigenscope_method_support)
endforeach()
