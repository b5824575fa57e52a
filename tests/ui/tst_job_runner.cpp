// SPDX-License-Identifier: Apache-2.0
#include "kernels/api/error.h"
#include "ui/model/job_runner.h"

#include <QSignalSpy>
#include <QTest>

#include <atomic>
#include <chrono>
#include <thread>

using namespace eigenscope;

class TestJobRunner : public QObject {
    Q_OBJECT

private slots:
    void deliversOnTheCallersThread() {
        JobRunner runner;
        int result = 0;
        QThread* where = nullptr;
        runner.submit(
            Lane::Engine, "add", this, [](JobContext&) { return 41 + 1; },
            [&](int value) {
                result = value;
                where = QThread::currentThread();
            });
        QTRY_COMPARE(result, 42);
        QCOMPARE(where, QThread::currentThread());
        QVERIFY(!runner.busy());
    }

    void engineJobsRunOneAfterAnother() {
        JobRunner runner;
        std::atomic<int> running = 0, most = 0;
        int done = 0;
        for (int i = 0; i < 4; ++i) {
            runner.submit(
                Lane::Engine, "work", this,
                [&](JobContext&) {
                    most = std::max(most.load(), ++running);
                    std::this_thread::sleep_for(std::chrono::milliseconds(5));
                    --running;
                    return 0;
                },
                [&](int) { ++done; });
        }
        QTRY_COMPARE(done, 4);
        QCOMPARE(most.load(), 1);
    }

    void parallelJobsOverlap() {
        JobRunner runner;
        std::atomic<int> arrived = 0;
        int done = 0;
        for (int i = 0; i < 2; ++i) {
            // Each waits for the other: only overlapping jobs ever end.
            runner.submit(
                Lane::Parallel, "meet", this,
                [&](JobContext& job) {
                    ++arrived;
                    while (arrived < 2) {
                        job.checkCancelled();
                        std::this_thread::yield();
                    }
                    return 0;
                },
                [&](int) { ++done; });
        }
        QTRY_COMPARE(done, 2);
    }

    void reportsProgress() {
        JobRunner runner;
        std::atomic<bool> go_on = false;
        Job* job = runner.submit(
            Lane::Engine, "count", this,
            [&](JobContext& context) {
                context.progress("counting", 3, 4);
                while (!go_on) {
                    std::this_thread::yield();
                }
                return 0;
            },
            [](int) {});
        QTRY_COMPARE(job->fraction(), 0.75);
        QVERIFY2(job->summary().startsWith("counting 3 of 4"), qPrintable(job->summary()));
        go_on = true;
        QTRY_COMPARE(job->state(), Job::State::Finished);
    }

    void cancelStopsARunningJobAndDeliversNothing() {
        JobRunner runner;
        bool delivered = false;
        Job* job = runner.submit(
            Lane::Engine, "endless", this,
            [](JobContext& context) -> int {
                for (;;) {
                    context.checkCancelled();
                    std::this_thread::sleep_for(std::chrono::milliseconds(1));
                }
            },
            [&](int) { delivered = true; });
        QTRY_COMPARE(job->state(), Job::State::Running);
        QSignalSpy ended(job, &Job::ended);
        job->cancel();
        QCOMPARE(job->state(), Job::State::Stopping);
        QTRY_COMPARE(job->state(), Job::State::Cancelled);
        QCOMPARE(ended.count(), 1);
        QVERIFY(!delivered);
    }

    void cancelTakesAQueuedJobOff() {
        JobRunner runner;
        std::atomic<bool> go_on = false;
        bool second_ran = false;
        runner.submit(
            Lane::Engine, "first", this,
            [&](JobContext&) {
                while (!go_on) {
                    std::this_thread::yield();
                }
                return 0;
            },
            [](int) {});
        Job* second = runner.submit(
            Lane::Engine, "second", this,
            [&](JobContext&) {
                second_ran = true;
                return 0;
            },
            [](int) {});
        second->cancel();
        QCOMPARE(second->state(), Job::State::Cancelled);
        go_on = true;
        QTRY_VERIFY(!runner.busy());
        QVERIFY(!second_ran);
    }

    void errorsArriveAsText() {
        JobRunner runner;
        QString text;
        QSignalSpy failed(&runner, &JobRunner::jobFailed);
        Job* job = runner.submit(
            Lane::Engine, "fail", this,
            [](JobContext&) -> int {
                throw Error(ErrorCode::InvalidInput, "config.json: layers: expected a number");
            },
            [](int) {}, [&](const QString& error) { text = error; });
        QTRY_COMPARE(failed.count(), 1);
        QCOMPARE(text, QStringLiteral("config.json: layers: expected a number"));
        QCOMPARE(job->state(), Job::State::Failed);
    }

    void resultsForAReceiverThatIsGoneAreDropped() {
        JobRunner runner;
        bool delivered = false;
        auto receiver = std::make_unique<QObject>();
        std::atomic<bool> go_on = false;
        Job* job = runner.submit(
            Lane::Engine, "late", receiver.get(),
            [&](JobContext&) {
                while (!go_on) {
                    std::this_thread::yield();
                }
                return 1;
            },
            [&](int) { delivered = true; });
        receiver.reset();
        go_on = true;
        QTRY_COMPARE(job->state(), Job::State::Finished);
        QVERIFY(!delivered);
    }

    void destructionStopsWhatRuns() {
        std::atomic<bool> stopped = false;
        {
            JobRunner runner;
            Job* job = runner.submit(
                Lane::Engine, "endless", this,
                [&](JobContext& context) -> int {
                    try {
                        for (;;) {
                            context.checkCancelled();
                            std::this_thread::yield();
                        }
                    } catch (const Cancelled&) {
                        stopped = true;
                        throw;
                    }
                },
                [](int) {});
            QTRY_COMPARE(job->state(), Job::State::Running);
        }
        QVERIFY(stopped);
    }
};

QTEST_GUILESS_MAIN(TestJobRunner)
#include "tst_job_runner.moc"
