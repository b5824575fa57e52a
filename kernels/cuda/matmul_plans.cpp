// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/matmul_plans.h"

#include "kernels/cuda/cublas_check.h"
#include "kernels/cuda/cuda_check.h"

namespace eigenscope::cuda {

namespace {

constexpr std::size_t kMaxPlans =
    512;  // lengths of prompts differ; without a limit a long session would gather plans

cudaDataType_t cudaType(DType dtype) {
    return dtype == DType::F32 ? CUDA_R_32F : dtype == DType::F16 ? CUDA_R_16F : CUDA_R_16BF;
}

template <typename T>
void setDesc(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute, const T& value) {
    checkCublas(cublasLtMatmulDescSetAttribute(desc, attribute, &value, sizeof value),
                "matrix product description");
}

template <typename T>
void setPreference(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
                   const T& value) {
    checkCublas(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value),
                "matrix product preference");
}

}  // namespace

MatmulPlan::Layout MatmulPlan::layout(cudaDataType_t type, std::int64_t rows, std::int64_t columns,
                                      std::int64_t stride) {
    cublasLtMatrixLayout_t layout = nullptr;
    checkCublas(cublasLtMatrixLayoutCreate(&layout, type, static_cast<std::uint64_t>(rows),
                                           static_cast<std::uint64_t>(columns), stride),
                "matrix layout");
    return Layout(layout);
}

// cuBLASLt counts columns first: a row-major [n, k] is a column-major k x n. So y^T [n x m] = weight [n x k]
// x^T [k x m] with weight transposed, and the bias runs along the rows of y^T.
MatmulPlan::MatmulPlan(cublasLtHandle_t handle, const MatmulKey& key) : m_bias(key.bias) {
    cublasLtMatmulDesc_t desc = nullptr;
    // 32F is plain single precision: TF32 would have to be asked for.
    checkCublas(cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                "matrix product description");
    m_desc.reset(desc);
    setDesc(desc, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    setDesc(desc, CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
    if (key.bias)
        setDesc(desc, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    m_weight = layout(cudaType(key.dtype), key.k, key.n, key.k);
    m_x = layout(cudaType(key.dtype), key.k, key.m, key.k);
    m_y = layout(CUDA_R_32F, key.n, key.m, key.ldy);

    cublasLtMatmulPreference_t preference = nullptr;
    checkCublas(cublasLtMatmulPreferenceCreate(&preference), "matrix product preference");
    const std::unique_ptr<std::remove_pointer_t<cublasLtMatmulPreference_t>,
                          decltype(&cublasLtMatmulPreferenceDestroy)>
        owner(preference, cublasLtMatmulPreferenceDestroy);
    setPreference(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
    setPreference(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.weight_alignment);
    setPreference(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.x_alignment);
    setPreference(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.y_alignment);
    setPreference(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.y_alignment);

    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        handle, desc, m_weight.get(), m_x.get(), m_y.get(), m_y.get(), preference, 1, &result, &found);
    if (status != CUBLAS_STATUS_NOT_SUPPORTED)
        checkCublas(status, "choice of a matrix product algorithm");
    m_usable = status == CUBLAS_STATUS_SUCCESS && found > 0 && result.state == CUBLAS_STATUS_SUCCESS;
    m_algorithm = result.algo;
}

void MatmulPlan::run(cublasLtHandle_t handle, const void* x, const void* weight, const float* bias, float* y,
                     bool accumulate, void* workspace, cudaStream_t queue) const {
    if (m_bias)
        setDesc(m_desc.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    const float alpha = 1.0f, beta = accumulate ? 1.0f : 0.0f;
    checkCublas(cublasLtMatmul(handle, m_desc.get(), &alpha, weight, m_weight.get(), x, m_x.get(), &beta, y,
                               m_y.get(), y, m_y.get(), &m_algorithm, workspace, kWorkspaceBytes, queue),
                "matrix product");
}

const MatmulPlan& MatmulPlans::find(cublasLtHandle_t handle, const MatmulKey& key) {
    const auto known = m_plans.find(key);
    if (known != m_plans.end())
        return known->second;
    if (m_plans.size() >= kMaxPlans)
        m_plans.clear();
    return m_plans.emplace(key, MatmulPlan(handle, key)).first->second;
}

}  // namespace eigenscope::cuda
