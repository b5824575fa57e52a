// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/model/benchmark_run.h"

#include "core/base/atomic_output.h"
#include "core/benchmark/ceilings.h"
#include "core/report/benchmark_csv.h"
#include "ui/model/units.h"
#include "ui/model/workspace.h"

#include <QFile>

#include <algorithm>

namespace eigenscope {

namespace {

constexpr int kFetchMs = 100;

using SkipSink = std::function<void(const BenchmarkSkip&, const KvFormat&)>;

std::int64_t fittingRows(const std::vector<OpenModel>& models, const BenchmarkOptions& options) {
    std::int64_t rows = 0;
    for (const OpenModel& model : models) {
        for (const int batch : options.batches) {
            for (const std::int64_t context : options.contexts) {
                rows += memoryProblem(model, options, context, batch).empty() ? 1 : 0;
            }
        }
    }
    return rows;
}

// The ceilings of a run are measured once; only the matrix product is measured again for a model of another
// dtype or arithmetic.
class RunCeilings {
public:
    // Empty: the benchmark measures them itself.
    std::optional<BenchmarkCeilings> of(JobContext& job, const OpenModel& model,
                                        const RunOptions& run) const {
        const DType weights = weightDType(*model.model);
        const Compute compute = resolveCompute(run, model);
        for (const Known& known : m_known) {
            if (known.weights == weights && known.compute == compute) {
                return known.ceilings;
            }
        }
        if (m_known.empty()) {
            return std::nullopt;
        }
        return BenchmarkCeilings{m_known.front().ceilings.copy,
                                 measureProduct(job, *model.backend, run.threads, weights, compute)};
    }
    void keep(const OpenModel& model, const BenchmarkRow& row) {
        m_known.push_back({weightDType(*model.model), row.compute, row.ceilings});
    }

private:
    struct Known {
        DType weights;
        Compute compute;
        BenchmarkCeilings ceilings;
    };
    std::vector<Known> m_known;
};

void measureModels(JobContext& job, const std::vector<OpenModel>& models, BenchmarkOptions options,
                   const BenchmarkSink& row_sink, const SkipSink& skip_sink) {
    const std::int64_t total = fittingRows(models, options);
    std::int64_t done = 0;
    // The bar counts rows; what a row is at, which may take minutes, is said before.
    JobContext counted(job.stopToken(), [&](const Progress& progress) {
        std::string stage = progress.stage;
        if (progress.total > 0) {
            stage += " " + std::to_string(100 * progress.done / progress.total) + " %";
        }
        job.progress(stage + " · rows", done, total);
    });
    RunCeilings ceilings;
    for (const OpenModel& model : models) {
        options.ceilings = ceilings.of(counted, model, options.run);
        const BenchmarkResult result = benchmark(counted, model, options, true, [&](const BenchmarkRow& row) {
            ++done;
            row_sink(row);
        });
        for (const BenchmarkSkip& skip : result.skipped) {
            skip_sink(skip, resolveKvFormat(options.run, model));
        }
        if (!result.rows.empty()) {
            ceilings.keep(model, result.rows.front());
        }
    }
}

}  // namespace

BenchmarkRun::BenchmarkRun(Workspace& workspace, QObject* parent)
    : QObject(parent), m_workspace(workspace), m_stream(kFetchMs) {
    connect(&m_stream, &JobStream::fetch, this, &BenchmarkRun::fetch);
    connect(&m_stream, &JobStream::ended, this, &BenchmarkRun::updated);
    connect(&workspace, &Workspace::modelChanged, this, &BenchmarkRun::modelsChanged);
    connect(&workspace, &Workspace::otherModelChanged, this, &BenchmarkRun::modelsChanged);
    connect(&workspace, &Workspace::conversionChanged, this, &BenchmarkRun::modelsChanged);
    connect(&workspace.jobs(), &JobRunner::jobsChanged, this, [this] {
        if (running() && othersRun()) {
            m_alone = false;
        }
    });
}

const OpenModel* BenchmarkRun::model(BenchmarkModel which) const {
    switch (which) {
        case BenchmarkModel::Original:
            return m_workspace.model() ? &*m_workspace.model() : nullptr;
        case BenchmarkModel::Conversion:
            return m_workspace.conversion() ? &m_workspace.conversion()->model : nullptr;
        case BenchmarkModel::Checkpoint:
            return m_workspace.otherModel() ? &*m_workspace.otherModel() : nullptr;
    }
    return nullptr;
}

QString BenchmarkRun::name(BenchmarkModel which) const {
    const OpenModel* open = model(which);
    if (!open) {
        return {};
    }
    if (which == BenchmarkModel::Conversion) {
        return QStringLiteral("%1 %2×").arg(QString::fromStdString(m_workspace.model()->name),
                                            ratioText(m_workspace.conversion()->kv_ratio));
    }
    const QString own = QString::fromStdString(open->name);
    const bool taken = which == BenchmarkModel::Checkpoint &&
                       (own == name(BenchmarkModel::Original) || own == name(BenchmarkModel::Conversion));
    return taken ? tr("%1 (other)").arg(own) : own;
}

std::vector<OpenModel> BenchmarkRun::modelsOf(const BenchmarkRequest& request) const {
    std::vector<OpenModel> models;
    for (const BenchmarkModel which : request.models) {
        if (const OpenModel* open = model(which)) {
            models.push_back(*open);
            models.back().name = name(which).toStdString();
        }
    }
    return models;
}

BenchmarkOptions BenchmarkRun::optionsOf(const BenchmarkRequest& request) const {
    BenchmarkOptions options;
    options.contexts = request.contexts;
    options.batches = request.batches;
    options.new_tokens = request.new_tokens;
    options.repetitions = request.repetitions;
    options.prefill = request.prefill;
    options.run = m_workspace.runOptions();
    options.run.kv_format = request.kv_format;
    return options;
}

QString BenchmarkRun::problem(const BenchmarkRequest& request) const {
    const std::vector<OpenModel> models = modelsOf(request);
    if (models.empty()) {
        return tr("Choose at least one model.");
    }
    const BenchmarkOptions options = optionsOf(request);
    for (const OpenModel& model : models) {
        try {
            checkBenchmark(options, model.model->config, model.name);
            const Support support =
                supportsKvFormat(*model.backend, model.model->config, resolveKvFormat(options.run, model));
            if (!support.ok) {
                return tr("%1: %2").arg(QString::fromStdString(model.name),
                                        QString::fromStdString(support.reason));
            }
        } catch (const Error& error) {
            return QString::fromUtf8(error.what());
        }
    }
    return {};
}

std::vector<BenchmarkSkip> BenchmarkRun::unfit(const BenchmarkRequest& request) const {
    const BenchmarkOptions options = optionsOf(request);
    std::vector<BenchmarkSkip> skipped;
    for (const OpenModel& model : modelsOf(request)) {
        for (const int batch : options.batches) {
            for (const std::int64_t context : options.contexts) {
                std::string reason = memoryProblem(model, options, context, batch);
                if (!reason.empty()) {
                    skipped.push_back({model.name, context, batch, std::move(reason)});
                }
            }
        }
    }
    return skipped;
}

Job* BenchmarkRun::start(const BenchmarkRequest& request) {
    if (running() || !problem(request).isEmpty()) {
        return nullptr;
    }
    const std::vector<OpenModel> models = modelsOf(request);
    m_new_records = std::make_shared<Mailbox<BenchmarkRecord>>();
    m_new_skipped = std::make_shared<Mailbox<SkippedRecord>>();
    m_alone = true;
    ++m_runs;
    const auto row_sink = [mailbox = m_new_records, run = m_runs](const BenchmarkRow& row) {
        mailbox->put({run, row});
    };
    const auto skip_sink = [mailbox = m_new_skipped, run = m_runs](const BenchmarkSkip& skip,
                                                                   const KvFormat& format) {
        mailbox->put({run, skip, format});
    };
    const QString title = models.size() == 1 ? tr("Benchmark %1").arg(QString::fromStdString(models[0].name))
                                             : tr("Benchmark %1 models").arg(models.size());
    m_stream.follow(m_workspace.jobs().submit(
        Lane::Engine, title, this,
        [models, options = optionsOf(request), row_sink, skip_sink](JobContext& job) {
            measureModels(job, models, options, row_sink, skip_sink);
            return true;
        },
        [](bool) {},
        [this](const QString& error) { emit m_workspace.notice(tr("The benchmark failed"), error, true); }));
    emit updated();
    return m_stream.job();
}

void BenchmarkRun::clear() {
    m_stream.drop();
    m_new_records.reset();
    m_new_skipped.reset();
    m_records.clear();
    m_skipped.clear();
    m_runs = 0;
    emit updated();
}

// Jobs of the engine wait for each other; answers in Compare, saving and loading do not.
bool BenchmarkRun::othersRun() const {
    const std::vector<Job*> active = m_workspace.jobs().activeJobs();
    return std::any_of(active.begin(), active.end(), [this](const Job* job) {
        return job != m_stream.job() && job->state() != Job::State::Queued;
    });
}

void BenchmarkRun::fetch() {
    std::vector<BenchmarkRecord> rows = m_new_records->take();
    const std::vector<SkippedRecord> skipped = m_new_skipped->take();
    if (rows.empty() && skipped.empty()) {
        return;
    }
    for (BenchmarkRecord& record : rows) {
        record.alone = m_alone;
        m_records.push_back(std::move(record));
    }
    if (!rows.empty()) {
        m_alone = !othersRun();
    }
    m_skipped.insert(m_skipped.end(), skipped.begin(), skipped.end());
    emit updated();
}

std::string BenchmarkRun::csv() const {
    std::vector<BenchmarkRow> rows;
    rows.reserve(m_records.size());
    for (const BenchmarkRecord& record : m_records) {
        rows.push_back(record.row);
    }
    return benchmarkCsv(rows);
}

bool BenchmarkRun::exportCsv(const QString& file, QString* error) const {
    try {
        writeTextFile(QFile::encodeName(file).toStdString(), csv());
    } catch (const Error& failure) {
        *error = QString::fromUtf8(failure.what());
        return false;
    }
    return true;
}

}  // namespace eigenscope
