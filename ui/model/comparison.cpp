// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/model/comparison.h"

#include "core/model/kv_cache.h"

#include <QFileInfo>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

namespace eigenscope {

namespace {

constexpr int kRepetitions = 5;

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values.empty() ? 0.0 : values[values.size() / 2];
}

using Formats = std::array<std::optional<KvFormat>, 2>;

std::array<RunOptions, 2> runsOf(const RunOptions& run, const Formats& formats) {
    std::array<RunOptions, 2> runs = {run, run};
    for (std::size_t i = 0; i < runs.size(); ++i) {
        runs[i].kv_format = formats[i];
    }
    return runs;
}

ModelFigures measureAlone(JobContext& job, const OpenModel& model, const std::string& prompt, int new_tokens,
                          const RunOptions& run) {
    GenerationOptions options;
    options.max_tokens = new_tokens;
    options.stop_at_eos = false;  // the same number of tokens for both models
    options.run = run;
    std::vector<double> ttft, tpot;
    ModelFigures figures;
    for (int i = 0; i <= kRepetitions; ++i) {
        job.progress("timing " + model.name, i, kRepetitions + 1);
        const GenerationResult result = generate(job, model, prompt, options);
        if (i == 0) {
            continue;  // warm-up
        }
        ttft.push_back(result.ttft_ms);
        tpot.push_back(result.tpot_ms);
        figures.kv_cache_bytes = result.kv_cache_bytes;
        figures.peak_memory_bytes = result.peak_memory_bytes;
    }
    figures.ttft_ms = median(ttft);
    figures.tpot_ms = median(tpot);
    return figures;
}

// What is kept of a measurement of two models in these formats.
KeptMeasurement keptOf(const Measurement& measurement, const OpenModel& first, const OpenModel& second,
                       const std::array<RunOptions, 2>& runs) {
    const auto finite = [](double value) {
        return std::isfinite(value) ? std::optional(value) : std::nullopt;
    };
    const ComparisonResult& quality = measurement.quality;
    KeptMeasurement kept;
    kept.measured = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    kept.text = QFileInfo(measurement.text).absoluteFilePath().toStdString();
    kept.windows = quality.first.windows;
    kept.tokens = quality.first.tokens;
    kept.repetitions = measurement.repetitions;
    kept.new_tokens = measurement.new_tokens;
    const double whole = static_cast<double>(kvBytesPerToken(first.model->config, KvFormat(DType::F16)));
    for (std::size_t i = 0; i < kept.models.size(); ++i) {
        const OpenModel& model = i == 0 ? first : second;
        const PerplexityResult& perplexity = i == 0 ? quality.first : quality.second;
        const ModelFigures& figures = measurement.figures[i];
        const KvFormat format = resolveKvFormat(runs[i], model);
        kept.models[i] = {model.name,
                          format.planned ? model.model->config.low_rank->kv_bits.text() : textOf(format),
                          static_cast<double>(kvBytesPerToken(model.model->config, format)) / whole,
                          finite(perplexity.perplexity),
                          finite(perplexity.standard_error),
                          finite(figures.ttft_ms),
                          finite(figures.tpot_ms),
                          figures.kv_cache_bytes,
                          figures.peak_memory_bytes};
    }
    kept.nats_lost = finite(quality.nll_difference);
    kept.nats_lost_error = finite(quality.nll_difference_standard_error);
    // Rounding may leave the divergence of equal distributions below zero.
    kept.kl_divergence = finite(std::max(0.0, quality.kl_divergence));
    kept.kl_divergence_error = finite(quality.kl_standard_error);
    kept.top1_agreement = finite(quality.top1_agreement);
    kept.top1_agreement_error = finite(quality.top1_standard_error);
    return kept;
}

}  // namespace

Measurement measurementOf(const KeptMeasurement& kept) {
    constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
    Measurement measurement;
    measurement.text = QString::fromStdString(kept.text.string());
    measurement.repetitions = kept.repetitions;
    measurement.new_tokens = kept.new_tokens;
    ComparisonResult& quality = measurement.quality;
    for (std::size_t i = 0; i < kept.models.size(); ++i) {
        const MeasuredModel& model = kept.models[i];
        PerplexityResult& perplexity = i == 0 ? quality.first : quality.second;
        perplexity.perplexity = model.perplexity.value_or(kUnknown);
        perplexity.standard_error = model.perplexity_error.value_or(kUnknown);
        perplexity.windows = kept.windows;
        perplexity.tokens = kept.tokens;
        measurement.figures[i] = {model.ttft_ms.value_or(kUnknown), model.tpot_ms.value_or(kUnknown),
                                  model.kv_cache_bytes, model.peak_memory_bytes};
    }
    quality.nll_difference = kept.nats_lost.value_or(kUnknown);
    quality.nll_difference_standard_error = kept.nats_lost_error.value_or(kUnknown);
    quality.kl_divergence = kept.kl_divergence.value_or(kUnknown);
    quality.kl_standard_error = kept.kl_divergence_error.value_or(kUnknown);
    quality.top1_agreement = kept.top1_agreement.value_or(kUnknown);
    quality.top1_standard_error = kept.top1_agreement_error.value_or(kUnknown);
    return measurement;
}

