// SPDX-License-Identifier: Apache-2.0
// Marks small functions that device code calls as well. Says nothing where no device compiler is at work, so
// that kernels/api needs no toolkit. Such functions are C++17 and use neither std::bit_cast nor std::min.
#pragma once

#ifdef __CUDACC__
#define EIGENSCOPE_HOST_DEVICE __host__ __device__
#else
#define EIGENSCOPE_HOST_DEVICE
#endif
