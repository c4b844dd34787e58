// What must hold of the trainer and of the encoder in any world. Each check returns what is wrong, or "".
#pragma once

#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "encoder.h"
#include "trainer.h"
#include "world.h"

namespace check {

using llama_gene::Encoder;
using llama_gene::Merge;
using llama_gene::Trainer;
using oracle::Codes;
using oracle::Ids;

constexpr size_t kLongestPiece = 1 << 20;

inline bool operator==(const Merge& a, const Merge& b) { return a.left == b.left && a.right == b.right; }

inline std::vector<Merge> train(const World& world, const std::function<void(size_t)>& tick = [](size_t) {}) {
  Trainer trainer(world.num_letters, world.num_threads, world.complement);
  for (const Codes& run : world.strands()) trainer.add(run.data(), run.size());
  return trainer.train(world.num_merges, world.min_count, tick);
}

inline Ids encode(const Encoder& encoder, const Codes& text) {
  Encoder::Meaning meaning;
  for (size_t code = 0; code < meaning.size(); ++code) meaning[code] = uint8_t(code);
  return encoder.encode_all({{text.data(), text.size()}}, meaning, 1).ids;
}

inline std::string show(const std::vector<Merge>& merges) {
  std::string text;
  for (const Merge& merge : merges) text += " (" + std::to_string(merge.left) + ", " + std::to_string(merge.right) + ")";
  return text;
}

inline std::string show(const Ids& ids) {
  std::string text;
  for (int32_t id : ids) text += " " + std::to_string(id);
  return text;
}

inline std::string compare(const std::vector<Merge>& merges, const std::vector<Merge>& expected) {
  const auto [at, wanted] = std::mismatch(merges.begin(), merges.end(), expected.begin(), expected.end(), operator==);
  if (at == merges.end() && wanted == expected.end()) return "";
  return "merges differ at " + std::to_string(at - merges.begin()) + ":" + show(merges) + "\n  the naive trainer:" + show(expected);
}

// Every merge uses earlier pieces, no two pieces spell the same, and with a complement every piece has its own.
inline std::string check_shape(const World& world, const std::vector<Merge>& merges) {
  if (merges.size() > world.num_merges) return "more merges than asked for";
  const std::vector<Codes> pieces = oracle::spell(world.num_letters, merges, kLongestPiece);
  if (pieces.size() != world.num_letters + merges.size()) return "a merge uses a later piece:" + show(merges);
  std::map<Codes, size_t> known;
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (!known.emplace(pieces[id], id).second) {
      return "pieces " + std::to_string(known[pieces[id]]) + " and " + std::to_string(id) + " spell the same:" + show(merges);
    }
  }
  if (!world.complement.empty()) {
    for (size_t id = world.num_letters; id < pieces.size(); ++id) {
      if (!known.count(world.reverse_complement(pieces[id]))) {
        return "piece " + std::to_string(id) + " has no reverse complement:" + show(merges);
      }
    }
  }
  return "";
}

// The encoder agrees with the naive one on `text`, whoever calls it at the same time.
inline std::string check_text(const World& world, const std::vector<Merge>& merges, const Encoder& encoder, const Codes& text) {
  const Ids expected = oracle::encode(world.num_letters, merges, text);
  std::vector<Ids> answers(world.num_threads);
  llama_gene::parallel(world.num_threads, [&](unsigned number) { answers[number] = encode(encoder, text); });
  for (const Ids& ids : answers) {
    if (ids == expected) continue;
    World shown = world;
    shown.runs = {text};
    const auto [at, wanted] = std::mismatch(ids.begin(), ids.end(), expected.begin(), expected.end());
    return "ids differ at " + std::to_string(at - ids.begin()) + " of " + std::to_string(expected.size()) + ":" +
           (expected.size() < 1000 ? show(ids) + "\n  the naive encoder:" + show(expected) : "") + "\n  merges:" + show(merges) +
           "\n  text: " + shown.to_string();
  }
  return "";
}

// All texts at once, long ones in parts, with white space and small letters in them. A byte that is no letter is named.
inline std::string check_batch(const World& world, const std::vector<Merge>& merges, const Encoder& encoder,
                               const std::vector<Codes>& texts, WorldMaker& maker) {
  Encoder::Meaning meaning;
  meaning.fill(Encoder::kRefused);
  meaning[' '] = meaning['\n'] = Encoder::kSkipped;
  for (unsigned code = 0; code < world.num_letters; ++code) meaning['A' + code] = meaning['a' + code] = uint8_t(code);

  const size_t gaps = maker.below(3) == 0 ? 1 + maker.below(20) : 0;
  std::vector<std::string> strings;
  for (const Codes& text : texts) {
    std::string& string = strings.emplace_back();
    for (const uint8_t code : text) {
      while (gaps && maker.below(gaps + 1) == 0) string += maker.below(2) ? ' ' : '\n';
      string += char((maker.below(2) ? 'A' : 'a') + code);
    }
  }
  const auto sequences = [&] {
    std::vector<Encoder::Sequence> all;
    for (const std::string& string : strings) all.push_back({reinterpret_cast<const uint8_t*>(string.data()), string.size()});
    return all;
  };
  const Encoder::Encoded encoded = encoder.encode_all(sequences(), meaning, world.num_threads);
  if (encoded.offsets.size() != texts.size() + 1 || encoded.offsets[0] != 0) return "the offsets are not one a text, from 0";
  if (encoded.offsets.back() != int64_t(encoded.ids.size())) return "the last offset is not the number of ids";
  for (size_t number = 0; number < texts.size(); ++number) {
    const Ids ids(encoded.ids.begin() + encoded.offsets[number], encoded.ids.begin() + encoded.offsets[number + 1]);
    if (ids == oracle::encode(world.num_letters, merges, texts[number])) continue;
    World shown = world;
    shown.runs = {texts[number]};
    return "text " + std::to_string(number) + " of a batch has other ids than alone\n  merges:" + show(merges) +
           "\n  text: " + shown.to_string();
  }
  if (strings.empty()) return "";

  std::string& broken = strings[maker.below(strings.size())];
  broken.insert(maker.below(broken.size() + 1), 1, '!');
  try {
    encoder.encode_all(sequences(), meaning, world.num_threads);
  } catch (const std::invalid_argument&) {
    return "";
  }
  return "a byte that is no letter was taken";
}

