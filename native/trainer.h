// Learning pieces: exact byte-pair encoding of gigabytes of letters.
//
// The merges are those of the textbook: the pair of neighbours that occurs most often becomes a piece, of equals the one
// with the smaller (left, right) ids, again and again. Overlapping occurrences count (AAA has AA twice), and a merge
// replaces them from the left. Any number of threads gives the same merges.
//
// The text is a row of slots. A piece of n slots has its id in its first and in its last one, so that both neighbours
// of a place are found without links; what lies between is never read.
//
//   Phase A, some 250 merges: a slot is a byte, and all pair counts stand in a table of 256 x 256. A pass looks for two
//   bytes side by side. It makes all merges that are known already: the next one is, if none of those before it in the
//   pass can change its count, or make a pair that occurs as often.
//
//   Phase B: a slot has 16 bits. Pairs of `floor` and more occurrences have a count and a list of places. Since a pair
//   never gains occurrences after the step that made the younger of its pieces, one below `floor` can be forgotten
//   until nothing above is left; then the text is closed up, and all is counted again with a lower floor. So lists and
//   counts take memory for the pairs that may be merged soon, not for all. To count, the places are sorted by the piece
//   that stands there: then the pairs of one piece at a time need but a small table.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "bpe.h"

namespace llama_gene {

class Trainer {
 public:
  // `complement`: the complement of each letter. If given, pieces come in twos, each with its reverse complement; pairs
  // for which that cannot be are passed over. The caller adds both strands.
  Trainer(unsigned num_letters, unsigned num_threads, std::vector<uint8_t> complement = {});
  ~Trainer();

  // One run of letters, given as their codes; never joined to another.
  void add(const uint8_t* codes, size_t length);

  size_t num_letters_added() const;

  // At most `num_merges` merges, each with at least `min_count` occurrences. `tick` is told the number of merges made,
  // often; it may throw to stop. Uses up what was added.
  std::vector<Merge> train(size_t num_merges, uint64_t min_count, const std::function<void(size_t)>& tick);

 private:
  class Text;
  std::unique_ptr<Text> text_;
};

}  // namespace llama_gene
