// SPDX-License-Identifier: Apache-2.0
// A template's source as pieces: plain text, and the tokens of each tag. Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace eigenscope::jinja {

struct Token {
    enum class Kind { Name, Text, Number, Symbol, End } kind = Kind::End;
    std::string text;
};

struct Piece {
    enum class Kind { Plain, Output, Block } kind = Kind::Plain;
    std::string text;           // Plain
    std::vector<Token> tokens;  // else, ending with End
    std::size_t line = 1;
};

// With trim_blocks and lstrip_blocks. Throws Unsupported for tags that do not end and unknown characters.
std::vector<Piece> piecesOf(std::string_view source);

}  // namespace eigenscope::jinja
