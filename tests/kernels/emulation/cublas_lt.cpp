// SPDX-License-Identifier: Apache-2.0
// cuBLASLt's matrix product on the host: matrices are column-major, as the library's are. It refuses what the
// library refuses, and holds callers to what they promised when they asked for an algorithm (alignments, the
// workspace), which the library need not notice.
#include <cublasLt.h>

#include "kernels/api/dtype.h"
#include "tests/kernels/emulation/runtime.h"
#include "tests/kernels/emulation/runtime_state.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

using namespace eigenscope;
using namespace eigenscope::emulation;

struct cublasLtContext {};
struct cublasLtMatmulDescOpaque_t {
    cublasOperation_t a = CUBLAS_OP_N, b = CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    const float* bias = nullptr;
};
struct cublasLtMatrixLayoutOpaque_t {
    cudaDataType_t type;
    std::uint64_t rows, columns;
    std::int64_t stride;
};
struct cublasLtMatmulPreferenceOpaque_t {
    std::uint64_t workspace = 0;
    std::uint32_t alignments[4] = {256, 256, 256, 256};
};

namespace {

constexpr std::uint64_t kAlgorithm = 0xa160;

// What an algorithm was chosen for.
struct Promise {
    std::uint64_t algorithm, rows, columns, inner, workspace;
    std::uint32_t alignments[4];
};
static_assert(sizeof(Promise) <= sizeof(cublasLtMatmulAlgo_t));

// A call to take from the failures that tests ask for.
cublasStatus_t entered(const char* function) {
    const std::lock_guard lock(runtimeState().mutex);
    if (runtimeState().lost != cudaSuccess)
        return CUBLAS_STATUS_EXECUTION_FAILED;
    const cudaError_t status = takeFailure(function);
    return status == cudaSuccess                 ? CUBLAS_STATUS_SUCCESS
           : status == cudaErrorMemoryAllocation ? CUBLAS_STATUS_ALLOC_FAILED
                                                 : CUBLAS_STATUS_EXECUTION_FAILED;
}

template <typename T>
T valueOf(const void* value, std::size_t bytes) {
    if (bytes != sizeof(T))
        throw std::logic_error("cuBLASLt: an attribute of " + std::to_string(bytes) + " bytes");
    T result;
    std::memcpy(&result, value, sizeof(T));
    return result;
}

std::size_t sizeOf(cudaDataType_t type) { return type == CUDA_R_32F ? 4 : 2; }

float elementOf(const void* matrix, cudaDataType_t type, std::size_t i) {
    if (type == CUDA_R_32F)
        return static_cast<const float*>(matrix)[i];
    const std::uint16_t bits = static_cast<const std::uint16_t*>(matrix)[i];
    return type == CUDA_R_16F ? fromF16(bits) : fromBf16(bits);
}

std::size_t bytesOf(const cublasLtMatrixLayoutOpaque_t& m) {
    return ((m.columns - 1) * static_cast<std::size_t>(m.stride) + m.rows) * sizeOf(m.type);
}

struct Product {
    cublasLtMatmulDescOpaque_t desc;
    cublasLtMatrixLayoutOpaque_t a, b, d;
    const void *a_data, *b_data;
    const float* c_data;
    float* d_data;
    float alpha, beta;
};

// Columns of `m` one behind the other; of its transpose they are rows.
std::vector<float> columnsOf(const void* data, const cublasLtMatrixLayoutOpaque_t& m) {
    std::vector<float> columns(m.rows * m.columns);
    for (std::size_t j = 0; j < m.columns; ++j)
        for (std::size_t i = 0; i < m.rows; ++i)
            columns[j * m.rows + i] = elementOf(data, m.type, j * static_cast<std::size_t>(m.stride) + i);
    return columns;
}

void multiply(const Product& p) {
    const std::vector<float> a = columnsOf(p.a_data, p.a), b = columnsOf(p.b_data, p.b);
    const std::size_t inner = p.b.rows;
    for (std::size_t j = 0; j < p.d.columns; ++j)
        for (std::size_t i = 0; i < p.d.rows; ++i) {
            double sum = 0.0;
            for (std::size_t k = 0; k < inner; ++k)
                sum += double{a[i * inner + k]} * b[j * inner + k];
            const std::size_t at = j * static_cast<std::size_t>(p.d.stride) + i;
            double value = p.alpha * sum + (p.desc.bias ? p.desc.bias[i] : 0.0f);
            if (p.beta != 0.0f)
                value += double{p.beta} * p.c_data[at];
            p.d_data[at] = static_cast<float>(value);
        }
}

void hold(bool kept, const char* what) {
    if (!kept)
        throw std::logic_error(std::string("cuBLASLt: ") + what);
}

bool alignedTo(const void* pointer, std::uint32_t bytes) {
    return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
}

}  // namespace

