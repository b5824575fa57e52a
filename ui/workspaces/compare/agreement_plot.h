// SPDX-License-Identifier: GPL-3.0-or-later
// KL divergence of the second model's next-token distribution from the first's, token by token.
#pragma once

#include "ui/widgets/plot.h"

#include <vector>

namespace eigenscope {

class AgreementPlot : public Plot {
    Q_OBJECT
public:
    explicit AgreementPlot(const Theme& theme, QWidget* parent = nullptr);
    void setDivergence(const std::vector<double>& token_kl);
    PlotTable table() const override;

protected:
    void restyle() override;

private:
    QCPBars* m_bars;
    std::vector<double> m_kl;
};

}  // namespace eigenscope
