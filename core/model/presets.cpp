// SPDX-License-Identifier: Apache-2.0
// Published architectures by size, from their papers and configurations: OPT (arXiv 2205.01068), MPT
// (MosaicML, 2023), Llama 2 (arXiv 2307.09288), Llama 3 (arXiv 2407.21783), TinyLlama (arXiv 2401.02385).
#include "core/model/open_checkpoint.h"

#include <array>

namespace eigenscope {

std::span<const Preset> presets() {
    static constexpr std::array<Preset, 8> kPresets{{
        {"tinyllama-1.1b", "TinyLlama 1.1B",
         R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 2048,
             "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32,
             "num_key_value_heads": 4, "vocab_size": 32000, "max_position_embeddings": 2048,
             "rms_norm_eps": 1e-05, "tie_word_embeddings": false, "torch_dtype": "bfloat16"})"},
        {"opt-6.7b", "OPT 6.7B",
         R"({"architectures": ["OPTForCausalLM"], "model_type": "opt", "hidden_size": 4096, "ffn_dim": 16384,
             "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 50272,
             "max_position_embeddings": 2048, "word_embed_proj_dim": 4096, "do_layer_norm_before": true,
             "activation_function": "relu", "tie_word_embeddings": true, "torch_dtype": "float16"})"},
        {"mpt-7b", "MPT 7B",
         R"({"architectures": ["MptForCausalLM"], "model_type": "mpt", "d_model": 4096, "n_heads": 32,
             "n_layers": 32, "expansion_ratio": 4, "vocab_size": 50432, "max_seq_len": 2048, "no_bias": true,
             "attn_config": {"alibi": true, "alibi_bias_max": 8}, "torch_dtype": "bfloat16"})"},
        {"llama-2-7b", "Llama 2 7B",
         R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096,
             "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
             "num_key_value_heads": 32, "vocab_size": 32000, "max_position_embeddings": 4096,
             "rms_norm_eps": 1e-05, "tie_word_embeddings": false, "torch_dtype": "float16"})"},
        {"llama-3-8b", "Llama 3 8B",
         R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096,
             "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
             "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192,
             "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "tie_word_embeddings": false,
             "torch_dtype": "bfloat16"})"},
        {"llama-2-13b", "Llama 2 13B",
         R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 5120,
             "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40,
             "num_key_value_heads": 40, "vocab_size": 32000, "max_position_embeddings": 4096,
             "rms_norm_eps": 1e-05, "tie_word_embeddings": false, "torch_dtype": "float16"})"},
        {"opt-30b", "OPT 30B",
         R"({"architectures": ["OPTForCausalLM"], "model_type": "opt", "hidden_size": 7168, "ffn_dim": 28672,
             "num_hidden_layers": 48, "num_attention_heads": 56, "vocab_size": 50272,
             "max_position_embeddings": 2048, "word_embed_proj_dim": 7168, "do_layer_norm_before": true,
             "activation_function": "relu", "tie_word_embeddings": true, "torch_dtype": "float16"})"},
        {"llama-3-70b", "Llama 3 70B",
         R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8192,
             "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64,
             "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192,
             "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "tie_word_embeddings": false,
             "torch_dtype": "bfloat16"})"},
    }};
    return kPresets;
}

}  // namespace eigenscope
