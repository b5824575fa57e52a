// SPDX-License-Identifier: Apache-2.0
#include "kernels/reference/reference_ops.h"

#include "kernels/api/error.h"

#include <cmath>
#include <string>

namespace eigenscope::reference {

namespace {

// A factor of a product after the rounding that `compute` asks for.
double rounded(float value, Compute compute) {
    switch (compute) {
        case Compute::F16:
            return fromF16(toF16(value));
        case Compute::BF16:
            return fromBf16(toBf16(value));
        case Compute::F32:
            break;
    }
    return value;
}

double activation(ActivateParams::Kind kind, double limit, double x) {
    constexpr double kSqrtHalf = 0.70710678118654752440;
    constexpr double kSqrtTwoOverPi = 0.79788456080286535588;
    switch (kind) {
        case ActivateParams::Kind::Relu:
            return x < 0.0 ? 0.0 : x;  // NaN passes
        case ActivateParams::Kind::Gelu:
            return 0.5 * x * std::erfc(-x * kSqrtHalf);
        case ActivateParams::Kind::GeluTanh:
            return 0.5 * x * (1.0 + std::tanh(kSqrtTwoOverPi * (x + 0.044715 * x * x * x)));
        case ActivateParams::Kind::Silu:
            return x / (1.0 + std::exp(-x));
        case ActivateParams::Kind::Clamp:
            return x < -limit ? -limit : limit < x ? limit : x;
    }
    return x;
}

}  // namespace

void gemm(const GemmParams& p) {
    for (std::int64_t i = 0; i < p.m; ++i) {
        for (std::int64_t j = 0; j < p.n; ++j) {
            double sum = 0.0;
            for (std::int64_t c = 0; c < p.k; ++c)
                sum += rounded(p.x[i * p.k + c], p.compute) *
                       rounded(loadAsF32(p.weight, p.weight_dtype, j * p.k + c), p.compute);
            if (p.bias)
                sum += p.bias[j];
            float& y = p.y[i * p.n + j];
            y = static_cast<float>(p.accumulate ? y + sum : sum);
        }
    }
}

void embed(const EmbedParams& p) {
    for (std::int64_t i = 0; i < p.count; ++i) {
        const TokenId id = p.ids[i];
        if (id < 0 || id >= p.rows)
            throw Error(ErrorCode::InvalidInput, "embed: token id " + std::to_string(id) + " is not in [0, " +
                                                     std::to_string(p.rows) + ")");
        for (std::int64_t c = 0; c < p.width; ++c) {
            const float value = loadAsF32(p.table, p.table_dtype, id * p.width + c);
            float& y = p.y[i * p.width + c];
            y = p.accumulate ? y + value : value;
        }
    }
}

void norm(const NormParams& p) {
    for (std::int64_t i = 0; i < p.rows; ++i) {
        const float* x = p.x + i * p.width;
        float* y = p.y + i * p.width;
        double mean = 0.0;
        if (p.kind == NormParams::Kind::LayerNorm) {
            for (std::int64_t c = 0; c < p.width; ++c)
                mean += x[c];
            mean /= static_cast<double>(p.width);
        }
        double variance = 0.0;  // about zero for RmsNorm
        for (std::int64_t c = 0; c < p.width; ++c)
            variance += (x[c] - mean) * (x[c] - mean);
        variance /= static_cast<double>(p.width);
        const double scale = 1.0 / std::sqrt(variance + p.epsilon);
        for (std::int64_t c = 0; c < p.width; ++c)
            y[c] = static_cast<float>((x[c] - mean) * scale * (p.weight ? p.weight[c] : 1.0) +
                                      (p.bias ? p.bias[c] : 0.0));
    }
}

void activate(const ActivateParams& p) {
    for (std::int64_t i = 0; i < p.count; ++i) {
        const double value = activation(p.kind, p.limit, p.x[i]);
        p.y[i] = static_cast<float>(p.gate ? value * p.gate[i] : value);
    }
}

void add(const AddParams& p) {
    for (std::int64_t i = 0; i < p.count; ++i)
        p.y[i] += p.x[i];
}

void rope(const RopeParams& p) {
    const std::int64_t half = p.table.rotary_dim / 2;
    for (std::int64_t b = 0; b < p.batch; ++b) {
        for (std::int64_t t = 0; t < p.length; ++t) {
            const std::int64_t at = (p.first_position + t) * half;
            for (std::int64_t h = 0; h < p.heads; ++h) {
                float* x = p.x + ((b * p.length + t) * p.heads + h) * p.head_dim;
                for (std::int64_t i = 0; i < half; ++i) {
                    const double c = p.table.cos[at + i], s = p.table.sin[at + i];
                    const double low = x[i], high = x[i + half];
                    x[i] = static_cast<float>(low * c - high * s);
                    x[i + half] = static_cast<float>(high * c + low * s);
                }
            }
        }
    }
}

void gram(const GramParams& p) {
    for (std::int64_t row = 0; row < p.rows; ++row) {
        for (std::int64_t h = 0; h < p.heads; ++h) {
            const double weight = p.weights ? p.weights[h * p.rows + row] : 1.0;
            if (weight == 0.0)
                continue;
            const float* x = p.x + (row * p.heads + h) * p.width;
            const std::int64_t group = h / p.group;
            double* gram = p.gram + group * p.width * p.width;
            for (std::int64_t i = 0; i < p.width; ++i) {
                for (std::int64_t j = 0; j < p.width; ++j)
                    gram[i * p.width + j] += weight * (static_cast<double>(x[i]) * x[j]);
                if (p.sum)
                    p.sum[group * p.width + i] += weight * x[i];
            }
        }
    }
}

void nll(const NllParams& p) {
    for (std::int64_t i = 0; i < p.rows; ++i) {
        const float* logits = p.logits + i * p.vocab;
        const TokenId target = p.targets[i];
        if (target >= p.vocab)
            throw Error(ErrorCode::InvalidInput,
                        "nll: target " + std::to_string(target) + " is not below " + std::to_string(p.vocab));
        if (target < 0) {
            p.nll[i] = 0.0;
            continue;
        }
        double largest = logits[0];
        for (std::int64_t j = 1; j < p.vocab; ++j)
            largest = std::max(largest, static_cast<double>(logits[j]));
        double sum = 0.0;
        for (std::int64_t j = 0; j < p.vocab; ++j)
            sum += std::exp(logits[j] - largest);
        p.nll[i] = std::log(sum) + largest - logits[target];
    }
}

void argmax(const ArgmaxParams& p) {
    for (std::int64_t i = 0; i < p.rows; ++i) {
        const float* logits = p.logits + i * p.vocab;
        std::int64_t best = 0;
        for (std::int64_t j = 1; j < p.vocab; ++j)
            if (logits[j] > logits[best])
                best = j;
        p.index[i] = static_cast<TokenId>(best);
    }
}

void convert(const ConvertParams& p) {
    for (std::int64_t i = 0; i < p.count; ++i)
        storeFromF32(p.y, p.y_dtype, i, loadAsF32(p.x, p.x_dtype, i));
}

}  // namespace eigenscope::reference
