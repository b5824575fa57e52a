// SPDX-License-Identifier: Apache-2.0
// The op cases on emulated devices that are unlike the one that eigenscope-op-check emulates: cards with less
// shared memory a block, for which attention takes other tiles (compute capability 8.0 has 163 KiB, 8.6 and
// 8.9 have 99), and queues that work as early as they may.
#include "kernels/reference/reference_backend.h"
#include "tests/kernels/cuda_fixture.h"
#include "tests/kernels/op_case.h"

#include <QTest>

using namespace eigenscope;
using namespace eigenscope::emulation;
using namespace eigenscope::optest;
using namespace eigenscope::test;

class TestCudaDevices : public QObject {
    Q_OBJECT
private slots:
    void opCases_data() {
        QTest::addColumn<int>("kib");
        QTest::addColumn<int>("schedule");
        QTest::addColumn<QString>("ops");
        QTest::newRow("99 KiB, early") << 99 << int(Schedule::Early) << "attention/";
        QTest::newRow("163 KiB, copies early") << 163 << int(Schedule::CopiesEarly) << "attention/heads";
        QTest::newRow("early") << 227 << int(Schedule::Early) << "gemm/";
        QTest::newRow("copies early") << 227 << int(Schedule::CopiesEarly) << "gram/";
    }
    void opCases() {
        QFETCH(int, kib);
        QFETCH(int, schedule);
        QFETCH(QString, ops);
        DeviceSettings settings = scheduled(static_cast<Schedule>(schedule));
        settings.shared_bytes = static_cast<std::size_t>(kib) << 10;
        const Settings until_the_end(settings);
        const std::shared_ptr<Backend> device = createEmulatedCudaBackend();
        const std::shared_ptr<Backend> reference = createReferenceBackend();
        int passed = 0;
        for (const OpCase& op_case : allCases()) {
            if (!op_case.name.starts_with(ops.toStdString()))
                continue;
            const CaseResult result = runCase(op_case, *device, *reference, {1});
            QVERIFY2(result.outcome != Outcome::Failed, (op_case.name + ": " + result.detail).c_str());
            passed += result.outcome == Outcome::Passed;
        }
        QVERIFY(passed > 0);
    }
};

QTEST_GUILESS_MAIN(TestCudaDevices)
#include "tst_cuda_devices.moc"
