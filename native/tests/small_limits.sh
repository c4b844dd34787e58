#!/bin/sh
# small_limits.sh FOLDER: copies the core's sources to FOLDER with small limits in them.
#
# The core works on long texts in parts, on several threads, with pairs listed down to a floor; on the short texts of a
# test none of that would happen. A limit that is not found any more is an error, so that the tests cannot quietly lose
# their reach: mend the list below.
set -eu
cd "$(dirname "$0")/.."
mkdir -p "$1"
cp ./*.h trainer.cpp encoder.cpp "$1"

lower() {  # FILE, the text as it is, the text with the small limit
  if [ "$(grep -cF "$2" "$1")" != 1 ]; then
    echo "small_limits.sh: '$2' is not on one line of $(basename "$1")" >&2
    exit 1
  fi
  LINE=$(grep -nF "$2" "$1" | cut -d: -f1)
  sed -i "${LINE}s/.*/$3/" "$1"
}

# Letters before the pieces have 16 bits; slots worth several threads; slots worth a floor; places worth several threads.
lower "$1/byte_text.h" 'static constexpr size_t kMaxIds = 254;' '  static constexpr size_t kMaxIds = 32;'
lower "$1/byte_text.h" 'unsigned num_parts() const { return slots_.size() < (1 << 20)' \
  '  unsigned num_parts() const { return slots_.size() < (1 << 4) ? 1 : num_threads_; }'
lower "$1/indexed_text.h" 'bool worth_floor() const { return slots_.size() >= (1 << 20); }' \
  '  bool worth_floor() const { return slots_.size() >= (1 << 4); }'
lower "$1/indexed_text.h" 'size < (1 << 15) ? 1 : num_threads_;' \
  '    const unsigned num_parts = size < (1 << 3) ? 1 : num_threads_;'
# So few places at a time that all is counted again and again.
lower "$1/indexed_text.h" 'num_places(floor_ / 2) <= slots_.size() / 2' \
  '    while (floor_ > min_count_ \&\& floor_ > most \/ 16 \&\& num_places(floor_ \/ 2) <= slots_.size() \/ 8) {'
# Slots that are looked through at a time.
lower "$1/byte_text.h" 'constexpr size_t kStretch = 4096, kBlock = 64, kNoted = 4;' \
  '  static constexpr size_t kStretch = 72, kBlock = 64, kNoted = 4;'
# Without vectors of a special processor; the tests with the limits as they are have them.
lower "$1/byte_text.h" 'if (__builtin_cpu_supports("avx2"))' '    (void)search_avx2<num_merges>;'
# Pieces of the first level.
lower "$1/encoder.cpp" 'constexpr size_t kMaxFirst = 640;' 'constexpr size_t kMaxFirst = 8;'
# Parts of a long sequence, what they overlap by, and letters of short ones that are encoded together.
lower "$1/encoder.cpp" 'constexpr size_t kPart = 1 << 18, kOverlap = 1 << 12;' \
  'constexpr size_t kPart = 1 << 6, kOverlap = 1 << 4;'
lower "$1/encoder.cpp" 'constexpr size_t kGroup = 1 << 16;' 'constexpr size_t kGroup = 1 << 5;'
