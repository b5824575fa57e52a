// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/model/workspace.h"

#include "core/calibration/corpus.h"
#include "core/compression/convert.h"
#include "core/compression/refit.h"
#include "core/evaluation/error_table.h"
#include "core/evaluation/sensitivity.h"
#include "core/spectrum/spectrum.h"
#include "ui/model/units.h"

#include <QDir>
#include <QFileInfo>

#include <algorithm>

namespace eigenscope {

namespace {

std::filesystem::path toPath(const QString& text) { return std::filesystem::path(text.toStdString()); }

QString besideModel(const QString& model_path, const QString& relative) {
    if (model_path.isEmpty()) {
        return {};
    }
    const QString file = QDir::cleanPath(model_path + QStringLiteral("/../") + relative);
    return QFileInfo::exists(file) ? file : QString();
}

// Measured at the user's wish: twice as fine as what calibration measures along the way.
constexpr int kErrorPoints = 16;
constexpr int kRanks = 16;
// Windows from the start of a text, for sensitivity and refit.
constexpr int kTextWindows = 16;

std::vector<std::vector<TokenId>> textWindows(JobContext& job, const OpenModel& model,
                                              const std::filesystem::path& text) {
    PerplexityOptions options;
    options.windows = kTextWindows;
    return evaluationWindows(job, *model.tokenizer, model.model->config.max_positions, text, options);
}

SensitivityTable sensitivityOf(JobContext& job, const OpenModel& model, const Statistics& statistics,
                               const Spectrum& spectrum, const std::filesystem::path& text,
                               const RunOptions& run, QuantisedGrid grid) {
    const std::vector<int> ranks = rankGrid(spectrum.basisWidth(), kRanks);
    if (!grid.bits.empty()) {
        grid.ranks = quantisedRanks(ranks);
    }
    SensitivityTable table =
        measureSensitivity(job, model, statistics, spectrum, textWindows(job, model, text), ranks, run, grid);
    table.text = text.filename().string();
    table.fingerprint = readCorpus(job, *model.tokenizer, text).fingerprint;
    return table;
}

}  // namespace

Workspace::Workspace(BackendChoice device, int threads, JobRunner& jobs, Settings& settings, QObject* parent)
    : QObject(parent), m_device(std::move(device)), m_threads(threads), m_jobs(jobs), m_settings(settings) {
    // Other bases, or those before when that is undone, may be fewer.
    connect(&m_plan, &PlanDocument::spectrumChanged, this, [this] { select(m_layer, m_head, m_side); });
}

QString Workspace::deviceText() const {
    const DeviceInfo& info = m_device.backend->info();
    return QStringLiteral("%1 · %2").arg(QString::fromStdString(info.backend).toUpper(),
                                         QString::fromStdString(info.name));
}

QString Workspace::deviceFallback() const { return QString::fromStdString(m_device.fallback_reason); }

RunOptions Workspace::runOptions() const {
    RunOptions options;
    options.threads = m_threads;
    return options;
}

bool Workspace::planChangedSinceConversion() const {
    return m_conversion && (m_conversion->statistics != m_statistics ||
                            m_conversion->plan.key_ranks != m_plan.plan().key_ranks ||
                            m_conversion->plan.value_ranks != m_plan.plan().value_ranks ||
                            m_conversion->plan.kv_bits != m_plan.plan().kv_bits ||
                            m_conversion->plan.method != m_plan.plan().method ||
                            m_conversion->plan.basisOptions() != m_plan.plan().basisOptions());
}

void Workspace::select(int layer, int head, Side side) {
    if (!m_model) {
        return;
    }
    layer = std::clamp(layer, 0, m_model->model->config.layers - 1);
    head = std::clamp(head, -1, (spectrum() ? spectrum()->heads() : m_model->model->config.kv_heads) - 1);
    if (layer == m_layer && head == m_head && side == m_side) {
        return;
    }
    m_layer = layer;
    m_head = head;
    m_side = side;
    emit selectionChanged();
}

std::function<void(const QString&)> Workspace::report(const QString& title) {
    return [this, title](const QString& text) { emit notice(title, text, true); };
}

Job* Workspace::openModel(const QString& path) {
    if (m_open_guard && !m_open_guard(path)) {
        return nullptr;
    }
    const auto backend = m_device.backend;
    return m_jobs.submit(
        Lane::Engine, tr("Open %1").arg(QFileInfo(path).fileName()), this,
        [backend, path](JobContext& job) { return eigenscope::openModel(job, backend, toPath(path)); },
        [this](OpenModel opened) { setModel(std::move(opened)); },
        report(tr("The model could not be opened")));
}

void Workspace::closeModel() {
    if (m_model) {
        setModel(std::nullopt);
    }
}

void Workspace::setModel(std::optional<OpenModel> model) {
    m_model_path = model ? QString::fromStdString(model->checkpoint->directory().string()) : QString();
    m_model = std::move(model);
    m_other.reset();
    m_conversion.reset();
    m_statistics.reset();
    m_statistics_file.clear();
    m_paused.reset();
    m_layer = 0;
    m_head = -1;
    m_side = Side::Keys;
    m_plan.setSpectrum(nullptr);
    m_plan.setTables({});
    if (m_model && !m_model->checkpoint->hasDummyWeights()) {
        m_settings.addRecentModel(m_model_path);  // presets have their own list
    }
    emit modelChanged();
    emit otherModelChanged();
    emit statisticsChanged();
    emit conversionChanged();
}

Job* Workspace::openOtherModel(const QString& path) {
    const auto backend = m_device.backend;
    return m_jobs.submit(
        Lane::Engine, tr("Open %1").arg(QFileInfo(path).fileName()), this,
        [backend, path](JobContext& job) { return eigenscope::openModel(job, backend, toPath(path)); },
        [this](OpenModel opened) {
            if (m_model && opened.model->config.vocab_size != m_model->model->config.vocab_size) {
                emit notice(tr("The models cannot be compared"),
                            tr("%1 has a vocabulary of %L2, %3 of %L4.")
                                .arg(QString::fromStdString(opened.name))
                                .arg(opened.model->config.vocab_size)
                                .arg(QString::fromStdString(m_model->name))
                                .arg(m_model->model->config.vocab_size),
                            true);
                return;
            }
            m_other = std::move(opened);
            emit otherModelChanged();
        },
        report(tr("The model could not be opened")));
}

Job* Workspace::calibrate(const QString& text, const CalibrationOptions& options) {
    return calibrate(CorpusSpec(toPath(text)), options);
}

Job* Workspace::calibrate(const CorpusSpec& corpus, const CalibrationOptions& options) {
    return runCalibration(corpus, options, std::nullopt);
}

Job* Workspace::continueCalibration() {
    if (!m_paused) {
        return nullptr;
    }
    return runCalibration(m_paused->corpus, m_paused->options, m_paused->partial);
}

void Workspace::setPaused(std::optional<PausedCalibration> paused) {
    m_paused = std::move(paused);
    emit pausedCalibrationChanged();
}

Job* Workspace::runCalibration(const CorpusSpec& corpus, const CalibrationOptions& options,
                               std::optional<PartialCalibration> start) {
    if (!m_model || corpus.files.empty()) {
        return nullptr;
    }
    // Windows that take longer are kept each; others are finished before a cancelled run ends.
    constexpr double kKeepSeconds = 0.5;
    const auto kept = std::make_shared<PartialCalibration>();
    const QString name = QString::fromStdString(corpus.files.front().file.filename().string());
    const QString title = corpus.files.size() > 1
                              ? tr("Calibrate on %1 and %2 more").arg(name).arg(corpus.files.size() - 1)
                              : tr("Calibrate on %1").arg(name);
    Job* job = takeStatistics(
        title, tr("Calibration failed"),
        [model = *m_model, corpus, options, start = std::move(start), kept,
         current = m_statistics](JobContext& context) {
            const CalibrationPlan plan = planCalibration(context, model, corpus, options);
            if (current && sameCalibration(*current, plan)) {
                return current;
            }
            CalibrationKeeper keeper;
            // A text that has changed meanwhile starts anew.
            if (start && !start->stale() &&
                firstDifference(start->identity, plan.description.identity).empty()) {
                keeper.start = start;
                *kept = *start;
            }
            keeper.keep = [kept](const PartialCalibration& partial) { *kept = partial; };
            keeper.interval_seconds = kKeepSeconds;
            auto statistics =
                std::make_shared<Statistics>(eigenscope::runCalibration(context, model, plan, keeper));
            measureErrorTables(context, model, *statistics, kCalibrationErrorPoints, options.run);
            return std::shared_ptr<const Statistics>(std::move(statistics));
        });
    // The worker is done with `kept` by then.
    connect(job, &Job::ended, this,
            [this, job, kept, corpus, options, before = m_statistics, opened = m_model->model] {
                if (!m_model || m_model->model != opened) {
                    return;
                }
                if (job->state() == Job::State::Cancelled && kept->windows > 0) {
                    setPaused(PausedCalibration{corpus, options, std::move(*kept)});
                } else if (job->state() == Job::State::Finished) {
                    setPaused(std::nullopt);
                    if (before && m_statistics == before) {
                        emit notice(tr("Nothing new to measure"),
                                    tr("The statistics that are open are of the same text and settings."),
                                    false);
                    }
                }
            });
    return job;
}

Job* Workspace::compareBases(const QString& file, const SubspaceRank& rank) {
    if (!m_model || !m_statistics || !spectrum()) {
        return nullptr;
    }
    return m_jobs.submit(
        Lane::Engine, tr("Compare bases with %1").arg(QFileInfo(file).fileName()), this,
        [backend = m_device.backend, statistics = m_statistics, own = spectrum(), file,
         rank](JobContext& job) {
            const Statistics other = eigenscope::loadStatistics(toPath(file));
            if (other.model_fingerprint != statistics->model_fingerprint) {
                throw Error(ErrorCode::InvalidInput, file.toStdString() + ": these statistics are of " +
                                                         other.model_name + ", not of " +
                                                         statistics->model_name);
            }
            const auto spectrum = computeSpectrum(job, *backend, other, own->method(), own->options());
            return BasesComparison{QString::fromStdString(statistics->calibration.text),
                                   QString::fromStdString(other.calibration.text),
                                   compareSubspaces(job, *own, *spectrum, rank)};
        },
        [this](const BasesComparison& comparison) { emit basesCompared(comparison); },
        report(tr("The bases could not be compared")));
}

Job* Workspace::loadStatistics(const QString& file, const std::optional<BasisChoice>& basis) {
    if (!m_model) {
        return nullptr;
    }
    return takeStatistics(
        tr("Load %1").arg(QFileInfo(file).fileName()), tr("The statistics could not be read"),
        [model = *m_model, file](JobContext&) {
            auto statistics = std::make_shared<const Statistics>(eigenscope::loadStatistics(toPath(file)));
            if (statistics->model_fingerprint != model.checkpoint->fingerprint()) {
                throw Error(ErrorCode::InvalidInput, file.toStdString() + ": these statistics are of " +
                                                         statistics->model_name + ", not of " + model.name);
            }
            return statistics;
        },
        basis, file);
}

Job* Workspace::takeStatistics(const QString& title, const QString& failure, StatisticsSource source,
                               const std::optional<BasisChoice>& basis, const QString& file) {
    struct Outcome {
        std::shared_ptr<const Statistics> statistics;
        std::shared_ptr<const Spectrum> spectrum;
    };
    // The basis chosen so far is kept: calibrating again is no reason to change the method.
    const BasisChoice kept = m_plan.empty()
                                 ? BasisChoice()
                                 : BasisChoice{m_plan.spectrum()->method(), m_plan.spectrum()->options()};
    return m_jobs.submit(
        Lane::Engine, title, this,
        [backend = m_device.backend, source = std::move(source),
         wanted = basis.value_or(kept)](JobContext& job) {
            Outcome outcome;
            outcome.statistics = source(job);
            outcome.spectrum =
                computeSpectrum(job, *backend, *outcome.statistics, wanted.method, wanted.options);
            return outcome;
        },
        [this, opened = m_model->model, file](const Outcome& outcome) {
            if (m_model && m_model->model == opened) {  // else another model was opened meanwhile
                if (m_statistics != outcome.statistics) {
                    m_statistics_file = file;
                }
                m_statistics = outcome.statistics;
                m_plan.setTables(m_statistics->tables);
                m_plan.setSpectrum(outcome.spectrum);
                emit statisticsChanged();
            }
        },
        report(failure));
}

Job* Workspace::saveStatistics(const QString& file) {
    if (!m_statistics) {
        return nullptr;
    }
    return m_jobs.submit(
        Lane::Parallel, tr("Save %1").arg(QFileInfo(file).fileName()), this,
        [statistics = m_statistics, file](JobContext& job) {
            eigenscope::saveStatistics(job, *statistics, toPath(file));
            return file;
        },
        [this, statistics = m_statistics](const QString& saved) {
            setStatisticsFile(statistics, saved);
            emit notice(tr("Statistics saved"), saved, false);
        },
        report(tr("The statistics could not be saved")));
}

void Workspace::setStatisticsFile(const std::shared_ptr<const Statistics>& statistics, const QString& file) {
    if (m_statistics == statistics && m_statistics_file != file) {
        m_statistics_file = file;
        emit statisticsFileChanged();
    }
}

Job* Workspace::setBasis(const QString& method, const BasisOptions& options) {
    return changeBasis(method, options, {});
}

Job* Workspace::changeBasis(const QString& method, const BasisOptions& options, std::function<void()> then) {
    if (!m_model || !m_statistics) {
        return nullptr;
    }
    return m_jobs.submit(
        Lane::Engine, tr("Compute bases"), this,
        [backend = m_device.backend, statistics = m_statistics, method, options](JobContext& job) {
            return computeSpectrum(job, *backend, *statistics, method.toStdString(), options);
        },
        [this, statistics = m_statistics, then = std::move(then)](std::shared_ptr<const Spectrum> spectrum) {
            if (m_statistics == statistics) {
                m_plan.changeBases(std::move(spectrum));
                if (then) {
                    then();
                }
            }
        },
        report(tr("The bases could not be computed")));
}

Job* Workspace::measureTables(Allocation allocation, const QString& text, bool mixed_bits) {
    if (!m_model || !m_statistics || m_plan.empty() || allocation == Allocation::Threshold) {
        return nullptr;
    }
    const bool errors = allocation == Allocation::ErrorBudget;
    QuantisedGrid grid;
    if (mixed_bits) {
        const KvBits& bits = m_plan.plan().kv_bits;
        grid.bits = {8, 4, 3, 2};
        grid.group = bits.group;
        grid.keys = bits.key_grouping;
        grid.recent = bits.recent;
    }
    m_tables_job = m_jobs.submit(
        Lane::Engine,
        errors       ? tr("Measure layer errors")
        : mixed_bits ? tr("Measure ranks and bits")
                     : tr("Measure sensitivity"),
        this,
        [model = *m_model, statistics = m_statistics, spectrum = m_plan.spectrum(), errors, text, grid,
         criterion = m_plan.plan().criterion, run = runOptions()](JobContext& job) {
            auto measured = std::make_shared<Statistics>(*statistics);
            if (errors) {
                measured->tables.set(measureErrorTable(job, model, *statistics, *spectrum, criterion,
                                                       statistics->probe_windows, kErrorPoints, run));
            } else {
                measured->tables.set(
                    sensitivityOf(job, model, *statistics, *spectrum, toPath(text), run, grid));
            }
            return std::shared_ptr<const Statistics>(std::move(measured));
        },
        [this, before = m_statistics](std::shared_ptr<const Statistics> measured) {
            if (m_statistics == before) {  // else calibrated anew meanwhile
                m_statistics = std::move(measured);
                m_statistics_file.clear();
                if (m_conversion && m_conversion->statistics == before) {
                    m_conversion->statistics = m_statistics;  // the same moments: not stale
                }
                m_plan.setTables(m_statistics->tables);
                emit statisticsFileChanged();
            }
        },
        report(tr("The measurement failed")));
    return m_tables_job;
}

Job* Workspace::convert(const QString& refit_text) {
    if (!m_model || !m_statistics || m_plan.empty()) {
        return nullptr;
    }
    const OpenModel model = *m_model;
    const RankPlan plan = m_plan.plan();
    m_conversion_job = m_jobs.submit(
        Lane::Engine, tr("Convert to %1× KV cache").arg(ratioText(m_plan.kvRatio())), this,
        [model, plan, statistics = m_statistics, spectrum = m_plan.spectrum(), refit_text,
         run = runOptions()](JobContext& job) {
            Conversion conversion;
            conversion.model = convertInMemory(job, model, *statistics, *spectrum, plan);
            conversion.refitted = !refit_text.isEmpty();
            if (conversion.refitted) {
                RefitOptions refit;
                refit.run = run;
                refit.text = toPath(refit_text).filename().string();
                refit.fingerprint = readCorpus(job, *model.tokenizer, toPath(refit_text)).fingerprint;
                conversion.model = refitOutputs(job, model, conversion.model,
                                                textWindows(job, model, toPath(refit_text)), refit);
            }
            conversion.plan = plan;
            conversion.statistics = statistics;
            conversion.kv_ratio = kvRatio(conversion.model.model->config);
            conversion.layer_errors =
                layerErrors(job, model, conversion.model, statistics->probe_windows, run);
            return conversion;
        },
        [this, opened = model.model](Conversion conversion) {
            if (m_model && m_model->model == opened) {
                m_conversion = std::move(conversion);
                emit conversionChanged();
            }
        },
        report(tr("The conversion failed")));
    return m_conversion_job;
}

Job* Workspace::saveConverted(const QString& directory) {
    if (!m_model || !m_conversion) {
        return nullptr;
    }
    return m_jobs.submit(
        Lane::Engine, tr("Write %1").arg(QFileInfo(directory).fileName()), this,
        [original = *m_model, converted = m_conversion->model, directory](JobContext& job) {
            writeConverted(job, original, converted, toPath(directory));
            return directory;
        },
        [this, model = m_conversion->model.model](const QString& saved) {
            if (m_conversion && m_conversion->model.model == model) {
                m_conversion->saved_to = saved;
                emit conversionChanged();
            }
            emit notice(tr("Converted model saved"), saved, false);
        },
        report(tr("The converted model could not be saved")));
}

Job* Workspace::savePlan(const QString& file) {
    if (m_plan.empty()) {
        return nullptr;
    }
    return m_jobs.submit(
        Lane::Parallel, tr("Save %1").arg(QFileInfo(file).fileName()), this,
        [plan = m_plan.plan(), file](JobContext&) {
            eigenscope::savePlan(plan, toPath(file));
            return file;
        },
        [this](const QString& saved) { emit notice(tr("Plan saved"), saved, false); },
        report(tr("The plan could not be saved")));
}

Job* Workspace::loadPlan(const QString& file) {
    if (m_plan.empty()) {
        return nullptr;
    }
    return m_jobs.submit(
        Lane::Parallel, tr("Load %1").arg(QFileInfo(file).fileName()), this,
        [spectrum = m_plan.spectrum(), statistics = m_statistics, file](JobContext&) {
            RankPlan plan = eigenscope::loadPlan(toPath(file));
            checkPlan(plan, spectrum->layers(), statistics->head_dim * plan.head_group, toPath(file));
            return plan;
        },
        [this, statistics = m_statistics, file](const RankPlan& plan) {
            if (m_statistics == statistics) {  // else another model or calibration meanwhile
                usePlan(plan, file);
            }
        },
        report(tr("The plan could not be loaded")));
}

Job* Workspace::usePlan(const RankPlan& plan, const QString& file) {
    if (!m_statistics || m_plan.empty()) {
        return nullptr;
    }
    const auto failed = report(tr("The plan could not be loaded"));
    try {
        checkPlan(plan, spectrum()->layers(), m_statistics->head_dim * plan.head_group, toPath(file));
    } catch (const Error& error) {
        failed(QString::fromUtf8(error.what()));
        return nullptr;
    }
    const auto take = [this, plan] { m_plan.setPlan(plan, tr("Load plan")); };
    if (plan.method == spectrum()->method() && plan.basisOptions() == spectrum()->options()) {
        take();
        return nullptr;
    }
    // Its ranks belong to that basis.
    return changeBasis(QString::fromStdString(plan.method), plan.basisOptions(), take);
}

QString Workspace::suggestedCalibrationText() const {
    return besideModel(m_model_path, QStringLiteral("text/calibration.txt"));
}

QString Workspace::suggestedEvaluationText() const {
    return besideModel(m_model_path, QStringLiteral("text/heldout.txt"));
}

}  // namespace eigenscope
