// SPDX-License-Identifier: Apache-2.0
// The CUDA backend: device query, memory, queues; ops are handed to the kernels and cuBLASLt. Uses the first
// device that the driver shows (CUDA_VISIBLE_DEVICES decides which). Safe to share between threads; a stream
// belongs to one.
#include "kernels/api/checks.h"
#include "kernels/api/registry.h"
#include "kernels/cuda/cublas_check.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/cuda_gemm.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/cuda_stream.h"
#include "kernels/cuda/host_eigh.h"

#include <string>

namespace eigenscope::cuda {

namespace {

constexpr const char* kNoCodes =
    "the CUDA backend has no quantised KV cache; f32, f16 and bf16 work, and quantised ones with --device "
    "cpu";
constexpr const char* kNoAttention =
    "the CUDA backend has no attention kernel yet; the CPU backend has (--device cpu)";

class CudaBuffer final : public Buffer {
public:
    explicit CudaBuffer(std::size_t bytes) : m_memory(bytes ? bytes : 1), m_bytes(bytes) {}
    void* data() const override { return m_memory.data(); }
    std::size_t bytes() const override { return m_bytes; }

private:
    DeviceMemory m_memory;
    std::size_t m_bytes;
};

std::string versionText(int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// Throws with the reason unless device 0 can be used.
cudaDeviceProp queryDevice() {
    int driver = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
        throw Error(ErrorCode::Device, "no NVIDIA driver is installed");
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaErrorInsufficientDriver)
        throw Error(ErrorCode::Device, "the NVIDIA driver supports CUDA " + versionText(driver) +
                                           "; this program needs CUDA " + versionText(CUDART_VERSION) +
                                           " or newer");
    if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0))
        throw Error(ErrorCode::Device, "the NVIDIA driver is installed but shows no GPU");
    checkCuda(status, "the NVIDIA driver cannot list its GPUs");
    cudaDeviceProp properties{};
    checkCuda(cudaGetDeviceProperties(&properties, 0), "the NVIDIA driver cannot describe its first GPU");
    if (properties.major < 8)
        throw Error(ErrorCode::Device, std::string("the NVIDIA GPU ") + properties.name +
                                           " has compute capability " + std::to_string(properties.major) +
                                           "." + std::to_string(properties.minor) +
                                           "; 8.0 or newer is needed");
    return properties;
}

class CudaBackend final : public Backend {
public:
    CudaBackend() {
        const cudaDeviceProp properties = queryDevice();
        m_info.backend = "cuda";
        m_info.name = properties.name;
        m_info.instructions = "sm_" + std::to_string(properties.major) + std::to_string(properties.minor);
        m_info.host_accessible = false;
        checkCublas(cublasLtCreate(&m_handle), "cuBLASLt cannot be started");
    }
    ~CudaBackend() override { cublasLtDestroy(m_handle); }
    CudaBackend(const CudaBackend&) = delete;
    CudaBackend& operator=(const CudaBackend&) = delete;

    const DeviceInfo& info() const override { return m_info; }

    MemoryStats memory() const override {
        MemoryStats stats;
        checkCuda(cudaMemGetInfo(&stats.available_bytes, &stats.total_bytes), "GPU memory query");
        return stats;
    }

    Support supports(Op op, const OpTraits& traits) const override {
        if (op == Op::Gemm)
            return supportsGemm(traits.weight, traits.compute);
        if (op == Op::Attention)
            return {false, kNoAttention};
        if (op == Op::KvAppend && traits.quantised)
            return {false, kNoCodes};
        return {};
    }

    std::shared_ptr<Buffer> allocate(std::size_t bytes) override {
        return std::make_shared<CudaBuffer>(bytes);
    }

    std::shared_ptr<Buffer> adopt(std::span<const std::byte> bytes, std::shared_ptr<const void>) override {
        auto buffer = std::make_shared<CudaBuffer>(bytes.size());
        if (!bytes.empty())
            checkCuda(cudaMemcpy(buffer->data(), bytes.data(), bytes.size(), cudaMemcpyHostToDevice),
                      "copy to the GPU");
        return buffer;
    }

    std::unique_ptr<Stream> createStream(int) override { return std::make_unique<CudaStream>(); }

    // From pageable memory the driver takes its own copy before it returns, so `host` may change afterwards.
    void upload(Stream& stream, void* device, const void* host, std::size_t bytes) override {
        copyAsync(stream, device, host, bytes, cudaMemcpyHostToDevice, "copy to the GPU");
    }
    void download(Stream& stream, void* host, const void* device, std::size_t bytes) override {
        copyAsync(stream, host, device, bytes, cudaMemcpyDeviceToHost, "copy from the GPU");
        stream.synchronize();
    }
    void copy(Stream& stream, void* to, const void* from, std::size_t bytes) override {
        copyAsync(stream, to, from, bytes, cudaMemcpyDeviceToDevice, "copy on the GPU");
    }

    void gemm(Stream& stream, const GemmParams& p) override {
        check(p);
        cuda::gemm(m_handle, static_cast<CudaStream&>(stream), p);
    }
    void embed(Stream& stream, const EmbedParams& p) override { run(stream, p, launchEmbed); }
    void norm(Stream& stream, const NormParams& p) override { run(stream, p, launchNorm); }
    void activate(Stream& stream, const ActivateParams& p) override { run(stream, p, launchActivate); }
    void add(Stream& stream, const AddParams& p) override { run(stream, p, launchAdd); }
    void rope(Stream& stream, const RopeParams& p) override { run(stream, p, launchRope); }
    void kvAppend(Stream& stream, const KvAppendParams& p) override {
        if (p.cache.bits != 0)
            throw Error(ErrorCode::Unsupported, std::string("kvAppend: ") + kNoCodes);
        run(stream, p, launchKvAppend);
    }
    void attention(Stream&, const AttentionParams&) override {
        throw Error(ErrorCode::Unsupported, kNoAttention);
    }
    void gram(Stream& stream, const GramParams& p) override { run(stream, p, launchGram); }
    void eigh(Stream&, const EighParams& p) override {
        check(p);
        hostEigh(p);
    }
    void nll(Stream& stream, const NllParams& p) override { run(stream, p, launchNll); }
    void argmax(Stream& stream, const ArgmaxParams& p) override { run(stream, p, launchArgmax); }
    void convert(Stream& stream, const ConvertParams& p) override { run(stream, p, launchConvert); }

private:
    template <typename Params>
    static void run(Stream& stream, const Params& params, void (*launch)(const Params&, cudaStream_t)) {
        check(params);
        launch(params, static_cast<CudaStream&>(stream).queue());
    }
    static void copyAsync(Stream& stream, void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                          const char* what) {
        if (bytes)
            checkCuda(cudaMemcpyAsync(to, from, bytes, kind, static_cast<CudaStream&>(stream).queue()), what);
    }

    DeviceInfo m_info;
    cublasLtHandle_t m_handle = nullptr;
};

}  // namespace

}  // namespace eigenscope::cuda

extern "C" void eigenscope_backend_v1(std::shared_ptr<eigenscope::Backend>* backend) {
    *backend = std::make_shared<eigenscope::cuda::CudaBackend>();
}
