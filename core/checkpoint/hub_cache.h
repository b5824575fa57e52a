// SPDX-License-Identifier: Apache-2.0
// Where Hugging Face's downloader keeps checkpoints: HUB/models--ORGANISATION--NAME/ with refs/main, a text
// that names a commit, and snapshots/COMMIT/, a directory of links to the files (huggingface_hub's
// documentation, "Understand caching"). Pure functions; any thread.
#pragma once

#include <filesystem>
#include <string>

namespace eigenscope {

// The snapshot to open when `directory` is a repository of the cache: that of refs/main, or the only one.
// Any other directory is its own answer. Throws when no snapshot or more than one could be meant.
std::filesystem::path hubSnapshot(const std::filesystem::path& directory);

// NAME for a snapshot of the cache, whose own name is a commit; empty for any other directory.
std::string hubName(const std::filesystem::path& snapshot);

}  // namespace eigenscope
