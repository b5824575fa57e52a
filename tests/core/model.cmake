# SPDX-License-Identifier: Apache-2.0
# Models, generation, memory.
foreach(test model model_config corrupted_configurations transformer decode_step kv_cache kv_codes sampling generation memory_estimate)
    eigenscope_qt_test(tst_${test} SOURCES tst_${test}.cpp LIBRARIES eigenscope_test_support eigenscope_benchmark)
endforeach()
eigenscope_qt_test(tst_benchmark SOURCES tst_benchmark.cpp LIBRARIES eigenscope_test_support eigenscope_report)
