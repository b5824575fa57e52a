// SPDX-License-Identifier: Apache-2.0
// The measured tables as metadata and tensors of a statistics file; used by statistics.cpp alone.
//   sensitivity.<i>.<ranks (I32 [ranks]) | kl (F64 [layers, 2, ranks])>
//   and, where bits were measured too, in groups that the metadata name (kv_group, kv_keys, kv_recent):
//   sensitivity.<i>.<bits (I32 [bits]) | bit_ranks (I32 [ranks]) | bit_kl (F64 [layers, 2, bits, ranks])>
//   layer_errors.<i>.<ranks (I32 [layers, points, 2]) | error (F64 [layers, points])>
#pragma once

#include "core/calibration/measured_tables.h"
#include "core/checkpoint/safetensors.h"

#include <map>
#include <string>
#include <vector>

namespace eigenscope {

// Whether the tables are of these layers and can be written.
bool consistent(const MeasuredTables& tables, std::size_t layers);
void describeTables(const MeasuredTables& tables, std::map<std::string, std::string>& metadata);
void addTableSpecs(const MeasuredTables& tables, std::vector<TensorSpec>& specs);
void writeTables(const MeasuredTables& tables, SafetensorsWriter& writer);
MeasuredTables readTables(const SafetensorsFile& file, std::size_t layers, int head_dim, int head_group);

}  // namespace eigenscope
