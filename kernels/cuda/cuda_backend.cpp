// SPDX-License-Identifier: Apache-2.0
// The CUDA backend: device query, memory, queues; ops are handed to the kernels and cuBLASLt. Uses the first
// device that the driver shows (CUDA_VISIBLE_DEVICES decides which). Safe to share between threads; a stream
// belongs to one.
#include "kernels/api/checks.h"
#include "kernels/api/registry.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/cublas_check.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/cuda_composed.h"
#include "kernels/cuda/cuda_gemm.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/cuda_stream.h"
#include "kernels/cuda/cuda_uploads.h"
#include "kernels/cuda/host_eigh.h"

#include <string>

namespace eigenscope::cuda {

namespace {

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
    if (const std::string reason = lostDevice(); !reason.empty())
        throw Error(ErrorCode::Device, reason);
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
        m_info.replays = true;
        m_limits = {properties.multiProcessorCount, properties.sharedMemPerBlockOptin};
        m_reads_host = properties.pageableMemoryAccessUsesHostPageTables != 0;
        probe();
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
        if (std::string reason = lostDevice(); !reason.empty())
            return {false, std::move(reason)};
        if (op == Op::Gemm)
            return supportsGemm(traits.weight, traits.compute);
        return {};
    }

    std::shared_ptr<Buffer> allocate(std::size_t bytes) override {
        return std::make_shared<CudaBuffer>(bytes);
    }

    std::shared_ptr<Buffer> adopt(std::span<const std::byte> bytes, std::shared_ptr<const void>) override {
        auto buffer = std::make_shared<CudaBuffer>(bytes.size());
        m_uploads.copy(buffer->data(), bytes.data(), bytes.size());
        return buffer;
    }

    std::unique_ptr<Stream> createStream(int) override { return std::make_unique<CudaStream>(); }

    // From pageable memory the driver takes its own copy before it returns, so `host` may change afterwards;
    // a GPU that reads the host's memory by itself takes none.
    void upload(Stream& stream, void* device, const void* host, std::size_t bytes) override {
        copyAsync(stream, device, host, bytes, cudaMemcpyHostToDevice, "copy to the GPU");
        if (m_reads_host)
            stream.synchronize();
    }
    void download(Stream& stream, void* host, const void* device, std::size_t bytes) override {
        copyAsync(stream, host, device, bytes, cudaMemcpyDeviceToHost, "copy from the GPU");
        stream.synchronize();
    }
    void copy(Stream& stream, void* to, const void* from, std::size_t bytes) override {
        copyAsync(stream, to, from, bytes, cudaMemcpyDeviceToDevice, "copy on the GPU");
    }

    void uploadBeside(void* device, std::size_t bytes, const FillBytes& fill) override {
        m_uploads.fill(device, bytes, fill);
    }

    void replay(Stream& stream, std::span<const std::byte> signature,
                const std::function<void()>& queue) override {
        // Before the capture, which must not depend on another queue.
        CudaStream& own = ready(stream);
        own.noteReplay();
        own.replayer().run(signature, queue);
    }

