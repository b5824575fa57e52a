// SPDX-License-Identifier: Apache-2.0
#include "core/base/fail.h"
#include "core/checkpoint/mapped_file.h"
#include "core/checkpoint/pytorch_file.h"
#include "core/checkpoint/safetensors.h"

namespace eigenscope {

std::vector<TensorRecord> readWeightFile(const std::filesystem::path& file) {
    {
        // What a clone leaves in the place of large files that were not downloaded.
        constexpr std::string_view kPointer = "version https://git-lfs.github.com/spec/";
        const auto mapped = MappedFile::open(file);
        const std::span<const std::byte> bytes = mapped->bytes();
        if (std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()).starts_with(kPointer))
            failInput(file,
                      "is a Git LFS pointer, the weights themselves were not downloaded: run git lfs pull");
    }
    if (file.extension() == ".safetensors")
        return SafetensorsFile(file).tensors();
    return readPytorchFile(file);
}

}  // namespace eigenscope
