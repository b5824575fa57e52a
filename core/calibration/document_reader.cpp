// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/document_reader.h"

#include "core/base/fail.h"
#include "core/calibration/text_check.h"
#include "core/tokenizer/utf8.h"

#include <algorithm>
#include <array>
#include <utility>

namespace eigenscope {

namespace {

constexpr std::size_t kBlock = std::size_t{1} << 18;
constexpr std::size_t kMaxRecord = std::size_t{1} << 26;  // bytes of one record: a book is a few million
constexpr std::size_t kMaxDepth = 256;                    // as parseJson
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool isSpace(int c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool isBlank(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return isSpace(c) || c == '\f' || c == '\v'; });
}

// The name's last suffix in lower case, that before ".gz" for a compressed file.
std::string suffixOf(std::filesystem::path file) {
    const auto lower = [](std::string text) {
        std::transform(text.begin(), text.end(), text.begin(),
                       [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
        return text;
    };
    if (lower(file.extension().string()) == ".gz")
        file = file.stem();
    return lower(file.extension().string());
}

bool isOneOf(std::string_view suffix, std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), suffix) != names.end();
}

std::string keysOf(const Json& record) {
    std::string keys;
    int shown = 0;
    for (const auto& [key, value] : record.items()) {
        if (++shown > 8) {
            keys += ", ...";
            break;
        }
        keys += (keys.empty() ? "" : ", ") + key.substr(0, 40);
    }
    return keys.empty() ? "no fields" : keys;
}

}  // namespace

std::string_view nameOf(TextFormat format) { return format == TextFormat::Plain ? "text" : "records"; }

DocumentReader::DocumentReader(JobContext& job, const std::filesystem::path& file, ReaderOptions options)
    : m_job(job), m_file(file), m_options(std::move(options)), m_source(file) {
    m_job.checkCancelled();
    const std::string suffix = suffixOf(file);
    if (isOneOf(suffix, {".json", ".jsonl", ".ndjson"}))
        m_format = TextFormat::Records;
    else if (!isOneOf(suffix, {".txt", ".text", ".md"}) && looksLikeRecords())
        m_format = TextFormat::Records;
}

void DocumentReader::fill(std::size_t bytes) {
    if (m_at > kBlock && m_at > m_buffer.size() / 2) {
        m_buffer.erase(0, m_at);
        m_at = 0;
    }
    while (!m_ended && unread() < bytes) {
        m_job.checkCancelled();
        m_job.progress("reading text", m_source.consumed() >> 10, m_source.fileBytes() >> 10);
        const std::size_t used = m_buffer.size();
        m_buffer.resize(used + kBlock);
        const std::size_t got = m_source.read(m_buffer.data() + used, kBlock);
        m_buffer.resize(used + got);
        m_fingerprint.add(std::string_view(m_buffer).substr(used));
        m_ended = got < kBlock;
    }
}

int DocumentReader::peek() {
    if (m_at == m_buffer.size())
        fill(1);
    return m_at == m_buffer.size() ? -1 : static_cast<unsigned char>(m_buffer[m_at]);
}

void DocumentReader::take() { m_line += m_buffer[m_at++] == '\n' ? 1 : 0; }

void DocumentReader::skipSpace() {
    while (isSpace(peek()))
        take();
}

bool DocumentReader::looksLikeRecords() {
    fill(kBlock);
    std::string_view text = m_buffer;
    if (text.starts_with(kByteOrderMark))
        text.remove_prefix(kByteOrderMark.size());
    text = text.substr(0, text.find('\n'));
    if (!text.starts_with('{'))
        return false;
    try {
        const Json record = parseJson(text, m_file);
        return !textOf(record).empty();
    } catch (const Error&) {
        return false;
    }
}

bool DocumentReader::next(Document& document) {
    m_job.checkCancelled();
    return m_format == TextFormat::Plain ? nextPlain(document) : nextRecord(document);
}

bool DocumentReader::nextPlain(Document& document) {
    if (!m_started) {
        m_started = true;
        const auto limit = static_cast<std::int64_t>(m_options.whole_bytes);
        if (m_source.compressed() || m_source.fileBytes() <= limit)
            fill(m_options.whole_bytes + 1);
        m_whole = m_ended && m_buffer.size() <= m_options.whole_bytes;
        if (m_whole) {
            checkText(m_buffer, m_file);
            document = {std::move(m_buffer), 1, 0};
            m_buffer.clear();
            m_count = 1;
            return true;
        }
    }
    if (m_whole)
        return false;
    fill(m_options.stretch_bytes);
    if (unread() == 0)
        return false;
    std::string_view stretch = std::string_view(m_buffer).substr(m_at, m_options.stretch_bytes);
    if (!m_ended || stretch.size() < unread()) {
        const std::size_t newline = stretch.rfind('\n');
        const std::size_t end = newline == std::string_view::npos ? completeUtf8(stretch) : newline + 1;
        stretch = stretch.substr(0, std::max<std::size_t>(end, 1));
    }
    checkText(stretch, m_file, m_offset);
    document = {std::string(stretch), ++m_count, 0};
    m_at += stretch.size();
    m_offset += static_cast<std::int64_t>(stretch.size());
    return true;
}

