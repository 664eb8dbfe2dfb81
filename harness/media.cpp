#include "harness/media.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <sstream>

#include "engine/base/random.h"
#include "harness/command.h"

namespace cowbench::harness {
namespace {

constexpr u64 piece_bytes = 4 * cowfs::mib;
constexpr u64 size_bytes_min = 64 * cowfs::mib;
constexpr u64 spare_bytes = 256 * cowfs::mib;  // left free beside the image: memory for everybody else, or disk

struct Places {
  std::string directory;  // made if need be, and left
  std::string tmpfs;      // ram: the private mount; empty else
  std::string image;
};

// Of the medium's device `number`.
Places places_of(const MediaRequest& request, std::size_t number) {
  Places places{request.directory, "", ""};
  if (request.keep != Keep::nothing) {
    places.image = fmt::format("{}/{}", request.directory, kept_image);
    return places;
  }
  const std::string stem = fmt::format("{}/{}-{}{}", request.directory, to_text(request.kind), getpid(),
                                       number == 0 ? "" : fmt::format("-{}", number + 1));
  if (request.kind == MediaKind::ram && !request.plain_image) places.tmpfs = stem;
  places.image = places.tmpfs.empty() ? stem + ".image" : stem + "/image";
  return places;
}

Command mount_tmpfs_command(const Places& places, u64 size_bytes) {
  // Room for the image and the filesystem's own pages.
  const u64 limit = size_bytes + 16 * cowfs::mib;
  return {"mount", {"-t", "tmpfs", "-o", fmt::format("size={},mode=0700", limit), "cowbench", places.tmpfs}};
}

Command losetup_command(const std::string& image, bool direct_io) {
  return {"losetup", {"--find", "--show", direct_io ? "--direct-io=on" : "--direct-io=off", image}};
}

u64 available_memory_bytes() {
  std::istringstream lines(read_small_file("/proc/meminfo"));
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("MemAvailable:")) return std::strtoull(line.c_str() + 13, nullptr, 10) * 1024;
  return 0;
}

Action check_room(const MediaRequest& request) {
  if (request.size_bytes < size_bytes_min || request.size_bytes % cowfs::mib != 0)
    return Failure{FailureKind::request,
                   fmt::format("--size {}: at least 64 MiB, in whole MiB", request.size_bytes), ""};
  u64 available = 0;
  if (request.kind == MediaKind::ram) {
    available = available_memory_bytes();
  } else {
    struct statvfs status = {};
    if (statvfs(request.directory.c_str(), &status) != 0) return system_failure("statvfs " + request.directory, errno);
    available = status.f_bavail * status.f_frsize;
  }
  if (available >= request.size_bytes + spare_bytes) return Done{};
  return Failure{FailureKind::refused,
                 fmt::format("an image of {} MiB, and {} MiB beside it, do not fit: {} MiB of {} free in {}",
                             request.size_bytes / cowfs::mib, spare_bytes / cowfs::mib, available / cowfs::mib,
                             request.kind == MediaKind::ram ? "memory" : "disk",
                             request.kind == MediaKind::ram ? "this machine" : request.directory),
                 "use a smaller --size"};
}

struct Unmap {
  void operator()(void* memory) const { munmap(memory, piece_bytes); }
};

// Random bytes, so that no layer below can get away with storing zeros; past the page cache where that works.
Action write_through(const std::string& image, u64 size_bytes, const std::function<void(double)>& progress) {
  int descriptor = open(image.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) descriptor = open(image.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return system_failure("open " + image, errno);
  const std::unique_ptr<int, void (*)(int*)> closer(&descriptor, [](int* number) { close(*number); });
  if (const int error = posix_fallocate(descriptor, 0, static_cast<off_t>(size_bytes)); error != 0)
    return system_failure(fmt::format("allocate {} bytes for {}", size_bytes, image), error);
  void* memory = mmap(nullptr, piece_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return system_failure("map memory", errno);
  const std::unique_ptr<void, Unmap> unmapper(memory);
  cowfs::Random random(size_bytes);
  for (u64 at = 0; at < piece_bytes / sizeof(u64); ++at) static_cast<u64*>(memory)[at] = random.next();
  for (u64 offset = 0; offset < size_bytes;) {
    if (interrupted()) return Failure{FailureKind::interrupted, "writing " + image + ": interrupted", ""};
    const u64 length = std::min(piece_bytes, size_bytes - offset);
    const ssize_t written = pwrite(descriptor, memory, length, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return system_failure("write " + image, written == 0 ? ENOSPC : errno);
    offset += static_cast<u64>(written);
    if (progress) progress(static_cast<double>(offset) / static_cast<double>(size_bytes));
  }
  if (fsync(descriptor) != 0) return system_failure("fsync " + image, errno);
  posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
  return Done{};
}

// Twice attached, an image would be changed behind the back of whoever has it mounted.
Action check_found(const std::string& image, u64& size_bytes) {
  struct stat status = {};
  if (lstat(image.c_str(), &status) != 0 || !S_ISREG(status.st_mode))
    return Failure{FailureKind::missing, image + ": there is no image that an earlier run kept", ""};
  size_bytes = static_cast<u64>(status.st_size);
  if (geteuid() != 0) return Done{};
  const auto attached = run_checked({"losetup", {"--associated", image}});
  if (!attached) return attached.failure();
  if (attached->output.empty()) return Done{};
  return Failure{FailureKind::refused, image + " is still attached: " + attached->output.substr(0, attached->output.find('\n')),
                 "run cowbench cleanup if that run was killed"};
}

Action make_image(const std::string& image) {
  const int descriptor = open(image.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor < 0 && errno == EEXIST)
    return Failure{FailureKind::refused, image + " is there, kept by an earlier run", "verify it with verify_only=1, or remove it"};
  if (descriptor < 0) return system_failure("make " + image, errno);
  close(descriptor);
  return Done{};
}

Action run_as_action(const Command& command) {
  auto result = run_checked(command);
  return result ? Action(Done{}) : Action(result.failure());
}

}  // namespace

std::string_view to_text(MediaKind kind) {
  switch (kind) {
    case MediaKind::disk: return "disk";
    case MediaKind::ram: return "ram";
    case MediaKind::device: return "device";
  }
  return "?";
}

namespace {

Outcome<std::vector<std::string>> plan_device(const std::string& device, const std::vector<std::string>& erase) {
  auto inspection = inspect_device(device);
  if (!inspection) return inspection.failure();
  std::vector<std::string> lines{"# device " + to_text(inspection->identity)};
  for (const DeviceFinding& finding : inspection->findings) lines.push_back("# found: " + finding.what);
  const Action allowed = check_erasable(*inspection, is_named(inspection->identity, erase));
  lines.push_back(allowed ? "# open it exclusively and lock it; everything on it is erased"
                          : "# refused: " + to_text(allowed.failure()));
  return lines;
}

std::vector<std::string> plan_image(const MediaRequest& request, std::size_t number) {
  std::vector<std::string> lines;
  const Places places = places_of(request, number);
  if (!places.tmpfs.empty()) {
    lines.push_back("mkdir " + places.tmpfs);
    lines.push_back(to_text(mount_tmpfs_command(places, request.size_bytes)));
  }
  lines.push_back(request.keep == Keep::found
                      ? fmt::format("# use {} as an earlier run left it", places.image)
                      : fmt::format("# allocate {} ({} bytes) and write it through once", places.image, request.size_bytes));
  if (!request.plain_image) lines.push_back(to_text(losetup_command(places.image, true)));
  if (request.keep != Keep::nothing) lines.push_back("# the image is left there");
  return lines;
}

std::size_t device_count(const MediaRequest& request) {
  return request.kind == MediaKind::device ? request.devices.size() : request.images;
}

}  // namespace

Outcome<std::vector<std::string>> plan_media(const MediaRequest& request) {
  std::vector<std::string> lines;
  for (std::size_t number = 0; number < device_count(request); ++number) {
    auto one = request.kind == MediaKind::device ? plan_device(request.devices[number], request.erase)
                                                 : Outcome<std::vector<std::string>>(plan_image(request, number));
    if (!one) return one.failure();
    lines.insert(lines.end(), one->begin(), one->end());
  }
  return lines;
}

Outcome<Media> Media::attach(Ledger& ledger, const MediaRequest& request, const std::function<void(double)>& progress) {
  const std::size_t count = device_count(request);
  const auto share = [&progress, count](std::size_t number) -> std::function<void(double)> {
    if (!progress) return {};
    return [&progress, count, number](double part) {
      progress((static_cast<double>(number) + part) / static_cast<double>(count));
    };
  };
  auto first = attach_one(ledger, request, 0, share(0));
  for (std::size_t number = 1; first && number < count; ++number) {
    auto another = attach_one(ledger, request, number, share(number));
    if (another) {
      first->beside_.push_back(std::move(*another));
      continue;
    }
    const Action detached = first->detach();
    if (detached) return another.failure();
    return Failure{another.failure().kind, another.failure().what + "; and " + to_text(detached.failure()),
                   another.failure().remedy};
  }
  return first;
}

Outcome<Media> Media::attach_one(Ledger& ledger, const MediaRequest& request, std::size_t number,
                                 const std::function<void(double)>& progress) {
  Media media;
  media.ledger_ = &ledger;
  media.kind_ = request.kind;
  if (request.kind == MediaKind::device) {
    auto claim = DeviceClaim::claim(request.devices[number], request.erase);
    if (!claim) return claim.failure();
    media.identity_ = claim->identity();
    media.claim_ = std::move(*claim);
    return media;
  }
  if (geteuid() != 0 && !request.plain_image)
    return Failure{FailureKind::missing, "making loop devices and mounts needs root", "use sudo, or --target path:DIR"};
  const Places places = places_of(request, number);
  media.image_ = places.image;
  media.is_found_ = request.keep == Keep::found;
  u64 size_bytes = request.size_bytes;
  std::string device;
  const auto make = [&](MadeKind kind, const std::string& path, const std::function<Action()>& maker) {
    Action made = ledger.make({kind, path}, maker);
    if (made) media.made_.push_back({kind, path});
    return made;
  };
  const auto make_everything = [&]() -> Action {
    if (Action made = make_private_directory(places.directory); !made) return made;
    if (Action room = media.is_found_ ? Action(Done{}) : check_room(request); !room) return room;
    if (!places.tmpfs.empty()) {
      Action made = make(MadeKind::directory, places.tmpfs, [&] { return make_private_directory(places.tmpfs); });
      if (!made) return made;
      made = make(MadeKind::mount, places.tmpfs,
                  [&] { return run_as_action(mount_tmpfs_command(places, request.size_bytes)); });
      if (!made) return made;
    }
    Action made = media.is_found_ ? check_found(places.image, size_bytes)
                  : request.keep == Keep::made
                      ? make_image(places.image)
                      : make(MadeKind::file, places.image, [&] { return make_image(places.image); });
    if (!made) return made;
    if (!media.is_found_) made = write_through(places.image, size_bytes, progress);
    if (!made || request.plain_image) return made;
    return make(MadeKind::loop, places.image, [&]() -> Action {
      auto attached = run_checked(losetup_command(places.image, true));
      // Not every filesystem can be read past its page cache (tmpfs learnt it in Linux 6.6); the label says what it is.
      if (!attached) attached = run_checked(losetup_command(places.image, false));
      if (!attached) return attached.failure();
      device = attached->output.substr(0, attached->output.find('\n'));
      return make_writable(device);
    });
  };
  const auto fail = [&](const Failure& failure) {
    const Action detached = media.detach();
    if (detached) return failure;
    return Failure{failure.kind, failure.what + "; and " + to_text(detached.failure()), failure.remedy};
  };
  if (const Action made = make_everything(); !made) return fail(made.failure());
  if (request.plain_image) {
    media.identity_.path = media.identity_.real_path = places.image;
    media.identity_.size_bytes = size_bytes;
    return media;
  }
  auto identity = identify_device(device);
  if (!identity) return fail(identity.failure());
  media.identity_ = *identity;
  return media;
}

std::string Media::label() const {
  const std::string size = fmt::format("{}{:.2f} GiB", beside_.empty() ? "" : fmt::format("{} x ", beside_.size() + 1),
                                       static_cast<double>(identity_.size_bytes) / cowfs::gib);
  if (kind_ == MediaKind::device) return fmt::format("device: {} {}", fmt::join(devices(), " "), size);
  if (is_plain_image()) return fmt::format("{}: {} image file", to_text(kind_), size);
  return fmt::format("{}: {} image, loop with direct-io {}", to_text(kind_), size, identity_.direct_io ? "on" : "off");
}

std::vector<std::string> Media::devices() const {
  std::vector<std::string> all{device()};
  for (const Media& other : beside_) all.push_back(other.device());
  return all;
}

std::vector<dev_t> Media::device_numbers() const {
  if (is_plain_image()) return {};
  std::vector<dev_t> all{identity_.number};
  for (const Media& other : beside_) all.push_back(other.identity_.number);
  return all;
}

Action Media::lend(DeviceClaim::Borrower borrower) {
  Action lent = claim_ ? claim_->lend(borrower) : Action(Done{});
  for (Media& other : beside_)
    if (lent) lent = other.lend(borrower);
  return lent;
}

Action Media::take_back() {
  Action taken = claim_ ? claim_->take_back() : Action(Done{});
  for (Media& other : beside_)
    if (Action one = other.take_back(); !one) taken = one;
  return taken;
}

Action Media::detach() {
  for (; !beside_.empty(); beside_.pop_back())
    if (Action undone = beside_.back().detach(); !undone) return undone;
  claim_.reset();
  while (!made_.empty()) {
    Action undone = ledger_->undo_now(made_.back());
    if (!undone) return undone;
    made_.pop_back();
  }
  return Done{};
}

}  // namespace cowbench::harness
