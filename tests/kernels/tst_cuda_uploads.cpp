// SPDX-License-Identifier: Apache-2.0
// The CUDA backend's uploads on the emulated runtime, which does queued work at the worst time that CUDA
// allows: pinned buffers in turn, ops that find what was uploaded, and memory that is in use meanwhile.
#include "tests/kernels/cuda_fixture.h"

#include <QTest>

#include <algorithm>
#include <future>
#include <thread>

using namespace eigenscope;
using namespace eigenscope::emulation;
using namespace eigenscope::test;

namespace {

std::span<const std::byte> bytesOf(const std::vector<float>& values) {
    return std::as_bytes(std::span(values));
}

void fillWith(Cuda& cuda, const std::shared_ptr<Buffer>& buffer, const std::vector<float>& values) {
    cuda.backend->uploadBeside(buffer->data(), buffer->bytes(),
                               [&](std::size_t begin, std::span<std::byte> to) {
                                   std::ranges::copy(bytesOf(values).subspan(begin, to.size()), to.begin());
                               });
}

}  // namespace

class TestCudaUploads : public QObject {
    Q_OBJECT
private slots:
    // More than both pinned buffers hold, by a part that fills none; the host's bytes change at once.
    void largerThanThePinnedBuffers() {
        for (const Schedule schedule : kSchedules) {
            const Settings settings(scheduled(schedule));
            Cuda cuda;
            const std::vector<float> expected = counting((std::size_t{80} << 20) / 4 + 12345, 0.0f);
            std::vector<float> host = expected;
            const auto buffer = cuda.backend->adopt(bytesOf(host), nullptr);
            std::fill(host.begin(), host.end(), -1.0f);
            QVERIFY(cuda.floats(buffer) == expected);
        }
    }

    void opsOfAnyStreamFindThem() {
        for (const Schedule schedule : kSchedules) {
            const Settings settings(scheduled(schedule));
            Cuda cuda;
            const auto other = cuda.backend->createStream(0);
            const auto y = cuda.array(counting(100, 0.0f)), z = cuda.array(counting(100, 0.0f));
            cuda.stream->synchronize();
            for (int round = 1; round <= 3; ++round) {
                const auto x = cuda.backend->adopt(bytesOf(std::vector<float>(100, 1.0f)), nullptr);
                cuda.add(x, y);
                cuda.add(*other, x, z);
                other->synchronize();
                QCOMPARE(cuda.floats(y), counting(100, static_cast<float>(round)));
                QCOMPARE(cuda.floats(z), counting(100, static_cast<float>(round)));
            }
        }
    }

    // Two places in turn, as layers of a model that does not fit, each filled by another thread while ops on
    // the other are computed: nothing waits but the fill itself.
    void besideComputation() {
        for (const Schedule schedule : kSchedules) {
            const Settings settings(scheduled(schedule));
            Cuda cuda;
            const auto y = cuda.array(std::vector<float>(64, 0.0f));
            const std::shared_ptr<Buffer> places[2] = {cuda.backend->allocate(256),
                                                       cuda.backend->allocate(256)};
            const auto load = [&](int layer) {
                return std::async(std::launch::async, [&, layer] {
                    std::vector<float> weights(64, static_cast<float>(1 << layer));
                    fillWith(cuda, places[layer % 2], weights);
                });
            };
            std::future<void> next = load(0);
            for (int layer = 0; layer < 8; ++layer) {
                next.get();
                if (layer < 7)
                    next = load(layer + 1);
                cuda.add(places[layer % 2], y);
                cuda.stream->synchronize();
            }
            QCOMPARE(cuda.floats(y), std::vector<float>(64, 255.0f));
        }
    }

    // Whoever fills memory that queued ops still read does harm: these schedules show it.
    void memoryInUseIsOverwritten() {
        const Settings settings(scheduled(Schedule::CopiesEarly));
        Cuda cuda;
        const auto x = cuda.array(std::vector<float>(64, 1.0f)), y = cuda.array(std::vector<float>(64, 0.0f));
        cuda.stream->synchronize();
        cuda.add(x, y);
        fillWith(cuda, x, std::vector<float>(64, 100.0f));
        QCOMPARE(cuda.floats(y), std::vector<float>(64, 100.0f));
    }

    // In pieces that follow each other, each of at most a pinned buffer.
    void filledPieceByPiece() {
        for (const bool pinned : {true, false}) {
            for (const Schedule schedule : kSchedules) {
                DeviceSettings device = scheduled(schedule);
                device.pinned_memory = pinned, device.reads_host = !pinned;
                const Settings settings(device);
                Cuda cuda;
                const std::vector<float> expected = counting((std::size_t{80} << 20) / 4 + 12345, 0.0f);
                const auto buffer = cuda.backend->allocate(bytesOf(expected).size());
                std::vector<std::pair<std::size_t, std::size_t>> pieces;
                cuda.backend->uploadBeside(
                    buffer->data(), buffer->bytes(), [&](std::size_t begin, std::span<std::byte> to) {
                        pieces.emplace_back(begin, to.size());
                        std::ranges::copy(bytesOf(expected).subspan(begin, to.size()), to.begin());
                    });
                const std::size_t full = std::size_t{32} << 20, rest = buffer->bytes() - 2 * full;
                const std::vector<std::pair<std::size_t, std::size_t>> wanted{
                    {0, full}, {full, full}, {2 * full, rest}};
                QVERIFY(pieces == wanted);
                QVERIFY(cuda.floats(buffer) == expected);
                cuda.backend->uploadBeside(buffer->data(), 0, [](std::size_t, std::span<std::byte>) {
                    QFAIL("there is nothing to fill");
                });
            }
        }
    }

