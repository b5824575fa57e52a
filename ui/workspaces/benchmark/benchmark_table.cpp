// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/benchmark/benchmark_table.h"

#include "ui/model/model_tables.h"
#include "ui/model/units.h"
#include "ui/workspaces/benchmark/benchmark_series.h"

#include <QGuiApplication>
#include <QPalette>
#include <QSize>

#include <cmath>
#include <limits>

namespace eigenscope {

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

struct Cell {
    QString text;
    QVariant sort;
    QString tip;
    bool figure = true;  // right aligned
};

Cell textCell(const QString& text) { return {text, text, {}, false}; }
Cell countCell(std::int64_t count) { return {countText(count), static_cast<double>(count), {}}; }
Cell bytesCell(std::int64_t bytes) {
    const auto value = static_cast<double>(bytes);
    return {bytesText(value), value, BenchmarkTable::tr("%1 bytes").arg(countText(bytes))};
}

// What was not measured is a dash and sorts last.
Cell knownCell(bool known, const QString& text, double value) {
    return known && std::isfinite(value)
               ? Cell{text, value, {}}
               : Cell{QStringLiteral("—"), std::numeric_limits<double>::infinity(), {}};
}

Cell spreadCell(const Spread& seconds) {
    Cell cell = knownCell(seconds.samples > 0, secondsText(seconds.median), seconds.median);
    if (seconds.samples > 0) {
        cell.tip = BenchmarkTable::tr("Median of %1 repetitions, which took %2 to %3")
                       .arg(seconds.samples)
                       .arg(secondsText(seconds.least), secondsText(seconds.most));
    }
    return cell;
}

Cell rateCell(bool known, double value) { return knownCell(known, figureText(value), value); }
Cell fractionCell(bool known, double value) { return knownCell(known, percentText(value), value); }

Cell cellOf(const BenchmarkRecord& record, int column) {
    const BenchmarkRow& row = record.row;
    switch (column) {
        case BenchmarkTable::ModelName: {
            Cell cell = textCell(QString::fromStdString(row.model));
            if (!record.alone) {
                cell.text += QStringLiteral(" *");
                cell.tip = BenchmarkTable::tr(
                    "Another job ran at the same time: the times are longer than those of the model alone");
            }
            return cell;
        }
        case BenchmarkTable::Format:
            return textCell(benchmarkFormatText(row.kv_format));
        case BenchmarkTable::Context:
            return countCell(row.context);
        case BenchmarkTable::Batch:
            return countCell(row.batch);
        case BenchmarkTable::Ttft:
            return spreadCell(row.ttft);
        case BenchmarkTable::Tpot:
            return spreadCell(row.tpot);
        case BenchmarkTable::Attention:
            return spreadCell(row.attention);
        case BenchmarkTable::Tokens:
            return rateCell(true, row.tokensPerSecond());
        case BenchmarkTable::PrefillTokens:
            return rateCell(row.hasPrefill(), row.prefillTokensPerSecond());
        case BenchmarkTable::KvCache:
            return bytesCell(row.kv_cache_bytes);
        case BenchmarkTable::PeakMemory:
            return bytesCell(row.peak_memory_bytes);
        case BenchmarkTable::AttentionOfCopy:
            return fractionCell(true, row.attentionBandwidthFraction());
        case BenchmarkTable::DecodeOfBound:
            return fractionCell(true, row.decodeBoundFraction());
        case BenchmarkTable::PrefillOfProduct:
            return fractionCell(row.hasPrefill(), row.prefillComputeFraction());
        case BenchmarkTable::WeightsRead:
            return bytesCell(row.weight_bytes_read);
        case BenchmarkTable::CacheRead:
            return bytesCell(row.cache_bytes_read);
        case BenchmarkTable::NewTokens:
            return countCell(row.new_tokens);
        case BenchmarkTable::ComputeType:
            return textCell(computeText(row.compute));
        case BenchmarkTable::Run:
            return countCell(record.run);
        default:
            return {};
    }
}

Cell cellOf(const SkippedRecord& record, int column) {
    switch (column) {
        case BenchmarkTable::ModelName:
            return textCell(QString::fromStdString(record.skip.model));
        case BenchmarkTable::Format:
            return textCell(benchmarkFormatText(record.kv_format));
        case BenchmarkTable::Context:
            return countCell(record.skip.context);
        case BenchmarkTable::Batch:
            return countCell(record.skip.batch);
        case BenchmarkTable::Run:
            return countCell(record.run);
        case BenchmarkTable::Ttft: {
            Cell cell =
                textCell(BenchmarkTable::tr("skipped: %1").arg(QString::fromStdString(record.skip.reason)));
            cell.sort = std::numeric_limits<double>::infinity();
            return cell;
        }
        default:
            return knownCell(false, {}, kNone);
    }
}

QVariant roleOf(const Cell& cell, int role) {
    switch (role) {
        case Qt::DisplayRole:
            return cell.text;
        case kSortRole:
            return cell.sort;
        case Qt::ToolTipRole:
            return cell.tip.isEmpty() ? QVariant() : cell.tip;
        case Qt::TextAlignmentRole:
            return QVariant::fromValue((cell.figure ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter);
        default:
            return {};
    }
}

struct Header {
    const char *name, *tip;
};

const Header kHeaders[] = {
    {QT_TRANSLATE_NOOP("BenchmarkTable", "Model"), QT_TRANSLATE_NOOP("BenchmarkTable", "What was measured")},
    {QT_TRANSLATE_NOOP("BenchmarkTable", "KV format"),
     QT_TRANSLATE_NOOP("BenchmarkTable", "How keys and values were held in the cache")},
    {QT_TRANSLATE_NOOP("BenchmarkTable", "Context"),
     QT_TRANSLATE_NOOP(
         "BenchmarkTable",
         "Positions in the cache at the end: what prefill goes through, and where decode ends")},
    {QT_TRANSLATE_NOOP("BenchmarkTable", "Batch"),
     QT_TRANSLATE_NOOP("BenchmarkTable", "Sequences at a time")},
    {QT_TRANSLATE_NOOP("BenchmarkTable", "TTFT"),
     QT_TRANSLATE_NOOP("BenchmarkTable", "Time to first token: prefill of the context. Lower is better")},
    {QT_TRANSLATE_NOOP("BenchmarkTable", "TPOT"),
     QT_TRANSLATE_NOOP("BenchmarkTable",
                       "Time per output token: a decode step at the end of the context. Lower is better")},
    {QT_TRANSLATE_NOOP("BenchmarkTable", "Attention"),
     QT_TRANSLATE_NOOP("BenchmarkTable",
                       "Of a decode step, the attention op of all layers, measured alone. Lower is better")},
    {QT_TRANSLATE_NOOP("BenchmarkTable", "Tokens/s"),
     QT_TRANSLATE_NOOP("BenchmarkTable", "Decode: batch / TPOT. Higher is better")},
    {QT_TRANSLATE_NOOP("BenchmarkTable", "Prefill tokens/s"),
     QT_TRANSLATE_NOOP("BenchmarkTable", "Context x batch / TTFT. Higher is better")},
    {QT_TRANSLATE_NOOP("BenchmarkTable", "KV cache"),
     QT_TRANSLATE_NOOP("BenchmarkTable", "Bytes allocated for the cache")},
    {QT_TRANSLATE_NOOP("BenchmarkTable", "Peak memory"),
     QT_TRANSLATE_NOOP("BenchmarkTable", "Weights, cache, activations and the ops' scratch")},
    {QT_TRANSLATE_NOOP("BenchmarkTable", "Attention of copy"),
     QT_TRANSLATE_NOOP(
         "BenchmarkTable",
         "Cache bytes a second in the attention op, of the measured copy rate. Higher is better")},
    {QT_TRANSLATE_NOOP("BenchmarkTable", "Decode of bound"),
     QT_TRANSLATE_NOOP("BenchmarkTable",
                       "Time of reading weights and cache once at the copy rate, of TPOT. Higher is better")},
    {QT_TRANSLATE_NOOP("BenchmarkTable", "Prefill of product"),
     QT_TRANSLATE_NOOP(
         "BenchmarkTable",
         "Arithmetic of the prefill a second, of the measured matrix product. Higher is better")},
    {QT_TRANSLATE_NOOP("BenchmarkTable", "Weights read"),
     QT_TRANSLATE_NOOP("BenchmarkTable", "Bytes of weights that a decode step reads, each once")},
    {QT_TRANSLATE_NOOP("BenchmarkTable", "Cache read"),
     QT_TRANSLATE_NOOP("BenchmarkTable", "Bytes of the cache that the step at the last position reads")},
    {QT_TRANSLATE_NOOP("BenchmarkTable", "New tokens"),
     QT_TRANSLATE_NOOP("BenchmarkTable", "Decode steps of a repetition")},
    {QT_TRANSLATE_NOOP("BenchmarkTable", "Compute"),
     QT_TRANSLATE_NOOP("BenchmarkTable", "Arithmetic of the matrix products")},
    {QT_TRANSLATE_NOOP("BenchmarkTable", "Run"),
     QT_TRANSLATE_NOOP("BenchmarkTable",
                       "Counts from 1 since the results were cleared; ceilings are measured "
                       "once a run")},
};
static_assert(std::size(kHeaders) == BenchmarkTable::ColumnCount);

bool isText(int column) {
    return column == BenchmarkTable::ModelName || column == BenchmarkTable::Format ||
           column == BenchmarkTable::ComputeType;
}

}  // namespace

QString computeText(Compute compute) {
    return compute == Compute::F32    ? QStringLiteral("f32")
           : compute == Compute::BF16 ? QStringLiteral("bf16")
                                      : QStringLiteral("f16");
}

void BenchmarkTable::setResults(const std::vector<BenchmarkRecord>& records,
                                const std::vector<SkippedRecord>& skipped) {
    beginResetModel();
    m_records = records;
    m_skipped = skipped;
    endResetModel();
}

int BenchmarkTable::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(m_records.size() + m_skipped.size());
}

