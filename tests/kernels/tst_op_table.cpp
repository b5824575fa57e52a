// SPDX-License-Identifier: Apache-2.0
// The op table must notice faults: a backend with one deliberate mistake at a time is run through it.
#include "kernels/reference/reference_backend.h"
#include "tests/kernels/op_case.h"

#include <QTest>

#include <algorithm>
#include <cmath>

using namespace eigenscope;
using namespace eigenscope::optest;

namespace {

enum class Fault { None, WritesBehind, WritesBefore, SkipsLast, ChangesInput, WrongValue, GivesNan, Throws };

// One op case of four elements that goes wrong on demand on every backend but the reference run (the first).
OpCase faultyCase(Fault fault, std::shared_ptr<int> calls) {
    OpCase op_case;
    op_case.name = "faulty";
    op_case.op = Op::Activate;
    op_case.run = [=](OpRun& run) {
        const bool under_test = (*calls)++ > 0;
        ActivateParams p;
        p.count = 4;
        const float* x = run.input(run.normal(4, 1.0f, 10.0f));
        p.x = x;
        p.y = run.output("y", {1e-12, 1e-6}, 4);
        if (under_test && fault == Fault::SkipsLast)
            p.count = 3;
        run.execute([&] { run.backend().activate(run.stream(), p); });
        if (!under_test)
            return;
        switch (fault) {
            case Fault::WritesBehind:
                p.y[4] = 0.0f;
                break;
            case Fault::WritesBefore:
                p.y[-1] = 0.0f;
                break;
            case Fault::ChangesInput:
                const_cast<float*>(x)[1] += 1.0f;
                break;
            case Fault::WrongValue:
                p.y[2] *= 1.00001f;
                break;
            case Fault::GivesNan:
                p.y[0] = std::nanf("");
                break;
            case Fault::Throws:
                throw Error(ErrorCode::Device, "broken");
            default:
                break;
        }
    };
    return op_case;
}

}  // namespace

class TestOpTable : public QObject {
    Q_OBJECT

private slots:
    void noticesFaults() {
        const std::shared_ptr<Backend> backend = createReferenceBackend();
        const std::pair<Fault, const char*> expectations[] = {{Fault::WritesBehind, "guard after"},
                                                              {Fault::WritesBefore, "guard before"},
                                                              {Fault::SkipsLast, "nan"},
                                                              {Fault::ChangesInput, "input"},
                                                              {Fault::WrongValue, "squared error"},
                                                              {Fault::GivesNan, "nan"},
                                                              {Fault::Throws, "broken"}};
        for (const auto& [fault, part] : expectations) {
            const CaseResult result =
                runCase(faultyCase(fault, std::make_shared<int>(0)), *backend, *backend, {1});
            QVERIFY2(result.outcome == Outcome::Failed, part);
            QVERIFY2(result.detail.find(part) != std::string::npos, result.detail.c_str());
        }
        const CaseResult good =
            runCase(faultyCase(Fault::None, std::make_shared<int>(0)), *backend, *backend, {1, 2});
        QVERIFY2(good.outcome == Outcome::Passed, good.detail.c_str());
    }

    void comparesWithinBounds() {
        double worst = 0.0;
        const Output reference{"y", {1e-4, 0.1}, {1.0, -1.0, 1.0, -1.0}};
        QVERIFY(compare({"y", {}, {1.005, -1.0, 1.0, -1.0}}, reference, worst).empty());
        QVERIFY(worst > 0.2 && worst < 1.0);
        QVERIFY(!compare({"y", {}, {1.05, -1.05, 1.05, -1.05}}, reference, worst).empty());
        QVERIFY(!compare({"y", {}, {1.0, -1.0, 1.0}}, reference, worst).empty());
        QVERIFY(!compare({"y", {}, {INFINITY, -1.0, 1.0, -1.0}}, reference, worst).empty());
        const Output exact{"y", kExact, {1.0, 0.0}};
        QVERIFY(compare({"y", {}, {1.0, 0.0}}, exact, worst).empty());
        QVERIFY(!compare({"y", {}, {1.0, 1e-30}}, exact, worst).empty());
        const Output zero{"y", {1e-4, 0.1}, {0.0, 0.0}};
        QVERIFY(!compare({"y", {}, {0.0, 1e-30}}, zero, worst).empty());
    }

    // Names are the handles of --filter and the seeds of inputs: all different, all led by the op.
    void namesAreUnique() {
        std::vector<std::string> names;
        for (const OpCase& op_case : allCases()) {
            QVERIFY2(op_case.name.rfind(std::string(nameOf(op_case.op)) + "/", 0) == 0, op_case.name.c_str());
            names.push_back(op_case.name);
        }
        std::sort(names.begin(), names.end());
        const auto twice = std::adjacent_find(names.begin(), names.end());
        QVERIFY2(twice == names.end(), twice == names.end() ? "" : twice->c_str());
    }
};

QTEST_GUILESS_MAIN(TestOpTable)
#include "tst_op_table.moc"
