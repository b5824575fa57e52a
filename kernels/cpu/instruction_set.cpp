// SPDX-License-Identifier: Apache-2.0
// Names the instruction set that Highway dispatches to.
#include "kernels/cpu/cpu_info.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/instruction_set.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace eigenscope::cpu::HWY_NAMESPACE {

const char* TargetName() {
    switch (HWY_TARGET) {
#if HWY_ARCH_X86
        case HWY_AVX3:
            return "AVX-512";
#endif
        case HWY_SCALAR:
            return "scalar";
        default:
            return hwy::TargetName(HWY_TARGET);
    }
}

}  // namespace eigenscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eigenscope::cpu {
namespace {
HWY_EXPORT(TargetName);
}

const char* instructionSet() { return HWY_DYNAMIC_DISPATCH(TargetName)(); }

}  // namespace eigenscope::cpu
#endif
