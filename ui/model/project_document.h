// SPDX-License-Identifier: GPL-3.0-or-later
// The open project: opens what a *.eigenscope file refers to, one after the other, knows whether something
// has changed since, and saves. GUI thread; reading and writing are jobs.
//
// What could not be opened is remembered as the file says it, and saved again as such, until something else
// takes its place. When the model is the part that is missing, the next model that is opened takes its place
// and the rest follows. Opening another model leaves the project.
#pragma once

#include "core/workbench/project.h"
#include "ui/model/comparison.h"
#include "ui/model/workspace.h"

#include <QObject>
#include <QPointer>
#include <QString>
#include <QStringList>

#include <functional>
#include <memory>

namespace eigenscope {

class ProjectDocument : public QObject {
    Q_OBJECT
public:
    ProjectDocument(Workspace& workspace, Comparison& comparison, QObject* parent = nullptr);

    bool isOpen() const { return !m_file.isEmpty(); }
    QString file() const { return m_file; }  // absolute
    QString name() const;                    // "tour" of /home/ann/tour.eigenscope
    // Something that the file would hold is not as it was saved. Never without a project; what is looked at
    // (layer, head, side) is saved, but is no change.
    bool modified() const;
    bool opening() const { return m_step != Step::None; }
    bool saving() const { return m_saving && m_saving->active(); }
    bool canSave() const { return !opening() && (isOpen() || m_workspace.model().has_value()); }

    // Both return the job, or null when there is nothing to save. Opening stops an opening that is under way;
    // saving while saving follows it. Statistics that are in no file are written beside the project's file
    // first, as NAME.stats.safetensors: in place of what the project had there, but never of another's.
    Job* open(const QString& file);
    Job* save(const QString& file);
    Job* save() { return isOpen() ? save(m_file) : nullptr; }

signals:
    void changed();             // file(), modified() or canSave()
    void opened();              // with all that could be opened
    void saved(bool complete);  // or not: failed or cancelled

private:
    enum class Step { None, Reading, Model, Statistics, Plan, Comparison };

    void begin(const QString& file, Project project);
    void openModel();
    void openStatistics();
    void openPlan();
    void openComparison();
    void finishOpening();
    void leave();
    // Waits for a job of the opening: then(whether it did what it should). Nothing happens when another
    // opening has begun meanwhile.
    void follow(Job* job, const QString& what, std::function<void(bool)> then);
    void onModelChanged();
    void onStatisticsChanged();
    Project present() const;  // what would be saved now, without measurements
    bool statisticsAreInMemory() const;
    std::filesystem::path statisticsPathFor(const QString& file) const;
    void update();

    Workspace& m_workspace;
    Comparison& m_comparison;
    QString m_file;
    Project m_saved;  // as the file is; stands in for what is not open
    bool m_model_missing = false;
    bool m_plan_waits = false;  // for statistics
    Step m_step = Step::None;
    int m_run = 0;      // counts openings, so that the jobs of a stopped one are told
    int m_content = 0;  // counts projects that were open, likewise for saving
    QPointer<Job> m_opening, m_saving;
    QString m_save_again;  // file, when asked to save while saving
    QStringList m_problems;
    struct Shown {
        QString file;
        bool modified = false, can_save = false;
        bool operator==(const Shown&) const = default;
    } m_shown;  // what changed() told last
};

}  // namespace eigenscope
