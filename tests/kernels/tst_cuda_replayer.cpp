// SPDX-License-Identifier: Apache-2.0
// When the CUDA backend records and replays queues of ops, with a device that is a list of what it was told.
#include "kernels/cuda/replayer.h"

#include "kernels/api/error.h"

#include <QTest>

#include <stdexcept>

using namespace eigenscope;
using namespace eigenscope::cuda;

namespace {

struct FakeRecording final : Recording {
    explicit FakeRecording(std::vector<int> o) : ops(std::move(o)) {}
    std::vector<int> ops;
};

// "Ops" are numbers: run at once, or while recording kept and run at launch.
struct FakeDevice final : Recorder {
    std::vector<int> ran, recorded;
    bool recording = false, failing_begin = false, failing_end = false;
    int launches = 0, abandoned = 0;

    void op(int number) { (recording ? recorded : ran).push_back(number); }
    void begin() override {
        if (failing_begin)
            throw Error(ErrorCode::Device, "no capture");
        recording = true;
        recorded.clear();
    }
    std::unique_ptr<Recording> end() override {
        recording = false;
        if (failing_end)
            throw Error(ErrorCode::OutOfMemory, "no memory for a graph");
        return std::make_unique<FakeRecording>(recorded);
    }
    void abandon() noexcept override {
        recording = false;
        ++abandoned;
    }
    void launch(const Recording& recording_) override {
        ++launches;
        for (int number : static_cast<const FakeRecording&>(recording_).ops)
            ran.push_back(number);
    }
};

std::vector<std::byte> signature(int value) {
    return {std::byte(value), std::byte(value >> 8), std::byte{7}};
}

}  // namespace

class TestCudaReplayer : public QObject {
    Q_OBJECT
private slots:
    void runsThenRecordsThenReplays() {
        FakeDevice device;
        Replayer replayer(device);
        int calls = 0;
        const auto queue = [&] {
            ++calls;
            QCOMPARE(replayer.recording(), calls == 2);
            device.op(1);
            device.op(2);
        };
        for (int i = 0; i < 5; ++i)
            replayer.run(signature(3), queue);
        QCOMPARE(calls, 2);
        QCOMPARE(device.launches, 4);
        QCOMPARE(device.ran, (std::vector{1, 2, 1, 2, 1, 2, 1, 2, 1, 2}));
        QVERIFY(replayer.failure().empty());
    }

    void signaturesAreApart() {
        FakeDevice device;
        Replayer replayer(device);
        for (int round = 0; round < 4; ++round)
            for (int value : {1, 2, 256})
                replayer.run(signature(value), [&] { device.op(value); });
        replayer.run({}, [&] { device.op(9); });
        std::vector<int> expected;
        for (int round = 0; round < 4; ++round)
            expected.insert(expected.end(), {1, 2, 256});
        expected.push_back(9);
        QCOMPARE(device.ran, expected);
        QCOMPARE(device.launches, 9);
    }

    void theLeastRecentlyUsedGoes() {
        FakeDevice device;
        Replayer replayer(device, 2);
        int calls = 0;
        const auto run = [&](int value) {
            replayer.run(signature(value), [&] {
                ++calls;
                device.op(value);
            });
        };
        for (int value : {1, 1, 2, 2, 1})
            run(value);
        QCOMPARE(calls, 4);
        run(3);  // 2 goes
        QCOMPARE(calls, 5);
        run(1);
        QCOMPARE(calls, 5);
        run(2);
        QCOMPARE(calls, 6);
        QCOMPARE(device.ran, (std::vector{1, 1, 2, 2, 1, 3, 1, 2}));
    }

    // As when scratch memory grows: a recording holds the address of the old one.
    void forgettingBeginsAnew() {
        FakeDevice device;
        Replayer replayer(device);
        int calls = 0;
        const auto queue = [&] {
            ++calls;
            device.op(calls);
        };
        for (int i = 0; i < 3; ++i)
            replayer.run(signature(1), queue);
        replayer.forget();
        for (int i = 0; i < 3; ++i)
            replayer.run(signature(1), queue);
        QCOMPARE(calls, 4);
        QCOMPARE(device.ran, (std::vector{1, 2, 2, 3, 4, 4}));
        // The first run itself may make scratch grow.
        replayer.run(signature(2), [&] { replayer.forget(); });
        replayer.run(signature(2), queue);
        QCOMPARE(device.launches, 5);
    }

    void withoutRecordingsOpsRunAsTheyAre() {
        for (const bool at_begin : {true, false}) {
            FakeDevice device;
            (at_begin ? device.failing_begin : device.failing_end) = true;
            Replayer replayer(device);
            for (int i = 0; i < 4; ++i)
                replayer.run(signature(1), [&] { device.op(i); });
            QCOMPARE(device.ran, (std::vector{0, 1, 2, 3}));
            QCOMPARE(device.launches, 0);
            QCOMPARE(device.abandoned, 1);  // tried once
            QCOMPARE(replayer.failure(), std::string(at_begin ? "no capture" : "no memory for a graph"));
            QVERIFY(!device.recording && !replayer.recording());
        }
    }

    // An op that cannot be recorded, because memory would have to grow, say.
    void anOpThatCannotBeRecorded() {
        FakeDevice device;
        Replayer replayer(device);
        const auto queue = [&] {
            device.op(1);
            if (device.recording)
                throw Error(ErrorCode::Device, "would allocate");
            device.op(2);
        };
        for (int i = 0; i < 3; ++i)
            replayer.run(signature(1), queue);
        QCOMPARE(device.ran, (std::vector{1, 2, 1, 2, 1, 2}));
        QCOMPARE(replayer.failure(), std::string("would allocate"));
    }

    // A cancelled job, or a mistake in a struct, is none of the recorder's business, and nothing is left
    // over.
    void otherErrorsGoThrough() {
        FakeDevice device;
        Replayer replayer(device);
        bool cancelled = false;
        const auto queue = [&] {
            if (cancelled)
                throw std::runtime_error("cancelled");
            device.op(1);
        };
        replayer.run(signature(1), queue);
        cancelled = true;
        QVERIFY_THROWS_EXCEPTION(std::runtime_error, replayer.run(signature(1), queue));
        QVERIFY_THROWS_EXCEPTION(
            Error, replayer.run(signature(2), [] { throw Error(ErrorCode::InvalidInput, "nonsense"); }));
        QVERIFY(!device.recording && !replayer.recording());
        QVERIFY(replayer.failure().empty());
        cancelled = false;
        for (int i = 0; i < 2; ++i)
            replayer.run(signature(1), queue);
        QCOMPARE(device.launches, 2);
        QCOMPARE(device.ran, (std::vector{1, 1, 1}));
    }
};

QTEST_GUILESS_MAIN(TestCudaReplayer)
#include "tst_cuda_replayer.moc"
