// SPDX-License-Identifier: GPL-3.0-or-later
// Benchmarks of the open models: one job measures what was asked for, model after model beside the same
// ceilings; rows arrive as they are measured. What earlier runs of this session measured stays until cleared,
// also when other models are opened meanwhile. GUI thread.
#pragma once

#include "core/benchmark/benchmark.h"
#include "ui/model/benchmark_inputs.h"
#include "ui/model/job_stream.h"

#include <memory>
#include <string>
#include <vector>

namespace eigenscope {

class Workspace;

struct BenchmarkRecord {
    int run = 1;  // counts from 1, since the results were cleared
    BenchmarkRow row;
    bool alone = true;  // else another job ran at the same time, and times are longer than they need be
};

struct SkippedRecord {
    int run = 1;
    BenchmarkSkip skip;
    KvFormat kv_format;
};

class BenchmarkRun : public QObject {
    Q_OBJECT
public:
    explicit BenchmarkRun(Workspace& workspace, QObject* parent = nullptr);

    const OpenModel* model(BenchmarkModel which) const;  // null when there is none
    QString name(BenchmarkModel which) const;            // as results call it; a conversion by its KV ratio

    // Why nothing can be measured, in one line: no model, numbers that a model does not allow, a format that
    // the device cannot do. Empty when it can.
    QString problem(const BenchmarkRequest& request) const;
    // What does not fit in the memory that is free now; of a request without problem().
    std::vector<BenchmarkSkip> unfit(const BenchmarkRequest& request) const;

    // Null when there is a problem or a run is going on.
    Job* start(const BenchmarkRequest& request);
    void clear();  // results; a run that is going on is cancelled
    bool running() const { return m_stream.running(); }
    Job* job() const { return m_stream.job(); }  // the latest, running or ended; or null

    const std::vector<BenchmarkRecord>& records() const { return m_records; }
    const std::vector<SkippedRecord>& skipped() const { return m_skipped; }
    bool empty() const { return m_records.empty() && m_skipped.empty(); }
    std::string csv() const;  // as the terminal program writes it
    // Whole or not at all; on failure one line in *error.
    bool exportCsv(const QString& file, QString* error) const;

signals:
    void updated();        // results, or whether a run is going on
    void modelsChanged();  // model() or name() of any

private:
    BenchmarkOptions optionsOf(const BenchmarkRequest& request) const;
    std::vector<OpenModel> modelsOf(const BenchmarkRequest& request) const;
    bool othersRun() const;
    void fetch();

    Workspace& m_workspace;
    JobStream m_stream;
    std::shared_ptr<Mailbox<BenchmarkRecord>> m_new_records;
    std::shared_ptr<Mailbox<SkippedRecord>> m_new_skipped;
    std::vector<BenchmarkRecord> m_records;
    std::vector<SkippedRecord> m_skipped;
    int m_runs = 0;
    bool m_alone = true;  // since the latest row arrived
};

}  // namespace eigenscope
