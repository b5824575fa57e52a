// SPDX-License-Identifier: Apache-2.0
// The project file against one written by hand, its paths when folders move, and that nothing is lost on the
// way.
#include "core/base/atomic_output.h"
#include "core/base/json.h"
#include "core/workbench/project_paths.h"
#include "tests/core/method_support.h"
#include "tests/core/project_support.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <limits>

using namespace eigenscope;
using namespace eigenscope::test;
namespace fs = std::filesystem;

class TestProject : public QObject {
    Q_OBJECT

private:
    // Of a project in `folder` whose statistics are at `path`: what its file calls them, and that they are
    // found.
    static std::string nameOf(const fs::path& folder, const fs::path& path) {
        const fs::path file = folder / "x.eigenscope";
        Project project;
        project.model = "/srv/models/tiny";
        project.statistics = path;
        saveProject(project, file);
        const std::string name = readJsonFile(file).at("statistics").get<std::string>();
        const auto found = loadProject(file).statistics;
        return found && fs::weakly_canonical(*found) == fs::weakly_canonical(path) ? name
                                                                                   : name + " is not found";
    }
    static fs::path made(const fs::path& folder) {
        fs::create_directories(folder);
        return folder;
    }

private slots:
    void everyFieldIsWritten() {
        const TemporaryDirectory directory;
        const fs::path folder = made(directory / "work");
        saveProject(fullProject(folder), folder / "tour.eigenscope");
        QCOMPARE(readTextFile(folder / "tour.eigenscope"), kFullProject);
    }
    void everyFieldIsRead() {
        const TemporaryDirectory directory;
        const fs::path folder = made(directory / "work");
        writeTextFile(folder / "tour.eigenscope", kFullProject);
        QVERIFY(loadProject(folder / "tour.eigenscope") == fullProject(folder));
    }
    // What a person may write by hand.
    void theLeastIsEnough() {
        const TemporaryDirectory directory;
        const fs::path file = directory / "least.eigenscope";
        writeTextFile(file,
                      R"({"format": "eigenscope.project", "version": 1, "model": "./tiny/", "extra": [1]})");
        Project expected;
        expected.model = directory / "tiny";
        QVERIFY(loadProject(file) == expected);
        saveProject(expected, file);
        QCOMPARE(readTextFile(file),
                 std::string("{\n  \"format\": \"eigenscope.project\",\n  \"model\": \"tiny\",\n"
                             "  \"selection\": {\n    \"layer\": 0,\n    \"side\": \"keys\"\n  },\n"
                             "  \"version\": 1\n}\n"));
        QVERIFY(loadProject(file) == expected);
    }
    void presetsAreNoPaths() {
        const TemporaryDirectory directory;
        Project project;
        project.model = "preset:llama-3-8b";
        project.comparison_model = directory / "preset:mine";  // a folder of such a name is one
        saveProject(project, directory / "x.eigenscope");
        const Json json = readJsonFile(directory / "x.eigenscope");
        QCOMPARE(json.at("model").get<std::string>(), std::string("preset:llama-3-8b"));
        QCOMPARE(json.at("comparison_model").get<std::string>(), std::string("./preset:mine"));
        QVERIFY(loadProject(directory / "x.eigenscope") == project);
    }
    // What a plan remembers before it has bits.
    void groupsWithoutBitsAreKept() {
        const TemporaryDirectory directory;
        Project project = fullProject(directory.path());
        project.plan->kv_bits = {{}, {}, 128, KvGrouping::Channel, 32};
        project.plan->mixed_bits = false;
        saveProject(project, directory / "x.eigenscope");
        QVERIFY(loadProject(directory / "x.eigenscope") == project);
    }

    void pathsBelowAndBesideAreRelative() {
        const TemporaryDirectory directory;
        const fs::path folder = made(directory / "work");
        QCOMPARE(nameOf(folder, folder / "a.stats"), std::string("a.stats"));
        QCOMPARE(nameOf(folder, folder / "deep/er/a.stats"), std::string("deep/er/a.stats"));
        QCOMPARE(nameOf(folder, folder / "x/../a.stats"), std::string("a.stats"));
        QCOMPARE(nameOf(folder, folder), std::string("."));
        QCOMPARE(nameOf(folder, directory / "a.stats"), std::string("../a.stats"));
        QCOMPARE(nameOf(folder, directory / "models/tiny"), std::string("../models/tiny"));
        QCOMPARE(nameOf(folder, directory / "work-2/a"), std::string("../work-2/a"));
        QCOMPARE(nameOf(folder, directory.path()), std::string(".."));
    }
    void pathsFartherAwayAreAbsolute() {
        const TemporaryDirectory directory;
        const fs::path folder = made(directory / "work/today");
        const fs::path far = directory / "models/tiny";
        QCOMPARE(nameOf(folder, far), far.string());
        QCOMPARE(nameOf(folder, "/srv/a.stats"), std::string("/srv/a.stats"));
        QCOMPARE(nameOf(folder, "/"), std::string("/"));
        // A folder in the root has the whole system beside it: that does not move along.
        const auto written = [](const fs::path& file, const fs::path& path) {
            return ProjectPaths(file).written(path, "statistics");
        };
        QCOMPARE(written("/work/x.eigenscope", "/srv/a"), std::string("/srv/a"));
        QCOMPARE(written("/x.eigenscope", "/srv/a"), std::string("srv/a"));
        QCOMPARE(written("/data/work/x.eigenscope", "/data/srv/a"), std::string("../srv/a"));
    }
    void aMovedFolderFindsItsFiles() {
        const TemporaryDirectory directory;
        const fs::path folder = made(directory / "before/work");
        saveProject(fullProject(folder), folder / "tour.eigenscope");
        fs::rename(directory / "before", directory / "after");
        const fs::path moved = directory / "after/work";
        QVERIFY(loadProject(moved / "tour.eigenscope") == fullProject(moved));
    }
    // "../" is what the system makes of it where the project's folder is a link, whichever way it is reached.
    void linkedFoldersFindWhatIsBesideThem() {
        const TemporaryDirectory directory;
        const fs::path folder = made(directory / "data/work");
        fs::create_directory_symlink(folder, directory / "link");
        QCOMPARE(nameOf(folder, directory / "data/models"), std::string("../models"));
        QCOMPARE(loadProject(directory / "link/x.eigenscope").statistics->string(),
                 (directory / "data/models").string());
        QCOMPARE(nameOf(directory / "link", directory / "data/models"), std::string("../models"));
        // Beside the link, not beside the folder.
        QCOMPARE(nameOf(directory / "link", directory / "models"), (directory / "models").string());
        QCOMPARE(nameOf(directory / "link", directory / "link/a"), std::string("a"));
    }
    void aProjectIsFoundFromTheWorkingFolder() {
        const TemporaryDirectory directory;
        const fs::path before = fs::current_path();
        fs::current_path(directory.path());
        Project project;
        project.model = "models/tiny";
        saveProject(project, "x.eigenscope");
        const std::string name = readJsonFile("x.eigenscope").at("model").get<std::string>();
        const fs::path found = loadProject("x.eigenscope").model;
        fs::current_path(before);
        QCOMPARE(name, std::string("models/tiny"));
        QCOMPARE(fs::weakly_canonical(found), fs::weakly_canonical(directory / "models/tiny"));
    }