    // What the source throws comes out when nothing is copied any more, and the next upload is whole.
    void aSourceThatFails() {
        for (const bool pinned : {true, false}) {
            DeviceSettings device = scheduled(Schedule::Late);
            device.pinned_memory = pinned;
            const Settings settings(device);
            Cuda cuda;
            const std::vector<float> expected = counting((std::size_t{40} << 20) / 4, 0.0f);
            const auto buffer = cuda.backend->allocate(bytesOf(expected).size());
            const auto fail = [&](std::size_t begin, std::span<std::byte> to) {
                if (begin > 0)
                    throw Cancelled();
                std::ranges::fill(to, std::byte{1});
            };
            QVERIFY_EXCEPTION_THROWN(cuda.backend->uploadBeside(buffer->data(), buffer->bytes(), fail),
                                     Cancelled);
            QCOMPARE(runtimeCounts().queued, 0);
            fillWith(cuda, buffer, expected);
            QVERIFY(cuda.floats(buffer) == expected);
            for (const char* call : {"cudaMemcpyAsync", "cudaEventRecord", "cudaStreamSynchronize"}) {
                if (!pinned && call == std::string("cudaEventRecord"))
                    continue;
                failNext(call, cudaErrorInvalidValue);
                const std::string failure =
                    failureOf([&] { fillWith(cuda, buffer, expected); }, ErrorCode::Device);
                QVERIFY2(contains(failure, "invalid argument"), (call + (": " + failure)).c_str());
            }
            fillWith(cuda, buffer, expected);
            QVERIFY(cuda.floats(buffer) == expected);
        }
    }

    // A machine that gives no pinned memory, and one whose GPU reads the host's memory when a copy runs.
    void fromPageableMemory() {
        for (const bool reads_host : {false, true}) {
            DeviceSettings settings = scheduled(Schedule::Late);
            settings.pinned_memory = false, settings.reads_host = reads_host;
            const Settings until_the_end(settings);
            Cuda cuda;
            std::vector<float> host = counting(1000, 3.0f);
            const auto adopted = cuda.backend->adopt(bytesOf(host), nullptr);
            std::fill(host.begin(), host.end(), -1.0f);
            QCOMPARE(cuda.floats(adopted), counting(1000, 3.0f));
            host = counting(1000, 4.0f);
            const auto uploaded = cuda.backend->allocate(4000);
            cuda.backend->upload(*cuda.stream, uploaded->data(), host.data(), 4000);
            std::fill(host.begin(), host.end(), -1.0f);
            QCOMPARE(cuda.floats(uploaded), counting(1000, 4.0f));
            QCOMPARE(runtimeCounts().pinned, 0);
        }
    }

    void aFailureLeavesTheNextOnes() {
        const Settings settings(scheduled(Schedule::Late));
        Cuda cuda;
        const std::vector<float> host = counting(1000, 0.0f);
        for (const char* call : {"cudaStreamCreateWithFlags", "cudaEventCreateWithFlags", "cudaMemcpyAsync",
                                 "cudaEventRecord", "cudaEventSynchronize"}) {
            failNext(call, cudaErrorInvalidValue);
            const std::string failure =
                failureOf([&] { cuda.backend->adopt(bytesOf(host), nullptr); }, ErrorCode::Device);
            QVERIFY2(contains(failure, "invalid argument"), (call + (": " + failure)).c_str());
        }
        QCOMPARE(cuda.floats(cuda.backend->adopt(bytesOf(host), nullptr)), host);
    }

    void fromSeveralThreads() {
        for (const Schedule schedule : kSchedules) {
            const Settings settings(scheduled(schedule));
            Cuda cuda;
            std::vector<std::string> failures(4);
            {
                std::vector<std::jthread> threads;
                for (std::size_t t = 0; t < failures.size(); ++t)
                    threads.emplace_back([&, t] {
                        const auto stream = cuda.backend->createStream(0);
                        for (int round = 0; round < 5; ++round) {
                            const auto expected = counting(20000, static_cast<float>(t * 100));
                            const auto x = cuda.backend->adopt(bytesOf(expected), nullptr);
                            const auto y = cuda.backend->allocate(bytesOf(expected).size());
                            fillWith(cuda, y, expected);
                            cuda.add(*stream, x, y);
                            std::vector<float> found(20000);
                            cuda.backend->download(*stream, found.data(), y->data(), y->bytes());
                            for (std::size_t i = 0; i < found.size(); ++i)
                                if (found[i] != 2 * expected[i])
                                    failures[t] = "element " + std::to_string(i);
                        }
                    });
            }
            QCOMPARE(failures, std::vector<std::string>(4));
        }
    }

    // In whatever order a session, its arrays and the backend go.
    void nothingIsLeft() {
        const Settings settings(scheduled(Schedule::Late));
        for (const bool backend_first : {true, false}) {
            auto cuda = std::make_unique<Cuda>();
            auto x = cuda->backend->adopt(bytesOf(counting(10, 0.0f)), nullptr);
            fillWith(*cuda, x, counting(10, 5.0f));
            cuda->add(x, x);
            if (backend_first) {
                cuda->backend.reset();
                cuda->stream.reset();
                x.reset();
            } else {
                x.reset();
                cuda->stream.reset();
                cuda->backend.reset();
            }
            const RuntimeCounts counts = runtimeCounts();
            QCOMPARE(counts.queues, 0);
            QCOMPARE(counts.events, 0);
            QCOMPARE(counts.pinned, 0);
            QCOMPARE(counts.blocks, 0);
            QCOMPARE(counts.bytes, std::size_t{0});
        }
    }
};

QTEST_GUILESS_MAIN(TestCudaUploads)
#include "tst_cuda_uploads.moc"
