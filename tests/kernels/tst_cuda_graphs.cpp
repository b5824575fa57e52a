// SPDX-License-Identifier: Apache-2.0
// Decode steps as CUDA graphs on the emulated runtime, which spoils a capture for whatever CUDA does: what is
// recorded, what a replay finds, and that a capture which fails leaves a device that works.
#include "tests/kernels/cuda_fixture.h"

#include <QTest>

#include <thread>

using namespace eigenscope;
using namespace eigenscope::emulation;
using namespace eigenscope::test;

namespace {

constexpr std::int64_t kWidth = 64;

// A step: a product of two rows in 16 bits (scratch, workspace, a plan), and the first of them to a cache at
// a position from device memory.
struct Step {
    explicit Step(Cuda& c) : cuda(c) {
        const std::vector<std::uint16_t> one(kWidth * kWidth, toBf16(0.5f));
        weight = cuda.array(one);
        cuda.stream->synchronize();
    }

    void queue() {
        GemmParams product;
        product.x = static_cast<const float*>(x->data());
        product.weight = weight->data();
        product.weight_dtype = DType::BF16, product.compute = Compute::BF16;
        product.y = static_cast<float*>(y->data());
        product.m = 2, product.n = product.k = kWidth;
        cuda.backend->gemm(*cuda.stream, product);
        KvAppendParams append;
        append.x = product.y;
        append.cache = {cache->data(), DType::F32, 1, 1, kWidth, 32};
        append.length = 1, append.position = 31;
        append.device_position = static_cast<const std::int64_t*>(position->data());
        cuda.backend->kvAppend(*cuda.stream, append);
    }
    void run(std::int64_t at, float value, const std::function<void()>& more = {}) {
        const std::vector<float> input(2 * kWidth, value);
        cuda.backend->upload(*cuda.stream, x->data(), input.data(), 2 * kWidth * 4);
        cuda.backend->upload(*cuda.stream, position->data(), &at, sizeof at);
        const std::byte signature[] = {std::byte{1}, std::byte{2}};
        cuda.backend->replay(*cuda.stream, signature, [&] {
            ++calls;
            queue();
            if (more)
                more();
        });
    }
    // What row `at` of the cache holds, when all of it is the same.
    float row(std::int64_t at) {
        const std::vector<float> all = cuda.floats(cache);
        const auto begin = all.begin() + at * kWidth;
        return std::equal(begin + 1, begin + kWidth, begin) ? *begin : -1.0f;
    }

    Cuda& cuda;
    std::shared_ptr<Buffer> weight,
        x = cuda.backend->allocate(2 * kWidth * 4), y = cuda.backend->allocate(2 * kWidth * 4),
        cache = cuda.backend->allocate(32 * kWidth * 4), position = cuda.backend->allocate(8);
    int calls = 0;
};

// Steps 0 to count - 1 from inputs of 1 to count; every row must hold its input times half of the width.
QString stepsFail(Step& step, int count, const std::function<void()>& more = {}) {
    for (int i = 0; i < count; ++i)
        step.run(i, static_cast<float>(i + 1), more);
    for (int i = 0; i < count; ++i)
        if (const float found = step.row(i); found != 32.0f * static_cast<float>(i + 1))
            return QString("row %1 holds %2").arg(i).arg(found);
    return {};
}

}  // namespace

class TestCudaGraphs : public QObject {
    Q_OBJECT
private slots:
    void replaysFindTheirInputs() {
        for (const Schedule schedule : kSchedules) {
            const Settings settings(scheduled(schedule));
            Cuda cuda;
            Step step(cuda);
            const RuntimeCounts before = runtimeCounts();
            QCOMPARE(stepsFail(step, 6), QString());
            const RuntimeCounts after = runtimeCounts();
            QCOMPARE(step.calls, 2);
            QCOMPARE(after.captures - before.captures, 1);
            QCOMPARE(after.graph_launches - before.graph_launches, 5);
            QCOMPARE(after.graphs, 0);
            QCOMPARE(after.executables, 1);
            cuda.stream.reset();
            QCOMPARE(runtimeCounts().executables, 0);
        }
    }

    // The recording holds the address of scratch memory; another op of the session makes it grow.
    void scratchThatGrowsBeginsAnew() {
        const Settings settings(scheduled(Schedule::Late));
        Cuda cuda;
        Step step(cuda);
        QCOMPARE(stepsFail(step, 4), QString());
        const auto large_x = cuda.array(std::vector<float>(1000 * kWidth, 1.0f));
        const auto large_y = cuda.backend->allocate(1000 * kWidth * 4);
        GemmParams p;
        p.x = static_cast<const float*>(large_x->data());
        p.weight = step.weight->data();
        p.weight_dtype = DType::BF16, p.compute = Compute::BF16;
        p.y = static_cast<float*>(large_y->data());
        p.m = 1000, p.n = p.k = kWidth;
        cuda.backend->gemm(*cuda.stream, p);
        QCOMPARE(cuda.floats(large_y), std::vector<float>(1000 * kWidth, 32.0f));
        QCOMPARE(runtimeCounts().executables, 0);
        QCOMPARE(stepsFail(step, 4), QString());
        QCOMPARE(step.calls, 4);
    }

