// The Python module llama_gene._native. Its types are in src/llama_gene/_native.pyi, what it means in
// src/llama_gene/vocabulary/bpe.py.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <chrono>
#include <cstring>

#include "encoder.h"
#include "trainer.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using llama_gene::Encoder;
using llama_gene::Id;
using llama_gene::Merge;

struct Text {
  const uint8_t* bytes;
  size_t length;
};

// The characters of a string where they stand: no copy for ASCII. UTF-8 for others, whose bytes are no letters.
Text text_of(nb::handle string) {
  Py_ssize_t length = 0;
  const char* bytes = PyUnicode_AsUTF8AndSize(string.ptr(), &length);
  if (!bytes) throw nb::python_error();
  return {reinterpret_cast<const uint8_t*>(bytes), size_t(length)};
}

template <class T>
nb::object array(std::vector<T> values, size_t width = 0) {
  auto* const kept = new std::vector<T>(std::move(values));
  const nb::capsule owner(kept, [](void* data) noexcept { delete static_cast<std::vector<T>*>(data); });
  const size_t shape[2] = {width ? kept->size() / width : kept->size(), width};
  return nb::cast(nb::ndarray<nb::numpy, T>(kept->data(), width ? 2 : 1, shape, owner));
}

class BpeTrainer {
 public:
  BpeTrainer(const std::string& letters, unsigned num_threads, const std::string& complement)
      : trainer_(unsigned(letters.size()), num_threads, codes(letters, complement)) {
    std::fill(std::begin(code_of_), std::end(code_of_), kNoLetter);
    for (size_t code = 0; code < letters.size(); ++code) code_of_[uint8_t(letters[code])] = uint8_t(code);
  }

  // Adds the runs of letters in a sequence; every other character ends one. Runs of one letter have no pair.
  void add(nb::str sequence) {
    const Text text = text_of(sequence);
    const nb::gil_scoped_release release;
    codes_.resize(text.length);
    for (size_t at = 0; at < text.length; ++at) {
      codes_[at] = code_of_[text.bytes[at]];
      seen_[codes_[at]] = true;
    }
    for (size_t at = 0; at < text.length; ++at) {
      const void* other = std::memchr(&codes_[at], kNoLetter, text.length - at);
      const size_t end = other ? size_t(static_cast<const uint8_t*>(other) - codes_.data()) : text.length;
      if (end - at > 1) trainer_.add(&codes_[at], end - at);
      at = end;
    }
  }

  size_t num_letters() const { return trainer_.num_letters_added(); }

  // How many different letters there are.
  unsigned variety() const {
    return unsigned(std::count(std::begin(seen_), std::begin(seen_) + kNoLetter, true));
  }

  nb::object train(size_t num_merges, uint64_t min_count, nb::object tick) {
    std::vector<Merge> merges;
    {
      const nb::gil_scoped_release release;
      auto last = std::chrono::steady_clock::now();
      merges = trainer_.train(num_merges, min_count, [&](size_t num_made) {
        const auto now = std::chrono::steady_clock::now();
        if (now - last < std::chrono::milliseconds(100)) return;
        last = now;
        const nb::gil_scoped_acquire acquire;
        if (PyErr_CheckSignals() != 0) throw nb::python_error();  // Ctrl-C
        tick(num_made);
      });
    }
    std::vector<Id> flat;
    for (const Merge& merge : merges) flat.insert(flat.end(), {merge.left, merge.right});
    return array(std::move(flat), 2);
  }

 private:
  static constexpr uint8_t kNoLetter = 255;

  static std::vector<uint8_t> codes(const std::string& letters, const std::string& complement) {
    std::vector<uint8_t> codes;
    for (const char letter : complement) codes.push_back(uint8_t(letters.find(letter)));
    return codes;
  }

  uint8_t code_of_[256];
  bool seen_[256] = {};
  std::vector<uint8_t> codes_;
  llama_gene::Trainer trainer_;
};

using MergeArray = nb::ndarray<const Id, nb::shape<-1, 2>, nb::c_contig, nb::device::cpu>;

std::vector<Merge> merges_of(const MergeArray& pairs) {
  std::vector<Merge> merges(pairs.shape(0));
  for (size_t at = 0; at < merges.size(); ++at) merges[at] = {pairs(at, 0), pairs(at, 1)};
  return merges;
}

// Two arrays: int32 ids of all sequences, int64 offsets of each. A refused byte raises ValueError.
nb::tuple encode(const Encoder& encoder, nb::list strings, nb::bytes meaning, unsigned num_threads) {
  Encoder::Meaning meanings;
  if (meaning.size() != meanings.size()) throw std::invalid_argument("the meaning of 256 bytes is needed");
  std::copy_n(reinterpret_cast<const uint8_t*>(meaning.data()), meanings.size(), meanings.begin());
  std::vector<Encoder::Sequence> sequences;
  std::vector<nb::object> kept;  // another thread may take strings out of the list
  for (nb::handle string : strings) {
    kept.push_back(nb::borrow(string));
    const Text text = text_of(string);
    sequences.push_back({text.bytes, text.length});
  }
  Encoder::Encoded encoded;
  {
    const nb::gil_scoped_release release;
    encoded = encoder.encode_all(sequences, meanings, num_threads);
  }
  return nb::make_tuple(array(std::move(encoded.ids)), array(std::move(encoded.offsets)));
}

}  // namespace

NB_MODULE(_native, module) {
  nb::set_leak_warnings(false);  // objects that are alive when Python ends are no leak
  module.attr("MAX_PIECES") = llama_gene::kMaxPieces;
  module.attr("SKIPPED") = Encoder::kSkipped;
  module.attr("REFUSED") = Encoder::kRefused;
  nb::class_<BpeTrainer>(module, "BpeTrainer")
      .def(nb::init<const std::string&, unsigned, const std::string&>(), "letters"_a, "num_threads"_a, "complement"_a = "")
      .def("add", &BpeTrainer::add, "sequence"_a)
      .def_prop_ro("num_letters", &BpeTrainer::num_letters)
      .def_prop_ro("variety", &BpeTrainer::variety)
      .def("train", &BpeTrainer::train, "num_merges"_a, "min_count"_a, "tick"_a);
  nb::class_<Encoder>(module, "BpeEncoder")
      .def("__init__",
           [](Encoder* self, unsigned num_letters, const MergeArray& merges) {
             new (self) Encoder(num_letters, merges_of(merges));
           },
           "num_letters"_a, "merges"_a)
      .def("encode", &encode, "sequences"_a, "meaning"_a, "num_threads"_a);
}
