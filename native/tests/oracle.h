// The naive trainer and encoder: every step recounts everything. Too slow for data, and short enough to be believed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "bpe.h"

namespace oracle {

using llama_gene::Merge;
using Codes = std::vector<uint8_t>;
using Ids = std::vector<int32_t>;

// Left to right, every `left right` becomes `made`.
inline void replace(Ids& ids, const Merge& merge, int32_t made) {
  size_t kept = 0;
  for (size_t i = 0; i < ids.size(); ++kept) {
    if (i + 1 < ids.size() && ids[i] == merge.left && ids[i + 1] == merge.right) {
      ids[kept] = made;
      i += 2;
    } else {
      ids[kept] = ids[i++];
    }
  }
  ids.resize(kept);
}

struct Count {
  int32_t left, right;
  uint64_t count;
};

// How often each two ids stand side by side, overlapping: AAA has AA twice. In order of (left, right).
inline std::vector<Count> count_pairs(const std::vector<Ids>& runs, size_t num_ids) {
  std::vector<uint32_t> pairs;
  for (const Ids& run : runs) {
    for (size_t i = 0; i + 1 < run.size(); ++i) pairs.push_back(uint32_t(run[i]) << 16 | uint32_t(run[i + 1]));
  }
  std::vector<Count> counts;
  if (pairs.size() > num_ids * num_ids) {  // a table of all pairs is quicker than sorting a long text
    std::vector<uint64_t> table(num_ids * num_ids);
    for (const uint32_t pair : pairs) ++table[(pair >> 16) * num_ids + (pair & 0xFFFF)];
    for (size_t i = 0; i < table.size(); ++i) {
      if (table[i] > 0) counts.push_back({int32_t(i / num_ids), int32_t(i % num_ids), table[i]});
    }
    return counts;
  }
  std::sort(pairs.begin(), pairs.end());
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (i == 0 || pairs[i] != pairs[i - 1]) counts.push_back({int32_t(pairs[i] >> 16), int32_t(pairs[i] & 0xFFFF), 0});
    ++counts.back().count;
  }
  return counts;
}

// A pair of `kMaxLetters` letters or more is never merged.
constexpr size_t kMaxLetters = 1 << 16;

inline std::vector<Merge> train(unsigned num_letters, const std::vector<Codes>& texts, size_t num_merges,
                                uint64_t min_count) {
  std::vector<Ids> runs;
  for (const Codes& text : texts) runs.emplace_back(text.begin(), text.end());
  std::vector<size_t> lengths(num_letters, 1);
  std::vector<Merge> merges;
  while (merges.size() < num_merges) {
    Count best{};
    // Of equal counts the first is the smaller pair.
    for (const Count& pair : count_pairs(runs, lengths.size())) {
      if (lengths[size_t(pair.left)] + lengths[size_t(pair.right)] >= kMaxLetters) continue;
      if (pair.count > best.count) best = pair;
    }
    if (best.count == 0 || best.count < min_count) break;
    merges.push_back({uint16_t(best.left), uint16_t(best.right)});
    for (Ids& run : runs) replace(run, merges.back(), int32_t(lengths.size()));
    lengths.push_back(lengths[size_t(best.left)] + lengths[size_t(best.right)]);
  }
  return merges;
}

// A merge makes no pair of a lower rank, so going through the ranks once is "always the lowest rank, leftmost first".
inline Ids encode(unsigned num_letters, const std::vector<Merge>& merges, const Codes& text) {
  Ids ids(text.begin(), text.end());
  for (size_t k = 0; k < merges.size() && ids.size() > 1; ++k) {
    replace(ids, merges[k], int32_t(num_letters + k));
  }
  return ids;
}

// The letters of every piece, letters first. A merge that uses a later piece ends the list, and so does a piece of more
// than `max_length` letters: doubling merges would outgrow any memory.
inline std::vector<Codes> spell(unsigned num_letters, const std::vector<Merge>& merges, size_t max_length) {
  std::vector<Codes> pieces;
  for (unsigned letter = 0; letter < num_letters; ++letter) pieces.push_back({static_cast<uint8_t>(letter)});
  for (const Merge& merge : merges) {
    if (merge.left >= pieces.size() || merge.right >= pieces.size()) break;
    Codes piece = pieces[merge.left];
    piece.insert(piece.end(), pieces[merge.right].begin(), pieces[merge.right].end());
    if (piece.size() > max_length) break;
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

}  // namespace oracle
