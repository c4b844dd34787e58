// A world: an alphabet, runs of its letters, and what is asked of the trainer. Drawn by chance, or read from a fuzzer's
// bytes; the kinds of text are those on which trainers of byte-pair encoding go wrong.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "oracle.h"

struct World {
  unsigned num_letters = 1;
  unsigned num_threads = 1;
  size_t num_merges = 0;
  uint64_t min_count = 1;
  oracle::Codes complement;  // of each letter; empty for the plain vocabulary
  std::vector<oracle::Codes> runs;

  // What the trainer is given: with a complement, both strands.
  std::vector<oracle::Codes> strands() const {
    std::vector<oracle::Codes> all = runs;
    if (complement.empty()) return all;
    for (const oracle::Codes& run : runs) all.push_back(reverse_complement(run));
    return all;
  }

  oracle::Codes reverse_complement(const oracle::Codes& run) const {
    oracle::Codes other(run.rbegin(), run.rend());
    for (uint8_t& code : other) code = complement[code];
    return other;
  }

  // For a failure's message: letters as A, B, C, ...
  std::string to_string() const {
    std::string text = std::to_string(num_letters) + " letters, " + std::to_string(num_threads) + " threads, " +
                       std::to_string(num_merges) + " merges, at least " + std::to_string(min_count) + " of each";
    if (!complement.empty()) {
      text += ", complement ";
      for (uint8_t code : complement) text += char('A' + code);
    }
    for (const oracle::Codes& run : runs) {
      text += "\n  ";
      for (size_t i = 0; i < std::min<size_t>(run.size(), 2000); ++i) text += char('A' + run[i]);
      if (run.size() > 2000) text += "... " + std::to_string(run.size()) + " in all";
    }
    return text;
  }
};

class WorldMaker {
 public:
  explicit WorldMaker(uint64_t seed) : chance_(seed) {}

  // Most worlds are small, so that many are seen; some have more pieces than a byte can count, and a few are longer than
  // any block that is worked on at a time.
  World draw() {
    World world;
    world.num_letters = unsigned(one_of<size_t>({1, 2, 2, 3, 4, 4, 4, 5, 20, 20, 26, 1 + below(26)}));
    world.num_threads = unsigned(1 + below(4));
    world.min_count = one_of<size_t>({0, 1, 1, 1, 2, 2, 3, 10});
    const size_t size = below(100);
    const size_t length = size < 70 ? below(200) : size < 98 ? below(3000) : below(150000);
    world.num_merges = size < 70 ? below(120) : size < 98 ? below(700) : below(300);
    world.runs = texts(world.num_letters, length);
    if (below(4) == 0) {
      world.complement.resize(world.num_letters);
      for (unsigned code = 0; code < world.num_letters; ++code) world.complement[code] = uint8_t(code);
      for (unsigned code = 0; code + 1 < world.num_letters; code += 2) {
        if (below(5) > 0) std::swap(world.complement[code], world.complement[code + 1]);
      }
    }
    return world;
  }

  // Text to encode, of the same letters, and of pieces where there are some.
  oracle::Codes text(unsigned num_letters, const std::vector<oracle::Codes>& pieces, size_t length) {
    oracle::Codes text;
    if (below(3) == 0) {
      for (const oracle::Codes& run : texts(num_letters, length)) text.insert(text.end(), run.begin(), run.end());
    }
    while (text.size() < length) {
      const oracle::Codes& piece = pieces[below(pieces.size())];
      for (size_t copies = 1 + below(3); copies > 0; --copies) text.insert(text.end(), piece.begin(), piece.end());
      if (below(8) == 0) text.push_back(uint8_t(below(num_letters)));
    }
    return text;
  }

  // A uniform number of 0 .. end - 1.
  size_t below(size_t end) { return std::uniform_int_distribution<size_t>(0, end - 1)(chance_); }

 private:
  template <class Value>
  Value one_of(std::initializer_list<Value> values) {
    return values.begin()[below(values.size())];
  }

  std::vector<oracle::Codes> texts(unsigned num_letters, size_t length) {
    oracle::Codes text;
    const auto letter = [&] { return uint8_t(below(num_letters)); };
    switch (below(9)) {
      case 0:  // one letter only
        text.assign(length, letter());
        break;
      case 1: {  // a short period, with a slip now and then
        oracle::Codes period(1 + below(7));
        for (uint8_t& code : period) code = letter();
        const size_t slips = below(2) * 50;
        while (text.size() < length) text.push_back(slips && below(slips) == 0 ? letter() : period[text.size() % period.size()]);
        break;
      }
      case 2:  // a palindrome
        while (text.size() < length / 2) text.push_back(letter());
        text.insert(text.end(), text.rbegin(), text.rend());
        break;
      case 3: {  // a Fibonacci word: no run is longer than two, and nothing repeats three times
        oracle::Codes before{letter()};
        text = {letter(), before[0]};
        while (text.size() < length) {
          const oracle::Codes next = text;
          text.insert(text.end(), before.begin(), before.end());
          before = next;
        }
        break;
      }
      case 4:  // the Thue-Morse word: no overlaps at all
        while (text.size() < length) text.push_back(uint8_t(__builtin_popcountll(text.size()) % 2 % num_letters));
        break;
      case 5:  // all letters in turn: every count is a tie
        while (text.size() < length) text.push_back(uint8_t(text.size() % num_letters));
        break;
      case 6:  // copies of what came before, a little changed, as genomes are
        while (text.size() < length) {
          if (text.empty() || below(4) == 0) {
            text.push_back(letter());
            continue;
          }
          const size_t start = below(text.size()), end = start + below(std::min<size_t>(text.size() - start, 60)) + 1;
          for (size_t i = start; i < end; ++i) text.push_back(below(30) == 0 ? letter() : text[i]);
        }
        break;
      case 7:  // long runs of one letter among others
        while (text.size() < length) text.insert(text.end(), 1 + below(40), letter());
        break;
      default:  // no structure, some letters rarer than others
        while (text.size() < length) text.push_back(uint8_t(below(1 + below(num_letters))));
    }
    text.resize(std::min(text.size(), length));
    return cut(text);
  }

  // One record, a few, or many tiny ones; empty ones among them.
  std::vector<oracle::Codes> cut(const oracle::Codes& text) {
    const size_t longest = one_of<size_t>({text.size() + 1, text.size() + 1, 4, 30, 500});
    std::vector<oracle::Codes> runs;
    for (size_t start = 0; start < text.size();) {
      const size_t length = longest > text.size() ? text.size() : std::min(below(longest), text.size() - start);
      runs.emplace_back(text.begin() + std::ptrdiff_t(start), text.begin() + std::ptrdiff_t(start + length));
      start += length;
    }
    return runs;
  }

  std::mt19937_64 chance_;
};
