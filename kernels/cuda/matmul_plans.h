// SPDX-License-Identifier: Apache-2.0
// What cuBLASLt needs to be told about a product, kept by shape: asking for an algorithm costs more than a
// small product itself. One thread at a time (a stream owns its plans).
#pragma once

#include "kernels/api/ops.h"

#include <cublasLt.h>

#include <compare>
#include <map>
#include <memory>

namespace eigenscope::cuda {

inline constexpr std::size_t kWorkspaceBytes = std::size_t{32}
                                               << 20;  // what cuBLASLt's documentation advises for Hopper

// y[m, n] (row stride ldy) = x[m, k] weight[n, k]^T, both factors of one dtype.
struct MatmulKey {
    std::int64_t m = 0, n = 0, k = 0, ldy = 0;
    DType dtype = DType::F32;
    bool bias = false;
    // Bytes: powers of two up to 16; the algorithms depend on them.
    std::uint32_t x_alignment = 16, weight_alignment = 16, y_alignment = 16;
    auto operator<=>(const MatmulKey&) const = default;
};

class MatmulPlan {
public:
    MatmulPlan(cublasLtHandle_t handle, const MatmulKey& key);
    MatmulPlan(MatmulPlan&&) noexcept = default;
    bool usable() const { return m_usable; }  // false: cuBLASLt has no algorithm for it
    void run(cublasLtHandle_t handle, const void* x, const void* weight, const float* bias, float* y,
             bool accumulate, void* workspace, cudaStream_t queue) const;

private:
    struct DestroyDesc {
        void operator()(cublasLtMatmulDesc_t desc) const { cublasLtMatmulDescDestroy(desc); }
    };
    struct DestroyLayout {
        void operator()(cublasLtMatrixLayout_t layout) const { cublasLtMatrixLayoutDestroy(layout); }
    };
    using Desc = std::unique_ptr<std::remove_pointer_t<cublasLtMatmulDesc_t>, DestroyDesc>;
    using Layout = std::unique_ptr<std::remove_pointer_t<cublasLtMatrixLayout_t>, DestroyLayout>;

    static Layout layout(cudaDataType_t type, std::int64_t rows, std::int64_t columns, std::int64_t stride);

    Desc m_desc;
    Layout m_weight, m_x, m_y;
    cublasLtMatmulAlgo_t m_algorithm{};
    bool m_bias = false, m_usable = false;
};

class MatmulPlans {
public:
    const MatmulPlan& find(cublasLtHandle_t handle, const MatmulKey& key);

private:
    std::map<MatmulKey, MatmulPlan> m_plans;
};

}  // namespace eigenscope::cuda
