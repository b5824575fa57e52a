// SPDX-License-Identifier: Apache-2.0
// Choosing a backend: by name, automatically, with the reason for a fallback; modules that are missing or
// wrong.
#include "kernels/api/registry.h"
#include "kernels/reference/reference_backend.h"

#include <QTest>

#include <fstream>

using namespace eigenscope;

namespace {

std::string failureOf(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

BackendEntry missing(const char* name, int preference, const char* reason) {
    return {name, preference, [=]() -> std::shared_ptr<Backend> { throw Error(ErrorCode::Device, reason); }};
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

class TestRegistry : public QObject {
    Q_OBJECT

private slots:
    void autoTakesTheMostPreferred() {
        int created = 0;
        BackendRegistry registry;
        registry.add({"slow", 0, createReferenceBackend});
        registry.add({"fast", 5, [&] {
                          ++created;
                          return createReferenceBackend();
                      }});
        const BackendChoice choice = registry.choose("auto");
        QVERIFY(choice.backend);
        QVERIFY(choice.fallback_reason.empty());
        QVERIFY(registry.choose("fast").backend == choice.backend);  // created once, shared
        QCOMPARE(created, 1);
        QVERIFY(registry.choose("slow").backend != choice.backend);
        QCOMPARE(registry.entries().size(), 2u);
    }

    void autoFallsBackAndSaysWhy() {
        BackendRegistry registry;
        registry.add({"cpu", 1, createReferenceBackend});
        registry.add(missing("cuda", 10, "no NVIDIA driver"));
        const BackendChoice choice = registry.choose("auto");
        QVERIFY(choice.backend);
        QVERIFY2(
            contains(choice.fallback_reason, "cuda") && contains(choice.fallback_reason, "no NVIDIA driver"),
            choice.fallback_reason.c_str());
    }

    void namedDevicesDoNotFallBack() {
        BackendRegistry registry;
        registry.add({"cpu", 1, createReferenceBackend});
        registry.add(missing("cuda", 10, "no NVIDIA driver"));
        QCOMPARE(failureOf([&] { registry.choose("cuda"); }), std::string("no NVIDIA driver"));
        QVERIFY(registry.choose("cpu").fallback_reason.empty());
        const std::string unknown = failureOf([&] { registry.choose("tpu"); });
        QVERIFY2(contains(unknown, "'tpu'") && contains(unknown, "cpu, cuda, auto"), unknown.c_str());
    }

    void nothingWorks() {
        BackendRegistry registry;
        QVERIFY(!failureOf([&] { registry.choose("auto"); }).empty());
        registry.add(missing("cuda", 10, "no NVIDIA driver"));
        QVERIFY(contains(failureOf([&] { registry.choose("auto"); }), "no NVIDIA driver"));
    }

    void missingModuleIsAClearError() {
        const std::string error = failureOf([] { loadBackendModule("/nonexistent/libeigenscope_none.so"); });
        QVERIFY2(contains(error, "/nonexistent/libeigenscope_none.so"), error.c_str());
        QVERIFY2(contains(error, "cannot load"), error.c_str());
    }

    void fileThatIsNoModule() {
        const std::string path = "tst_registry.not_a_module.so";
        std::ofstream(path) << "this is text";
        const std::string error = failureOf([&] { loadBackendModule("./" + path); });
        std::remove(path.c_str());
        QVERIFY2(contains(error, "cannot load"), error.c_str());
    }

    void libraryWithoutTheEntry() {
        const std::string error = failureOf([] { loadBackendModule("libm.so.6"); });
        QVERIFY2(contains(error, kBackendModuleEntry), error.c_str());
    }

    // With the CUDA module built: it loads anywhere; without a device `auto` goes on with the CPU and names
    // the reason.
    void cudaModule() {
        const std::string module = EIGENSCOPE_CUDA_MODULE;
        if (module.empty())
            QSKIP("this build has no CUDA module");
        BackendRegistry registry;
        registry.add({"cpu", 1, createReferenceBackend});
        registry.add({"cuda", 10, [&] { return loadBackendModule(module); }});
        const BackendChoice choice = registry.choose("auto");
        QVERIFY(choice.backend);
        if (choice.backend->info().backend == "cuda") {
            QVERIFY(choice.fallback_reason.empty());
            QVERIFY(!choice.backend->info().host_accessible);
            return;
        }
        QVERIFY2(contains(choice.fallback_reason, "cuda is not used: "), choice.fallback_reason.c_str());
        QVERIFY2(contains(choice.fallback_reason, "NVIDIA"), choice.fallback_reason.c_str());
        QVERIFY2(!contains(choice.fallback_reason, "cannot load"), choice.fallback_reason.c_str());
    }
};

QTEST_GUILESS_MAIN(TestRegistry)
#include "tst_registry.moc"
