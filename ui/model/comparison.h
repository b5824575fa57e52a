// SPDX-License-Identifier: GPL-3.0-or-later
// Original against another model: both answer the same prompt, and exclusive measurements of quality, memory
// and time. The other model is the conversion in memory or a second checkpoint. GUI thread.
#pragma once

#include "core/evaluation/fidelity.h"
#include "core/evaluation/text_diff.h"
#include "core/workbench/project.h"
#include "ui/model/generation_run.h"
#include "ui/model/workspace.h"

#include <QObject>
#include <QPointer>

#include <array>
#include <memory>
#include <optional>

namespace eigenscope {

// What one model took when it ran alone.
struct ModelFigures {
    double ttft_ms = 0, tpot_ms = 0;  // medians
    std::size_t kv_cache_bytes = 0, peak_memory_bytes = 0;
};

struct Measurement {
    ComparisonResult quality;
    std::array<ModelFigures, 2> figures;
    int repetitions = 0, new_tokens = 0;
    QString text;  // file the quality was measured on
};

// What was kept of a measurement, as far as it goes; what is unknown is not a number.
Measurement measurementOf(const KeptMeasurement& kept);

struct MeasureOptions {
    QString text;
    int windows = 8;
    int sequence_length = 0;  // 0: the model's max positions
    QString prompt;
    int new_tokens = 64;
};

// Where the other model departs from the original: by layer and head on a text, by token on its start or on a
// prompt.
struct Fidelity {
    FidelityResult measures;  // without layers when the models' dimensions differ
    TextDiff diff;
    std::vector<std::string> texts;              // [diff.ids]: what each token adds
    std::shared_ptr<const Tokenizer> tokenizer;  // of the original
    QString text;                                // file the measures are from

    QString tokenText(TokenId id) const;  // one token alone, for read-outs
};

struct FidelityOptions {
    QString text;
    int windows = 8;
    std::optional<QString> prompt;  // diffed in place of the text's start
};

class Comparison : public QObject {
    Q_OBJECT
public:
    enum class Other { Conversion, Checkpoint, Same };  // Same: the original, with another cache format

    explicit Comparison(Workspace& workspace, QObject* parent = nullptr);

    Other other() const { return m_other; }
    void setOther(Other other);
    const OpenModel* left() const;   // the original; null when nothing is open
    const OpenModel* right() const;  // null when there is nothing to compare with
    // The KV-cache formats the two run with; empty: automatic.
    const std::optional<KvFormat>& leftFormat() const { return m_formats[0]; }
    const std::optional<KvFormat>& rightFormat() const { return m_formats[1]; }
    void setFormats(const std::optional<KvFormat>& left, const std::optional<KvFormat>& right);
    GenerationRun& leftRun() { return m_left; }
    GenerationRun& rightRun() { return m_right; }
    bool streaming() const;

    void generate(const QString& prompt, const GenerationOptions& options);
    void stop();
    // Index of the first token in which the two answers differ; -1 while they agree.
    std::ptrdiff_t firstDifference() const;

    Job* measure(const MeasureOptions& options);
    bool measuring() const { return m_measuring && m_measuring->active(); }
    const std::optional<Measurement>& measurement() const { return m_measurement; }
    // Measurements of this model so far, oldest first, those of its project included; at most as many as a
    // project keeps. One of them may be shown in place of what is measured now, until something else is to be
    // seen.
    const std::vector<KeptMeasurement>& kept() const { return m_kept; }
    void restoreKept(std::vector<KeptMeasurement> kept);  // before those that are there
    void showKept(std::optional<std::size_t> index);
    const KeptMeasurement* shownKept() const { return m_shown_kept ? &m_kept[*m_shown_kept] : nullptr; }

    Job* measureFidelity(const FidelityOptions& options);
    bool measuringFidelity() const { return m_measuring_fidelity && m_measuring_fidelity->active(); }
    const std::optional<Fidelity>& fidelity() const { return m_fidelity; }

signals:
    void modelsChanged();
    void streamed();            // tokens or states of either run
    void measurementChanged();  // or shownKept()
    void keptChanged();
    void fidelityChanged();
    void measuringChanged();  // measuring() or measuringFidelity()

private:
    void reset();
    bool shows(const OpenModel& first, const OpenModel& second) const;  // still the models on display
    Job* watch(Job* job);
    void keep(KeptMeasurement kept);

    Workspace& m_workspace;
    std::array<std::optional<KvFormat>, 2> m_formats;
    Other m_other = Other::Conversion;
    GenerationRun m_left, m_right;
    std::optional<Measurement> m_measurement;
    std::vector<KeptMeasurement> m_kept;
    std::optional<std::size_t> m_shown_kept;
    std::optional<Fidelity> m_fidelity;
    QPointer<Job> m_measuring, m_measuring_fidelity;
};

}  // namespace eigenscope
