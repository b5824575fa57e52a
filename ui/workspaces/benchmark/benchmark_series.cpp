// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/benchmark/benchmark_series.h"

#include "ui/widgets/kv_format_box.h"
#include "ui/widgets/kv_groups_box.h"

#include <QCoreApplication>
#include <QHash>
#include <QStringList>

#include <algorithm>

namespace eigenscope {

QString benchmarkFormatText(const KvFormat& format) {
    const KvGroups groups{format.group, format.keys, format.recent};
    const bool grouped = format.bits != 0 && groups != KvGroups{};
    return grouped ? QStringLiteral("%1, %2").arg(kvFormatText(format), kvGroupsText(groups))
                   : kvFormatText(format);
}

std::vector<BenchmarkSeries> seriesOf(const std::vector<BenchmarkRecord>& records) {
    struct Key {
        int run;
        std::string model;
        KvFormat format;
        int batch;
        bool operator==(const Key&) const = default;
    };
    std::vector<Key> keys, kinds;
    std::vector<int> batches;
    std::vector<BenchmarkSeries> all;
    QHash<QString, int> uses;  // of a name
    const auto place = [](auto& list, const auto& what) {
        const auto found = std::find(list.begin(), list.end(), what);
        const auto index = found - list.begin();
        if (found == list.end()) {
            list.push_back(what);
        }
        return static_cast<int>(index);
    };
    for (std::size_t i = 0; i < records.size(); ++i) {
        const BenchmarkRow& row = records[i].row;
        const int index = place(keys, Key{records[i].run, row.model, row.kv_format, row.batch});
        if (static_cast<std::size_t>(index) == all.size()) {
            BenchmarkSeries series;
            series.name = QCoreApplication::translate("BenchmarkSeries", "%1 · %2 · batch %L3")
                              .arg(QString::fromStdString(row.model), benchmarkFormatText(row.kv_format))
                              .arg(row.batch);
            series.kind = place(kinds, Key{records[i].run, row.model, row.kv_format, 0});
            series.batch = place(batches, row.batch);
            ++uses[series.name];
            all.push_back(std::move(series));
        }
        all[static_cast<std::size_t>(index)].points.push_back(i);
    }
    for (std::size_t s = 0; s < all.size(); ++s) {
        std::stable_sort(all[s].points.begin(), all[s].points.end(), [&](std::size_t a, std::size_t b) {
            return records[a].row.context < records[b].row.context;
        });
        if (uses[all[s].name] > 1) {
            all[s].name = QCoreApplication::translate("BenchmarkSeries", "%1 · run %2")
                              .arg(all[s].name)
                              .arg(keys[s].run);
        }
    }
    return all;
}

}  // namespace eigenscope
