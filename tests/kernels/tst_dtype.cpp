// SPDX-License-Identifier: Apache-2.0
// Scalar conversions, shapes and tensors.
#include "kernels/api/backend.h"
#include "kernels/reference/reference_backend.h"

#include <QTest>

#include <bit>
#include <cmath>
#include <limits>

using namespace eigenscope;

namespace {

// The value of a binary16 or bfloat16 pattern from the definition: sign, exponent, fraction.
double valueOf(std::uint32_t bits, int exponent_bits, int mantissa_bits) {
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const std::uint32_t mantissa = bits & ((1u << mantissa_bits) - 1);
    const int exponent = static_cast<int>((bits >> mantissa_bits) & ((1u << exponent_bits) - 1));
    const double sign = (bits >> (exponent_bits + mantissa_bits)) & 1 ? -1.0 : 1.0;
    if (exponent == (1 << exponent_bits) - 1)
        return mantissa ? std::nan("") : sign * INFINITY;
    if (exponent == 0)
        return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
    return sign *
           std::ldexp(static_cast<double>(mantissa) + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

struct Format {
    const char* name;
    int exponent_bits, mantissa_bits;
    float (*from)(std::uint16_t);
    std::uint16_t (*to)(float);
};

constexpr Format kFormats[] = {{"f16", 5, 10, fromF16, toF16}, {"bf16", 8, 7, fromBf16, toBf16}};

}  // namespace

class TestDtype : public QObject {
    Q_OBJECT

private slots:
    void everyPatternRoundTrips() {
        for (const Format& format : kFormats)
            for (std::uint32_t bits = 0; bits < 65536; ++bits) {
                const float value = format.from(static_cast<std::uint16_t>(bits));
                const double expected = valueOf(bits, format.exponent_bits, format.mantissa_bits);
                if (std::isnan(expected)) {
                    QVERIFY(std::isnan(value));
                    QVERIFY(std::isnan(format.from(format.to(value))));
                    continue;
                }
                QVERIFY2(value == expected, format.name);
                QCOMPARE(std::signbit(value), std::signbit(expected));
                QCOMPARE(static_cast<std::uint32_t>(format.to(value)), bits);
            }
    }

    // Between any two neighbours: below the middle rounds down, above it up, the middle to the even one.
    void roundsToNearestEven() {
        for (const Format& format : kFormats) {
            const std::uint32_t infinity = ((1u << format.exponent_bits) - 1) << format.mantissa_bits;
            for (std::uint32_t bits = 0; bits + 1 < infinity; ++bits) {
                const double low = valueOf(bits, format.exponent_bits, format.mantissa_bits);
                const double high = valueOf(bits + 1, format.exponent_bits, format.mantissa_bits);
                const float middle = static_cast<float>(0.5 * (low + high));
                QVERIFY(static_cast<double>(middle) ==
                        0.5 * (low + high));  // exact: a float32 has the extra bit
                QCOMPARE(static_cast<std::uint32_t>(format.to(middle)), bits + (bits & 1));
                QCOMPARE(static_cast<std::uint32_t>(format.to(-middle)), (bits + (bits & 1)) | 0x8000u);
                QCOMPARE(static_cast<std::uint32_t>(format.to(std::nextafter(middle, 0.0f))), bits);
                QCOMPARE(static_cast<std::uint32_t>(format.to(std::nextafter(middle, INFINITY))), bits + 1);
            }
        }
    }

    void extremes() {
        QCOMPARE(toF16(65504.0f), std::uint16_t{0x7bff});
        QCOMPARE(toF16(65519.99f), std::uint16_t{0x7bff});
        QCOMPARE(toF16(65520.0f), std::uint16_t{0x7c00});
        QCOMPARE(toF16(-1e30f), std::uint16_t{0xfc00});
        QCOMPARE(toF16(0x1p-25f), std::uint16_t{0});
        QCOMPARE(toF16(std::nextafter(0x1p-25f, 1.0f)), std::uint16_t{1});
        QCOMPARE(toF16(-1e-40f), std::uint16_t{0x8000});
        QCOMPARE(toBf16(std::numeric_limits<float>::max()), std::uint16_t{0x7f80});
        QCOMPARE(toBf16(-0.0f), std::uint16_t{0x8000});
        QCOMPARE(toBf16(INFINITY), std::uint16_t{0x7f80});
        // A NaN whose payload lies below the kept bits must not become infinity.
        const float low_nan = std::bit_cast<float>(0x7f800001u);
        QVERIFY(std::isnan(fromF16(toF16(low_nan))));
        QVERIFY(std::isnan(fromBf16(toBf16(low_nan))));
        QVERIFY(std::isnan(fromBf16(toBf16(std::bit_cast<float>(0xffffffffu)))));
    }

    void namesAndSizes() {
        for (DType dtype : {DType::F32, DType::F16, DType::BF16})
            QVERIFY(dtypeFromName(nameOf(dtype)) == dtype);
        QVERIFY(!dtypeFromName("f64"));
        QVERIFY(!dtypeFromName(""));
        QCOMPARE(sizeOf(DType::F32), 4u);
        QCOMPARE(sizeOf(DType::F16), 2u);
        QCOMPARE(sizeOf(DType::BF16), 2u);
    }

    void elementAccess() {
        for (DType dtype : {DType::F32, DType::F16, DType::BF16}) {
            std::vector<std::byte> bytes(1 +
                                         3 * sizeOf(dtype));  // at an odd address: no alignment is assumed
            storeFromF32(bytes.data() + 1, dtype, 2, -1.5f);
            QCOMPARE(loadAsF32(bytes.data() + 1, dtype, 2), -1.5f);
            QCOMPARE(loadAsF32(bytes.data() + 1, dtype, 1), 0.0f);
        }
    }

    void shapes() {
        QCOMPARE(Shape{}.count(), 1);
        QCOMPARE((Shape{3, 128}.count()), 384);
        QCOMPARE((Shape{3, 0, 5}.count()), 0);
        QCOMPARE((Shape{3, 128}.text()), std::string("[3, 128]"));
        QVERIFY((Shape{3, 4} == Shape{3, 4}));
        QVERIFY((Shape{3, 4} != Shape{3, 4, 1}));
        QVERIFY_THROWS_EXCEPTION(Error, (Shape{1, 2, 3, 4, 5}));
    }

    void tensorsShareTheirBuffer() {
        const std::shared_ptr<Backend> backend = createReferenceBackend();
        const Tensor tensor = makeTensor(*backend, DType::F16, {5, 3, 2});
        QCOMPARE(tensor.bytes(), 60u);
        QCOMPARE(reinterpret_cast<std::uintptr_t>(tensor.data()) % 64, 0u);
        const Tensor rows = tensor.rows(2, 2);
        QVERIFY((rows.shape() == Shape{2, 3, 2}));
        QVERIFY(rows.buffer() == tensor.buffer());
        QCOMPARE(static_cast<char*>(rows.data()) - static_cast<char*>(tensor.data()), 24);
        const Tensor inner = rows.rows(1, 1);
        QCOMPARE(static_cast<char*>(inner.data()) - static_cast<char*>(tensor.data()), 36);
        QCOMPARE(tensor.rows(5, 0).bytes(), 0u);
        QVERIFY(Tensor().empty());
        QVERIFY(Tensor().view().empty());
        QVERIFY(!makeTensor(*backend, DType::F32, {0, 4}).empty());
    }

    void tensorsRefuseWhatDoesNotFit() {
        const std::shared_ptr<Backend> backend = createReferenceBackend();
        const Tensor tensor = makeTensor(*backend, DType::F32, {5, 3});
        QVERIFY_THROWS_EXCEPTION(Error, tensor.rows(4, 2));
        QVERIFY_THROWS_EXCEPTION(Error, tensor.rows(-1, 2));
        QVERIFY_THROWS_EXCEPTION(Error, tensor.rows(1, std::numeric_limits<std::int64_t>::max()));
        QVERIFY_THROWS_EXCEPTION(Error, Tensor(tensor.buffer(), DType::F32, {4, 4}));
        QVERIFY_THROWS_EXCEPTION(Error, Tensor(tensor.buffer(), DType::F32, {5, 3}, 4));
        QVERIFY_THROWS_EXCEPTION(Error, makeTensor(*backend, DType::F32, {-1, 3}));
        constexpr std::int64_t kHuge = std::int64_t{1} << 40;
        QVERIFY_THROWS_EXCEPTION(Error, makeTensor(*backend, DType::F32, {kHuge, kHuge, kHuge}));
    }
};

QTEST_GUILESS_MAIN(TestDtype)
#include "tst_dtype.moc"
