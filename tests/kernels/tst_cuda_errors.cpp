// SPDX-License-Identifier: Apache-2.0
// What the CUDA backend says and does where there is no driver, an old one, no GPU, too little memory, or a
// GPU that has failed, on the emulated runtime; and limits that sessions share.
#include "kernels/api/registry.h"
#include "kernels/cuda/shared_limit.h"
#include "kernels/reference/reference_backend.h"
#include "tests/kernels/cuda_fixture.h"

#include <QTest>

using namespace eigenscope;
using namespace eigenscope::emulation;
using namespace eigenscope::test;

namespace {

void someKernel() {}
void anotherKernel() {}

template <typename Function>
const void* addressOf(Function* function) {
    return reinterpret_cast<const void*>(function);
}

// A product in 16 bits, which takes `rows` times 128 bytes of scratch.
struct Product {
    Product(Cuda& cuda, std::int64_t rows)
        : x(cuda.array(std::vector<float>(static_cast<std::size_t>(rows) * 64, 1.0f))),
          weight(cuda.array(std::vector<std::uint16_t>(64 * 64, toF16(0.25f)))),
          y(cuda.backend->allocate(static_cast<std::size_t>(rows) * 256)) {
        p.x = static_cast<const float*>(x->data());
        p.weight = weight->data();
        p.weight_dtype = DType::F16, p.compute = Compute::F16;
        p.y = static_cast<float*>(y->data());
        p.m = rows, p.n = p.k = 64;
    }
    std::shared_ptr<Buffer> x, weight, y;
    GemmParams p;
};

}  // namespace

class TestCudaErrors : public QObject {
    Q_OBJECT
private slots:
    void cleanup() {
        deviceSettings() = {};
        repairDevice();
    }

    void devicesThatCannotBeUsed_data() {
        QTest::addColumn<int>("driver");
        QTest::addColumn<int>("devices");
        QTest::addColumn<int>("major");
        QTest::addColumn<int>("counting");
        QTest::addColumn<QString>("message");
        QTest::newRow("no driver") << 0 << 0 << 9 << int(cudaErrorInsufficientDriver)
                                   << "no NVIDIA driver is installed";
        QTest::newRow("old driver")
            << 12040 << 1 << 9 << int(cudaErrorInsufficientDriver)
            << "the NVIDIA driver supports CUDA 12.4; this program needs CUDA 13.0 or "
               "newer";
        QTest::newRow("no GPU") << 13000 << 0 << 9 << int(cudaErrorNoDevice)
                                << "the NVIDIA driver is installed but shows no GPU";
        QTest::newRow("none visible")
            << 13000 << 0 << 9 << 0 << "the NVIDIA driver is installed but shows no GPU";
        QTest::newRow("old GPU") << 13000 << 1 << 7 << 0
                                 << "the NVIDIA GPU CUDA kernels executed on the host has compute capability "
                                    "7.0; 8.0 or newer is needed";
    }
    void devicesThatCannotBeUsed() {
        QFETCH(int, driver);
        QFETCH(int, devices);
        QFETCH(int, major);
        QFETCH(int, counting);
        QFETCH(QString, message);
        DeviceSettings settings;
        settings.driver = driver, settings.devices = devices, settings.major = major;
        settings.counting = static_cast<cudaError_t>(counting);
        deviceSettings() = settings;
        QCOMPARE(failureOf([] { createEmulatedCudaBackend(); }, ErrorCode::Device), message.toStdString());
        // The programs carry on without.
        BackendRegistry registry;
        registry.add({"cuda", 10, [] { return createEmulatedCudaBackend(); }});
        registry.add({"reference", 0, createReferenceBackend});
        const BackendChoice choice = registry.choose("auto");
        QCOMPARE(choice.backend->info().backend, std::string("reference"));
        QCOMPARE(choice.fallback_reason, "cuda is not used: " + message.toStdString());
    }

    // A driver that lists a GPU which runs nothing of this program.
    void aGpuThatRunsNoKernel() {
        failNext("launch", cudaErrorNoKernelImageForDevice);
        const std::string failure = failureOf([] { createEmulatedCudaBackend(); }, ErrorCode::Device);
        QCOMPARE(failure,
                 std::string("the NVIDIA GPU CUDA kernels executed on the host does not run this program's "
                             "kernels: add: no kernel image is available for execution on the device"));
        QCOMPARE(runtimeCounts().queues, 0);
        QCOMPARE(runtimeCounts().blocks, 0);
        failNext("cublasLtCreate", cudaErrorMemoryAllocation);
        QCOMPARE(failureOf([] { createEmulatedCudaBackend(); }, ErrorCode::OutOfMemory),
                 std::string("cuBLASLt cannot be started: CUBLAS_STATUS_ALLOC_FAILED"));
        QVERIFY(createEmulatedCudaBackend());
    }

