// SPDX-License-Identifier: Apache-2.0
// Texts one after another from a file, whatever its form:
//   plain text      the whole file is one document; one of more than `whole_bytes` is handed out in stretches
//                   that end with a line
//   JSON records    one JSON object after another (.jsonl, C4's layout) or an array of them (.json, Alpaca's
//                   layout); the document is a field of each, or the record is rendered from its fields
// and either compressed with gzip. Files named .json, .jsonl or .ndjson (.gz behind it or not) hold records;
// a name that says neither this nor plain text (.txt, .text, .md) does when its first line is a JSON object
// with the field. Memory is that of one document and a block. One thread.
#pragma once

#include "core/base/hash.h"
#include "core/base/job_context.h"
#include "core/base/json.h"
#include "core/calibration/byte_source.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace eigenscope {

struct ReaderOptions {
    // Field that holds a record's text. Empty: "text"; without one, "instruction", "input" and "output" are
    // rendered one below the other, each under its heading.
    std::string text_field;
    std::size_t whole_bytes = std::size_t{1} << 28;
    std::size_t stretch_bytes = std::size_t{1} << 20;
};

struct Document {
    std::string text;
    std::int64_t record = 0;  // from 1
    std::int64_t line = 0;    // where the record starts, from 1; 0 in plain text
};

enum class TextFormat : std::uint8_t { Plain, Records };
std::string_view nameOf(TextFormat format);  // "text", "records"

class DocumentReader {
public:
    DocumentReader(JobContext& job, const std::filesystem::path& file, ReaderOptions options = {});

    // False at the end. Records without text (nothing but white space) are passed over.
    bool next(Document& document);

    TextFormat format() const { return m_format; }
    bool whole() const { return m_whole; }                           // plain text that came as one document
    std::int64_t documents() const { return m_count; }               // handed out so far
    std::int64_t empty() const { return m_empty; }                   // passed over so far
    std::string fingerprint() const { return m_fingerprint.hex(); }  // of the unpacked bytes; at the end

private:
    enum class Layout : std::uint8_t { Unknown, Sequence, Array };

    std::size_t unread() const { return m_buffer.size() - m_at; }
    void fill(std::size_t bytes);  // until that many are unread, or the text ends
    int peek();                    // the next byte, or -1 at the end
    void take();
    void skipSpace();
    bool looksLikeRecords();
    bool nextPlain(Document& document);
    bool nextRecord(Document& document);
    bool nextValue(std::string& raw);
    void scanValue(std::string& raw);
    std::string textOf(const Json& record) const;
    std::string render(const Json& record) const;
    [[noreturn]] void failRecord(std::string_view message) const;

    JobContext& m_job;
    std::filesystem::path m_file;
    ReaderOptions m_options;
    ByteSource m_source;
    Fingerprint m_fingerprint;
    TextFormat m_format = TextFormat::Plain;
    Layout m_layout = Layout::Unknown;
    std::string m_buffer;
    std::size_t m_at = 0;
    bool m_ended = false, m_started = false, m_whole = false, m_closed = false;
    std::int64_t m_offset = 0, m_line = 1, m_record = 0, m_record_line = 1, m_count = 0, m_empty = 0;
};

}  // namespace eigenscope