    // Bytes that another thread uploaded, and what it allocates and uploads during the capture.
    void otherThreadsUploadMeanwhile() {
        const Settings settings(scheduled(Schedule::Late));
        Cuda cuda;
        Step step(cuda);
        const std::vector<float> ones(kWidth, 1.0f);
        std::vector<std::shared_ptr<Buffer>> kept;
        const auto upload = [&] {
            std::jthread(
                [&] { kept.push_back(cuda.backend->adopt(std::as_bytes(std::span(ones)), nullptr)); });
        };
        for (int i = 0; i < 5; ++i) {
            upload();
            step.run(i, static_cast<float>(i + 1), upload);
        }
        for (int i = 0; i < 5; ++i)
            QCOMPARE(step.row(i), 32.0f * static_cast<float>(i + 1));
        QCOMPARE(step.calls, 2);
        for (const auto& buffer : kept)
            QCOMPARE(cuda.floats(buffer), ones);
    }

    // Every call that a capture takes may fail: then steps run as they are, and rightly.
    void withoutGraphs_data() {
        QTest::addColumn<QString>("call");
        for (const char* call :
             {"cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiateWithFlags"})
            QTest::newRow(call) << call;
    }
    void withoutGraphs() {
        QFETCH(QString, call);
        for (const cudaError_t status : {cudaErrorMemoryAllocation, cudaErrorInvalidValue}) {
            const Settings settings(scheduled(Schedule::Late));
            Cuda cuda;
            Step step(cuda);
            failNext(call.toStdString(), status);
            const int launched = runtimeCounts().graph_launches;
            QCOMPARE(stepsFail(step, 4), QString());
            QCOMPARE(runtimeCounts().graph_launches, launched);
            QCOMPARE(runtimeCounts().graphs, 0);
            QCOMPARE(runtimeCounts().executables, 0);
            QVERIFY(cuda.backend->supports(Op::Add, {}).ok);
        }
    }

    // An op that allocates spoils the capture; neither it nor the device is lost by that.
    void anAllocationDuringTheCapture() {
        const Settings settings(scheduled(Schedule::Late));
        Cuda cuda;
        Step step(cuda);
        std::shared_ptr<Buffer> kept;
        QCOMPARE(stepsFail(step, 4, [&] { kept = cuda.backend->allocate(1000); }), QString());
        QCOMPARE(runtimeCounts().executables, 0);
        QCOMPARE(cuda.backend->supports(Op::Add, {}).reason, std::string());
        const auto x = cuda.array(counting(10, 1.0f)), y = cuda.array(counting(10, 0.0f));
        cuda.add(x, y);
        QCOMPARE(cuda.floats(y)[9], 19.0f);
    }

    // What a launch reports during a capture is no more than that step's failure.
    void aLaunchThatFails() {
        const Settings settings(scheduled(Schedule::Late));
        Cuda cuda;
        Step step(cuda);
        step.run(0, 1.0f);
        failNext("cublasLtMatmul", cudaErrorLaunchFailure);
        for (int i = 1; i < 4; ++i)
            step.run(i, static_cast<float>(i + 1));
        for (int i = 0; i < 4; ++i)
            QCOMPARE(step.row(i), 32.0f * static_cast<float>(i + 1));
        failNext("cudaGraphLaunch", cudaErrorInvalidValue);  // there is none: nothing asks for it
        QCOMPARE(stepsFail(step, 2), QString());
    }

    // A mistake of the caller's goes through, and the stream is none that captures.
    void otherErrorsGoThrough() {
        const Settings settings(scheduled(Schedule::Late));
        Cuda cuda;
        Step step(cuda);
        step.run(0, 1.0f);
        const auto mistake = [&] { throw Error(ErrorCode::InvalidInput, "nonsense"); };
        QCOMPARE(failureOf([&] { step.run(1, 2.0f, mistake); }, ErrorCode::InvalidInput),
                 std::string("nonsense"));
        QCOMPARE(stepsFail(step, 4), QString());
        QCOMPARE(runtimeCounts().executables, 1);
    }
};

QTEST_GUILESS_MAIN(TestCudaGraphs)
#include "tst_cuda_graphs.moc"