const char* cublasLtGetStatusString(cublasStatus_t status) {
    switch (status) {
        case CUBLAS_STATUS_SUCCESS:
            return "CUBLAS_STATUS_SUCCESS";
        case CUBLAS_STATUS_ALLOC_FAILED:
            return "CUBLAS_STATUS_ALLOC_FAILED";
        case CUBLAS_STATUS_INVALID_VALUE:
            return "CUBLAS_STATUS_INVALID_VALUE";
        case CUBLAS_STATUS_NOT_SUPPORTED:
            return "CUBLAS_STATUS_NOT_SUPPORTED";
        default:
            return "CUBLAS_STATUS_EXECUTION_FAILED";
    }
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
    const cublasStatus_t status = entered("cublasLtCreate");
    if (status == CUBLAS_STATUS_SUCCESS)
        *handle = new cublasLtContext;
    return status;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
    if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F)
        return CUBLAS_STATUS_INVALID_VALUE;
    *desc = new cublasLtMatmulDescOpaque_t;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
    delete desc;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              std::size_t bytes) {
    switch (attribute) {
        case CUBLASLT_MATMUL_DESC_TRANSA:
            desc->a = static_cast<cublasOperation_t>(valueOf<std::int32_t>(value, bytes));
            break;
        case CUBLASLT_MATMUL_DESC_TRANSB:
            desc->b = static_cast<cublasOperation_t>(valueOf<std::int32_t>(value, bytes));
            break;
        case CUBLASLT_MATMUL_DESC_EPILOGUE:
            desc->epilogue = static_cast<cublasLtEpilogue_t>(valueOf<std::uint32_t>(value, bytes));
            break;
        case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
            desc->bias = valueOf<const float*>(value, bytes);
            break;
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type,
                                          std::uint64_t rows, std::uint64_t columns, std::int64_t stride) {
    *layout = new cublasLtMatrixLayoutOpaque_t{type, rows, columns, stride};
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
    *preference = new cublasLtMatmulPreferenceOpaque_t;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, std::size_t bytes) {
    if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
        preference->workspace = valueOf<std::uint64_t>(value, bytes);
    else
        preference->alignments[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES] =
            valueOf<std::uint32_t>(value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int,
                                              cublasLtMatmulHeuristicResult_t* results, int* found) {
    *found = 0;
    if (const cublasStatus_t status = entered("cublasLtMatmulAlgoGetHeuristic");
        status != CUBLAS_STATUS_SUCCESS)
        return status;
    // op(a) [rows, inner] op(b) [inner, columns]; others than these two are not emulated.
    if (desc->a != CUBLAS_OP_T || desc->b != CUBLAS_OP_N)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (a->rows != b->rows || d->rows != a->columns || d->columns != b->columns || c->rows != d->rows ||
        c->columns != d->columns || a->type != b->type || d->type != CUDA_R_32F || c->type != d->type)
        return CUBLAS_STATUS_INVALID_VALUE;
    for (const cublasLtMatrixLayout_t m : {a, b, c, d})
        if (m->rows == 0 || m->columns == 0 || m->stride < static_cast<std::int64_t>(m->rows))
            return CUBLAS_STATUS_INVALID_VALUE;
    const double products = static_cast<double>(d->rows) * static_cast<double>(d->columns * a->rows);
    if (products <= deviceSettings().smallest_product)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    Promise promise{kAlgorithm, d->rows, d->columns, a->rows, preference->workspace, {}};
    std::copy(std::begin(preference->alignments), std::end(preference->alignments),
              std::begin(promise.alignments));
    results[0] = {};
    std::memcpy(&results[0].algo, &promise, sizeof promise);
    results[0].workspaceSize = preference->workspace;
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* c, cublasLtMatrixLayout_t, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm,
                              void* workspace, std::size_t workspace_bytes, cudaStream_t stream) {
    if (const cublasStatus_t status = entered("cublasLtMatmul"); status != CUBLAS_STATUS_SUCCESS)
        return status;
    Promise promise;
    std::memcpy(&promise, algorithm, sizeof promise);
    hold(promise.algorithm == kAlgorithm && promise.rows == d_layout->rows &&
             promise.columns == d_layout->columns && promise.inner == a_layout->rows,
         "an algorithm for another product");
    hold(alignedTo(a, promise.alignments[0]) && alignedTo(b, promise.alignments[1]) &&
             alignedTo(c, promise.alignments[2]) && alignedTo(d, promise.alignments[3]),
         "a matrix is less aligned than promised");
    hold(workspace_bytes >= promise.workspace && isDeviceMemory(workspace, workspace_bytes),
         "the workspace is not what was promised");
    hold(isDeviceMemory(a, bytesOf(*a_layout)) && isDeviceMemory(b, bytesOf(*b_layout)) &&
             isDeviceMemory(d, bytesOf(*d_layout)),
         "a matrix is not in device memory");
    const bool biased = desc->epilogue == CUBLASLT_EPILOGUE_BIAS;
    hold(!biased || (alignedTo(desc->bias, 16) && isDeviceMemory(desc->bias, d_layout->rows * sizeof(float))),
         "the bias is not in device memory, or not aligned");
    Product product{*desc,
                    *a_layout,
                    *b_layout,
                    *d_layout,
                    a,
                    b,
                    static_cast<const float*>(c),
                    static_cast<float*>(d),
                    *static_cast<const float*>(alpha),
                    *static_cast<const float*>(beta)};
    if (!biased)
        product.desc.bias = nullptr;
    const cudaError_t status = enqueue(
        stream,
        [product, workspace] {
            std::memset(workspace, 0xff, 4096);  // it is the product's as long as that runs
            multiply(product);
        },
        true);
    const std::lock_guard lock(runtimeState().mutex);
    ++runtimeState().counts.products;
    return status == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
