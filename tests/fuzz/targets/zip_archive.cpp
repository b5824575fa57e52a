// SPDX-License-Identifier: Apache-2.0
// The zip archives that PyTorch files are.
#include "core/checkpoint/zip_archive.h"
#include "tests/fuzz/fuzz_input.h"

using namespace eigenscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto path = fuzz::inputFile("archive.zip", fuzz::textOf(data, size));
    fuzz::read([&] {
        const ZipArchive archive(path, MappedFile::open(path));
        for (const ZipArchive::Entry& entry : archive.entries()) {
            fuzz::require(archive.find(entry.name) == &entry, "an entry is not found by its name");
            fuzz::read([&] {
                const SharedBytes contents = archive.contents(entry);
                fuzz::require(contents.bytes.size() == entry.size, "an entry is not of its size");
                fuzz::touch(contents.bytes);
                archive.compareChecksum(entry, contents.bytes);
            });
        }
    });
    return 0;
}
