#include "trainer.h"

#include "byte_text.h"
#include "indexed_text.h"
#include "mirror.h"

namespace llama_gene {

class Trainer::Text {
 public:
  Text(unsigned num_letters, unsigned num_threads, std::vector<uint8_t> complement)
      : pieces(num_letters),
        num_threads(std::max(1u, num_threads)),
        in_twos(!complement.empty()),
        mirror(std::move(complement), pieces),
        bytes(this->num_threads) {}

  std::vector<Merge> train(size_t num_merges, uint64_t min_count, const std::function<void(size_t)>& tick) {
    min_count = std::max<uint64_t>(1, min_count);
    num_merges = std::min(num_merges, kMaxPieces - pieces.size());
    const size_t num_pieces = pieces.size() + num_merges;
    const std::function<void()> breathe = [&] { tick(merges.size()); };
    bytes.count(pieces.size());
    breathe();
    // Two pieces may come at once.
    const bool exhausted = !learn(bytes, std::min(num_pieces, ByteText::kMaxIds - 1), min_count, breathe);
    if (exhausted || pieces.size() >= num_pieces) return merges;
    Buffer<Id> slots = bytes.take();
    if (slots.size() < std::numeric_limits<uint32_t>::max()) {
      IndexedText<uint32_t> text(std::move(slots), pieces, min_count, in_twos, num_threads, breathe);
      learn(text, num_pieces, min_count, breathe);
    } else {
      IndexedText<uint64_t> text(std::move(slots), pieces, min_count, in_twos, num_threads, breathe);
      learn(text, num_pieces, min_count, breathe);
    }
    return merges;
  }

  Pieces pieces;
  unsigned num_threads;
  bool in_twos;
  Mirror mirror;
  ByteText bytes;
  std::vector<Merge> merges;

 private:
  // False if no pair is left.
  template <class AnyText>
  bool learn(AnyText& text, size_t num_pieces, uint64_t min_count, const std::function<void()>& breathe) {
    const Allowed allowed = [&](Id left, Id right) {
      Merge mate;
      return pieces.length(left) + pieces.length(right) < kMaxPieceLetters && (!in_twos || mirror.mate(left, right, mate));
    };
    while (pieces.size() + in_twos < num_pieces) {
      Merge best, mate;
      if (!text.best(min_count, allowed, best)) return false;
      if (in_twos) mirror.mate(best.left, best.right, mate);
      const Id made = make(text, best);
      if (in_twos) {
        const bool palindrome = mate.left == best.left && mate.right == best.right;
        mirror.add(made, palindrome ? made : make(text, mate));
      }
      breathe();
    }
    return true;
  }

  template <class AnyText>
  Id make(AnyText& text, const Merge& merge) {
    const Id made = pieces.add(merge.left, merge.right);
    text.merge(merge.left, merge.right, made);
    merges.push_back(merge);
    return made;
  }
};

Trainer::Trainer(unsigned num_letters, unsigned num_threads, std::vector<uint8_t> complement) {
  if (!complement.empty() && complement.size() != num_letters) {
    throw std::invalid_argument("the complement of " + std::to_string(complement.size()) + " letters of " +
                                std::to_string(num_letters));
  }
  for (size_t letter = 0; letter < complement.size(); ++letter) {
    if (complement[letter] >= num_letters || complement[complement[letter]] != letter) {
      throw std::invalid_argument("letter " + std::to_string(letter) + " is not the complement of its complement");
    }
  }
  text_ = std::make_unique<Text>(num_letters, num_threads, std::move(complement));
}

Trainer::~Trainer() = default;

void Trainer::add(const uint8_t* codes, size_t length) {
  const unsigned num_letters = text_->pieces.num_letters();
  for (size_t at = 0; at < length; ++at) {
    if (codes[at] >= num_letters) throw std::invalid_argument("letter code " + std::to_string(codes[at]));
  }
  text_->bytes.add(codes, length);
}

size_t Trainer::num_letters_added() const { return text_->bytes.num_letters(); }

std::vector<Merge> Trainer::train(size_t num_merges, uint64_t min_count, const std::function<void(size_t)>& tick) {
  return text_->train(num_merges, min_count, tick);
}

}  // namespace llama_gene