// The merges are the naive ones, for any number of threads; and their pieces, spelled, are encoded as themselves.
inline std::string check_training(const World& world) {
  const std::vector<Merge> merges = train(world);
  if (std::string wrong = check_shape(world, merges); !wrong.empty()) return wrong;
  if (world.complement.empty()) {
    const auto expected = oracle::train(world.num_letters, world.runs, world.num_merges, world.min_count);
    if (std::string wrong = compare(merges, expected); !wrong.empty()) return wrong;
  }
  World other = world;
  other.num_threads = world.num_threads % 4 + 1;
  if (std::string wrong = compare(train(other), merges); !wrong.empty()) return "with other threads, " + wrong;

  const Encoder encoder(world.num_letters, merges);
  const std::vector<Codes> pieces = oracle::spell(world.num_letters, merges, kLongestPiece);
  for (size_t id = 0; id < pieces.size(); ++id) {
    const Ids ids = encode(encoder, pieces[id]);
    if (ids != Ids{int32_t(id)}) return "piece " + std::to_string(id) + " is encoded as" + show(ids) + "\n  merges:" + show(merges);
  }
  return "";
}

// The ids are the naive ones: on the runs themselves, and on text made of the pieces.
inline std::string check_encoding(const World& world, const std::vector<Merge>& merges, WorldMaker& maker, size_t length) {
  const Encoder encoder(world.num_letters, merges);
  std::vector<Codes> texts = world.runs;
  texts.push_back(maker.text(world.num_letters, oracle::spell(world.num_letters, merges, kLongestPiece), length));
  for (const Codes& text : texts) {
    if (std::string wrong = check_text(world, merges, encoder, text); !wrong.empty()) return wrong;
  }
  return check_batch(world, merges, encoder, texts, maker);
}

// Two pieces stand side by side in the encoding of their letters if and only if `stand_apart` says so.
inline std::string check_neighbours(const World& world, const std::vector<Merge>& merges) {
  llama_gene::Pieces known(world.num_letters);
  for (const Merge& merge : merges) known.add(merge.left, merge.right);
  const std::vector<Codes> pieces = oracle::spell(world.num_letters, merges, kLongestPiece);
  for (size_t left = 0; left < pieces.size(); ++left) {
    for (size_t right = 0; right < pieces.size(); ++right) {
      Codes both = pieces[left];
      both.insert(both.end(), pieces[right].begin(), pieces[right].end());
      const bool apart = oracle::encode(world.num_letters, merges, both) == Ids{int32_t(left), int32_t(right)};
      if (known.stand_apart(llama_gene::Id(left), llama_gene::Id(right)) != apart) {
        return "pieces " + std::to_string(left) + " and " + std::to_string(right) + (apart ? " stand" : " do not stand") +
               " side by side\n  merges:" + show(merges);
      }
    }
  }
  return "";
}

// The encoder takes a list of merges if and only if each can be made: if its letters are encoded as the piece itself.
// Where a piece is too long for the naive encoder, either answer will do.
inline std::string check_refusal(unsigned num_letters, const std::vector<Merge>& merges) {
  const std::vector<Codes> pieces = oracle::spell(num_letters, merges, 2000);
  bool good = true, known = true;
  for (size_t k = 0; k < merges.size() && good && known; ++k) {
    good = merges[k].left < num_letters + k && merges[k].right < num_letters + k;
    known = !good || num_letters + k < pieces.size();
    if (good && known) good = oracle::encode(num_letters, merges, pieces[num_letters + k]) == Ids{int32_t(num_letters + k)};
  }
  try {
    const Encoder encoder(num_letters, merges);
    return good || !known ? "" : "the encoder takes a merge that cannot be made:" + show(merges);
  } catch (const std::invalid_argument& error) {
    return !good || !known ? "" : std::string("the encoder refuses good merges (") + error.what() + "):" + show(merges);
  }
}

// A tick that throws, as for Ctrl-C, stops the training and comes out of it.
inline std::string check_interruption(const World& world, size_t last_tick) {
  struct Interrupt {};
  size_t num_ticks = 0;
  try {
    train(world, [&](size_t) {
      if (num_ticks++ == last_tick) throw Interrupt{};
    });
  } catch (const Interrupt&) {
    return num_ticks == last_tick + 1 ? "" : "the tick was called again after it had thrown";
  }
  return num_ticks <= last_tick ? "" : "what the tick threw was swallowed";
}

}  // namespace check
