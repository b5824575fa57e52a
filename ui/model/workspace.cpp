// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/model/workspace.h"

#include "core/compression/convert.h"
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

}  // namespace

Workspace::Workspace(BackendChoice device, int threads, JobRunner& jobs, Settings& settings, QObject* parent)
    : QObject(parent), m_device(std::move(device)), m_threads(threads), m_jobs(jobs), m_settings(settings) {}

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
                            m_conversion->plan.share_key_basis != m_plan.plan().share_key_basis);
}

void Workspace::select(int layer, int head, Side side) {
    if (!m_model) {
        return;
    }
    layer = std::clamp(layer, 0, m_model->model->config.layers - 1);
    head = std::clamp(head, -1, m_model->model->config.kv_heads - 1);
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
    const auto backend = m_device.backend;
    return m_jobs.submit(
        Lane::Engine, tr("Open %1").arg(QFileInfo(path).fileName()), this,
        [backend, path](JobContext& job) { return eigenscope::openModel(job, backend, toPath(path)); },
        [this](OpenModel opened) {
            m_model_path = QString::fromStdString(opened.checkpoint->directory().string());
            m_model = std::move(opened);
            m_other.reset();
            m_conversion.reset();
            m_statistics.reset();
            m_layer = 0;
            m_head = -1;
            m_side = Side::Keys;
            m_plan.setSpectrum(nullptr);
            m_settings.addRecentModel(m_model_path);
            emit modelChanged();
            emit otherModelChanged();
            emit statisticsChanged();
            emit conversionChanged();
        },
        report(tr("The model could not be opened")));
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
    if (!m_model) {
        return nullptr;
    }
    return takeStatistics(tr("Calibrate on %1").arg(QFileInfo(text).fileName()), tr("Calibration failed"),
                          [model = *m_model, text, options](JobContext& job) {
                              return std::make_shared<const Statistics>(
                                  eigenscope::calibrate(job, model, toPath(text), options));
                          });
}

Job* Workspace::loadStatistics(const QString& file) {
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
        });
}

Job* Workspace::takeStatistics(const QString& title, const QString& failure, StatisticsSource source) {
    struct Outcome {
        std::shared_ptr<const Statistics> statistics;
        std::shared_ptr<const Spectrum> spectrum;
    };
    // The basis chosen so far is kept: calibrating again is no reason to change the method.
    const std::string method = m_plan.empty() ? "eigen" : m_plan.spectrum()->method();
    const BasisOptions basis = m_plan.empty() ? BasisOptions() : m_plan.spectrum()->options();
    return m_jobs.submit(
        Lane::Engine, title, this,
        [backend = m_device.backend, source = std::move(source), method, basis](JobContext& job) {
            Outcome outcome;
            outcome.statistics = source(job);
            outcome.spectrum = computeSpectrum(job, *backend, *outcome.statistics, method, basis);
            return outcome;
        },
        [this, opened = m_model->model](const Outcome& outcome) {
            if (m_model && m_model->model == opened) {  // else another model was opened meanwhile
                m_statistics = outcome.statistics;
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
        [statistics = m_statistics, file](JobContext&) {
            eigenscope::saveStatistics(*statistics, toPath(file));
            return file;
        },
        [this](const QString& saved) { emit notice(tr("Statistics saved"), saved, false); },
        report(tr("The statistics could not be saved")));
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
                m_plan.setSpectrum(std::move(spectrum));
                if (then) {
                    then();
                }
            }
        },
        report(tr("The bases could not be computed")));
}

Job* Workspace::convert() {
    if (!m_model || !m_statistics || m_plan.empty()) {
        return nullptr;
    }
    const OpenModel model = *m_model;
    const RankPlan plan = m_plan.plan();
    m_conversion_job = m_jobs.submit(
        Lane::Engine, tr("Convert to %1× KV cache").arg(ratioText(m_plan.kvRatio())), this,
        [model, plan, statistics = m_statistics, spectrum = m_plan.spectrum(),
         run = runOptions()](JobContext& job) {
            Conversion conversion;
            conversion.model = convertInMemory(job, model, *statistics, *spectrum, plan);
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
        [spectrum = m_plan.spectrum(), file](JobContext&) {
            RankPlan plan = eigenscope::loadPlan(toPath(file));
            checkPlan(plan, spectrum->layers(), spectrum->headDim(), toPath(file));
            return plan;
        },
        [this, statistics = m_statistics](const RankPlan& plan) {
            if (m_statistics != statistics) {
                return;  // another model or calibration meanwhile
            }
            const auto take = [this, plan] { m_plan.setPlan(plan, tr("Load plan")); };
            const RankPlan& current = m_plan.plan();
            if (plan.method == current.method && plan.share_key_basis == current.share_key_basis) {
                take();
                return;
            }
            BasisOptions options;
            options.share_key_basis = plan.share_key_basis;
            changeBasis(QString::fromStdString(plan.method), options,
                        take);  // its ranks belong to that basis
        },
        report(tr("The plan could not be loaded")));
}

QString Workspace::suggestedCalibrationText() const {
    return besideModel(m_model_path, QStringLiteral("text/calibration.txt"));
}

QString Workspace::suggestedEvaluationText() const {
    return besideModel(m_model_path, QStringLiteral("text/heldout.txt"));
}

}  // namespace eigenscope