int BenchmarkTable::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : ColumnCount;
}

QVariant BenchmarkTable::data(const QModelIndex& index, int role) const {
    if (!index.isValid()) {
        return {};
    }
    const auto row = static_cast<std::size_t>(index.row());
    return row < m_records.size() ? measuredData(m_records[row], index.column(), role)
                                  : skippedData(m_skipped[row - m_records.size()], index.column(), role);
}

QVariant BenchmarkTable::measuredData(const BenchmarkRecord& record, int column, int role) const {
    return role == kSkippedRole ? QVariant(false) : roleOf(cellOf(record, column), role);
}

QVariant BenchmarkTable::skippedData(const SkippedRecord& record, int column, int role) const {
    switch (role) {
        case kSkippedRole:
            return true;
        case Qt::ToolTipRole:
            return QString::fromStdString(record.skip.reason);
        case Qt::ForegroundRole:
            return QGuiApplication::palette().brush(QPalette::PlaceholderText);
        case Qt::SizeHintRole:  // the reason runs across the figures' columns and widens none
            return column == Ttft ? QVariant(QSize(1, 1)) : QVariant();
        default:
            return roleOf(cellOf(record, column), role);
    }
}

QVariant BenchmarkTable::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal || section < 0 || section >= ColumnCount) {
        return {};
    }
    const Header& header = kHeaders[section];
    switch (role) {
        case Qt::DisplayRole:
            return tr(header.name);
        case Qt::ToolTipRole:
            return tr(header.tip);
        case Qt::TextAlignmentRole:
            return QVariant::fromValue((isText(section) ? Qt::AlignLeft : Qt::AlignRight) | Qt::AlignVCenter);
        default:
            return {};
    }
}

}  // namespace eigenscope
