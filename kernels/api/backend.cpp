// SPDX-License-Identifier: Apache-2.0
#include "kernels/api/backend.h"

#include "kernels/api/checks.h"

namespace eigenscope {

// For backends whose device memory is the host's.
void Backend::uploadBeside(void* device, std::size_t bytes, const FillBytes& fill) {
    if (bytes > 0)
        fill(0, {static_cast<std::byte*>(device), bytes});
}

void Backend::project(Stream& stream, const ProjectParams& p) {
    check(p);
    if (p.norm)
        norm(stream, *p.norm);
    for (std::int32_t i = 0; i < p.count; ++i)
        gemm(stream, p.products[static_cast<std::size_t>(i)]);
}

void Backend::mlp(Stream& stream, const MlpParams& p) {
    check(p);
    project(stream, p.project);
    activate(stream, p.activate);
    gemm(stream, p.down);
}

void Backend::rotateAndAppend(Stream& stream, const RotateAndAppendParams& p) {
    check(p);
    if (p.query_rotation)
        rope(stream, *p.query_rotation);
    if (p.key_rotation)
        rope(stream, *p.key_rotation);
    kvAppend(stream, p.keys);
    kvAppend(stream, p.values);
}

}  // namespace eigenscope