    void whatIsNotANumberIsLeftOut() {
        const TemporaryDirectory directory;
        Project project = fullProject(directory.path());
        KeptMeasurement& kept = project.measurements[0];
        kept.models[0].perplexity = std::numeric_limits<double>::infinity();
        kept.kl_divergence_error = std::nan("");
        saveProject(project, directory / "x.eigenscope");
        kept.models[0].perplexity.reset();
        kept.kl_divergence_error.reset();
        QVERIFY(loadProject(directory / "x.eigenscope") == project);
    }
    void theNewestMeasurementsAreKept() {
        const TemporaryDirectory directory;
        Project project = fullProject(directory.path());
        for (std::int64_t windows = 9; windows < 309; ++windows) {
            project.measurements.push_back(project.measurements.front());
            project.measurements.back().windows = windows;
        }
        saveProject(project, directory / "x.eigenscope");
        const auto kept = loadProject(directory / "x.eigenscope").measurements;
        QCOMPARE(kept.size(), std::size_t{256});
        QCOMPARE(kept.front().windows, std::int64_t{308 - 255});
        QCOMPARE(kept.back().windows, std::int64_t{308});
    }
    void timesOverTheYears_data() {
        QTest::addColumn<qlonglong>("seconds");
        QTest::addColumn<QString>("text");
        // date -u -d @SECONDS +%FT%TZ
        QTest::newRow("epoch") << 0LL << "1970-01-01T00:00:00Z";
        QTest::newRow("leap day") << 1709251199LL << "2024-02-29T23:59:59Z";
        QTest::newRow("before 1970") << -1LL << "1969-12-31T23:59:59Z";
        QTest::newRow("last") << 253402300799LL << "9999-12-31T23:59:59Z";
    }
    void timesOverTheYears() {
        QFETCH(qlonglong, seconds);
        QFETCH(QString, text);
        const TemporaryDirectory directory;
        Project project = fullProject(directory.path());
        project.measurements[0].measured = std::chrono::sys_seconds(std::chrono::seconds(seconds));
        saveProject(project, directory / "x.eigenscope");
        const Json json = readJsonFile(directory / "x.eigenscope");
        QCOMPARE(json.at("measurements").at(0).at("measured").get<std::string>(), text.toStdString());
        QVERIFY(loadProject(directory / "x.eigenscope") == project);
    }

    // What cannot be written is said, and what was there before stays.
    void namesThatJsonCannotHold() {
        const TemporaryDirectory directory;
        const fs::path file = directory / "x.eigenscope";
        const Project good = fullProject(directory.path());
        saveProject(good, file);
        Project project = good;
        project.converted = directory / "caf\xe9";
        QCOMPARE(errorOf([&] { saveProject(project, file); }),
                 file.string() + ": converted: is not UTF-8, and nothing else can stand in a project's file");
        project = good;
        project.model.clear();
        QCOMPARE(errorOf([&] { saveProject(project, file); }), file.string() + ": model: is empty");
        project = good;
        project.measurements[0].models[1].name = "\xff";
        QVERIFY(errorOf([&] {
                    saveProject(project, file);
                }).starts_with(file.string() + ": measurements[0].models[1].name: is not UTF-8"));
        QVERIFY(loadProject(file) == good);
    }
    void unwritableFolders() {
        const TemporaryDirectory directory;
        const fs::path file = directory / "missing/x.eigenscope";
        QVERIFY(errorOf([&] {
                    saveProject(fullProject(directory.path()), file);
                }).starts_with(file.string() + ": "));
        QVERIFY(fs::is_empty(directory.path()));
        QVERIFY(errorOf([&] { loadProject(file); }).starts_with(file.string() + ": cannot open"));
    }
};

QTEST_GUILESS_MAIN(TestProject)
#include "tst_project.moc"
