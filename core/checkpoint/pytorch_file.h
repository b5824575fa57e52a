// SPDX-License-Identifier: Apache-2.0
// Weights as torch.save writes them since PyTorch 1.6 (PyTorch's notes "Serialization semantics"): a ZIP
// archive of "<name>/data.pkl", a pickled dictionary of tensors, and "<name>/data/<key>", the storages that
// the tensors are views of. The pickle is read as data, see unpickler.h. Contiguous views of stored entries
// stay in the mapped file; other strides are written out row by row, and deflated entries inflated, into
// memory within unpackedLimit(). Every offset, stride and extent is checked against its storage. Entries of
// the dictionary that are no tensors (numbers, texts) are left out. Pure; any thread.
#pragma once

#include "core/checkpoint/tensor_record.h"

namespace eigenscope {

// In the dictionary's order. Throws naming the file, the tensor and what is wrong.
std::vector<TensorRecord> readPytorchFile(const std::filesystem::path& file);

}  // namespace eigenscope
