# SPDX-License-Identifier: Apache-2.0
# Calibration, spectra, conversion, evaluation.
eigenscope_library(eigenscope_method_support
    SOURCES method_support.cpp
    LIBRARIES eigenscope_compression eigenscope_evaluation eigenscope_report eigenscope_test_support)
target_compile_definitions(eigenscope_method_support PRIVATE EIGENSCOPE_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
foreach(name context_fit kv_quality subspaces document_reader corpus_sample partial_calibration spectrum attention_aware allocation mixed_bits error_budget refit tradeoff sensitivity corrupted_results rank_plan statistics corpus calibration perplexity compare fidelity convert convert_disk variants head_groups streaming irregular_files)
    eigenscope_qt_test(tst_${name} SOURCES tst_${name}.cpp LIBRARIES eigenscope_method_support)
endforeach()
eigenscope_qt_test(tst_streamed_generation SOURCES tst_streamed_generation.cpp
                   LIBRARIES eigenscope_method_support eigenscope_benchmark)
target_compile_definitions(tst_irregular_files PRIVATE EIGENSCOPE_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
find_package(ZLIB REQUIRED)
target_link_libraries(tst_document_reader PRIVATE ZLIB::ZLIB)
foreach(name device device_streaming)
    eigenscope_qt_test(tst_${name} SOURCES tst_${name}.cpp LIBRARIES eigenscope_method_support eigenscope_cuda_emulated)
endforeach()
