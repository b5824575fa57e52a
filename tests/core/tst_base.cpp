// SPDX-License-Identifier: Apache-2.0
// Atomic outputs leave nothing behind, JSON errors name file and field, progress is throttled, fingerprints
// are FNV-1a.
#include "core/base/atomic_output.h"
#include "core/base/fail.h"
#include "core/base/hash.h"
#include "core/base/job_context.h"
#include "core/base/json.h"
#include "tests/support/error_text.h"

#include <QTemporaryDir>
#include <QTest>

#include <csignal>
#include <fstream>
#include <thread>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace eigenscope;
using namespace eigenscope::test;
namespace fs = std::filesystem;

namespace {

int entriesIn(const fs::path& folder) {
    return static_cast<int>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

#define VERIFY_MESSAGE(operation, part)                                                 \
    do {                                                                                \
        const std::string said = errorOf([&] { operation; });                           \
        QVERIFY2(contains(said, part), ("said: '" + said + "'").c_str());               \
        QVERIFY2(said.find('\n') == std::string::npos, "an error message is one line"); \
    } while (false)

class TestBase : public QObject {
    Q_OBJECT

private:
    QTemporaryDir m_temporary;
    int m_next = 0;

    fs::path folder() {
        const fs::path path = fs::path(m_temporary.path().toStdString()) / std::to_string(m_next++);
        fs::create_directory(path);
        return path;
    }

private slots:
    void fileAppearsOnlyAtCommit() {
        const fs::path dir = folder();
        {
            AtomicFile file(dir / "out.txt");
            file.write("hello ");
            file.write("world");
            QVERIFY(!fs::exists(dir / "out.txt"));
            QCOMPARE(entriesIn(dir), 1);
            file.commit();
            QCOMPARE(readTextFile(dir / "out.txt"), std::string("hello world"));
        }
        QCOMPARE(entriesIn(dir), 1);
    }

    void abandonedFileLeavesNothing() {
        const fs::path dir = folder();
        writeTextFile(dir / "out.txt", "old");
        {
            AtomicFile file(dir / "out.txt");
            file.write("new");
        }
        QCOMPARE(entriesIn(dir), 1);
        QCOMPARE(readTextFile(dir / "out.txt"), std::string("old"));
    }

    void fileTargetsThatCannotBe() {
        const fs::path dir = folder();
        VERIFY_MESSAGE(AtomicFile(dir / "missing" / "out.txt"), "No such file or directory");
        VERIFY_MESSAGE(AtomicFile{dir}, "is a directory");
        VERIFY_MESSAGE(AtomicFile("/dev/null"), "not a regular file");
        VERIFY_MESSAGE(AtomicFile("/proc/out.txt"), "/proc/out.txt: cannot write");
        QCOMPARE(entriesIn(dir), 0);
    }

    void directoryAppearsOnlyAtCommit() {
        const fs::path dir = folder();
        {
            AtomicDirectory output(dir / "model");
            writeTextFile(output.path() / "a.txt", "a");
            fs::create_directory(output.path() / "sub");
            writeTextFile(output.path() / "sub" / "b.txt", "b");
            QVERIFY(!fs::exists(dir / "model"));
            output.commit();
        }
        QCOMPARE(readTextFile(dir / "model" / "sub" / "b.txt"), std::string("b"));
        QCOMPARE(entriesIn(dir), 1);
    }

    void abandonedDirectoryLeavesNothing() {
        const fs::path dir = folder();
        {
            AtomicDirectory output(dir / "model");
            writeTextFile(output.path() / "a.txt", "a");
        }
        QCOMPARE(entriesIn(dir), 0);
    }

    void directoryReplacesOnlyAnEmptyOne() {
        const fs::path dir = folder();
        fs::create_directory(dir / "empty");
        {
            AtomicDirectory output(dir / "empty/");  // a trailing slash is as good
            writeTextFile(output.path() / "a.txt", "a");
            output.commit();
        }
        QVERIFY(fs::exists(dir / "empty" / "a.txt"));
        VERIFY_MESSAGE(AtomicDirectory(dir / "empty"), "is not empty");
        VERIFY_MESSAGE(AtomicDirectory(dir / "empty" / "a.txt"), "is no directory");
        VERIFY_MESSAGE(AtomicDirectory(dir / "missing" / "model"), "No such file or directory");
        QCOMPARE(entriesIn(dir), 1);
    }

    void directoryFilledMeanwhileIsKept() {
        const fs::path dir = folder();
        {
            AtomicDirectory output(dir / "model");
            writeTextFile(output.path() / "a.txt", "ours");
            fs::create_directory(dir / "model");
            writeTextFile(dir / "model" / "a.txt", "theirs");
            VERIFY_MESSAGE(output.commit(), "cannot rename");
        }
        QCOMPARE(readTextFile(dir / "model" / "a.txt"), std::string("theirs"));
        QCOMPARE(entriesIn(dir), 1);
    }

    // A child process that is killed while it writes: what it leaves has the target's name in it, does not
    // look like the target, and is removed by the next writer.
    void leftoversOfAKilledWriter() {
        const fs::path dir = folder();
        writeTextFile(dir / "out.txt", "old");
        const pid_t child = fork();
        if (child == 0) {
            AtomicFile file(dir / "out.txt");
            AtomicDirectory output(dir / "model");
            file.write("new");
            writeTextFile(output.path() / "a.txt", "a");
            raise(SIGKILL);
        }
        int status = 0;
        QCOMPARE(waitpid(child, &status, 0), child);
        QVERIFY(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        QCOMPARE(readTextFile(dir / "out.txt"), std::string("old"));
        QVERIFY(!fs::exists(dir / "model"));
        QCOMPARE(entriesIn(dir), 3);
        for (const auto& entry : fs::directory_iterator(dir)) {
            const std::string name = entry.path().filename().string();
            QVERIFY2(name == "out.txt" || (name.ends_with(".partial") &&
                                           (name.starts_with(".out.txt.") || name.starts_with(".model."))),
                     name.c_str());
        }
        writeTextFile(dir / "out.txt", "new");
        QCOMPARE(entriesIn(dir), 2);
        AtomicDirectory output(dir / "model");
        writeTextFile(output.path() / "b.txt", "b");
        output.commit();
        QCOMPARE(entriesIn(dir), 2);
        QVERIFY(!fs::exists(dir / "model" / "a.txt"));
    }

    // Two writers of one target at once: neither takes the other's unfinished file for a leftover; what only
    // looks like one in part is nobody's to remove.
    void unfinishedOutputsOfTheLivingStay() {
        const fs::path dir = folder();
        const char* kOthers[] = {".out.txt.partial", ".out.txt.1-2.partial.bak", ".out.txt.x-2.partial",
                                 ".out.text.1-2.partial", "out.txt.partial"};
        for (const char* name : kOthers)
            writeTextFile(dir / name, "mine");
        AtomicFile first(dir / "out.txt"), second(dir / "out.txt");
        first.write("first");
        second.write("second");
        AtomicDirectory one(dir / "model"), two(dir / "model");
        writeTextFile(one.path() / "a.txt", "a");
        second.commit();
        first.commit();
        one.commit();
        QCOMPARE(readTextFile(dir / "out.txt"), std::string("first"));
        QVERIFY(fs::exists(dir / "model" / "a.txt") && fs::exists(two.path()));
        for (const char* name : kOthers)
            QCOMPARE(readTextFile(dir / name), std::string("mine"));
    }

    // What is written into a folder that is not finished is named as the user knows it.
    void errorsNameTheDirectoryItself() {
        const fs::path dir = folder();
        AtomicDirectory output(dir / "model");
        VERIFY_MESSAGE(
            output.fill([&] { writeTextFile(output.path() / "none" / "a.txt", "a"); }),
            (dir / "model" / "none" / "a.txt").string() + ": cannot write: No such file or directory");
    }

    void readingText() {
        const fs::path dir = folder();
        std::string bytes(100000, 'x');
        bytes[5] = '\0';
        writeTextFile(dir / "a", bytes);
        QCOMPARE(readTextFile(dir / "a"), bytes);
        QCOMPARE(readTextFile(dir / "a", 100000), bytes);
        VERIFY_MESSAGE(readTextFile(dir / "a", 99999), "is larger than 99999 bytes");
        VERIFY_MESSAGE(readTextFile(dir / "b"), "cannot open: No such file");
        VERIFY_MESSAGE(readTextFile(dir), "is a directory");
        // Files of /proc say that they are empty.
        QVERIFY(readTextFile("/proc/self/status").find("VmRSS") != std::string::npos);
    }

    void jsonProblems_data() {
        QTest::addColumn<QByteArray>("text");
        QTest::addColumn<QByteArray>("message");
        QTest::newRow("empty") << QByteArray() << QByteArray("x.json: is empty");
        QTest::newRow("cut off") << QByteArray("{\"a\": [1, 2")
                                 << QByteArray("x.json: not valid JSON at byte 12");
        QTest::newRow("line") << QByteArray("{\n \"a\": nope}") << QByteArray("(line 2, column 8)");
        QTest::newRow("rest") << QByteArray("{} x") << QByteArray("not valid JSON at byte 4");
        QTest::newRow("utf-8") << QByteArray("{\"a\": \"\xff\"}") << QByteArray("not valid JSON at byte 8");
        QTest::newRow("number") << QByteArray("{\"a\": 1e999}") << QByteArray("a number is out of range");
        QTest::newRow("deep arrays") << QByteArray(257, '[') + QByteArray(257, ']')
                                     << QByteArray("more than 256 levels");
        QByteArray objects;
        for (int i = 0; i < 100000; ++i)
            objects += "{\"a\":";
        QTest::newRow("deep objects") << objects << QByteArray("more than 256 levels");
    }
    void jsonProblems() {
        QFETCH(QByteArray, text);
        QFETCH(QByteArray, message);
        VERIFY_MESSAGE(parseJson(text.toStdString(), "x.json"), message.toStdString());
    }

    void jsonAsDeepAsAllowed() {
        const std::string text = std::string(256, '[') + std::string(256, ']');
        QCOMPARE(parseJson(text, "x.json").size(), std::size_t{1});
    }

    void duplicateKeys() {
        const std::string text = R"({"a": {"b": 1, "c": 2}, "b": 3, "a": 4})";
        QCOMPARE(parseJson(text, "x.json").at("a").get<int>(), 4);
        VERIFY_MESSAGE(parseJson(text, "x.json", DuplicateKeys::Reject),
                       "x.json: JSON has the key 'a' twice");
        parseJson(R"({"a": {"b": 1}, "b": [{"a": 1}, {"a": 1}]})", "x.json", DuplicateKeys::Reject);
    }

    void viewsNameTheField() {
        const Json document = parseJson(
            R"({"rope": {"factor": "two", "list": [1, 2.5, true, null, -7, 4096.0, 1e30]}, "n": null})",
            "config.json");
        const JsonView root(document, "config.json");
        const JsonView rope = root.at("rope");
        VERIFY_MESSAGE(rope.at("factor").number(), "config.json: rope.factor: expected a number");
        VERIFY_MESSAGE(rope.at("missing"), "config.json: rope.missing: is missing");
        VERIFY_MESSAGE(rope.at("list").at(std::size_t{9}), "config.json: rope.list[9]: is missing");
        VERIFY_MESSAGE(rope.at("list").at(std::size_t{2}).integer(0, 5),
                       "config.json: rope.list[2]: expected an integer from 0 to 5");
        VERIFY_MESSAGE(rope.at("list").at(std::size_t{1}).integer(0, 5),
                       "rope.list[1]: expected an integer from 0 to 5, found 2.5");
        VERIFY_MESSAGE(rope.at("list").at(std::size_t{4}).integer(0, 5), "found -7");
        VERIFY_MESSAGE(rope.at("list").at(std::size_t{6}).integer(0, 5), "expected an integer");
        VERIFY_MESSAGE(rope.at("list").string(), "rope.list: expected a string");
        VERIFY_MESSAGE(rope.at("list").at("x"), "rope.list: expected an object");
        VERIFY_MESSAGE(rope.size(), "rope: expected an array");
        VERIFY_MESSAGE(rope.booleanOr("factor", true), "rope.factor: expected true or false");
        QCOMPARE(rope.at("list").at(std::size_t{5}).integer(0, 5000), std::int64_t{4096});
        QCOMPARE(rope.at("list").at(std::size_t{4}).integer(-7, -7), std::int64_t{-7});
        QVERIFY(!root.has("n") && !root.has("m") && root.has("rope"));
        QCOMPARE(root.integerOr("n", 3, 0, 9), std::int64_t{3});
        QCOMPARE(root.stringOr("m", "x"), std::string("x"));
    }

    void progressIsThrottledButFirstAndLastArrive() {
        std::vector<Progress> reports;
        JobContext job({}, [&](const Progress& progress) { reports.push_back(progress); });
        for (int i = 0; i <= 100000; ++i)
            job.progress("one", i, 100000);
        QVERIFY(reports.size() >= 2);
        QVERIFY(reports.size() < 10000);
        QCOMPARE(reports.front().done, std::int64_t{0});
        QCOMPARE(reports.back().done, std::int64_t{100000});
        const std::size_t before = reports.size();
        job.progress("two", 5, 0);  // another stage: its first report
        job.progress("two", 6, 0);
        QCOMPARE(reports.size(), before + 1);
        QCOMPARE(reports.back().stage, std::string("two"));
        std::this_thread::sleep_for(std::chrono::milliseconds(60));
        job.progress("two", 7, 0);
        QCOMPARE(reports.back().done, std::int64_t{7});
    }

    void cancellation() {
        std::stop_source source;
        const JobContext job(source.get_token());
        job.checkCancelled();
        source.request_stop();
        QVERIFY(job.cancelled());
        QVERIFY_EXCEPTION_THROWN(job.checkCancelled(), Cancelled);
        JobContext silent;
        silent.progress("nobody listens", 1, 2);
        QVERIFY(!silent.cancelled());
    }

    // Test vectors of http://www.isthe.com/chongo/tech/comp/fnv/ (fnv-1a, 64 bits).
    void fingerprints() {
        QCOMPARE(Fingerprint().hex(), std::string("cbf29ce484222325"));
        Fingerprint a, foobar;
        a.add("a");
        foobar.add("foo");
        foobar.add("bar");
        QCOMPARE(a.hex(), std::string("af63dc4c8601ec8c"));
        QCOMPARE(foobar.hex(), std::string("85944171f73967e8"));
    }
};

QTEST_GUILESS_MAIN(TestBase)
#include "tst_base.moc"
