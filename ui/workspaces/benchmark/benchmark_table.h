// SPDX-License-Identifier: GPL-3.0-or-later
// Every number the benchmark measured, a row a combination; combinations that did not fit in memory are rows
// too, with the reason in place of figures. Headers explain their column. GUI thread.
#pragma once

#include "ui/model/benchmark_run.h"

#include <QAbstractTableModel>

#include <vector>

namespace eigenscope {

class BenchmarkTable : public QAbstractTableModel {
    Q_OBJECT
public:
    enum Column {
        ModelName,
        Format,
        Context,
        Batch,
        Ttft,
        Tpot,
        Attention,
        Tokens,
        PrefillTokens,
        KvCache,
        PeakMemory,
        AttentionOfCopy,
        DecodeOfBound,
        PrefillOfProduct,
        WeightsRead,
        CacheRead,
        NewTokens,
        ComputeType,
        Run,
        ColumnCount
    };
    static constexpr int kSkippedRole = Qt::UserRole + 2;  // bool: the row is a combination that was skipped

    using QAbstractTableModel::QAbstractTableModel;
    void setResults(const std::vector<BenchmarkRecord>& records, const std::vector<SkippedRecord>& skipped);

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

private:
    QVariant measuredData(const BenchmarkRecord& record, int column, int role) const;
    QVariant skippedData(const SkippedRecord& record, int column, int role) const;

    std::vector<BenchmarkRecord> m_records;
    std::vector<SkippedRecord> m_skipped;  // below the records
};

QString computeText(Compute compute);  // "bf16"

}  // namespace eigenscope