    void gemm(Stream& stream, const GemmParams& p) override {
        check(p);
        cuda::gemm(m_handle, ready(stream, Op::Gemm), p, m_limits);
    }
    void embed(Stream& stream, const EmbedParams& p) override { run(stream, Op::Embed, p, launchEmbed); }
    void norm(Stream& stream, const NormParams& p) override { run(stream, Op::Norm, p, launchNorm); }
    void activate(Stream& stream, const ActivateParams& p) override {
        run(stream, Op::Activate, p, launchActivate);
    }
    void add(Stream& stream, const AddParams& p) override { run(stream, Op::Add, p, launchAdd); }
    void rope(Stream& stream, const RopeParams& p) override { run(stream, Op::Rope, p, launchRope); }
    void kvAppend(Stream& stream, const KvAppendParams& p) override {
        run(stream, Op::KvAppend, p, launchKvAppend);
    }
    void attention(Stream& stream, const AttentionParams& p) override {
        check(p);
        const AttentionPlan plan = planAttention(p, m_limits);
        CudaStream& own = ready(stream, Op::Attention);
        launchAttention(p, plan, own.scratch(plan.scratch_bytes), own.queue());
    }
    void gram(Stream& stream, const GramParams& p) override {
        run(stream, Op::Gram, p, gramScratchBytes, launchGram);
    }
    void spreadGram(Stream& stream, const SpreadGramParams& p) override {
        run(stream, Op::SpreadGram, p, spreadGramScratchBytes, launchSpreadGram);
    }
    void logitWeights(Stream& stream, const LogitWeightsParams& p) override {
        run(stream, Op::LogitWeights, p, logitWeightsScratchBytes, launchLogitWeights);
    }
    void eigh(Stream&, const EighParams& p) override {
        check(p);
        hostEigh(p);
    }
    void nll(Stream& stream, const NllParams& p) override { run(stream, Op::Nll, p, launchNll); }
    void argmax(Stream& stream, const ArgmaxParams& p) override { run(stream, Op::Argmax, p, launchArgmax); }
    void convert(Stream& stream, const ConvertParams& p) override {
        run(stream, Op::Convert, p, launchConvert);
    }
    void project(Stream& stream, const ProjectParams& p) override {
        check(p);
        if (!cuda::project(m_handle, ready(stream, Op::Gemm), p, m_limits))
            Backend::project(stream, p);
    }
    void mlp(Stream& stream, const MlpParams& p) override {
        check(p);
        if (!cuda::mlp(m_handle, ready(stream, Op::Gemm), p, m_limits))
            Backend::mlp(stream, p);
    }
    void rotateAndAppend(Stream& stream, const RotateAndAppendParams& p) override {
        if (canRotateAndAppend(p))
            run(stream, Op::KvAppend, p, launchRotateAndAppend);
        else
            Backend::rotateAndAppend(stream, p);
    }

private:
    // The stream, which from now on finds what was uploaded; a capture has been made to before.
    CudaStream& ready(Stream& stream) {
        auto& own = static_cast<CudaStream&>(stream);
        if (!own.replayer().recording())
            m_uploads.await(own.queue(), own.uploads_seen);
        return own;
    }
    CudaStream& ready(Stream& stream, Op op) {
        CudaStream& own = ready(stream);
        own.note(op);
        return own;
    }
    template <typename Params>
    void run(Stream& stream, Op op, const Params& params, void (*launch)(const Params&, cudaStream_t)) {
        check(params);
        launch(params, ready(stream, op).queue());
    }
    template <typename Params>
    void run(Stream& stream, Op op, const Params& params, std::size_t (*scratchBytes)(const Params&),
             void (*launch)(const Params&, void*, cudaStream_t)) {
        check(params);
        CudaStream& own = ready(stream, op);
        launch(params, own.scratch(scratchBytes(params)), own.queue());
    }
    // A kernel before anything else: a driver may list a GPU that it cannot use, and `auto` then takes
    // another backend.
    void probe() const {
        const std::string what = "the NVIDIA GPU " + m_info.name + " does not run this program's kernels";
        try {
            const DeviceMemory memory(2 * sizeof(float));
            CudaStream stream;
            AddParams p;
            p.x = static_cast<const float*>(memory.data());
            p.y = static_cast<float*>(memory.data()) + 1;
            p.count = 1;
            launchAdd(p, stream.queue());
            stream.synchronize();
        } catch (const Error& error) {
            throw Error(error.code(), what + ": " + error.what());
        }
    }
    void copyAsync(Stream& stream, void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                   const char* what) {
        if (bytes)
            checkCuda(cudaMemcpyAsync(to, from, bytes, kind, ready(stream).queue()), what);
    }

    DeviceInfo m_info;
    DeviceLimits m_limits;
    bool m_reads_host = false;
    Uploads m_uploads;
    cublasLtHandle_t m_handle = nullptr;
};

}  // namespace

}  // namespace eigenscope::cuda

extern "C" void eigenscope_backend_v1(std::shared_ptr<eigenscope::Backend>* backend) {
    *backend = std::make_shared<eigenscope::cuda::CudaBackend>();
}