Comparison::Comparison(Workspace& workspace, QObject* parent)
    : QObject(parent), m_workspace(workspace), m_left(workspace.jobs()), m_right(workspace.jobs()) {
    for (GenerationRun* run : {&m_left, &m_right}) {
        connect(run, &GenerationRun::updated, this, &Comparison::streamed);
    }
    connect(&workspace, &Workspace::modelChanged, this, [this] {
        m_kept.clear();
        reset();
        emit keptChanged();
    });
    connect(&workspace, &Workspace::conversionChanged, this, [this] {
        if (m_workspace.conversion() && m_other == Other::Checkpoint && !m_workspace.otherModel()) {
            m_other = Other::Conversion;
        }
        if (m_other == Other::Conversion) {
            reset();
        } else {
            emit modelsChanged();
        }
    });
    connect(&workspace, &Workspace::otherModelChanged, this, [this] {
        m_other = m_workspace.otherModel() ? Other::Checkpoint : Other::Conversion;
        reset();
    });
}

void Comparison::setOther(Other other) {
    if (other != m_other) {
        m_other = other;
        reset();
    }
}

void Comparison::setFormats(const std::optional<KvFormat>& left, const std::optional<KvFormat>& right) {
    if (left != m_formats[0] || right != m_formats[1]) {
        m_formats = {left, right};
        reset();
    }
}

void Comparison::reset() {
    stop();
    m_left.clear();
    m_right.clear();
    m_measurement.reset();
    m_shown_kept.reset();
    m_fidelity.reset();
    emit modelsChanged();
    emit measurementChanged();
    emit fidelityChanged();
}

bool Comparison::shows(const OpenModel& first, const OpenModel& second) const {
    return left() && right() && left()->model == first.model && right()->model == second.model;
}

Job* Comparison::watch(Job* job) {
    connect(job, &Job::ended, this, &Comparison::measuringChanged);
    return job;
}

const OpenModel* Comparison::left() const { return m_workspace.model() ? &*m_workspace.model() : nullptr; }

const OpenModel* Comparison::right() const {
    if (m_other == Other::Same) {
        return left();
    }
    if (m_other == Other::Checkpoint) {
        return m_workspace.otherModel() ? &*m_workspace.otherModel() : nullptr;
    }
    return m_workspace.conversion() ? &m_workspace.conversion()->model : nullptr;
}

bool Comparison::streaming() const {
    return m_left.state() == GenerationRun::State::Streaming ||
           m_right.state() == GenerationRun::State::Streaming;
}

void Comparison::generate(const QString& prompt, const GenerationOptions& options) {
    GenerationOptions own = options;
    if (left()) {
        own.run.kv_format = m_formats[0];
        m_left.start(*left(), prompt, own);
    }
    if (right()) {
        own.run.kv_format = m_formats[1];
        m_right.start(*right(), prompt, own);
    }
}

void Comparison::stop() {
    m_left.stop();
    m_right.stop();
}

std::ptrdiff_t Comparison::firstDifference() const {
    const auto& a = m_left.tokens();
    const auto& b = m_right.tokens();
    const std::size_t common = std::min(a.size(), b.size());
    for (std::size_t i = 0; i < common; ++i) {
        if (a[i].id != b[i].id) {
            return static_cast<std::ptrdiff_t>(i);
        }
    }
    // Of two finished answers the longer one differs where the shorter ends.
    const bool finished = !streaming() && m_left.state() == GenerationRun::State::Done &&
                          m_right.state() == GenerationRun::State::Done;
    return finished && a.size() != b.size() ? static_cast<std::ptrdiff_t>(common) : -1;
}

