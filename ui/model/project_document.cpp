// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/model/project_document.h"

#include "core/calibration/statistics.h"
#include "core/model/open_checkpoint.h"

#include <QDir>
#include <QFileInfo>

namespace eigenscope {

namespace {

const QString kSuffix =
    QString::fromLatin1(kProjectSuffix.data(), static_cast<qsizetype>(kProjectSuffix.size()));

QString textOf(const std::filesystem::path& path) { return QString::fromStdString(path.string()); }

QString absolute(const QString& file) { return QDir::cleanPath(QFileInfo(file).absoluteFilePath()); }

std::filesystem::path pathOf(const QString& text) {
    const std::filesystem::path path(text.toStdString());
    return presetName(path) ? path : std::filesystem::path(absolute(text).toStdString());
}

std::filesystem::path directoryOf(const OpenModel& model) {
    return pathOf(textOf(model.checkpoint->directory()));
}

}  // namespace

ProjectDocument::ProjectDocument(Workspace& workspace, Comparison& comparison, QObject* parent)
    : QObject(parent), m_workspace(workspace), m_comparison(comparison) {
    connect(&workspace, &Workspace::modelChanged, this, &ProjectDocument::onModelChanged);
    connect(&workspace, &Workspace::statisticsChanged, this, &ProjectDocument::onStatisticsChanged);
    for (const auto signal :
         {&Workspace::otherModelChanged, &Workspace::statisticsFileChanged, &Workspace::conversionChanged}) {
        connect(&workspace, signal, this, &ProjectDocument::update);
    }
    connect(&workspace.plan(), &PlanDocument::changed, this, &ProjectDocument::update);
    connect(&comparison, &Comparison::keptChanged, this, &ProjectDocument::update);
}

QString ProjectDocument::name() const {
    const QString name = QFileInfo(m_file).fileName();
    return name.endsWith(kSuffix) ? name.chopped(kSuffix.size()) : name;
}

bool ProjectDocument::statisticsAreInMemory() const {
    return m_workspace.statistics() && m_workspace.statisticsFile().isEmpty();
}

Project ProjectDocument::present() const {
    Project now;
    now.model = m_saved.model;
    now.comparison_model = m_saved.comparison_model;
    now.statistics = m_saved.statistics;
    now.converted = m_saved.converted;
    now.plan = m_saved.plan;
    now.selection = m_saved.selection;
    if (!m_workspace.model() || m_model_missing) {
        return now;
    }
    now.model = pathOf(m_workspace.modelPath());
    if (m_workspace.statistics()) {
        now.statistics.reset();
        if (!m_workspace.statisticsFile().isEmpty()) {
            now.statistics = pathOf(m_workspace.statisticsFile());
        }
    }
    if (!m_workspace.plan().empty()) {
        now.plan = m_workspace.plan().plan();
    }
    if (m_workspace.conversion() && !m_workspace.conversion()->saved_to.isEmpty()) {
        now.converted = pathOf(m_workspace.conversion()->saved_to);
    }
    if (m_workspace.otherModel()) {
        now.comparison_model = directoryOf(*m_workspace.otherModel());
        if (now.comparison_model == now.converted) {
            now.comparison_model.reset();
        }
    }
    now.selection = {m_workspace.selectedLayer(), m_workspace.selectedHead(), m_workspace.selectedSide()};
    return now;
}

bool ProjectDocument::modified() const {
    if (!isOpen() || opening() || m_model_missing) {
        return false;
    }
    const Project now = present();
    return now.model != m_saved.model || now.comparison_model != m_saved.comparison_model ||
           now.statistics != m_saved.statistics || now.converted != m_saved.converted ||
           now.plan != m_saved.plan || statisticsAreInMemory() || m_comparison.kept() != m_saved.measurements;
}

void ProjectDocument::update() {
    const Shown now{m_file, modified(), canSave()};
    if (!(now == m_shown)) {
        m_shown = now;
        emit changed();
    }
}

Job* ProjectDocument::open(const QString& given) {
    const QString file = absolute(given);
    ++m_run;
    if (m_opening) {
        m_opening->cancel();
    }
    m_problems.clear();
    m_step = Step::Reading;
    auto project = std::make_shared<Project>();
    Job* job = m_workspace.jobs().submit(
        Lane::Parallel, tr("Open %1").arg(QFileInfo(file).fileName()), this,
        [file](JobContext&) { return loadProject(std::filesystem::path(file.toStdString())); },
        [project](Project read) { *project = std::move(read); },
        [this](const QString& error) {
            emit m_workspace.notice(tr("The project could not be opened"), error, true);
        });
    m_opening = job;
    connect(job, &Job::ended, this, [this, job, file, project, run = m_run] {
        if (run != m_run) {
            return;
        }
        if (job->state() == Job::State::Finished) {
            begin(file, std::move(*project));
        } else {  // what was open stays
            m_step = Step::None;
            update();
        }
    });
    update();
    return job;
}

void ProjectDocument::begin(const QString& file, Project project) {
    ++m_content;
    m_save_again.clear();
    m_file = file;
    m_saved = std::move(project);
    m_model_missing = m_plan_waits = false;
    openModel();
}

void ProjectDocument::follow(Job* job, const QString& what, std::function<void(bool)> then) {
    m_opening = job;
    update();
    if (!job) {
        m_problems.append(tr("%1: could not be opened").arg(what));
        then(false);
        return;
    }
    connect(job, &Job::ended, this, [this, job, what, then = std::move(then), run = m_run] {
        if (run != m_run) {
            return;
        }
        if (job->state() == Job::State::Cancelled) {
            m_problems.append(tr("%1: cancelled").arg(what));
        } else if (job->state() == Job::State::Failed) {
            m_problems.append(job->error());
        }
        then(job->state() == Job::State::Finished);
    });
}

void ProjectDocument::openModel() {
    m_step = Step::Model;
    const QString model = textOf(m_saved.model);
    follow(m_workspace.openModel(model), model, [this](bool done) {
        if (!done) {
            m_model_missing = true;
            m_workspace.closeModel();  // what is still there is not the project's
            finishOpening();
            return;
        }
        m_saved.model = pathOf(m_workspace.modelPath());
        openStatistics();
    });
}

void ProjectDocument::openStatistics() {
    m_step = Step::Statistics;
    m_comparison.restoreKept(m_saved.measurements);
    m_plan_waits = m_saved.plan.has_value();
    if (!m_saved.statistics) {
        openComparison();
        return;
    }
    std::optional<BasisChoice> basis;
    if (m_saved.plan) {
        basis = BasisChoice{m_saved.plan->method, m_saved.plan->basisOptions()};
    }
    const QString file = textOf(*m_saved.statistics);
    follow(m_workspace.loadStatistics(file, basis), file, [this](bool done) {
        if (done) {
            openPlan();
        } else {
            openComparison();
        }
    });
}

void ProjectDocument::openPlan() {
    m_step = Step::Plan;
    m_plan_waits = false;
    if (m_saved.plan) {
        PlanDocument& document = m_workspace.plan();
        try {
            checkPlan(*m_saved.plan, document.spectrum()->layers(),
                      m_workspace.statistics()->head_dim * m_saved.plan->head_group, m_file.toStdString());
            m_workspace.usePlan(*m_saved.plan, m_file);  // at once: the bases are its own
            document.undoStack().clear();
        } catch (const Error& error) {
            m_problems.append(QString::fromUtf8(error.what()));
        }
    }
    openComparison();
}

void ProjectDocument::openComparison() {
    m_step = Step::Comparison;
    const ProjectSelection& selection = m_saved.selection;
    m_workspace.select(selection.layer, selection.head, selection.side);
    auto& path = m_saved.comparison_model ? m_saved.comparison_model : m_saved.converted;
    if (!path) {
        finishOpening();
        return;
    }
    const QString model = textOf(*path);
    follow(m_workspace.openOtherModel(model), model, [this, model, &path](bool done) {
        if (done && m_workspace.otherModel()) {
            path = directoryOf(*m_workspace.otherModel());
        } else if (done) {
            m_problems.append(tr("%1: its vocabulary is not the model's").arg(model));
        }
        finishOpening();
    });
}

void ProjectDocument::finishOpening() {
    m_step = Step::None;
    m_workspace.settings().addRecentModel(m_file);  // above its model
    if (!m_comparison.kept().empty() && !m_comparison.measurement()) {
        m_comparison.showKept(m_comparison.kept().size() - 1);
    }
    update();
    emit opened();
    if (!m_problems.isEmpty()) {
        m_problems.append(m_model_missing ? tr("Open the model where it is now: the rest follows.")
                                          : tr("The project still refers to what is missing."));
        emit m_workspace.notice(tr("%1 is not complete").arg(QFileInfo(m_file).fileName()),
                                m_problems.join(QStringLiteral(" · ")), true);
    }
    m_problems.clear();
}

void ProjectDocument::leave() {
    ++m_content;
    m_save_again.clear();
    m_file.clear();
    m_saved = {};
    m_model_missing = m_plan_waits = false;
}

void ProjectDocument::onModelChanged() {
    // What was asked for before the project comes before it, and is replaced by it.
    if (m_step == Step::Reading || m_step == Step::Model) {
        if (m_step == Step::Reading) {
            leave();
        }
    } else if (m_model_missing && m_workspace.model()) {
        ++m_run;
        m_model_missing = false;
        m_problems.clear();
        // Later: everyone should know the model first.
        m_step = Step::Statistics;
        QMetaObject::invokeMethod(
            this,
            [this, run = m_run] {
                if (run == m_run) {
                    openStatistics();
                }
            },
            Qt::QueuedConnection);
    } else {
        ++m_run;
        if (m_opening) {
            m_opening->cancel();
        }
        m_step = Step::None;
        leave();  // also of what is being saved for the first time
    }
    update();
}

void ProjectDocument::onStatisticsChanged() {
    if (m_plan_waits && !opening() && m_workspace.statistics()) {
        m_plan_waits = false;
        m_workspace.usePlan(*m_saved.plan, m_file);
    }
    update();
}

std::filesystem::path ProjectDocument::statisticsPathFor(const QString& file) const {
    const QString base = file.endsWith(kSuffix) ? file.chopped(kSuffix.size()) : file;
    for (int number = 1;; ++number) {
        const QString name = QStringLiteral("%1%2.stats.safetensors")
                                 .arg(base, number > 1 ? QStringLiteral("-%1").arg(number) : QString());
        const std::filesystem::path path = pathOf(name);
        if (!QFileInfo::exists(name) || (file == m_file && m_saved.statistics == path)) {
            return path;
        }
    }
}

Job* ProjectDocument::save(const QString& given) {
    if (!canSave()) {
        return nullptr;
    }
    const QString file = absolute(given);
    if (saving()) {
        m_save_again = file;
        return m_saving;
    }
    Project project = present();
    project.measurements = m_model_missing ? m_saved.measurements : m_comparison.kept();
    std::shared_ptr<const Statistics> statistics;
    if (!m_model_missing && m_workspace.statistics() &&
        (statisticsAreInMemory() || !QFileInfo::exists(m_workspace.statisticsFile()))) {
        statistics = m_workspace.statistics();
        project.statistics = statisticsPathFor(file);
    }
    Job* job = m_workspace.jobs().submit(
        Lane::Parallel, tr("Save %1").arg(QFileInfo(file).fileName()), this,
        [project, statistics, file](JobContext& context) {
            if (statistics) {
                saveStatistics(context, *statistics, *project.statistics);
            }
            saveProject(project, std::filesystem::path(file.toStdString()));
            return file;
        },
        [this, project, statistics, content = m_content](const QString& written) {
            if (content == m_content) {  // else another project is open by now
                m_file = written;
                m_saved = project;
            }
            if (statistics) {
                m_workspace.setStatisticsFile(statistics, textOf(*project.statistics));
            }
            m_workspace.settings().addRecentModel(written);
            emit m_workspace.notice(tr("Project saved"), written, false);
            update();
        },
        [this](const QString& error) {
            emit m_workspace.notice(tr("The project could not be saved"), error, true);
        });
    m_saving = job;
    connect(job, &Job::ended, this, [this, job] {
        const QString again = std::exchange(m_save_again, QString());
        if (!again.isEmpty() && save(again)) {
            return;  // that one's end is the end
        }
        emit saved(job->state() == Job::State::Finished);
    });
    return job;
}

}  // namespace eigenscope
