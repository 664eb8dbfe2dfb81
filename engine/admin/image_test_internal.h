// For tests: a load with every kind of file, and what it must read back as.
#pragma once
#include <fcntl.h>
#include <linux/falloc.h>

#include <map>
#include <set>
#include <string>

#include "engine/admin/test_image.h"
#include "engine/base/random.h"

namespace cowfs::admin {

// What files hold: by path, pieces of random bytes.
struct Piece {
  u64 offset = 0;
  u64 bytes = 0;
  u64 seed = 0;
};
using Model = std::map<std::string, std::vector<Piece>>;

inline std::vector<std::byte> bytes_of_piece(const Piece& piece) {
  Random random(piece.seed);
  std::vector<std::byte> bytes(piece.bytes);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next());
  return bytes;
}

inline Task<void> write_piece(Filesystem* filesystem, Model* model, std::string path, Piece piece, bool sync) {
  const Result<FileHandle> file = co_await filesystem->open(path, O_RDWR | O_CREAT, 0644);
  EXPECT_OK(file);
  if (!file) co_return;
  const std::vector<std::byte> data = bytes_of_piece(piece);
  const Result<u64> written = co_await filesystem->write(*file, piece.offset, data);
  EXPECT_OK(written);
  if (sync) {
    const Status synced = co_await filesystem->fsync(*file);
    EXPECT_OK(synced);
  }
  const Status closed = co_await filesystem->close(*file);
  EXPECT_OK(closed);
  (*model)[path].push_back(piece);
}

// Every kind of file, name and change; twice with other `round`s on one filesystem.
inline Task<void> run_load(Filesystem* filesystem, Model* model, u64 round) {
  const std::string top = "/round" + std::to_string(round);
  for (const char* directory : {"", "/a", "/a/b", "/a/b/c", "/emptied"}) {
    const std::string path = top + directory;
    const Status made = co_await filesystem->mkdir(path, 0755);
    EXPECT_OK(made);
  }
  for (u64 i = 0; i < 120; ++i) {
    const std::string path = top + (i % 2 == 0 ? "/a/file" : "/a/b/c/file") + std::to_string(i);
    const u64 bytes = i < 40 ? i * 20 : (i - 40) * 3001;
    if (bytes == 0) continue;
    const Piece piece{0, bytes, round * 1000 + i};
    co_await write_piece(filesystem, model, path, piece, i % 16 == 0);
  }
  // Of several regions, in several slices, with holes.
  for (u64 region = 0; region < 3; ++region) {
    const Piece piece{region * 64 * mib + 12345, 40000, round * 77 + region};
    co_await write_piece(filesystem, model, top + "/regions", piece, true);
  }
  // Overwritten in the middle, removed, renamed, linked, cut.
  for (u64 i = 0; i < 30; ++i) {
    const std::string path = top + "/temporary" + std::to_string(i);
    Model ignored;
    const Piece piece{0, 5000 + i * 100, i};
    co_await write_piece(filesystem, &ignored, path, piece, i % 4 == 0);
    if (i == 7) continue;
    const Status removed = co_await filesystem->unlink(path);
    EXPECT_OK(removed);
  }
  const std::string cut_path = top + "/temporary7";
  const Result<FileHandle> file = co_await filesystem->open(cut_path, O_RDWR, 0);
  EXPECT_OK(file);
  if (file) {
    Status cut = co_await filesystem->truncate(*file, 1234);
    EXPECT_OK(cut);
    cut = co_await filesystem->fsync(*file);
    EXPECT_OK(cut);
    cut = co_await filesystem->close(*file);
    EXPECT_OK(cut);
  }
  const std::string linked = top + "/a/b/c/file119";
  const std::string link = top + "/link";
  Status done = co_await filesystem->link(linked, link);
  EXPECT_OK(done);
  (*model)[link] = (*model)[linked];
  const std::string symlink = top + "/symlink";
  done = co_await filesystem->symlink("a/b/c/file119", symlink);
  EXPECT_OK(done);
  const std::string moved = top + "/moved";
  const std::string inner = top + "/a/b";
  done = co_await filesystem->rename(inner, moved, 0);
  EXPECT_OK(done);
  for (u64 i = 1; i < 120; i += 2) {
    const std::string old_path = top + "/a/b/c/file" + std::to_string(i);
    const auto pieces = model->find(old_path);
    if (pieces == model->end()) continue;
    (*model)[top + "/moved/c/file" + std::to_string(i)] = pieces->second;
    model->erase(old_path);
  }
  const std::string emptied = top + "/emptied";
  done = co_await filesystem->rmdir(emptied);
  EXPECT_OK(done);
  const std::string value = "some value";
  done = co_await filesystem->set_xattr(moved, "user.note", std::as_bytes(std::span(value)));
  EXPECT_OK(done);
  done = co_await filesystem->sync();
  EXPECT_OK(done);
}

struct ReadBack {
  u64 right = 0;
  u64 refused = 0;  // with an error
  std::vector<std::string> wrong;
};

inline Task<void> read_back(Filesystem* filesystem, const Model* model, ReadBack* result) {
  for (const auto& [path, pieces] : *model) {
    const Result<FileHandle> file = co_await filesystem->open(path, O_RDONLY, 0);
    if (!file) {
      if (error_class(file.error().code) == ErrorClass::request)
        result->wrong.push_back(path + ": " + to_text(file.error()));
      ++result->refused;
      continue;
    }
    for (const Piece& piece : pieces) {
      const std::vector<std::byte> expected = bytes_of_piece(piece);
      std::vector<std::byte> data(piece.bytes);
      const Result<u64> read = co_await filesystem->read(*file, piece.offset, data);
      if (!read) {
        ++result->refused;
      } else if (*read != piece.bytes || data != expected) {
        result->wrong.push_back(path);
      } else {
        ++result->right;
      }
    }
    const Status closed = co_await filesystem->close(*file);
    EXPECT_OK(closed);
  }
}

inline ReadBack read_back_on(Filesystem& filesystem, const Model& model) {
  ReadBack result;
  Filesystem* mounted = &filesystem;
  filesystem.run(0, [mounted, &model, &result] { return read_back(mounted, &model, &result); });
  return result;
}

}  // namespace cowfs::admin