Job* Comparison::measure(const MeasureOptions& options) {
    if (!left() || !right()) {
        return nullptr;
    }
    m_measuring = watch(m_workspace.jobs().submit(
        Lane::Engine, tr("Measure on %1").arg(QFileInfo(options.text).fileName()), this,
        [first = *left(), second = *right(), options, run = m_workspace.runOptions(),
         formats = m_formats](JobContext& job) {
            const std::array<RunOptions, 2> runs = runsOf(run, formats);
            PerplexityOptions evaluation;
            evaluation.windows = options.windows;
            evaluation.sequence_length = options.sequence_length;
            evaluation.run = runs[0];
            Measurement measurement;
            measurement.text = options.text;
            measurement.repetitions = kRepetitions;
            measurement.new_tokens = options.new_tokens;
            measurement.quality = compareModels(
                job, first, second, std::filesystem::path(options.text.toStdString()), evaluation, runs[1]);
            const std::string prompt = options.prompt.toStdString();
            measurement.figures[0] = measureAlone(job, first, prompt, options.new_tokens, runs[0]);
            measurement.figures[1] = measureAlone(job, second, prompt, options.new_tokens, runs[1]);
            return measurement;
        },
        [this, a = *left(), b = *right(),
         runs = runsOf(m_workspace.runOptions(), m_formats)](Measurement measurement) {
            if (!left() || left()->model != a.model) {
                return;  // of a model that is no longer open
            }
            keep(keptOf(measurement, a, b, runs));
            if (shows(a, b)) {
                m_measurement = std::move(measurement);
                m_shown_kept.reset();
                emit measurementChanged();
            }
        },
        [this](const QString& error) {
            emit m_workspace.notice(tr("The measurement failed"), error, true);
        }));
    emit measuringChanged();
    return m_measuring;
}

void Comparison::keep(KeptMeasurement kept) {
    if (m_kept.size() >= Project::kMostMeasurements) {
        m_kept.erase(m_kept.begin());
        m_shown_kept.reset();
    }
    m_kept.push_back(std::move(kept));
    emit keptChanged();
}

void Comparison::restoreKept(std::vector<KeptMeasurement> kept) {
    if (kept.empty()) {
        return;
    }
    kept.insert(kept.end(), std::make_move_iterator(m_kept.begin()), std::make_move_iterator(m_kept.end()));
    if (kept.size() > Project::kMostMeasurements) {
        kept.erase(kept.begin(), kept.end() - static_cast<std::ptrdiff_t>(Project::kMostMeasurements));
    }
    m_kept = std::move(kept);
    m_shown_kept.reset();
    emit keptChanged();
}

void Comparison::showKept(std::optional<std::size_t> index) {
    m_shown_kept = index && *index < m_kept.size() ? index : std::nullopt;
    emit measurementChanged();
}

QString Fidelity::tokenText(TokenId id) const {
    const std::string text = tokenizer->decode(std::span(&id, 1));
    const QString shown = QString::fromStdString(text);
    // Part of a character, or a special token.
    const bool whole = !text.empty() && !shown.contains(QChar::ReplacementCharacter);
    return whole ? shown : QString::fromStdString(tokenizer->piece(id));
}

Job* Comparison::measureFidelity(const FidelityOptions& options) {
    if (!left() || !right()) {
        return nullptr;
    }
    m_measuring_fidelity = watch(m_workspace.jobs().submit(
        Lane::Engine, tr("Fidelity on %1").arg(QFileInfo(options.text).fileName()), this,
        [first = *left(), second = *right(), options,
         runs = runsOf(m_workspace.runOptions(), m_formats)](JobContext& job) {
            const std::filesystem::path text(options.text.toStdString());
            PerplexityOptions evaluation;
            evaluation.windows = options.windows;
            evaluation.run = runs[0];
            Fidelity fidelity;
            fidelity.text = options.text;
            fidelity.tokenizer = first.tokenizer;
            if (sameDimensions(first, second)) {
                fidelity.measures =
                    eigenscope::measureFidelity(job, first, second, text, evaluation, runs[1]);
            } else {
                fidelity.measures.quality = compareModels(job, first, second, text, evaluation, runs[1]);
            }
            const auto ids = options.prompt ? first.tokenizer->encode(options.prompt->toStdString())
                                            : diffIds(job, first, second, text, 0);
            fidelity.diff = diffText(job, first, second, ids, runs[0], runs[1]);
            fidelity.texts = tokenTexts(first, fidelity.diff.ids);
            return fidelity;
        },
        [this, a = *left(), b = *right()](Fidelity fidelity) {
            if (shows(a, b)) {
                m_fidelity = std::move(fidelity);
                emit fidelityChanged();
            }
        },
        [this](const QString& error) {
            emit m_workspace.notice(tr("Fidelity could not be measured"), error, true);
        }));
    emit measuringChanged();
    return m_measuring_fidelity;
}

}  // namespace eigenscope
