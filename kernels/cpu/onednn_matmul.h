// SPDX-License-Identifier: Apache-2.0
// Matrix products through oneDNN. Primitives are built once for each shape and kept, so that repeating a
// shape costs a look-up. Safe to use from several threads at once.
#pragma once

#include "kernels/api/dtype.h"
#include "kernels/cpu/cpu_stream.h"

#include <compare>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>

namespace eigenscope::cpu {

// True when the processor multiplies bfloat16 in hardware and oneDNN uses it.
bool hasNativeBf16();

// y[m, n] = x[m, k] weight[n, k]^T (+ bias) (+ y); rows of y are `stride` elements apart. x and weight have
// one dtype.
struct MatmulShape {
    std::int64_t m = 0, n = 0, k = 0, stride = 0;
    DType dtype = DType::F32;  // F32 or BF16
    bool bias = false, accumulate = false;
    int threads = 1;
    auto operator<=>(const MatmulShape&) const = default;
};

class MatmulCache {
public:
    MatmulCache();
    ~MatmulCache();
    // Borrows scratch from the stream's arena, after what the caller has taken.
    void run(CpuStream& stream, const MatmulShape& shape, const void* x, const void* weight,
             const float* bias, float* y);

private:
    struct Entry;
    std::shared_ptr<const Entry> find(const MatmulShape& shape);
    std::shared_ptr<const Entry> build(const MatmulShape& shape) const;

    static constexpr std::size_t kCapacity = 256;  // primitives kept; the least recently used goes first
    struct Engine;
    std::unique_ptr<Engine> m_engine;
    std::mutex m_mutex;
    std::list<std::pair<MatmulShape, std::shared_ptr<const Entry>>> m_recent;  // most recently used first
    std::map<MatmulShape, decltype(m_recent)::iterator> m_index;
};

}  // namespace eigenscope::cpu