    void whatDoesNotFitIsNamed() {
        deviceSettings().memory_bytes = std::size_t{512} << 20;
        Cuda cuda;
        const auto held = cuda.backend->allocate(std::size_t{200} << 20);
        const MemoryStats memory = cuda.backend->memory();
        QCOMPARE(memory.total_bytes, std::size_t{512} << 20);
        QVERIFY(memory.available_bytes <= std::size_t{312} << 20);
        QCOMPARE(failureOf([&] { cuda.backend->allocate(std::size_t{400} << 20); }, ErrorCode::OutOfMemory),
                 std::string("GPU memory: cannot allocate 0.4 GiB (419430400 bytes); 0.3 GiB of 0.5 GiB are "
                             "free: out of memory"));
        QVERIFY(cuda.backend->allocate(std::size_t{200} << 20));
        QCOMPARE(cuda.backend->supports(Op::Add, {}).reason, std::string());
    }

    // Scratch memory that cannot grow: the op says so, the session goes on.
    void scratchThatDoesNotFit() {
        deviceSettings().memory_bytes = std::size_t{80} << 20;  // cuBLASLt's workspace takes 32
        Cuda cuda;
        Product small(cuda, 4), large(cuda, 80000);
        cuda.backend->gemm(*cuda.stream, small.p);
        const std::string failure =
            failureOf([&] { cuda.backend->gemm(*cuda.stream, large.p); }, ErrorCode::OutOfMemory);
        QVERIFY2(contains(failure, "GPU memory: cannot allocate") && contains(failure, "are free"),
                 failure.c_str());
        cuda.backend->gemm(*cuda.stream, small.p);
        QCOMPARE(cuda.floats(small.y), std::vector<float>(4 * 64, 16.0f));
    }

    // Room for the larger alone.
    void scratchThatGrowsGivesBackFirst() {
        Cuda cuda;
        Product small(cuda, 40000), large(cuda, 80000);  // 4.9 and 9.8 MiB of scratch
        cuda.backend->gemm(*cuda.stream, small.p);
        deviceSettings().memory_bytes = runtimeCounts().bytes + (std::size_t{6} << 20);
        cuda.backend->gemm(*cuda.stream, large.p);
        QCOMPARE(cuda.floats(large.y), std::vector<float>(80000 * 64, 16.0f));
    }

    void productsThatFail() {
        Cuda cuda;
        Product product(cuda, 9);
        failNext("cublasLtMatmulAlgoGetHeuristic", cudaErrorMemoryAllocation);
        QVERIFY(
            contains(failureOf([&] { cuda.backend->gemm(*cuda.stream, product.p); }, ErrorCode::OutOfMemory),
                     "choice of a matrix product algorithm"));
        failNext("cublasLtMatmul", cudaErrorLaunchFailure);
        QVERIFY(contains(failureOf([&] { cuda.backend->gemm(*cuda.stream, product.p); }, ErrorCode::Device),
                         "matrix product: CUBLAS_STATUS_EXECUTION_FAILED"));
        cuda.backend->gemm(*cuda.stream, product.p);
        QCOMPARE(cuda.floats(product.y), std::vector<float>(9 * 64, 16.0f));
    }

    // The limit is the kernel's: a session that needs less must not take it from one that needs more.
    void sharedMemoryIsNeverLowered() {
        constexpr std::size_t kKib = 1024;
        const void* kernel = addressOf(someKernel);
        cuda::allowSharedMemory(kernel, 40 * kKib, "x");
        QCOMPARE(allowedShared(kernel), 48 * kKib);
        for (const std::size_t kib : {100, 60, 49})
            cuda::allowSharedMemory(kernel, kib * kKib, "x");
        QCOMPARE(allowedShared(kernel), 100 * kKib);
        cuda::allowSharedMemory(kernel, 200 * kKib, "x");
        QCOMPARE(allowedShared(kernel), 200 * kKib);
        QCOMPARE(allowedShared(addressOf(anotherKernel)), 48 * kKib);
        QCOMPARE(failureOf([&] { cuda::allowSharedMemory(kernel, 228 * kKib, "an op"); }, ErrorCode::Device),
                 std::string("an op: invalid argument"));
        QCOMPARE(allowedShared(kernel), 200 * kKib);
    }

    // Last: the process has no GPU any more.
    void aGpuThatFails() {
        Cuda cuda;
        const auto x = cuda.array(counting(10, 0.0f)), y = cuda.array(counting(10, 0.0f));
        cuda.stream->synchronize();
        failNext("kernel", cudaErrorIllegalAddress);
        cuda.add(x, y);
        const std::string failure = failureOf([&] { cuda.stream->synchronize(); }, ErrorCode::Device);
        QCOMPARE(failure,
                 std::string("GPU work (add): an illegal memory access was encountered; the GPU cannot "
                             "be used again before the program is restarted"));
        const Support support = cuda.backend->supports(Op::Add, {});
        QVERIFY(!support.ok);
        QCOMPARE(
            support.reason,
            std::string("the GPU failed earlier (GPU work (add): an illegal memory access was encountered) "
                        "and cannot be used again before the program is restarted; --device cpu works"));
        QVERIFY(contains(failureOf([&] { cuda.add(x, y); }, ErrorCode::Device), "cannot be used again"));
        QVERIFY(contains(failureOf([&] { cuda.backend->allocate(1); }, ErrorCode::Device), "illegal memory"));
        QVERIFY(
            contains(failureOf([] { createEmulatedCudaBackend(); }, ErrorCode::Device), "illegal memory"));
    }
};

QTEST_GUILESS_MAIN(TestCudaErrors)
#include "tst_cuda_errors.moc"
