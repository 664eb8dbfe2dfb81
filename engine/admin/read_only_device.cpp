#include "engine/admin/read_only_device.h"

#include "engine/device/aligned_buffer.h"
#include "engine/device/file_device.h"

namespace cowfs::admin {

Result<std::unique_ptr<ReadOnlyDevice>> ReadOnlyDevice::open(const std::string& path) {
  auto device = device::open_device(path, device::OpenMode::read_only);
  if (!device) return device.error();
  runtime::CoresSettings settings;
  settings.cores = 1;
  settings.pin = false;
  auto cores = runtime::Cores::start(settings);
  if (!cores) return cores.error();
  std::unique_ptr<ReadOnlyDevice> opened(new ReadOnlyDevice);
  opened->device_ = std::move(*device);
  opened->cores_ = std::move(*cores);
  device::Device* target = opened->device_.get();
  Result<SuperblockFound> found = opened->run([target] { return read_superblock(*target); });
  if (!found) return found.error();
  opened->found_ = std::move(*found);
  return opened;
}

ReadOnlyDevice::~ReadOnlyDevice() {
  if (cores_ != nullptr) cores_->stop();
}

Task<Status> MediumReader::read(format::NodePointer pointer, MutableByteSpan image) {
  const format::Address address{pointer.address};
  if (address.device() != device_.index() || address.offset_bytes() + image.size() > device_.capacity().value) {
    co_return Error{Code::metadata_address_invalid, address.value,
                    Place{.device = address.device(), .offset_bytes = address.offset_bytes()}};
  }
  co_return co_await device_.read(address.offset_bytes(), image);
}

format::Address MediumReader::allocate(u64) {
  assert(!"the medium is only read");
  return {};
}

Task<Status> MediumReader::write(format::Address, ByteSpan) {
  assert(!"the medium is only read");
  co_return Status{};
}

void MediumReader::release(const format::NodePointer&) { assert(!"the medium is only read"); }

Task<SliceHeaderFound> read_slice_header(device::Device& device, const format::Superblock& superblock, u16 slice) {
  SliceHeaderFound found;
  device::AlignedBuffer raw(block_bytes);
  for (u64 place = 0; place < 2; ++place) {
    const u64 offset = (superblock.slice_headers_block + slice * 2ull + place) * block_bytes;
    Status valid = co_await device.read(offset, raw.span());
    const bool is_read = valid.ok();
    format::SliceHeader header;
    std::memcpy(&header, raw.data(), sizeof header);
    const bool blank =
        std::all_of(raw.data(), raw.data() + raw.size(), [](std::byte byte) { return byte == std::byte{0}; });
    if (is_read) valid = format::validate_slice_header(header, format::filesystem_id(superblock), slice);
    if (!valid) {
      Error error = valid.error();
      error.place.device = device.index();
      error.place.offset_bytes = offset;
      if (!is_read || !blank) found.damaged.push_back(error);
    } else if (!found.newest || header.sequence > found.newest->sequence) {
      found.newest = header;
    }
  }
  co_return found;
}

RecoveredState::RecoveredState(device::Device& device, const format::Superblock& superblock) {
  fs::FilesystemSettings settings;
  settings.core.cache_bytes = 16 * mib;
  settings.core.populate_cache = false;
  settings.read_only = true;
  state_ = std::make_unique<fs::FilesystemState>(superblock, std::vector<device::Device*>{&device}, 1, settings);
}

Task<Status> RecoveredState::open() {
  const Status opened = co_await state_->open();
  // Nobody made the root yet; everything else is open.
  never_mounted_ = !opened && opened.error().code == Code::read_only_filesystem;
  co_return never_mounted_ ? Status{} : opened;
}

Task<void> RecoveredState::close() { return state_->abandon(); }

}  // namespace cowfs::admin
