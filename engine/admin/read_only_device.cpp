#include "engine/admin/read_only_device.h"

#include "engine/device/aligned_buffer.h"
#include "engine/device/copies.h"

namespace cowfs::admin {

Result<std::unique_ptr<ReadOnlyDevice>> ReadOnlyDevice::open(const DeviceNames& names) {
  auto session = DeviceSession::open(names, device::OpenMode::read_only);
  if (!session) return session.error();
  const std::vector<device::Device*> devices = (*session)->devices();
  const pool::AssembleOptions options{.degraded = true, .read_only = true};
  Result<pool::Assembled> assembled = (*session)->run([&] { return pool::assemble(devices, options); });
  if (!assembled) return assembled.error();
  std::unique_ptr<ReadOnlyDevice> opened(new ReadOnlyDevice);
  opened->session_ = std::move(*session);
  opened->assembled_ = std::move(*assembled);
  return opened;
}

std::vector<std::string> ReadOnlyDevice::notes() const {
  std::vector<std::string> notes = assembled_.damaged_copies;
  notes.insert(notes.end(), assembled_.absent.begin(), assembled_.absent.end());
  return notes;
}

Task<Status> MediumReader::read(format::NodePointer pointer, MutableByteSpan image) {
  const format::Address address{pointer.address};
  if (address.device() != device_.index() || address.offset_bytes() + image.size() > device_.capacity().value) {
    co_return Error{Code::metadata_address_invalid, address.value,
                    Place{.device = address.device(), .offset_bytes = address.offset_bytes()}};
  }
  co_return co_await device_.read(address.offset_bytes(), image);
}

Task<Status> MediumReader::read_other_copies(format::NodePointer pointer, MutableByteSpan image, Verify verify, Error wrong) {
  if (wrong.code == Code::metadata_address_invalid) co_return wrong;
  const u64 offset = format::Address{pointer.address}.offset_bytes();
  co_return co_await device::read_other_copies(device_, offset, image, std::move(verify), wrong);
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
    std::optional<Error> damaged;
    bool any = false;  // copy is as it should be
    for (u8 copy = 1; copy <= device.copies(); ++copy) {
      Status valid = co_await device.read(offset, raw.span(), copy);
      const bool is_read = valid.ok();
      format::SliceHeader header;
      std::memcpy(&header, raw.data(), sizeof header);
      const bool blank =
          std::all_of(raw.data(), raw.data() + raw.size(), [](std::byte byte) { return byte == std::byte{0}; });
      if (is_read) valid = format::validate_slice_header(header, format::filesystem_id(superblock), slice);
      any = any || valid || (is_read && blank);
      if (!valid && (!is_read || !blank)) damaged = valid.error();
      if (valid && (!found.newest || header.sequence > found.newest->sequence)) found.newest = header;
    }
    if (any || !damaged) continue;
    damaged->place.device = device.index();
    damaged->place.offset_bytes = offset;
    found.damaged.push_back(*damaged);
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
