// SPDX-License-Identifier: GPL-3.0-or-later
// What is open: the one truth the views show and send their intents to. GUI thread; long work becomes jobs.
//   open model -> calibrate (or load statistics) -> spectrum and plan -> convert -> compare
// Opening another model closes what depended on the first.
#pragma once

#include "core/calibration/calibrate.h"
#include "core/calibration/statistics.h"
#include "core/evaluation/compare.h"
#include "core/model/model.h"
#include "core/spectrum/subspaces.h"
#include "kernels/api/registry.h"
#include "ui/model/job_runner.h"
#include "ui/model/plan_document.h"
#include "ui/model/settings.h"

#include <QObject>
#include <QPointer>
#include <QString>

#include <memory>
#include <optional>
#include <vector>

namespace eigenscope {

// A converted model in memory and how it came about.
struct Conversion {
    OpenModel model;
    RankPlan plan;
    std::shared_ptr<const Statistics> statistics;  // whose bases were folded in
    double kv_ratio = 1.0;
    std::vector<double> layer_errors;  // [layers], measured on the calibration's probe windows
    bool refitted = false;
    QString saved_to;  // directory, empty while only in memory
};

// A calibration that was cancelled, with what it had done.
struct PausedCalibration {
    CorpusSpec corpus;
    CalibrationOptions options;
    PartialCalibration partial;
};

// Which bases of statistics are wanted.
struct BasisChoice {
    std::string method = "eigen";
    BasisOptions options;
};

// How much the open bases and those from other statistics of the model differ.
struct BasesComparison {
    QString text, other_text;  // what each was calibrated on
    std::vector<LayerSubspaces> layers;
};

class Workspace : public QObject {
    Q_OBJECT
public:
    // threads: of every job; 0: the device's default.
    Workspace(BackendChoice device, int threads, JobRunner& jobs, Settings& settings,
              QObject* parent = nullptr);

    JobRunner& jobs() { return m_jobs; }
    Settings& settings() { return m_settings; }
    PlanDocument& plan() { return m_plan; }
    const std::shared_ptr<Backend>& backend() const { return m_device.backend; }
    QString deviceText() const;      // "CPU · AMD EPYC, 2 threads"
    QString deviceFallback() const;  // why not the preferred device; empty when nothing was lost
    RunOptions runOptions() const;   // threads as given at the start

    const std::optional<OpenModel>& model() const { return m_model; }
    QString modelPath() const { return m_model_path; }
    const std::shared_ptr<const Statistics>& statistics() const { return m_statistics; }
    // The file that holds the open statistics as they are; empty while they are in memory only.
    QString statisticsFile() const { return m_statistics_file; }
    // They have been written there; nothing happens when others are open by now.
    void setStatisticsFile(const std::shared_ptr<const Statistics>& statistics, const QString& file);
    const std::shared_ptr<const Spectrum>& spectrum() const { return m_plan.spectrum(); }
    const std::optional<Conversion>& conversion() const { return m_conversion; }
    bool planChangedSinceConversion() const;
    // A second checkpoint opened for comparison (any model with the same vocabulary), e.g. one converted
    // earlier.
    const std::optional<OpenModel>& otherModel() const { return m_other; }

    // The layer, head and side all views look at.
    int selectedLayer() const { return m_layer; }
    int selectedHead() const { return m_head; }  // -1: all heads
    Side selectedSide() const { return m_side; }
    void select(int layer, int head, Side side);

    // Intents. Each returns the job, or null when it cannot start (with a message through notice()).
    Job* openModel(const QString& path);
    // Asked before a model is opened in place of what is there; false: not now.
    void setOpenGuard(std::function<bool(const QString& path)> guard) { m_open_guard = std::move(guard); }
    void closeModel();
    Job* openOtherModel(const QString& path);
    Job* calibrate(const QString& text, const CalibrationOptions& options);
    Job* calibrate(const CorpusSpec& corpus, const CalibrationOptions& options);
    // The calibration of this model that was cancelled last; continueCalibration() goes on from it.
    const std::optional<PausedCalibration>& pausedCalibration() const { return m_paused; }
    Job* continueCalibration();
    Job* compareBases(const QString& statistics_file, const SubspaceRank& rank);  // answers basesCompared()
    // Without a basis: of the kind chosen so far.
    Job* loadStatistics(const QString& file, const std::optional<BasisChoice>& basis = {});
    Job* saveStatistics(const QString& file);
    Job* setBasis(const QString& method, const BasisOptions& options);  // recomputes the spectrum
    // Measures what an allocation needs for the plan's bases and keeps it with the statistics: layer errors
    // on the windows kept there, or divergences on a text; with mixed bits, over 8, 4, 3 and 2 bits too,
    // their codes grouped as the plan says.
    Job* measureTables(Allocation allocation, const QString& text, bool mixed_bits = false);
    Job* tablesJob() const { return m_tables_job; }  // the latest measureTables(), running or ended; or null
    // With a text: output projections refitted on it.
    Job* convert(const QString& refit_text = {});
    Job* conversionJob() const {
        return m_conversion_job;
    }  // the latest convert(), running or ended; or null
    Job* saveConverted(const QString& directory);
    Job* savePlan(const QString& file);
    Job* loadPlan(const QString& file);
    // Takes a plan that was read from a file, and its basis when that is another: then by a job, which is
    // returned.
    Job* usePlan(const RankPlan& plan, const QString& file);

    // Default texts: the demo's beside the model's folder (../text), else empty.
    QString suggestedCalibrationText() const;
    QString suggestedEvaluationText() const;

signals:
    void modelChanged();  // opened or closed; everything below follows
    void otherModelChanged();
    void statisticsChanged();
    void statisticsFileChanged();  // without other statistics: saved, or tables added
    void pausedCalibrationChanged();
    void basesCompared(const eigenscope::BasesComparison& comparison);
    void conversionChanged();
    void selectionChanged();
    void notice(const QString& title, const QString& text, bool error);  // for the message bar; errors stay

private:
    using StatisticsSource = std::function<std::shared_ptr<const Statistics>(JobContext&)>;
    // Statistics from a run or a file, and their spectrum, take the place of what was there.
    Job* takeStatistics(const QString& title, const QString& failure, StatisticsSource source,
                        const std::optional<BasisChoice>& basis = {}, const QString& file = {});
    void setModel(std::optional<OpenModel> model);  // closes what depended on the one before
    Job* changeBasis(const QString& method, const BasisOptions& options, std::function<void()> then);
    std::function<void(const QString&)> report(const QString& title);
    Job* runCalibration(const CorpusSpec& corpus, const CalibrationOptions& options,
                        std::optional<PartialCalibration> start);
    void setPaused(std::optional<PausedCalibration> paused);

    BackendChoice m_device;
    int m_threads;
    JobRunner& m_jobs;
    Settings& m_settings;
    PlanDocument m_plan;
    std::optional<OpenModel> m_model, m_other;
    QString m_model_path, m_statistics_file;
    std::function<bool(const QString&)> m_open_guard;
    std::shared_ptr<const Statistics> m_statistics;
    std::optional<PausedCalibration> m_paused;
    std::optional<Conversion> m_conversion;
    QPointer<Job> m_conversion_job, m_tables_job;
    int m_layer = 0, m_head = -1;
    Side m_side = Side::Keys;
};

}  // namespace eigenscope