bool DocumentReader::nextRecord(Document& document) {
    std::string raw;
    while (nextValue(raw)) {
        Json record;
        try {
            record = parseJson(raw, m_file);
        } catch (const Error&) {
            failRecord("not valid JSON in UTF-8");
        }
        document = {textOf(record), m_record, m_record_line};
        if (document.text.empty())
            failRecord("has no text: expected a string, an object with " +
                       (m_options.text_field.empty() ? std::string("the field 'text'")
                                                     : "the field '" + m_options.text_field + "'"));
        if (isBlank(document.text)) {
            ++m_empty;
            continue;
        }
        ++m_count;
        return true;
    }
    return false;
}

// The bytes of the next record; false at the end of the file.
bool DocumentReader::nextValue(std::string& raw) {
    if (m_layout == Layout::Unknown) {
        fill(kByteOrderMark.size());
        if (std::string_view(m_buffer).substr(m_at).starts_with(kByteOrderMark))
            m_at += kByteOrderMark.size();
        skipSpace();
        if (peek() < 0)
            failInput(m_file, "is empty, expected JSON records");
        if (peek() != '[' && peek() != '{' && peek() != '"')
            failInput(m_file, "is named as JSON but does not start with '{' or '['");
        m_layout = peek() == '[' ? Layout::Array : Layout::Sequence;
        if (m_layout == Layout::Array)
            take();
    }
    skipSpace();
    if (m_layout == Layout::Array && !m_closed) {
        if (peek() == ']') {
            take();
            m_closed = true;
        } else if (m_record > 0) {
            if (peek() != ',')
                failRecord(peek() < 0 ? "the array ends here without its ']'"
                                      : "expected ',' or ']' behind it");
            take();
            skipSpace();
        }
    }
    if (m_closed) {
        skipSpace();
        if (peek() >= 0)
            failRecord("expected nothing behind the array's ']'");
        return false;
    }
    if (peek() < 0 && m_layout == Layout::Sequence)
        return false;
    ++m_record;
    m_record_line = m_line;
    scanValue(raw);
    return true;
}

// Copies one object, array or string without looking inside it: what it holds is the parser's business.
void DocumentReader::scanValue(std::string& raw) {
    raw.clear();
    std::size_t depth = 0;
    bool quoted = false, escaped = false;
    do {
        const int c = peek();
        if (c < 0)
            failRecord("the file ends within it");
        if (raw.empty() && c != '{' && c != '[' && c != '"')
            failRecord("expected an object or a string");
        if (quoted && c == '\n')
            failRecord("the line ends within a string");
        raw.push_back(static_cast<char>(c));
        take();
        if (raw.size() > kMaxRecord)
            failRecord("is larger than " + std::to_string(kMaxRecord) + " bytes");
        if (quoted) {
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > kMaxDepth)
                failRecord("is nested more than " + std::to_string(kMaxDepth) + " levels deep");
        } else if (c == '}' || c == ']') {
            --depth;
        }
    } while (depth > 0 || quoted);
}

// "" only when the record is neither a string nor an object; " " for a text that is empty.
std::string DocumentReader::textOf(const Json& record) const {
    const auto filled = [](std::string text) { return text.empty() ? std::string(" ") : text; };
    if (record.is_string())
        return filled(record.get<std::string>());
    if (!record.is_object())
        return {};
    const std::string field = m_options.text_field.empty() ? "text" : m_options.text_field;
    const auto found = record.find(field);
    if (found != record.end()) {
        if (found->is_null())
            return " ";
        if (!found->is_string())
            failRecord("field '" + field + "': expected a string, found " + found->type_name());
        return filled(found->get<std::string>());
    }
    if (m_options.text_field.empty() && record.contains("instruction") && record.contains("output"))
        return filled(render(record));
    failRecord("has no field '" + field + "', it has: " + keysOf(record));
}

std::string DocumentReader::render(const Json& record) const {
    constexpr std::array<std::pair<const char*, const char*>, 3> kParts{
        {{"instruction", "Instruction"}, {"input", "Input"}, {"output", "Response"}}};
    std::string text;
    for (const auto& [field, heading] : kParts) {
        const auto found = record.find(field);
        if (found == record.end() || found->is_null())
            continue;
        if (!found->is_string())
            failRecord("field '" + std::string(field) + "': expected a string, found " + found->type_name());
        const std::string& part = found->get_ref<const std::string&>();
        if (!isBlank(part))
            text += (text.empty() ? "### " : "\n\n### ") + std::string(heading) + ":\n" + part;
    }
    return text;
}

void DocumentReader::failRecord(std::string_view message) const {
    failInput(m_file, "record " + std::to_string(std::max<std::int64_t>(m_record, 1)) + " (line " +
                          std::to_string(m_record_line) + "): " + std::string(message));
}

}  // namespace eigenscope
